// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/diskstore"
)

// restore makes the folder, which is absent or empty, a data folder with what is in the archive. What does not begin as
// one makes no folder. The folder carries a mark from before it has anything until all is there: it may be a mount point,
// so that nothing could be renamed into its place. The rows come first, then the objects that they name; no sweep runs in
// between, since the folder stays locked and marked until all that the rows promise was found to be there.
func restore(ctx context.Context, c *console, path string, archive io.Reader) (sum archiveSummary, err error) {
	if err := checkRestored(path); err != nil {
		return sum, err
	}
	r := &restorer{ctx: ctx}
	defer func() {
		if r.store != nil {
			err = errors.Join(err, r.store.Close())
		}
	}()
	sum, err = readArchive(archive, archiveSink{
		header: func(archiveHeader) (err error) {
			r.store, err = diskstore.Open(path, diskstore.Options{Clock: c.clock, Mark: restoringName})
			return err
		},
		row:    r.row,
		object: r.object,
	})
	if err != nil {
		return sum, err
	}
	if err := r.flush(); err != nil {
		return sum, err
	}
	if err := audit(ctx, c, r.store); err != nil {
		return sum, err
	}
	return sum, errors.Join(os.Remove(filepath.Join(path, restoringName)), syncDir(path))
}

// restorer writes what an archive holds into a store.
type restorer struct {
	ctx   context.Context
	store *diskstore.Store // nil until the archive has begun
	ops   []store.Op       // rows that wait for their transaction
	size  int
}

// row adds a row to the next transaction, and commits the one before where it does not fit any more.
func (r *restorer) row(it store.Item) error {
	size := it.Row.Size(it.Key)
	if len(r.ops) == store.MaxOps || r.size+size > store.MaxTx/2 {
		if err := r.flush(); err != nil {
			return err
		}
	}
	r.ops = append(r.ops, store.Op{Key: it.Key, Kind: store.OpPut, Row: it.Row, If: []store.Cond{{Is: store.Absent}}})
	r.size += size
	return nil
}

func (r *restorer) flush() error {
	if len(r.ops) == 0 {
		return nil
	}
	err := r.store.Commit(r.ctx, store.Tx{Ops: r.ops, Token: rand.Text()})
	r.ops, r.size = nil, 0
	return err
}

func (r *restorer) object(key string, size int64, content io.Reader) error {
	if err := r.flush(); err != nil {
		return err
	}
	return r.store.Put(r.ctx, key, content, size)
}

// audit compares the rows with one another and with the objects. Uploads that were under way when the backup was
// made have lost their bytes, which the sweep finds out.
func audit(ctx context.Context, c *console, s *diskstore.Store) error {
	ledger, err := refcount.New(refcount.Stores{Table: s, Objects: s, Parts: s}, c.clock, refcount.Config{Margins: refcount.DefaultMargins()})
	if err != nil {
		return err
	}
	findings, err := ledger.Audit(ctx, s)
	if err != nil {
		return err
	}
	if len(findings) == 0 {
		return nil
	}
	var b strings.Builder
	for _, f := range findings[:min(len(findings), 10)] {
		fmt.Fprintf(&b, "\n  %s", f)
	}
	return fmt.Errorf("the backup was made of a damaged registry, with %d faults:%s", len(findings), &b)
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
