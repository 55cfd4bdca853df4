// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

const (
	// compactBatch is how many bytes are copied in one transaction, which holds them in memory.
	compactBatch = 16 << 20
	// compactFill leaves room in each page for what comes: full ones would split at the first change.
	compactFill = 0.9
)

// Compact makes the table of the data folder dir, which nobody may have open, as small as its rows. A bbolt file does
// not shrink by itself. Compact copies the table beside the old one, for which there must be room, checks each row on the
// way, and puts the copy in place in one step: stopped anywhere, the folder is as before. progress, if not nil, is
// called now and then with the bytes of the old table that are dealt with and its size.
func Compact(ctx context.Context, dir string, progress func(done, total int64)) (err error) {
	if _, err := os.Stat(filepath.Join(dir, formatName)); err != nil {
		return err // and no new data folder
	}
	f, err := openFolder(dir, "", &syncer{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.close()) }()
	if err := f.settle(); err != nil {
		return err
	}
	temp := f.join(tempName, tableName)
	if progress == nil {
		progress = func(int64, int64) {}
	}
	if err := f.copyTable(ctx, temp, progress); err != nil {
		return errors.Join(fmt.Errorf("compacting the table: %w", err), os.RemoveAll(temp))
	}
	return f.rename(temp, f.join(tableName))
}

// settle brings the table of a folder that nobody has open up to its log.
func (f *folder) settle() error {
	e, l, err := openTable(f, Options{}.withDefaults(), nil)
	if err != nil {
		return err
	}
	return errors.Join(l.close(), e.close())
}

// copyTable makes a copy of the folder's table at path, durable but for its name. bbolt has a function that does, but
// it fills the pages to the brim and says nothing on the way.
func (f *folder) copyTable(ctx context.Context, path string, progress func(done, total int64)) (err error) {
	src, err := openTableReadOnly(f.join(tableName))
	if err != nil {
		return err
	}
	defer discard(src)
	if err := makeTable(path); err != nil {
		return err
	}
	dst, err := openBolt(path, 0, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, dst.Close()) }()
	dst.NoSync = true // until the end
	dst.AllocSize = 0 // the copy is as long as it need be
	return viewed(src, func(tx *bbolt.Tx) error {
		c := copier{ctx: ctx, dst: dst, done: func(n int64) { progress(min(n, tx.Size()), tx.Size()) }}
		if err := c.copy(tx, rowsBucket, checkRow); err != nil {
			return err
		}
		if err := c.copy(tx, dueBucket, checkDue); err != nil {
			return err
		}
		if err := c.copy(tx, logBucket, checkNothing); err != nil {
			return err
		}
		if err := f.sync.do(path, dst.Sync); err != nil {
			return err
		}
		progress(tx.Size(), tx.Size())
		return nil
	})
}

type copier struct {
	ctx    context.Context
	dst    *bbolt.DB
	copied int64
	done   func(copied int64)
}

// copy copies a bucket in its order, in batches.
func (c *copier) copy(tx *bbolt.Tx, bucket string, check func(k, v []byte) error) error {
	from := tx.Bucket([]byte(bucket)).Cursor()
	k, v := from.First()
	for k != nil {
		end := c.copied + compactBatch
		err := c.dst.Update(func(tx *bbolt.Tx) error {
			to := tx.Bucket([]byte(bucket))
			to.FillPercent = compactFill
			for ; k != nil && c.copied < end; k, v = from.Next() {
				if err := errors.Join(c.ctx.Err(), check(k, v), to.Put(k, v)); err != nil {
					return err
				}
				c.copied += int64(len(k) + len(v))
			}
			return nil
		})
		if err != nil {
			return err
		}
		c.done(c.copied)
	}
	return nil
}

func checkRow(k, v []byte) error {
	_, err := decodeItem(k, v)
	return err
}

func checkDue(k, _ []byte) error {
	_, err := decodeDue(k)
	return err
}

func checkNothing(_, _ []byte) error { return nil }
