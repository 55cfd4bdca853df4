// SPDX-License-Identifier: Apache-2.0

package memstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"tare/internal/store"
)

// object is a complete object. Its data is never modified.
type object struct {
	key    string
	data   []byte
	joined bool // it was made of parts: S3 would know no checksum of the whole
}

func objectLess(a, b object) bool { return a.key < b.key }

var (
	errKey      = errors.New("not an object key")
	errTooLong  = errors.New("the reader has more bytes than were announced")
	errRange    = errors.New("the range does not begin inside the object")
	errNegative = errors.New("a negative size, offset or number")
)

// Put implements [store.Objects].
func (s *Store) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	switch {
	case !store.ValidObjectKey(key):
		return fail("put", key, store.ErrInvalid, errKey)
	case size < 0:
		return fail("put", key, store.ErrInvalid, errNegative)
	}
	data, err := readExactly(ctx, r, size)
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	if err != nil {
		return fail("put", key, store.ErrInvalid, err)
	}
	s.bytesMu.Lock()
	defer s.bytesMu.Unlock()
	return s.putObject("put", object{key: key, data: data})
}

// readExactly reads size bytes and sees that r then ends.
func readExactly(ctx context.Context, r io.Reader, size int64) ([]byte, error) {
	var b bytes.Buffer
	b.Grow(int(min(size, 1<<20)) + bytes.MinRead) // an announced size is no reason to take that much
	n, err := io.Copy(&b, io.LimitReader(contextReader{ctx, r}, size+1))
	switch {
	case err != nil:
		return nil, err
	case n < size:
		return nil, io.ErrUnexpectedEOF
	case n > size:
		return nil, errTooLong
	}
	return b.Bytes(), nil
}

// contextReader fails when its context has ended.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (c contextReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}

// putObject makes or replaces an object, unless its key and one that is there could not both be files of a folder. The
// caller holds bytesMu for writing.
func (s *Store) putObject(op string, o object) error {
	key, other := o.key, ""
	for i := range len(key) {
		if key[i] == '/' {
			if _, taken := s.objects.Get(object{key: key[:i]}); taken {
				other = key[:i]
			}
		}
	}
	s.objects.Ascend(object{key: key + "/"}, func(o object) bool {
		if strings.HasPrefix(o.key, key+"/") {
			other = o.key
		}
		return false
	})
	if other != "" {
		return fail(op, key, store.ErrInvalid, fmt.Errorf("one of this key and %s is a directory of the other", other))
	}
	s.objects.Set(o)
	return nil
}

// Open implements [store.Objects]. The reader stays good whatever happens to the object.
func (s *Store) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if offset < 0 || length < -1 {
		return nil, fail("open", key, store.ErrInvalid, errNegative)
	}
	o, err := s.lookup("open", key)
	if err != nil {
		return nil, err
	}
	size := int64(len(o.data))
	if offset > 0 && offset >= size {
		return nil, fail("open", key, store.ErrInvalid, errRange)
	}
	end := size
	if length >= 0 && length < size-offset {
		end = offset + length
	}
	return io.NopCloser(bytes.NewReader(o.data[offset:end])), nil
}

// Stat implements [store.Objects].
func (s *Store) Stat(ctx context.Context, key string) (store.ObjectInfo, error) {
	if err := ctx.Err(); err != nil {
		return store.ObjectInfo{}, err
	}
	o, err := s.lookup("stat", key)
	return store.ObjectInfo{Key: o.key, Size: int64(len(o.data))}, err
}

// lookup returns the object at key. Absent is ErrNotFound.
func (s *Store) lookup(op, key string) (object, error) {
	if !store.ValidObjectKey(key) {
		return object{}, fail(op, key, store.ErrInvalid, errKey)
	}
	s.bytesMu.RLock()
	defer s.bytesMu.RUnlock()
	o, ok := s.objects.Get(object{key: key})
	if !ok {
		return object{}, fail(op, key, store.ErrNotFound, nil)
	}
	return o, nil
}

// Delete implements [store.Objects].
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !store.ValidObjectKey(key) {
		return fail("delete", key, store.ErrInvalid, errKey)
	}
	s.bytesMu.Lock()
	defer s.bytesMu.Unlock()
	s.objects.Delete(object{key: key})
	return nil
}

// List implements [store.Objects].
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]store.ObjectInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := store.ValidateLimit("list", limit); err != nil {
		return nil, err
	}
	s.bytesMu.RLock()
	defer s.bytesMu.RUnlock()
	var page []store.ObjectInfo
	s.objects.Ascend(object{key: max(prefix, after)}, func(o object) bool {
		if !strings.HasPrefix(o.key, prefix) || len(page) == limit {
			return false
		}
		if o.key != after {
			page = append(page, store.ObjectInfo{Key: o.key, Size: int64(len(o.data))})
		}
		return true
	})
	return page, nil
}
