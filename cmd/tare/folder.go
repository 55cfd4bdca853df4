// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"tare/internal/clock"
	"tare/internal/refcount"
	"tare/internal/store/diskstore"
)

// What this program keeps in a data folder beside the store.
const (
	// scratchName is a folder for what a command needs while it runs. Whoever opens the data folder empties it.
	scratchName = "scratch"
	// restoringName is a file that is there from the beginning of a restore until its end.
	restoringName = "restore-incomplete"
)

// formatName is the file by which package diskstore knows its folders.
const formatName = "format.json"

// inlineLimit is the most bytes of a blob that is kept in the table: one sync less than a file, and twice the images a
// second at 16 KiB; from some size on, a file that the kernel sends is better.
const inlineLimit = 32 << 10

// folderFlags says which data folder, and by which margins its ledger works.
type folderFlags struct {
	dataFlag
	marginFlags
}

// marginFlags are the times of the protocol (docs/gc.md). All that are in use at one registry must be the same.
type marginFlags struct {
	Lease          duration `help:"A blob that a client was told of stays this long without a manifest: the longest that a push may take." default:"12h" group:"Margins"`
	Grace          duration `help:"A blob stays this long after the last manifest that lists it went." default:"24h" group:"Margins"`
	UndoWindow     duration `help:"A deleted manifest can be brought back for this long." default:"12h" group:"Margins"`
	UploadTTL      duration `name:"upload-ttl" help:"The id of an upload is good for this long from its POST, whether bytes come or not." default:"24h" group:"Margins"`
	UntaggedAfter  duration `help:"Delete manifests that have been without a tag, and in no index, for this long; 0 keeps them." default:"0" group:"Margins"`
	History        duration `help:"The moves of tags are remembered for this long." default:"30d" group:"Margins"`
	MaxPut         duration `help:"The longest that one request may take to bring a blob's bytes." default:"6h" group:"Margins"`
	TombstoneDelay duration `help:"An object that nothing needs stays this long, for downloads under way and late writers." default:"7h" group:"Margins"`

	URLLife    duration `name:"url-life" hidden:"" default:"15m"`
	StageLease duration `hidden:"" default:"10m"`
	CloseGrace duration `hidden:"" default:"10m"`
	MaxStep    duration `hidden:"" default:"1m"`
	Skew       duration `hidden:"" default:"30s"`
}

func (f marginFlags) margins() refcount.Margins {
	return refcount.Margins{
		Lease:          time.Duration(f.Lease),
		Grace:          time.Duration(f.Grace),
		UndoWindow:     time.Duration(f.UndoWindow),
		UploadTTL:      time.Duration(f.UploadTTL),
		MaxPut:         time.Duration(f.MaxPut),
		URLLife:        time.Duration(f.URLLife),
		TombstoneDelay: time.Duration(f.TombstoneDelay),
		StageLease:     time.Duration(f.StageLease),
		CloseGrace:     time.Duration(f.CloseGrace),
		MaxStep:        time.Duration(f.MaxStep),
		Skew:           time.Duration(f.Skew),
		History:        time.Duration(f.History),
		Untagged:       time.Duration(f.UntaggedAfter),
	}
}

// folder is an open data folder with its ledger.
type folder struct {
	path   string
	store  *diskstore.Store
	stores refcount.Stores // the store's doors, measured or not
	ledger *refcount.Ledger
}

// openFolder opens a data folder, or makes it. measure, if not nil, wraps the stores that the ledger works on.
func openFolder(path string, margins refcount.Margins, c clock.Clock, measure func(refcount.Stores) refcount.Stores) (*folder, error) {
	if err := margins.Check(); err != nil {
		return nil, usageError{err}
	}
	if err := checkRestored(path); err != nil {
		return nil, err
	}
	s, err := diskstore.Open(path, diskstore.Options{Clock: c})
	if err != nil {
		return nil, err
	}
	f := &folder{path: path, store: s}
	// Again, under the lock: a restore may have begun, and died, since.
	if err := errors.Join(checkRestored(path), os.RemoveAll(f.scratch())); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	f.stores = refcount.Stores{Table: s, Objects: s, Parts: s}
	if measure != nil {
		f.stores = measure(f.stores)
	}
	f.ledger, err = refcount.New(f.stores, c, refcount.Config{Margins: margins, InlineLimit: inlineLimit})
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return f, nil
}

func (f *folder) Close() error { return f.store.Close() }

func (f *folder) scratch() string { return filepath.Join(f.path, scratchName) }

// checkRestored refuses a folder whose restore did not come to its end.
func checkRestored(path string) error {
	_, err := os.Stat(filepath.Join(path, restoringName))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return fmt.Errorf("a restore into %s did not come to its end: remove the folder and restore again", path)
}

// checkDataFolder refuses what is no data folder. Only serve and restore make one: the backup of a disk that is not
// mounted must not succeed.
func checkDataFolder(path string) error {
	if _, err := os.Stat(path); err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(path, formatName)); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is no data folder: it has no %s", path, formatName)
	}
	return nil
}

// openAdministration connects to the server of a data folder, or opens the folder where none runs.
func openAdministration(ctx context.Context, c *console, flags folderFlags) (administration, error) {
	client, err := dialAdmin(ctx, flags.Data)
	if !errors.Is(err, errNoServer) {
		return client, err
	}
	if err := checkDataFolder(flags.Data); err != nil {
		return nil, err
	}
	f, err := openFolder(flags.Data, flags.margins(), c.clock, nil)
	if errors.Is(err, diskstore.ErrLocked) {
		return nil, fmt.Errorf("%w, by a program that does not answer at %s", err, filepath.Join(flags.Data, socketName))
	}
	if err != nil {
		return nil, err
	}
	return &operator{folder: f, sweeper: newSweeper(f.ledger, c.clock, c.log, nil), clock: c.clock, log: c.log}, nil
}

// snapshot is the table of a data folder at one moment, in a folder of its own below scratch.
type snapshot struct {
	*diskstore.Store
	path string
}

// snapshot copies the table. It needs as much room as the table has.
func (f *folder) snapshot(ctx context.Context, c clock.Clock) (_ *snapshot, err error) {
	if err := os.MkdirAll(f.scratch(), 0o700); err != nil {
		return nil, err
	}
	path, err := os.MkdirTemp(f.scratch(), "snapshot-")
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.RemoveAll(path))
		}
	}()
	r, w := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := f.store.Snapshot(ctx, w)
		written <- errors.Join(err, w.CloseWithError(err))
	}()
	err = diskstore.Restore(ctx, path, r)
	r.CloseWithError(err) // where Restore gave up, so does Snapshot
	if err := errors.Join(<-written, err); err != nil {
		return nil, err
	}
	s, err := diskstore.Open(path, diskstore.Options{Clock: c})
	if err != nil {
		return nil, err
	}
	return &snapshot{s, path}, nil
}

// Close removes the copy.
func (s *snapshot) Close() error { return errors.Join(s.Store.Close(), os.RemoveAll(s.path)) }
