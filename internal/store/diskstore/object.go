// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"cmp"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"tare/internal/store"
)

// Put implements [store.Objects]. The bytes come into a temporary file, which becomes the object when it is synced.
func (s *Store) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	switch {
	case !store.ValidObjectKey(key):
		return invalid("put", key, errObject)
	case size < 0:
		return invalid("put", key, errNegative)
	}
	if err := s.enter(ctx); err != nil {
		return wrap("put", key, err)
	}
	defer s.leave()
	return wrap("put", key, s.put(ctx, key, r, size))
}

func (s *Store) put(ctx context.Context, key string, r io.Reader, size int64) error {
	temp := s.folder.join(tempName, strconv.FormatInt(s.temps.Add(1), 10))
	f, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return err
	}
	to := newSink(f, 0)
	_, err = s.receive(ctx, r, size, func(p []byte) error { return s.written(to.write(p)) })
	if err == nil {
		err = s.written(s.sync.file(f))
	}
	if closeErr := f.Close(); err == nil {
		err = s.written(closeErr)
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = s.publish(temp, key)
	}
	if err != nil {
		// Open removes it, should this fail or the object be there already.
		_ = os.Remove(temp)
	}
	return err
}

// publish makes a synced file the object at key.
func (s *Store) publish(from, key string) error {
	to := s.folder.objectPath(key)
	if err := s.die(s.folder.makeDir(filepath.Dir(to))); err != nil {
		return err
	}
	return s.die(s.folder.rename(from, to))
}

// Open implements [store.Objects].
func (s *Store) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if offset < 0 || length < -1 {
		return nil, invalid("open", key, errNegative)
	}
	if !store.ValidObjectKey(key) {
		return nil, invalid("open", key, errObject)
	}
	if err := s.enter(ctx); err != nil {
		return nil, wrap("open", key, err)
	}
	defer s.leave()
	f, err := os.Open(s.folder.objectPath(key))
	if err != nil {
		return nil, wrap("open", key, err)
	}
	if err := position(f, offset); err != nil {
		discard(f)
		return nil, wrap("open", key, err)
	}
	if length < 0 {
		return f, nil
	}
	return &section{f, length}, nil
}

var errRange = errors.New("the range does not begin inside the object")

// position moves f to an offset inside it.
func position(f *os.File, offset int64) error {
	if offset == 0 {
		return nil
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if offset >= info.Size() {
		return &misuse{errRange}
	}
	_, err = f.Seek(offset, io.SeekStart)
	return err
}

// section reads at most left bytes of a file from where it stands.
type section struct {
	file *os.File
	left int64
}

func (s *section) Read(p []byte) (int, error) {
	if s.left <= 0 {
		return 0, io.EOF
	}
	n, err := s.file.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	return n, err
}

// WriteTo gives the rest to w in the form that lets a connection send it without a copy.
func (s *section) WriteTo(w io.Writer) (int64, error) {
	n, err := io.Copy(w, io.LimitReader(s.file, s.left))
	s.left -= n
	return n, err
}

func (s *section) Close() error { return s.file.Close() }

// Stat implements [store.Objects].
func (s *Store) Stat(ctx context.Context, key string) (store.ObjectInfo, error) {
	if !store.ValidObjectKey(key) {
		return store.ObjectInfo{}, invalid("stat", key, errObject)
	}
	if err := s.enter(ctx); err != nil {
		return store.ObjectInfo{}, wrap("stat", key, err)
	}
	defer s.leave()
	info, err := os.Stat(s.folder.objectPath(key))
	if err != nil {
		return store.ObjectInfo{}, wrap("stat", key, err)
	}
	return store.ObjectInfo{Key: key, Size: info.Size()}, nil
}

// Delete implements [store.Objects].
func (s *Store) Delete(ctx context.Context, key string) error {
	if !store.ValidObjectKey(key) {
		return invalid("delete", key, errObject)
	}
	if err := s.enter(ctx); err != nil {
		return wrap("delete", key, err)
	}
	defer s.leave()
	return wrap("delete", key, s.die(s.folder.remove(s.folder.objectPath(key))))
}

// List implements [store.Objects]. A page reads the directories that it shows, whole.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]store.ObjectInfo, error) {
	if err := store.ValidateLimit("list", limit); err != nil {
		return nil, err
	}
	if err := s.enter(ctx); err != nil {
		return nil, wrap("list", prefix, err)
	}
	defer s.leave()
	dirs, err := s.objectDirs(prefix, after)
	if err != nil {
		return nil, wrap("list", prefix, err)
	}
	var page []store.ObjectInfo
	for _, dir := range dirs {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if page, err = s.listDir(page, dir, prefix, after, limit); err != nil {
			return nil, wrap("list", prefix, err)
		}
		if len(page) == limit {
			break
		}
	}
	return page, nil
}

// objectDirs returns the beginnings of keys, sorted, that have a directory in which a listing may find something.
func (s *Store) objectDirs(prefix, after string) ([]string, error) {
	entries, err := os.ReadDir(s.folder.join(objectsName))
	if err != nil {
		return nil, err
	}
	var dirs []string
	for _, e := range entries {
		begin := strings.ReplaceAll(e.Name(), slash, "/")
		n := len(begin)
		if !e.IsDir() || n > fanOut || begin < after[:min(n, len(after))] || begin[:min(n, len(prefix))] != prefix[:min(n, len(prefix))] {
			continue
		}
		dirs = append(dirs, begin)
	}
	slices.Sort(dirs)
	return dirs, nil
}

// listDir appends the objects of one directory to a page, until it has limit of them.
func (s *Store) listDir(page []store.ObjectInfo, begin, prefix, after string, limit int) ([]store.ObjectInfo, error) {
	type file struct{ path, key string }
	var files []file
	dir := s.folder.join(objectsName, fanOutName(begin))
	err := walkNames(dir, "", func(path, key string) error {
		if strings.HasPrefix(key, prefix) && key > after && store.ValidObjectKey(key) {
			files = append(files, file{path, key})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Compare(a.key, b.key) })
	for _, f := range files {
		if len(page) == limit {
			break
		}
		info, err := os.Stat(f.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // deleted meanwhile
		}
		if err != nil {
			return nil, err
		}
		page = append(page, store.ObjectInfo{Key: f.key, Size: info.Size()})
	}
	return page, nil
}
