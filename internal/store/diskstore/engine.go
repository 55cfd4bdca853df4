// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// engine is the table, a bbolt file: what readers see is this below the overlay. Its only writer is the checkpoint.
//
// What it asks of bbolt: the freelist is synced, since to open a large file without it means to read every page. It is
// the array and not the hash map, because every commit writes it in order: of scattered pages, which is what rows in the
// order of hashes leave behind, that takes the array 0.6 to 0.7 of the map's time (85,000 pages; of contiguous ones, 1.5
// times as much). The file is mapped large at once, because to enlarge the map waits for all readers.
type engine struct {
	db       *bbolt.DB
	sync     *syncer
	room     *room
	dead     <-chan struct{} // closed when the store is dead
	applying sync.Mutex      // held while a layer is written, in more than one update
}

// The buckets.
const (
	rowsBucket = "rows" // encode.go
	dueBucket  = "due"  // index.go
	logBucket  = "log"  // replay.go
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
	db, err := openGuarded(path, opts)
	if errors.Is(err, syscall.ENOMEM) {
		// The process may not have that much address space: map what is there, and more when it grows.
		opts.InitialMmapSize = 0
		db, err = openGuarded(path, opts)
	}
	if errors.Is(err, bbolterrors.ErrTimeout) {
		return nil, errors.Join(ErrLocked, err)
	}
	return db, err
}

// openGuarded is [bbolt.Open], which reads the list of free pages. Where it panics, nobody has the file any more.
func openGuarded(path string, opts *bbolt.Options) (db *bbolt.DB, err error) {
	var file *os.File
	opts.OpenFile = func(name string, flag int, mode os.FileMode) (_ *os.File, err error) {
		file, err = os.OpenFile(name, flag, mode)
		return file, err
	}
	panicked := true
	err = guarded(func() (err error) {
		db, err = bbolt.Open(path, fileMode, opts)
		panicked = false
		return err
	})
	if panicked && file != nil {
		discard(file)
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
	err = viewed(db, func(tx *bbolt.Tx) error {
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
	e := &engine{db: db, sync: f.sync, dead: dead}
	if err := f.sync.do(tableName, db.Sync); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if e.room, err = openRoom(path, f, opts.Headroom); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := e.measure(); err != nil {
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
		_, logErr := tx.CreateBucket([]byte(logBucket))
		return errors.Join(rowsErr, dueErr, logErr)
	})
	return errors.Join(err, db.Close())
}

func (e *engine) close() error { return errors.Join(e.room.close(), e.db.Close()) }

// rollback ends a transaction. It cannot fail while one is open, and does nothing after a commit.
func rollback(tx *bbolt.Tx) { _ = tx.Rollback() }

// writer changes the table in one update.
type writer struct {
	tx        *bbolt.Tx
	rows, due *bbolt.Bucket
	need      int64 // more than the pages take that were changed, in bytes
}

// update calls fn and makes what it wrote durable, all of it or nothing. Where fn has an error, it is returned and nothing
// is written. Out of room, nothing happened either. Any other error is a [failure]: that a page is damaged, too, since
// every later update would meet it.
//
// Why out of room is safe: pages are given out below the end of the room only, so that bbolt refuses before it writes.
// Where a write finds no space all the same (a file system that copies on write), it was to a page that no commit
// uses, or to the older of the two meta pages, and bbolt forgets the transaction. A sync that fails is another matter:
// which of the pages that were written reached the disk, nobody knows.
func (e *engine) update(fn func(*writer) error) error {
	select {
	case <-e.dead:
		return errFailed
	default:
	}
	tx, err := e.db.Begin(true)
	if err != nil {
		return &failure{err}
	}
	defer rollback(tx)
	w := &writer{tx: tx}
	err = guarded(func() error {
		w.rows, w.due = tx.Bucket(inRows.name()), tx.Bucket(inDue.name())
		return fn(w)
	})
	if err != nil {
		return damaged(err)
	}
	if e.db.MaxSize, err = e.room.provide(w.need); err != nil {
		return err
	}
	id := tx.ID()
	if err := guarded(func() error { return e.sync.do(tableName, tx.Commit) }); err != nil {
		if refusedRoom(err) && e.before(id) {
			return err
		}
		return &failure{err}
	}
	return e.measure()
}

// damaged makes a failure of a corruption.
func damaged(err error) error {
	if _, ok := errors.AsType[*corruption](err); ok {
		return &failure{err}
	}
	return err
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

// measure tells the room how much of the file is in use.
func (e *engine) measure() error {
	tx, err := e.db.Begin(false)
	if err != nil {
		return &failure{err}
	}
	defer rollback(tx)
	e.room.measured(tx.Size(), e.freeBytes())
	return nil
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
