// SPDX-License-Identifier: Apache-2.0

package diskstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"tare/internal/store"
	"tare/internal/store/diskstore"
)

// put is an operation that puts a row with one number.
func put(pk string, n int64) store.Op {
	return store.Op{Key: store.Key{PK: pk, SK: "s"}, Kind: store.OpPut, Row: store.NewRow(store.Attr{Name: "n", Value: store.Int(n)})}
}

func txOf(token string, ops ...store.Op) store.Tx { return store.Tx{Token: token, Ops: ops} }

func readObject(tb testing.TB, s *diskstore.Store, key string) string {
	tb.Helper()
	r, err := s.Open(tb.Context(), key, 0, -1)
	if err != nil {
		tb.Fatal(err)
	}
	b, err := io.ReadAll(r)
	if err != nil {
		tb.Fatal(err)
	}
	if err := r.Close(); err != nil {
		tb.Fatal(err)
	}
	return string(b)
}

// calls is every call of a store, with arguments that would do.
func calls(ctx context.Context, s *diskstore.Store) map[string]func() error {
	k := store.Key{PK: "p", SK: "s"}
	const id = "abcdefghijklmnopqrstuvwxyz"
	return map[string]func() error{
		"Get":      func() error { _, err := s.Get(ctx, k); return err },
		"Query":    func() error { _, err := s.Query(ctx, store.Query{PK: "p", Limit: 1}); return err },
		"Due":      func() error { _, err := s.Due(ctx, 0, 0, store.DueKey{}, 1); return err },
		"Scan":     func() error { _, err := s.Scan(ctx, store.Key{}, 1); return err },
		"Commit":   func() error { return s.Commit(ctx, txOf("t", put("p", 1))) },
		"Put":      func() error { return s.Put(ctx, "o", strings.NewReader(""), 0) },
		"Open":     func() error { _, err := s.Open(ctx, "o1", 0, -1); return err },
		"Stat":     func() error { _, err := s.Stat(ctx, "o1"); return err },
		"Delete":   func() error { return s.Delete(ctx, "o") },
		"List":     func() error { _, err := s.List(ctx, "", "", 1); return err },
		"Begin":    func() error { _, err := s.Begin(ctx, "o"); return err },
		"Part":     func() error { _, err := s.Part(ctx, "o", id, s.Turn(), 1, 0, strings.NewReader(""), 0); return err },
		"Complete": func() error { return s.Complete(ctx, "o", id, nil) },
		"Abort":    func() error { return s.Abort(ctx, "o", id) },
		"Pending":  func() error { _, err := s.Pending(ctx, ""); return err },
		"Stats":    func() error { _, err := s.Stats(); return err },
		"Snapshot": func() error { return s.Snapshot(ctx, io.Discard) },
	}
}

// Keys become file names that a file system takes, and come back as they were.
func TestKeysAsFileNames(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, diskstore.Options{})
	keys := []string{
		"a", "a-b", "a.b", "a/b", "a0", "a/b/c", "ab", "ab/c", "abc", "abc/d", "abcd", "a..b", "a...z", "0", "z_z",
		strings.Repeat("x", 200), strings.Repeat("x", 201), strings.Repeat("x", 199) + "/" + strings.Repeat("x", 200),
		strings.Repeat("y", store.MaxObjectKey), strings.Repeat("y/", store.MaxObjectKey/2-1) + "yy", "y" + strings.Repeat(".", 600) + "y",
	}
	for _, key := range keys {
		if err := s.Put(t.Context(), key, strings.NewReader(key), int64(len(key))); err != nil {
			t.Fatalf("put %s: %v", key, err)
		}
		if _, err := s.Begin(t.Context(), key); err != nil {
			t.Fatalf("begin %s: %v", key, err)
		}
	}
	slices.Sort(keys)
	for limit := 1; limit <= len(keys); limit += 4 {
		var got []string
		for after := ""; ; {
			page, err := s.List(t.Context(), "", after, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, info := range page {
				got = append(got, info.Key)
				if info.Size != int64(len(info.Key)) {
					t.Errorf("%s has %d bytes", info.Key, info.Size)
				}
			}
			if len(page) < limit {
				break
			}
			after = page[limit-1].Key
		}
		if !slices.Equal(got, keys) {
			t.Fatalf("pages of %d list %d keys, %q, want %q", limit, len(got), got, keys)
		}
	}
	pending, err := s.Pending(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	var uploads []string
	for _, p := range pending {
		uploads = append(uploads, p.Key)
		if err := s.Abort(t.Context(), p.Key, p.ID); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(uploads, keys) {
		t.Errorf("pending are %q, want %q", uploads, keys)
	}
	for _, key := range keys {
		if got := readObject(t, s, key); got != key {
			t.Errorf("%s reads %s", key, got)
		}
		if err := s.Delete(t.Context(), key); err != nil {
			t.Errorf("delete %s: %v", key, err)
		}
	}
	if left := files(t, dir, "objects", "parts", "tmp"); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}

// files lists all files below some directories of a folder.
func files(tb testing.TB, dir string, below ...string) []string {
	tb.Helper()
	var list []string
	for _, b := range below {
		err := filepath.WalkDir(filepath.Join(dir, b), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				list = append(list, path)
			}
			return err
		})
		if err != nil {
			tb.Fatal(err)
		}
	}
	return list
}

// An upload id names a file, so that a wrong one must not name another.
func TestIDsThatAreNone(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, diskstore.Options{})
	id, err := s.Begin(t.Context(), "o")
	if err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "x", id + "a", id[1:], "../../" + id, strings.ToUpper(id), id[:25] + "/", strings.Repeat("a", 24) + "é"} {
		if _, err := s.Part(t.Context(), "o", bad, s.Turn(), 1, 0, strings.NewReader("x"), 1); !isNotFound(err) {
			t.Errorf("part of %q: %v", bad, err)
		}
		if err := s.Complete(t.Context(), "o", bad, nil); !isNotFound(err) {
			t.Errorf("complete of %q: %v", bad, err)
		}
		if err := s.Abort(t.Context(), "o", bad); err != nil {
			t.Errorf("abort of %q: %v", bad, err)
		}
	}
	if left := files(t, dir, "parts"); len(left) != 1 {
		t.Errorf("the uploads are %v", left)
	}
}

// A crash between the rename and the answer: the next process is asked again.
func TestCompleteAfterARestart(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, diskstore.Options{})
	id, err := s.Begin(t.Context(), "o")
	if err != nil {
		t.Fatal(err)
	}
	p, err := s.Part(t.Context(), "o", id, s.Turn(), 1, 0, strings.NewReader("abc"), -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(t.Context(), "o", id, []store.Part{p}); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = openStore(t, dir, diskstore.Options{})
	if err := s.Complete(t.Context(), "o", id, []store.Part{p}); !isNotFound(err) {
		t.Error(err)
	}
	if got := readObject(t, s, "o"); got != "abc" {
		t.Errorf("the object is %q", got)
	}
}

// A file that a call still writes to must not change once it is an object.
func TestCompleteEndsAPart(t *testing.T) {
	s := openStore(t, t.TempDir(), diskstore.Options{})
	id, err := s.Begin(t.Context(), "o")
	if err != nil {
		t.Fatal(err)
	}
	source, feed := io.Pipe()
	answer := make(chan error)
	go func() {
		_, err := s.Part(t.Context(), "o", id, s.Turn(), 1, 0, source, -1)
		answer <- err
	}()
	first := bytes.Repeat([]byte("x"), 1<<20) // a full buffer is written at once
	if _, err := feed.Write(first); err != nil {
		t.Fatal(err)
	}
	if _, err := feed.Write([]byte("y")); err != nil { // read only after the buffer was written
		t.Fatal(err)
	}
	if err := s.Complete(t.Context(), "o", id, []store.Part{{Number: 1, Size: 1 << 20}}); err != nil {
		t.Fatal(err)
	}
	if err := feed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-answer; !isNotFound(err) {
		t.Errorf("the part that was ended got %v, want ErrNotFound", err)
	}
	if got := readObject(t, s, "o"); got != string(first) {
		t.Errorf("the object has %d bytes, want %d", len(got), len(first))
	}
}

// A range that is copied to a connection goes by the kernel: its reader hands itself over.
func TestRangesWriteThemselves(t *testing.T) {
	s := openStore(t, t.TempDir(), diskstore.Options{})
	if err := s.Put(t.Context(), "o", strings.NewReader("0123456789"), 10); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		offset, length int64
		want           string
	}{{0, 3, "012"}, {4, 3, "456"}, {8, 100, "89"}, {2, 0, ""}} {
		t.Run(strconv.FormatInt(c.offset, 10), func(t *testing.T) {
			r, err := s.Open(t.Context(), "o", c.offset, c.length)
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			var b strings.Builder
			if n, err := r.(io.WriterTo).WriteTo(&b); err != nil || b.String() != c.want || n != int64(len(c.want)) {
				t.Errorf("wrote %q, %d, %v", b.String(), n, err)
			}
			if n, err := r.Read(make([]byte, 1)); n != 0 || err != io.EOF {
				t.Errorf("and then read %d, %v", n, err)
			}
		})
	}
}

func isNotFound(err error) bool { return errors.Is(err, store.ErrNotFound) }
