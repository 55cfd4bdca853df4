// SPDX-License-Identifier: Apache-2.0

package diskstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tare/internal/store"
	"tare/internal/store/diskstore"
)

// write makes files in a folder: name, content, name, content, …
func write(tb testing.TB, dir string, files ...string) {
	tb.Helper()
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, []byte(files[i+1]), 0o600)); err != nil {
			tb.Fatal(err)
		}
	}
}

// names lists a folder.
func names(tb testing.TB, dir string) []string {
	tb.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		tb.Fatal(err)
	}
	var list []string
	for _, e := range entries {
		list = append(list, e.Name())
	}
	return list
}

func closeStore(tb testing.TB, s *diskstore.Store) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Fatal(err)
	}
}

func TestOpenMakesAFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	closeStore(t, openStore(t, dir, diskstore.Options{}))
	want := []string{"format.json", "lock", "log.0", "log.1", "objects", "parts", "table.db", "tmp"}
	if got := names(t, dir); !slices.Equal(got, want) {
		t.Errorf("the folder has %v, want %v", got, want)
	}
	b, err := os.ReadFile(filepath.Join(dir, "format.json"))
	if want := `{"format":"tare","version":2}` + "\n"; err != nil || string(b) != want {
		t.Errorf("format.json is %q, %v, want %q", b, err, want)
	}
}

func TestTwoOpeners(t *testing.T) {
	dir := t.TempDir()
	first := openStore(t, dir, diskstore.Options{})
	for _, again := range []string{dir, dir + "/../" + filepath.Base(dir)} {
		if _, err := diskstore.Open(again, diskstore.Options{}); !errors.Is(err, diskstore.ErrLocked) {
			t.Errorf("the second opener got %v, want ErrLocked", err)
		}
	}
	if err := diskstore.Compact(t.Context(), dir, nil); !errors.Is(err, diskstore.ErrLocked) {
		t.Errorf("compacting a folder in use: %v, want ErrLocked", err)
	}
	if err := diskstore.Restore(t.Context(), dir, strings.NewReader("")); !errors.Is(err, diskstore.ErrLocked) {
		t.Errorf("restoring into a folder in use: %v, want ErrLocked", err)
	}
	closeStore(t, first)
	openStore(t, dir, diskstore.Options{})
}

func TestFoldersThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		files []string
		want  error
	}{
		{"somebody else's", []string{"letter.txt", "dear"}, diskstore.ErrForeign},
		{"somebody else's tmp", []string{"tmp/letter.txt", "dear"}, diskstore.ErrForeign},
		{"somebody else's format.json", []string{"format.json", "[1]"}, diskstore.ErrForeign},
		{"another program's format.json", []string{"format.json", `{"format":"minio","version":1}`}, diskstore.ErrForeign},
		{"format.json lost", []string{"lock", "", "table.db", "x"}, diskstore.ErrForeign},
		{"a newer version", []string{"format.json", `{"format":"tare","version":3}`}, diskstore.ErrVersion},
		{"no version", []string{"format.json", `{"format":"tare"}`}, diskstore.ErrVersion},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, c.files...)
			before := names(t, dir)
			if _, err := diskstore.Open(dir, diskstore.Options{}); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if after := names(t, dir); !slices.Equal(after, before) {
				t.Errorf("the folder has %v, had %v", after, before)
			}
		})
	}
	t.Run("a file", func(t *testing.T) {
		write(t, t.TempDir(), "f", "")
		if _, err := diskstore.Open(filepath.Join(t.TempDir(), "f", "x"), diskstore.Options{}); err != nil {
			t.Errorf("a missing folder two levels deep: %v", err)
		}
		dir := t.TempDir()
		write(t, dir, "f", "")
		if _, err := diskstore.Open(filepath.Join(dir, "f"), diskstore.Options{}); err == nil {
			t.Error("a file was opened as a folder")
		}
	})
}

// What a crash during the first Open leaves is a folder that the next one completes.
func TestBeginningsThatWereInterrupted(t *testing.T) {
	const format = `{"format":"tare","version":2}`
	for _, c := range []struct {
		name  string
		files []string
	}{
		{"only the lock", []string{"lock", ""}},
		{"a format half-written", []string{"lock", "", "tmp/format.json", `{"for`}},
		{"a table half-written", []string{"lock", "", "format.json", format, "tmp/table.db", "half"}},
		{"at the root of a file system", []string{"lost+found/x", ""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, c.files...)
			s := openStore(t, dir, diskstore.Options{})
			if err := s.Commit(t.Context(), txOf("first", put("a", 1))); err != nil {
				t.Error(err)
			}
			if left := names(t, filepath.Join(dir, "tmp")); len(left) > 0 {
				t.Errorf("tmp has %v", left)
			}
		})
	}
}

func TestTablesThatAreRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		damage func(path string) error
	}{
		{"missing", os.Remove},
		{"empty", func(path string) error { return os.Truncate(path, 0) }},
		{"cut", func(path string) error { return os.Truncate(path, 3*4096) }},
		{"something else", func(path string) error { return os.WriteFile(path, make([]byte, 1<<16), 0o600) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			closeStore(t, openStore(t, dir, diskstore.Options{}))
			if err := c.damage(filepath.Join(dir, "table.db")); err != nil {
				t.Fatal(err)
			}
			if s, err := diskstore.Open(dir, diskstore.Options{}); err == nil {
				closeStore(t, s)
				t.Error("the folder was opened")
			} else if !strings.Contains(err.Error(), "table.db") {
				t.Errorf("the error %q does not name the file", err)
			}
		})
	}
}

func TestReopenKeepsEverything(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, diskstore.Options{})
	key := store.Key{PK: "p", SK: "s"}
	due := store.NewRow(store.Attr{Name: store.AttrDue, Value: store.Int(7)}, store.Attr{Name: store.AttrShard, Value: store.Int(3)})
	if err := s.Commit(t.Context(), txOf("t", store.Op{Key: key, Kind: store.OpPut, Row: due})); err != nil {
		t.Fatal(err)
	}
	if err := s.Put(t.Context(), "o1", strings.NewReader("hello"), 5); err != nil {
		t.Fatal(err)
	}
	id, err := s.Begin(t.Context(), "o2")
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.Part(t.Context(), "o2", id, s.Turn(), 1, 0, strings.NewReader("abc"), 3)
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	write(t, dir, "tmp/17", "half an object", "notes.txt", "somebody's")

	s = openStore(t, dir, diskstore.Options{})
	rows, err := s.Get(t.Context(), key)
	if err != nil || !rows[0].Equal(due) {
		t.Errorf("the row came back as %v, %v", rows, err)
	}
	page, err := s.Due(t.Context(), 3, 7, store.DueKey{}, 10)
	if want := []store.DueKey{{Due: 7, Key: key}}; err != nil || !slices.Equal(page, want) {
		t.Errorf("the index came back as %v, %v", page, err)
	}
	if info, err := s.Stat(t.Context(), "o1"); err != nil || info.Size != 5 {
		t.Errorf("the object came back as %v, %v", info, err)
	}
	pending, err := s.Pending(t.Context(), "")
	if want := []store.PendingUpload{{Key: "o2", ID: id}}; err != nil || !slices.Equal(pending, want) {
		t.Errorf("the upload came back as %v, %v", pending, err)
	}
	second, err := s.Part(t.Context(), "o2", id, s.Turn(), 2, 3, strings.NewReader("de"), 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(t.Context(), "o2", id, []store.Part{first, second}); err != nil {
		t.Fatal(err)
	}
	if got := readObject(t, s, "o2"); got != "abcde" {
		t.Errorf("the object of two lives is %q", got)
	}
	if left := names(t, filepath.Join(dir, "tmp")); len(left) > 0 {
		t.Errorf("tmp has %v", left)
	}
	if _, err := os.Stat(filepath.Join(dir, "notes.txt")); err != nil {
		t.Errorf("somebody's file: %v", err)
	}
}

func TestCallsAfterClose(t *testing.T) {
	s := openStore(t, t.TempDir(), diskstore.Options{})
	if err := s.Put(t.Context(), "o1", strings.NewReader("hello"), 5); err != nil {
		t.Fatal(err)
	}
	r, err := s.Open(t.Context(), "o1", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	closeStore(t, s)
	for name, call := range calls(t.Context(), s) {
		if err := call(); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: got %v, want ErrUnavailable", name, err)
		}
	}
	b := make([]byte, 5)
	if _, err := r.Read(b); err != nil || string(b) != "hello" {
		t.Errorf("a reader that was open read %q, %v", b, err)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}
