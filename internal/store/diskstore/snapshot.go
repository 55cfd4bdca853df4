// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"go.etcd.io/bbolt"
)

// Snapshot writes the table as it is at one moment to w, for [Restore]; objects are files and can be copied one by one.
// Commits go on meanwhile, but no page that the snapshot shows is used again before it ends, so the table's file grows:
// w should be a file or a pipe into one, and not a slow client. A canceled context ends it with the context's error.
//
// The bytes are read through the page cache. To read around it (bbolt's WriteFlag) would need aligned buffers, and the
// pages of a live table are mostly there anyway.
func (s *Store) Snapshot(ctx context.Context, w io.Writer) error {
	if err := s.enter(ctx); err != nil {
		return wrap("snapshot", "", err)
	}
	defer s.leave()
	tx, err := s.whole(ctx)
	if err != nil {
		return wrap("snapshot", "", err)
	}
	defer rollback(tx)
	_, err = tx.WriteTo(contextWriter{ctx, w})
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	return wrap("snapshot", "", err)
}

// whole returns the table when it has everything that is durable now.
func (s *Store) whole(ctx context.Context) (*bbolt.Tx, error) {
	if err := s.committer.settled(ctx); err != nil {
		return nil, err
	}
	s.engine.applying.Lock() // between two checkpoints, and not within one
	defer s.engine.applying.Unlock()
	return s.engine.db.Begin(false)
}

// contextWriter fails when its context has ended.
type contextWriter struct {
	ctx context.Context
	w   io.Writer
}

func (c contextWriter) Write(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.w.Write(p)
}

// Restore makes the folder dir, which is absent or empty, a data folder with the rows of a snapshot and no objects. A
// folder that holds rows or objects is refused. Where it fails, the folder stays as good as empty.
func Restore(ctx context.Context, dir string, snapshot io.Reader) (err error) {
	f, err := openFolder(dir, "", &syncer{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if _, err := os.Stat(f.join(tableName)); !errors.Is(err, fs.ErrNotExist) {
		return errors.Join(fmt.Errorf("%s is there already", f.join(tableName)), err)
	}
	temp := f.join(tempName, tableName)
	if err := f.fetch(ctx, temp, snapshot); err != nil {
		return err
	}
	if err := verify(ctx, temp); err != nil {
		return fmt.Errorf("the snapshot: %w", err)
	}
	if err := f.rename(temp, f.join(tableName)); err != nil {
		return err
	}
	if err := makeLog(f, defaultLogSize); err != nil {
		return err
	}
	return f.complete()
}

// fetch writes a file, durably but for its name.
func (f *folder) fetch(ctx context.Context, path string, r io.Reader) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	_, err = io.Copy(contextWriter{ctx, file}, r)
	if err == nil {
		err = f.sync.file(file)
	}
	return errors.Join(err, file.Close())
}

// verify reads all rows of a table that nobody has open.
func verify(ctx context.Context, path string) error {
	db, err := openTableReadOnly(path)
	if err != nil {
		return err
	}
	defer discard(db)
	return viewed(db, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(rowsBucket)).ForEach(func(k, v []byte) error {
			return errors.Join(ctx.Err(), checkRow(k, v))
		})
	})
}
