// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"tare/test/soak/disk"
	"tare/test/soak/server"
)

// beside cuts the power of other registries as often as that of tare, while clients push, copy and pull, and delete
// nothing. What they lose is reported, and fails nothing.
func (s *soak) beside(ctx context.Context) error {
	for _, rival := range []struct {
		name   string
		binary string
		make   func(binary, data, log string) (*server.Registry, error)
	}{
		{"distribution", s.distribution, server.Distribution},
		{"olareg", s.olareg, server.Olareg},
	} {
		if rival.binary == "" {
			continue
		}
		d, err := disk.New(filepath.Join(s.dir, rival.name), 4<<30)
		if err != nil {
			return err
		}
		registry, err := rival.make(rival.binary, filepath.Join(d.Root, "data"), filepath.Join(s.dir, rival.name+".log"))
		if err != nil {
			return errors.Join(err, d.Close())
		}
		r := s.rig(rival.name, registry, 0)
		r.rival = true
		r.load.Additive = true
		s.rivals = append(s.rivals, r)
		if err := errors.Join(s.besideOne(ctx, r, d), r.Kill(), d.Close()); err != nil {
			return err
		}
	}
	return nil
}

func (s *soak) besideOne(ctx context.Context, r *rig, d *disk.Disk) error {
	cuts := 0
	err := s.cutOften(ctx, r, d, func() { cuts++ })
	if err == nil {
		err = r.up(ctx)
	}
	if err != nil && ctx.Err() == nil {
		r.ledger.Lose("after %d cuts: %v", cuts, err)
		return nil
	}
	return r.verify(ctx, everything)
}

// reportRivals prints what other registries lost.
func (s *soak) reportRivals(out io.Writer) {
	for _, r := range s.rivals {
		told := r.ledger.Counts()
		fmt.Fprintf(out, "beside us   %s: %d writes acknowledged, %d answers afterwards that cannot be", r.name, told.Acknowledged, told.Losses)
		if told.Losses > 0 {
			fmt.Fprintf(out, ", such as\n  %s", r.ledger.Losses()[0])
		}
		fmt.Fprintln(out)
	}
}
