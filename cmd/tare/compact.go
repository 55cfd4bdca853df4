// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"

	"tare/internal/store/diskstore"
)

// compactCmd makes the table as small as its rows.
type compactCmd struct{ dataFlag }

// Run compacts the table of a folder that nobody has open.
func (cmd *compactCmd) Run(ctx context.Context, c *console) error {
	if err := errors.Join(checkRestored(cmd.Data), checkDataFolder(cmd.Data)); err != nil {
		return err
	}
	before, err := tableBytes(cmd.Data)
	if errors.Is(err, diskstore.ErrLocked) {
		return fmt.Errorf("%w: stop the server first", err)
	}
	if err != nil {
		return err
	}
	p := newProgress(c)
	err = diskstore.Compact(ctx, cmd.Data, func(done, total int64) { p.show("%v of %v", size(done), size(total)) })
	p.end()
	if err != nil {
		return err
	}
	after, err := tableBytes(cmd.Data)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "The table had %v and has %v.\n", size(before), size(after))
	return nil
}

// tableBytes opens the folder for a moment to ask how large its table is.
func tableBytes(path string) (int64, error) {
	s, err := diskstore.Open(path, diskstore.Options{})
	if err != nil {
		return 0, err
	}
	stats, err := s.Stats()
	return stats.TableBytes, errors.Join(err, s.Close())
}
