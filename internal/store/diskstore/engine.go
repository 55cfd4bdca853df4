// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"

	"tare/internal/store"
)

// engine keeps rows in a bbolt file. It groups nothing and remembers no tokens: the committer above it is its only
// writer, and knows it only by update and view.
//
// What it asks of bbolt: the freelist is synced, since to open a large file without it means to read every page. It is
// the array and not the hash map, because every commit writes it in order: of scattered pages, which is what rows in the
// order of hashes leave behind, that takes the array 0.6 to 0.7 of the map's time (85,000 pages; of contiguous ones, 1.5
// times as much). The file is mapped large at once, because to enlarge the map waits for all readers.
type engine struct {
	db      *bbolt.DB
	sync    *syncer
	room    *room
	horizon horizon
}

// The buckets.
const (
	rowsBucket = "rows" // encode.go
	dueBucket  = "due"  // index.go
)

// defaultMapSize is address space and costs nothing, where there is enough of it.
func defaultMapSize() int64 {
	if strconv.IntSize == 32 {
		return 256 << 20
	}
	return 16 << 30
}

// openBolt opens a bbolt file that no other process has open.
func openBolt(path string, mapSize int64, readOnly bool) (*bbolt.DB, error) {
	opts := &bbolt.Options{
		Timeout:         time.Millisecond, // the first failure is the last
		FreelistType:    bbolt.FreelistArrayType,
		InitialMmapSize: int(min(mapSize, math.MaxInt)),
		ReadOnly:        readOnly,
	}
	db, err := bbolt.Open(path, fileMode, opts)
	if errors.Is(err, syscall.ENOMEM) {
		// The process may not have that much address space: map what is there, and more when it grows.
		opts.InitialMmapSize = 0
		db, err = bbolt.Open(path, fileMode, opts)
	}
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, errors.Join(ErrLocked, err)
	}
	return db, err
}

// openTableReadOnly opens a table that nobody writes, and checks that it is whole as far as its length and buckets tell.
// Reading behind the end of a mapped file would end the process.
func openTableReadOnly(path string) (*bbolt.DB, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return nil, fmt.Errorf("opening %s: %w", path, corrupt(errShort))
	}
	db, err := openBolt(path, 0, true)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	err = db.View(func(tx *bbolt.Tx) error {
		if tx.Size() > info.Size() {
			return corrupt(errShort)
		}
		if tx.Bucket([]byte(rowsBucket)) == nil || tx.Bucket([]byte(dueBucket)) == nil {
			return corrupt(errBuckets)
		}
		return nil
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("opening %s: %w", path, err), db.Close())
	}
	return db, nil
}

var (
	errShort   = errors.New("the table's file is shorter than it says")
	errBuckets = errors.New("a table without its buckets")
)

// openEngine opens the table of a locked folder for writing. What the last process wrote and did not sync, because it was
// killed in between, is synced first: readers see it.
func openEngine(f *folder, opts Options, dead <-chan struct{}) (*engine, error) {
	path := f.join(tableName)
	checked, err := openTableReadOnly(path)
	if err != nil {
		return nil, err
	}
	if err := checked.Close(); err != nil {
		return nil, err
	}
	db, err := openBolt(path, opts.MapSize, false)
	if err != nil {
		return nil, fmt.Errorf("opening %s: %w", path, err)
	}
	db.AllocSize = 0 // the room grows the file
	e := &engine{db: db, sync: f.sync, horizon: horizon{dead: dead}}
	if err := f.sync.do(tableName, db.Sync); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if e.room, err = openRoom(path, f, opts.Headroom); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	err = db.View(func(tx *bbolt.Tx) error {
		e.horizon.advance(tx.ID())
		return nil
	})
	if err == nil {
		err = e.update(func(*writer) error { return nil }) // for the headroom
	}
	if err != nil {
		return nil, errors.Join(err, e.close())
	}
	return e, nil
}

// makeTable makes an empty table.
func makeTable(path string) error {
	db, err := openBolt(path, 0, false)
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		_, rowsErr := tx.CreateBucket([]byte(rowsBucket))
		_, dueErr := tx.CreateBucket([]byte(dueBucket))
		return errors.Join(rowsErr, dueErr)
	})
	return errors.Join(err, db.Close())
}

func (e *engine) close() error { return errors.Join(e.room.close(), e.db.Close()) }

// reader reads rows at one moment.
type reader struct{ tx *bbolt.Tx }

func (r reader) rows() *bbolt.Bucket { return r.tx.Bucket([]byte(rowsBucket)) }
func (r reader) due() *bbolt.Bucket  { return r.tx.Bucket([]byte(dueBucket)) }

// row returns the row of a bucket under the encoded key, nil where there is none, and the size of its encoding.
func row(rows *bbolt.Bucket, key []byte) (store.Row, int, error) {
	b := rows.Get(key)
	if b == nil {
		return nil, 0, nil
	}
	row, err := decodeRow(key, b)
	return row, len(b), err
}

// begin starts reading. bbolt shows a commit as soon as it is written: one that is not yet synced could be gone after a
// power cut, so begin waits until it is. The caller rolls the transaction back, soon: as long as it is open, no page
// that it can see is used again.
func (e *engine) begin(ctx context.Context) (*bbolt.Tx, error) {
	tx, err := e.db.Begin(false)
	if err != nil {
		return nil, err
	}
	if err := e.horizon.wait(ctx, tx.ID()); err != nil {
		rollback(tx)
		return nil, err
	}
	return tx, nil
}

// rollback ends a transaction. It cannot fail while one is open, and does nothing after a commit.
func rollback(tx *bbolt.Tx) { _ = tx.Rollback() }

// view calls fn with the rows as they are at one moment that is durable, and after every update that was.
func (e *engine) view(ctx context.Context, fn func(reader) error) error {
	tx, err := e.begin(ctx)
	if err != nil {
		return err
	}
	defer rollback(tx)
	return fn(reader{tx})
}

// writer reads and changes rows in one update.
type writer struct {
	rows, due *bbolt.Bucket
	// short: the disk has no more room than what is kept for changes that free some.
	short bool
	// need is more than the pages that the changes take: each row beside its old form, a leaf for it, part of a branch.
	// It is 0 while nothing was changed.
	need int64
}

// changePages is what a change takes beside the row itself.
const changePages = 8 << 10

// update calls fn and makes what it wrote durable, all of it or nothing. Where fn has an error, it is returned and nothing
// is written. Out of room, nothing happened either. Any other error is a [failure].
//
// Why out of room is safe: pages are given out below the end of the room only, so that bbolt refuses before it writes.
// Where a write finds no space all the same (a file system that copies on write), it was to a page that no commit
// uses, or to the older of the two meta pages, and bbolt forgets the transaction. A sync that fails is another matter:
// which of the pages that were written reached the disk, nobody knows.
func (e *engine) update(fn func(*writer) error) error {
	select {
	case <-e.horizon.dead:
		return errFailed
	default:
	}
	tx, err := e.db.Begin(true)
	if err != nil {
		return &failure{err}
	}
	defer rollback(tx)
	w := &writer{rows: reader{tx}.rows(), due: reader{tx}.due()}
	if w.short, err = e.reserve(tx, e.room.headroom); err != nil {
		return err
	}
	if err := fn(w); err != nil || w.need == 0 {
		return err
	}
	if _, err := e.reserve(tx, w.need); err != nil {
		return err
	}
	id := tx.ID()
	if err := e.sync.do(tableName, tx.Commit); err != nil {
		if refusedRoom(err) && e.before(id) {
			return err
		}
		return &failure{err}
	}
	e.horizon.advance(id)
	return nil
}

// refusedRoom tells whether a commit failed before its first sync, by bbolt's own limit or by a write. bbolt returns the
// error of a sync as the bare number.
func refusedRoom(err error) bool {
	if errors.Is(err, bbolterrors.ErrMaxSizeReached) {
		return true
	}
	write, ok := errors.AsType[*fs.PathError](err)
	return ok && write.Op == "write" && outOfRoom(err)
}

// before tells whether readers see the table as it was before transaction id.
func (e *engine) before(id int) bool {
	tx, err := e.db.Begin(false)
	if err != nil {
		return false
	}
	defer rollback(tx)
	return tx.ID() < id
}

// reserve sees to it that the file has room for need bytes of new pages, as far as the disk allows, and tells bbolt where
// it ends. It tells whether less than the headroom is left.
func (e *engine) reserve(tx *bbolt.Tx, need int64) (short bool, err error) {
	switch err := e.room.provide(tx.Size(), need); {
	case outOfRoom(err):
		short = e.room.size-tx.Size()+e.freeBytes() < e.room.headroom
	case err != nil:
		return false, err
	}
	e.db.MaxSize = int(e.room.size)
	return short, nil
}

// freeBytes is what the free pages hold, as of the last update.
func (e *engine) freeBytes() int64 {
	return int64(e.db.Stats().FreePageN) * int64(e.db.Info().PageSize)
}

// size returns the length of the file and how much of it is used by nothing.
func (e *engine) size() (total, free int64, err error) {
	err = e.db.View(func(tx *bbolt.Tx) error {
		info, err := e.room.file.Stat()
		if err != nil {
			return err
		}
		total = info.Size()
		free = total - tx.Size() + e.freeBytes()
		return nil
	})
	return total, free, err
}

// put stores a row, whose encoding is value, in the place of old.
func (w *writer) put(key []byte, old, row store.Row, value []byte) error {
	if err := w.reindex(key, old, row); err != nil {
		return err
	}
	w.need += changePages + 2*int64(len(key)+len(value))
	return w.rows.Put(key, value)
}

// remove removes the row old.
func (w *writer) remove(key []byte, old store.Row) error {
	if err := w.reindex(key, old, nil); err != nil {
		return err
	}
	w.need += changePages
	return w.rows.Delete(key)
}

// reindex moves a row's entry in the index of due rows.
func (w *writer) reindex(key []byte, old, row store.Row) error {
	oldShard, oldDue, was := indexed(old)
	shard, due, is := indexed(row)
	if was == is && oldShard == shard && oldDue == due {
		return nil
	}
	if was {
		if err := w.due.Delete(dueKey(oldShard, oldDue, key)); err != nil {
			return err
		}
	}
	if is {
		return w.due.Put(dueKey(shard, due, key), nil)
	}
	return nil
}
