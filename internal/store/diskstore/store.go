// SPDX-License-Identifier: Apache-2.0

// Package diskstore keeps a registry's state in one folder of one machine: rows in a bbolt file behind a log, objects and
// the parts of unfinished uploads as files. It is [store.Table], [store.Scanner], [store.Objects] and [store.Multipart] at once.
//
// What it assumes: a sync that succeeded survives a power cut; a rename is atomic; all of the folder is one file
// system; nobody else writes in the folder. A sync that fails means that nothing written since the last one can be
// believed, and asking again would only hear that all is well: the store then refuses every call, [Store.Failed] tells,
// and the process has to end. What the next one finds on the disk is what was acknowledged.
//
// Readers never wait for writers. Commits are written to a log, all that wait at once and with one sync, and to the table
// behind it, in the order of the keys, when the log is full or nothing happens: readers see the table under the overlay,
// which is what only the log has.
package diskstore

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"tare/internal/clock"
	"tare/internal/store"
)

// Options are what can be chosen about a store. The zero value is a good one.
type Options struct {
	// Clock judges [store.Tx.Before] and the age of tokens. Nil: the system's.
	Clock clock.Clock

	// MapSize is how much address space is set aside for the table, in bytes. A table that outgrows it works on, but
	// each time it grows by another part, commits wait for all reads under way. 0: 16 GiB, on 32 bits 256 MiB.
	MapSize int64

	// Headroom is how many bytes of the table's file are kept free for transactions that free space, for when the disk
	// is full. 0: 4 MiB.
	Headroom int64

	// LogSize is how large each of the two files of the log is made, in bytes. They have what is committed and not yet
	// in the table, which is in memory as well. Files that are there stay as they are. 0: 16 MiB.
	LogSize int64

	// Mark is the name of a file that Open makes before anything else but the lock, durably, in a folder that is absent or
	// empty; any other folder is then refused. It tells who opens the folder that it is not complete, and is the caller's
	// to look for and to remove. "": no mark, and any data folder.
	Mark string
}

func (o Options) withDefaults() Options {
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	if o.MapSize == 0 {
		o.MapSize = defaultMapSize()
	}
	if o.Headroom == 0 {
		o.Headroom = defaultHeadroom
	}
	if o.LogSize == 0 {
		o.LogSize = defaultLogSize
	}
	return o
}

// Store is an open data folder. All methods are safe for concurrent use.
type Store struct {
	folder    *folder
	sync      *syncer
	engine    *engine
	log       *log
	overlay   *overlay
	committer *committer
	buffers   sync.Pool // *[bufferSize]byte
	temps     atomic.Int64

	uploadsMu sync.Mutex // guards uploads, and users in each
	uploads   map[string]*upload
	turns     atomic.Int64 // the last one that was taken

	failed   chan struct{} // closed when the store is dead
	failOnce sync.Once
	cause    error // why; written before failed is closed

	closed atomic.Bool
	calls  sync.RWMutex // read-locked by each call, so that Close waits for them
}

var (
	_ store.Table     = (*Store)(nil)
	_ store.Scanner   = (*Store)(nil)
	_ store.Objects   = (*Store)(nil)
	_ store.Multipart = (*Store)(nil)
)

// Open opens the data folder dir, and makes it where it is absent or empty. A folder that is open elsewhere is
// [ErrLocked], at once; one of another format [ErrVersion]; one with other content [ErrForeign], and is left as it is.
// What a crash left half-written goes. Where Open fails, what it made goes again. The store has to be closed.
func Open(dir string, opts Options) (*Store, error) { return open(dir, opts, &syncer{}) }

func open(dir string, opts Options, syncs *syncer) (_ *Store, err error) {
	opts = opts.withDefaults()
	s := &Store{
		sync:    syncs,
		buffers: sync.Pool{New: func() any { return new([bufferSize]byte) }},
		uploads: make(map[string]*upload),
		failed:  make(chan struct{}),
	}
	if s.folder, err = openFolder(dir, opts.Mark, syncs); err != nil {
		return nil, err
	}
	if s.engine, s.log, err = openTable(s.folder, opts, s.failed); err != nil {
		return nil, errors.Join(err, s.folder.giveUp())
	}
	s.overlay = newOverlay(s.engine)
	s.committer = newCommitter(s.overlay, s.log, opts.Clock, s.die)
	s.committer.start()
	return s, nil
}

// openTable opens the table of a locked folder with its log, makes both in a new one, and makes the folder complete. The
// table has all that is in the log.
func openTable(f *folder, opts Options, dead <-chan struct{}) (*engine, *log, error) {
	if _, err := os.Stat(f.join(tableName)); errors.Is(err, fs.ErrNotExist) {
		temp := f.join(tempName, tableName)
		if err := makeTable(temp); err != nil {
			return nil, nil, err
		}
		if err := f.rename(temp, f.join(tableName)); err != nil {
			return nil, nil, err
		}
	}
	e, err := openEngine(f, opts, dead)
	if err != nil {
		return nil, nil, err
	}
	if err := makeLog(f, opts.LogSize); err != nil {
		return nil, nil, errors.Join(err, e.close())
	}
	l, err := openLog(f, e)
	if err != nil {
		return nil, nil, errors.Join(err, e.close())
	}
	if err := f.complete(); err != nil {
		return nil, nil, errors.Join(err, l.close(), e.close())
	}
	return e, l, nil
}

// Close ends the store: it waits for the calls that are under way, then gives the folder back. Later calls are
// ErrUnavailable. Readers of objects stay good. To close twice does nothing.
func (s *Store) Close() error { return s.end(s.folder.close) }

// Discard is Close for who cannot go on after [Open]: where that made the folder, and no object was put since, the folder
// is removed with all rows, or left empty where it was there. Any other is left as by Close.
func (s *Store) Discard() error { return s.end(s.folder.giveUp) }

// end closes the store, and gives up its folder by the function.
func (s *Store) end(folder func() error) error {
	if s.closed.Swap(true) {
		return nil
	}
	s.calls.Lock()
	defer s.calls.Unlock()
	s.committer.stop()
	return errors.Join(s.log.close(), s.engine.close(), folder())
}

// Failed returns a channel that is closed when the disk has failed and the store is dead: every call is refused from
// then on, and the process has to end. [Store.Err] tells why.
func (s *Store) Failed() <-chan struct{} { return s.failed }

// Err returns why the store is dead, nil while it is not.
func (s *Store) Err() error {
	select {
	case <-s.failed:
		return s.cause
	default:
		return nil
	}
}

// die makes the store dead where err is a failure, and returns err.
func (s *Store) die(err error) error {
	if f, ok := errors.AsType[*failure](err); ok {
		s.failOnce.Do(func() {
			s.cause = f
			close(s.failed)
		})
	}
	return err
}

// enter begins a call, which then has to leave.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.Err() != nil {
		return errFailed
	}
	if s.closed.Load() {
		return errClosed
	}
	s.calls.RLock()
	if s.closed.Load() {
		s.calls.RUnlock()
		return errClosed
	}
	return nil
}

func (s *Store) leave() { s.calls.RUnlock() }

// Free returns how many bytes the file system of the folder has left.
func (s *Store) Free() (int64, error) {
	n, err := s.folder.available()
	return n, wrap("free", "", err)
}

// Stats is what a store has done and holds.
type Stats struct {
	Commits    int64 // transactions applied
	Groups     int64 // syncs of the log that they shared
	Syncs      int64 // calls that made something durable, the groups' included
	TableBytes int64 // length of the table's file, the headroom included
	FreeBytes  int64 // of these, what holds nothing and will be used before the file grows
}

// Stats returns the figures of this process; those of the table are of the last commit.
func (s *Store) Stats() (Stats, error) {
	if err := s.enter(context.Background()); err != nil {
		return Stats{}, wrap("stats", "", err)
	}
	defer s.leave()
	size, free, err := s.engine.size()
	return Stats{
		Commits:    s.committer.applied.Load(),
		Groups:     s.committer.written.Load(),
		Syncs:      s.sync.count.Load(),
		TableBytes: size,
		FreeBytes:  free,
	}, wrap("stats", "", err)
}
