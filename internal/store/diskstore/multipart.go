// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"tare/internal/store"
)

// upload is what the calls for one unfinished upload share. Each that writes has a turn, which ends the ones before: they
// write no byte more, not even into the object that the file became meanwhile. One that was written to is kept until it is
// gone, since a call of an earlier turn may come at any time.
type upload struct {
	users int // calls that hold it

	mu   sync.Mutex // guards turn and gone, and is held while the file is written, cut or moved
	turn int64      // the latest that has begun; 0 where none has
	gone bool       // completed, aborted or never there
}

var (
	errOvertaken = errors.New("a later call writes to this upload")
	errGap       = errors.New("the offset is beyond the end of the upload")
	errParts     = errors.New("these are not the upload's parts in order")
)

// hold returns the upload with the id, to be released.
func (s *Store) hold(id string) *upload {
	s.uploadsMu.Lock()
	defer s.uploadsMu.Unlock()
	u := s.uploads[id]
	if u == nil {
		u = new(upload)
		s.uploads[id] = u
	}
	u.users++
	return u
}

func (s *Store) release(id string, u *upload) {
	s.uploadsMu.Lock()
	defer s.uploadsMu.Unlock()
	if u.users--; u.users == 0 && (u.gone || u.turn == 0) {
		delete(s.uploads, id)
	}
}

// validID tells whether id can be one of [Store.Begin]'s, and a part of a file name.
func validID(id string) bool {
	for _, c := range id {
		if (c < 'a' || 'z' < c) && (c < '2' || '7' < c) {
			return false
		}
	}
	return len(id) == idLength
}

const idLength = 26 // of rand.Text: 130 bits

// MinPart implements [store.Multipart]: parts are appended to one file and may have any size.
func (s *Store) MinPart() int64 { return 0 }

// Begin implements [store.Multipart].
func (s *Store) Begin(ctx context.Context, key string) (string, error) {
	if !store.ValidObjectKey(key) {
		return "", invalid("begin", key, errObject)
	}
	if err := s.enter(ctx); err != nil {
		return "", wrap("begin", key, err)
	}
	defer s.leave()
	id := strings.ToLower(rand.Text())
	return id, wrap("begin", key, s.begin(s.folder.uploadPath(key, id)))
}

// begin makes an empty file, durably.
func (s *Store) begin(path string) error {
	dir := filepath.Dir(path)
	if err := s.die(s.folder.makeDir(dir)); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return s.written(err)
	}
	return s.die(s.sync.dir(dir))
}

// Turn implements [store.Multipart].
func (s *Store) Turn() int64 { return s.turns.Add(1) }

// Part implements [store.Multipart]. The number is not looked at: parts are where their offsets say.
func (s *Store) Part(ctx context.Context, key, id string, turn int64, number int, offset int64, r io.Reader, size int64) (store.Part, error) {
	p := store.Part{Number: number}
	if turn < 1 || number < 1 || offset < 0 || size < -1 {
		return p, invalid("part", key, errNegative)
	}
	if !store.ValidObjectKey(key) || !validID(id) {
		return p, wrap("part", key, fs.ErrNotExist)
	}
	if err := s.enter(ctx); err != nil {
		return p, wrap("part", key, err)
	}
	defer s.leave()
	u := s.hold(id)
	defer s.release(id, u)
	var err error
	p.Size, err = s.part(ctx, u, turn, s.folder.uploadPath(key, id), offset, r, size)
	return p, wrap("part", key, err)
}

// part appends what r gives to the upload's file, from offset on, and syncs what came even where r fails. It returns how
// many bytes are durable.
func (s *Store) part(ctx context.Context, u *upload, turn int64, path string, offset int64, r io.Reader, size int64) (int64, error) {
	f, err := u.cut(turn, path, offset)
	if err != nil {
		return 0, err
	}
	defer discard(f)
	to := newSink(f, offset)
	n, err := s.receive(ctx, r, size, func(p []byte) error {
		return u.during(turn, func() error { return s.written(to.write(p)) })
	})
	if !outOfRoom(err) {
		if syncErr := s.written(s.sync.file(f)); syncErr != nil {
			n, err = 0, syncErr
		}
	}
	if outOfRoom(err) {
		// Nothing happened, and what came gives its room back. Should that fail, the next call cuts it.
		_ = u.during(turn, func() error { return f.Truncate(offset) })
		return 0, err
	}
	if err == nil {
		err = u.during(turn, func() error { return nil })
	}
	return n, err
}

// cut begins a turn: it opens the upload's file and shortens it to offset.
func (u *upload) cut(turn int64, path string, offset int64) (*os.File, error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.gone:
		return nil, fs.ErrNotExist
	case turn <= u.turn:
		return nil, errOvertaken
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		u.gone = errors.Is(err, fs.ErrNotExist)
		return nil, err
	}
	info, err := f.Stat()
	switch {
	case err == nil && offset > info.Size():
		err = &misuse{errGap}
	case err == nil && offset < info.Size():
		err = f.Truncate(offset)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	u.turn = turn
	return f, nil
}

// during calls fn unless the turn has ended, which it cannot do meanwhile.
func (u *upload) during(turn int64, fn func() error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case u.gone:
		return fs.ErrNotExist
	case u.turn != turn:
		return errOvertaken
	}
	return fn()
}

// end calls fn when no turn is under way, and ends all where it succeeds.
func (u *upload) end(fn func() error) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	if err := fn(); err != nil {
		return err
	}
	u.gone = true
	return nil
}

// Complete implements [store.Multipart]. It renames the file. A call that finds the file gone and the object there makes
// sure that this is durable.
func (s *Store) Complete(ctx context.Context, key, id string, parts []store.Part) error {
	if !store.ValidObjectKey(key) {
		return invalid("complete", key, errObject)
	}
	size, err := total(parts)
	if err != nil {
		return invalid("complete", key, err)
	}
	if err := s.enter(ctx); err != nil {
		return wrap("complete", key, err)
	}
	defer s.leave()
	u := s.hold(id)
	defer s.release(id, u)
	return wrap("complete", key, u.end(func() error {
		if validID(id) {
			err := s.completeFile(key, s.folder.uploadPath(key, id), size)
			if !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		object := s.folder.objectPath(key)
		if _, err := os.Stat(object); err != nil {
			return err
		}
		return cmp.Or(s.die(s.sync.dir(filepath.Dir(object))), fs.ErrNotExist)
	}))
}

// total is the size of the object that parts make.
func total(parts []store.Part) (int64, error) {
	n := int64(0)
	for i, p := range parts {
		if p.Number < 1 || p.Size < 0 || p.Size > math.MaxInt64-n || i > 0 && p.Number <= parts[i-1].Number {
			return 0, errParts
		}
		n += p.Size
	}
	return n, nil
}

// completeFile makes the first size bytes of an upload's file the object at key. What is behind them belongs to no part.
func (s *Store) completeFile(key, path string, size int64) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() < size {
		return &misuse{fmt.Errorf("%w: %d bytes of %d", errParts, info.Size(), size)}
	}
	if info.Size() > size {
		if err := s.shorten(path, size); err != nil {
			return err
		}
	}
	return s.publish(path, key)
}

func (s *Store) shorten(path string, size int64) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer discard(f)
	if err := f.Truncate(size); err != nil {
		return err
	}
	return s.written(s.sync.file(f))
}

// Abort implements [store.Multipart].
func (s *Store) Abort(ctx context.Context, key, id string) error {
	if !store.ValidObjectKey(key) {
		return invalid("abort", key, errObject)
	}
	if err := s.enter(ctx); err != nil {
		return wrap("abort", key, err)
	}
	defer s.leave()
	if !validID(id) {
		return nil
	}
	u := s.hold(id)
	defer s.release(id, u)
	return wrap("abort", key, u.end(func() error {
		return s.die(s.folder.remove(s.folder.uploadPath(key, id)))
	}))
}

// Pending implements [store.Multipart]. The uploads are in the order of their keys.
func (s *Store) Pending(ctx context.Context, prefix string) ([]store.PendingUpload, error) {
	if err := s.enter(ctx); err != nil {
		return nil, wrap("pending", prefix, err)
	}
	defer s.leave()
	var pending []store.PendingUpload
	err := walkNames(s.folder.join(partsName), "", func(_, name string) error {
		key, id, _ := strings.Cut(name, mark)
		if strings.HasPrefix(key, prefix) && store.ValidObjectKey(key) && validID(id) {
			pending = append(pending, store.PendingUpload{Key: key, ID: id})
		}
		return nil
	})
	if err != nil {
		return nil, wrap("pending", prefix, err)
	}
	slices.SortFunc(pending, func(a, b store.PendingUpload) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.ID, b.ID))
	})
	return pending, nil
}
