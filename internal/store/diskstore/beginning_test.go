// SPDX-License-Identifier: Apache-2.0

package diskstore_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tare/internal/store"
	"tare/internal/store/diskstore"
)

const mark = "not-yet"

// beginning is what a folder that is opened with a mark has, at each sync.
type beginning struct {
	tb      testing.TB
	dir     string
	failAt  int // the sync that fails, from 1 on; 0: none
	syncs   int
	durable bool // the mark
}

func (b *beginning) around(name string, sync func() error) error {
	b.syncs++
	b.look("before the sync of " + name)
	if b.syncs == b.failAt {
		return errors.New("broken")
	}
	if err := sync(); err != nil {
		return err
	}
	if name == b.dir {
		b.durable = b.durable || slices.Contains(names(b.tb, b.dir), mark)
	}
	b.look("after the sync of " + name)
	return nil
}

// look fails the test where the folder has anything that the mark was not durable before.
func (b *beginning) look(when string) {
	entries, _ := os.ReadDir(b.dir) // it may not be there yet
	for _, e := range entries {
		if name := e.Name(); name != "lock" && name != mark && name != "lost+found" && !b.durable {
			b.tb.Errorf("%s the folder has %s, and its mark may get lost", when, name)
		}
	}
}

func (b *beginning) open(dir string) (*diskstore.Store, error) {
	b.dir = dir
	return diskstore.OpenAround(dir, diskstore.Options{Mark: mark, LogSize: 64 << 10, Headroom: 1}, b.around)
}

// A mark is there, durably, before anything else is, and stays until somebody removes it.
func TestMarkComesFirst(t *testing.T) {
	for name, there := range map[string][]string{"absent": nil, "empty": {"lost+found/x", ""}} {
		t.Run(name, func(t *testing.T) {
			b := &beginning{tb: t}
			dir := filepath.Join(t.TempDir(), "data")
			write(t, dir, there...)
			s, err := b.open(dir)
			if err != nil {
				t.Fatal(err)
			}
			closeStore(t, s)
			if !slices.Contains(names(t, dir), mark) {
				t.Error("the mark is gone")
			}
			before := names(t, dir)
			if _, err := b.open(dir); !errors.Is(err, diskstore.ErrNotNew) {
				t.Errorf("a folder that is one already: %v, want ErrNotNew", err)
			}
			if after := names(t, dir); !slices.Equal(after, before) {
				t.Errorf("the folder has %v, had %v", after, before)
			}
		})
	}
}

// Whatever fails while a folder is made, what was made goes again, and nothing else; without a mark as with one.
func TestOpenThatFailsLeavesNothing(t *testing.T) {
	for name, there := range map[string][]string{"absent": nil, "empty": {}, "at the root of a file system": {"lost+found/x", ""}} {
		t.Run(name, func(t *testing.T) {
			failed := 0
			for n := 1; ; n++ {
				parent := t.TempDir()
				dir := filepath.Join(parent, "a", "data")
				if there != nil {
					write(t, dir, append([]string{"x", ""}, there...)...)
					if err := os.Remove(filepath.Join(dir, "x")); err != nil {
						t.Fatal(err)
					}
				}
				before := tree(t, parent)
				b := &beginning{tb: t, failAt: n}
				s, err := b.open(dir)
				if err == nil {
					closeStore(t, s)
					break
				}
				failed++
				if after := tree(t, parent); !slices.Equal(after, before) {
					t.Errorf("sync %d failed: there is %v, was %v", n, after, before)
				}
				closeStore(t, openStore(t, dir, diskstore.Options{LogSize: 64 << 10}))
			}
			if failed < 8 {
				t.Errorf("it failed %d times", failed)
			}
		})
	}
	t.Run("a folder with rows", func(t *testing.T) {
		dir := t.TempDir()
		closeStore(t, openStore(t, dir, diskstore.Options{LogSize: 64 << 10}))
		before := tree(t, dir)
		b := &beginning{tb: t, dir: dir, failAt: 1, durable: true}
		if _, err := diskstore.OpenAround(dir, diskstore.Options{}, b.around); err == nil {
			t.Error("it was opened")
		}
		if after := tree(t, dir); !slices.Equal(after, before) {
			t.Errorf("there is %v, was %v", after, before)
		}
	})
}

// Who discards a store gives up a folder that is new, and no other, nor one with objects.
func TestDiscard(t *testing.T) {
	discard := func(s *diskstore.Store) {
		t.Helper()
		if err := s.Discard(); err != nil {
			t.Error(err)
		}
	}
	parent := t.TempDir()
	dir := filepath.Join(parent, "data")
	s := openStore(t, dir, diskstore.Options{})
	if err := s.Commit(t.Context(), txOf("t", put("a", 1))); err != nil {
		t.Error(err)
	}
	discard(s)
	if left := tree(t, parent); len(left) > 1 {
		t.Errorf("left: %v", left)
	}
	s = openStore(t, dir, diskstore.Options{})
	err := errors.Join(s.Put(t.Context(), "o1", strings.NewReader("x"), 1), s.Commit(t.Context(), txOf("t", put("a", 1))))
	if err != nil {
		t.Error(err)
	}
	discard(s)
	s = openStore(t, dir, diskstore.Options{})
	if rows, err := s.Get(t.Context(), store.Key{PK: "a", SK: "s"}); err != nil || rows[0].Num("n") != 1 {
		t.Errorf("%v, %v", rows, err)
	}
	if err := s.Delete(t.Context(), "o1"); err != nil {
		t.Error(err)
	}
	discard(s)
	s = openStore(t, dir, diskstore.Options{})
	if rows, err := s.Get(t.Context(), store.Key{PK: "a", SK: "s"}); err != nil || rows[0].Num("n") != 1 {
		t.Errorf("%v, %v", rows, err)
	}
}

// tree lists all that is below a directory.
func tree(tb testing.TB, dir string) (paths []string) {
	tb.Helper()
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, _ fs.DirEntry, err error) error {
		paths = append(paths, path)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return paths
}
