// SPDX-License-Identifier: Apache-2.0

package memstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"tare/internal/store"
)

// upload is an unfinished multipart upload.
type upload struct {
	key   string
	data  []byte               // MinPart 0: all parts, appended
	turn  int64                // MinPart 0: the latest that has begun; only it may append
	parts map[int]uploadedPart // MinPart above 0: by number
}

type uploadedPart struct {
	data []byte // never modified
	mark string
}

func (u *upload) clone() *upload {
	return &upload{key: u.key, data: slices.Clone(u.data), parts: maps.Clone(u.parts)}
}

var (
	errOvertaken = errors.New("a later call writes to this upload")
	errGap       = errors.New("the offset is beyond the end of the upload")
	errParts     = errors.New("these are not the upload's parts in order")
)

// MinPart implements [store.Multipart].
func (s *Store) MinPart() int64 { return s.opts.MinPart }

// Begin implements [store.Multipart]. Ids are counted, so that a run can be repeated exactly.
func (s *Store) Begin(ctx context.Context, key string) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", err
	}
	if !store.ValidObjectKey(key) {
		return "", fail("begin", key, store.ErrInvalid, errKey)
	}
	s.bytesMu.Lock()
	defer s.bytesMu.Unlock()
	s.begun++
	id := strconv.Itoa(s.begun)
	s.uploads[id] = &upload{key: key, parts: make(map[int]uploadedPart)}
	return id, nil
}

// upload returns the upload of key with the id, nil where there is none. The caller holds bytesMu.
func (s *Store) upload(key, id string) *upload {
	if u := s.uploads[id]; u != nil && u.key == key {
		return u
	}
	return nil
}

// Turn implements [store.Multipart].
func (s *Store) Turn() int64 {
	s.bytesMu.Lock()
	defer s.bytesMu.Unlock()
	s.turns++
	return s.turns
}

// Part implements [store.Multipart].
func (s *Store) Part(ctx context.Context, key, id string, turn int64, number int, offset int64, r io.Reader, size int64) (store.Part, error) {
	if err := ctx.Err(); err != nil {
		return store.Part{}, err
	}
	if turn < 1 || number < 1 || offset < 0 || size < -1 {
		return store.Part{}, fail("part", key, store.ErrInvalid, errNegative)
	}
	if s.opts.MinPart > 0 {
		return s.keepPart(ctx, key, id, number, r, size)
	}
	n, err := s.appendPart(ctx, key, id, turn, offset, r, size)
	return store.Part{Number: number, Size: n}, err
}

// keepPart stores a part under its number, whole or not at all.
func (s *Store) keepPart(ctx context.Context, key, id string, number int, r io.Reader, size int64) (store.Part, error) {
	if number > store.MaxParts || size < 0 {
		return store.Part{}, fail("part", key, store.ErrInvalid, fmt.Errorf("part %d of %d bytes", number, size))
	}
	data, err := readExactly(ctx, r, size)
	if err != nil {
		return store.Part{}, partFailed(ctx, key, err)
	}
	sum := sha256.Sum256(data)
	mark := hex.EncodeToString(sum[:])
	if err := s.setPart(key, id, number, uploadedPart{data, mark}); err != nil {
		return store.Part{}, err
	}
	return store.Part{Number: number, Size: size, Mark: mark}, nil
}

// setPart makes or replaces a part of an upload.
func (s *Store) setPart(key, id string, number int, p uploadedPart) error {
	s.bytesMu.Lock()
	defer s.bytesMu.Unlock()
	u := s.upload(key, id)
	if u == nil {
		return fail("part", key, store.ErrNotFound, nil)
	}
	u.parts[number] = p
	return nil
}

// partFailed is the error of a part whose reader or context failed.
func partFailed(ctx context.Context, key string, err error) error {
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	return fail("part", key, store.ErrInvalid, err)
}

// appendPart cuts the upload to offset and appends what r gives, as it comes. It returns how many bytes it appended.
func (s *Store) appendPart(ctx context.Context, key, id string, turn, offset int64, r io.Reader, size int64) (int64, error) {
	w, err := s.cut(key, id, turn, offset)
	if err != nil {
		return 0, err
	}
	r = contextReader{ctx, r}
	src := r
	if size >= 0 {
		src = io.LimitReader(r, size)
	}
	n, err := io.Copy(w, src)
	if err == nil && size >= 0 {
		err = atEnd(r, size-n)
	}
	if err == nil {
		_, err = w.Write(nil) // a call that was overtaken after its last byte fails, too
	}
	switch {
	case err == nil:
		return n, nil
	case w.err != nil:
		return n, w.err
	}
	return n, partFailed(ctx, key, err)
}

// atEnd tells whether nothing is missing and r gives nothing more.
func atEnd(r io.Reader, missing int64) error {
	if missing > 0 {
		return io.ErrUnexpectedEOF
	}
	switch n, err := io.ReadFull(r, make([]byte, 1)); {
	case n > 0:
		return errTooLong
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

// cut ends whatever call of an earlier turn appends to the upload, shortens it to offset and returns what appends to it
// from there.
func (s *Store) cut(key, id string, turn, offset int64) (*appender, error) {
	s.bytesMu.Lock()
	defer s.bytesMu.Unlock()
	u := s.upload(key, id)
	switch {
	case u == nil:
		return nil, fail("part", key, store.ErrNotFound, nil)
	case turn <= u.turn:
		return nil, fail("part", key, store.ErrConflict, errOvertaken)
	case offset > int64(len(u.data)):
		return nil, fail("part", key, store.ErrInvalid, errGap)
	}
	u.data = u.data[:offset]
	u.turn = turn
	return &appender{store: s, key: key, id: id, turn: turn}, nil
}

// appender appends to an upload for as long as it is there and no later call writes to it.
type appender struct {
	store   *Store
	key, id string
	turn    int64
	err     error // why it ended
}

func (a *appender) Write(p []byte) (int, error) {
	a.store.bytesMu.Lock()
	defer a.store.bytesMu.Unlock()
	u := a.store.upload(a.key, a.id)
	switch {
	case u == nil:
		a.err = fail("part", a.key, store.ErrNotFound, nil)
	case u.turn != a.turn:
		a.err = fail("part", a.key, store.ErrConflict, errOvertaken)
	default:
		u.data = append(u.data, p...)
	}
	if a.err != nil {
		return 0, a.err
	}
	return len(p), nil
}

// Complete implements [store.Multipart].
func (s *Store) Complete(ctx context.Context, key, id string, parts []store.Part) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.bytesMu.Lock()
	defer s.bytesMu.Unlock()
	u := s.upload(key, id)
	if u == nil {
		return fail("complete", key, store.ErrNotFound, nil)
	}
	data, err := s.join(u, parts)
	if err != nil {
		return fail("complete", key, store.ErrInvalid, err)
	}
	if err := s.putObject("complete", object{key: key, data: data, joined: true}); err != nil {
		return err
	}
	delete(s.uploads, id)
	return nil
}

// join returns the bytes of the object that parts make.
func (s *Store) join(u *upload, parts []store.Part) ([]byte, error) {
	for i, p := range parts {
		if p.Number < 1 || p.Size < 0 || i > 0 && p.Number <= parts[i-1].Number {
			return nil, errParts
		}
	}
	if s.opts.MinPart > 0 {
		return u.joinKept(parts, s.opts.MinPart)
	}
	total := int64(0)
	for _, p := range parts {
		if p.Size > int64(len(u.data))-total {
			return nil, errParts
		}
		total += p.Size
	}
	return u.data[:total:total], nil
}

// joinKept joins parts that were kept apart. S3 makes no object of no parts.
func (u *upload) joinKept(parts []store.Part, minPart int64) ([]byte, error) {
	if len(parts) == 0 {
		return nil, errParts
	}
	var data []byte
	for i, p := range parts {
		kept, ok := u.parts[p.Number]
		if !ok || kept.mark != p.Mark || int64(len(kept.data)) != p.Size {
			return nil, errParts
		}
		if i < len(parts)-1 && p.Size < minPart {
			return nil, fmt.Errorf("part %d has %d bytes, fewer than %d", p.Number, p.Size, minPart)
		}
		data = append(data, kept.data...)
	}
	return data, nil
}

// Abort implements [store.Multipart].
func (s *Store) Abort(ctx context.Context, key, id string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.bytesMu.Lock()
	defer s.bytesMu.Unlock()
	if s.upload(key, id) != nil {
		delete(s.uploads, id)
	}
	return nil
}

// Pending implements [store.Multipart]. The uploads are in the order of their keys.
func (s *Store) Pending(ctx context.Context, prefix string) ([]store.PendingUpload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.bytesMu.RLock()
	defer s.bytesMu.RUnlock()
	var pending []store.PendingUpload
	for id, u := range s.uploads {
		if strings.HasPrefix(u.key, prefix) {
			pending = append(pending, store.PendingUpload{Key: u.key, ID: id})
		}
	}
	slices.SortFunc(pending, func(a, b store.PendingUpload) int {
		return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.ID, b.ID))
	})
	return pending, nil
}
