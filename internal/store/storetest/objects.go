// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"tare/internal/store"
)

type bucketTest struct {
	name string
	run  func(*bucket)
}

// TestObjects checks a [store.Objects]. Each subtest opens a store of its own.
func TestObjects(t *testing.T, open func(testing.TB) Buckets) {
	for _, group := range []struct {
		name  string
		tests []bucketTest
	}{
		{"Put", putTests},
		{"Open", openTests},
		{"Delete", deleteTests},
		{"List", listTests},
		{"Keys", objectKeyTests},
		{"Canceled", canceledObjectTests},
		{"Concurrent", concurrentObjectTests},
	} {
		t.Run(group.name, func(t *testing.T) { runBucket(t, open, group.tests) })
	}
}

func runBucket(t *testing.T, open func(testing.TB) Buckets, tests []bucketTest) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(openBucket(t, open)) })
	}
}

// pattern makes n bytes that differ from place to place, and from those of another seed.
func pattern(seed, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte((i*31 + i/251 + seed*17) % 253)
	}
	return string(b)
}

var errReader = errors.New("the reader failed")

// failing gives data and then fails.
func failing(data string) io.Reader {
	return io.MultiReader(strings.NewReader(data), iotest.ErrReader(errReader))
}

var putTests = []bucketTest{
	{"Sizes", func(b *bucket) {
		for _, n := range []int{0, 1, 4095, 4096, 4097, 1<<20 + 1} {
			key := fmt.Sprintf("size/%d", n)
			b.wantAbsent(key)
			b.put(key, pattern(n, n))
			b.wantObject(key, pattern(n, n))
		}
	}},
	{"Readers", func(b *bucket) {
		data := pattern(1, 5000)
		for name, r := range map[string]io.Reader{
			"one-byte":  iotest.OneByteReader(strings.NewReader(data)),
			"half":      iotest.HalfReader(strings.NewReader(data)),
			"early-eof": iotest.DataErrReader(strings.NewReader(data)),
		} {
			wantErr(b, "put from "+name, b.A.Objects.Put(b.Context(), name, r, int64(len(data))), nil)
			b.wantObject(name, data)
		}
	}},
	{"Again", func(b *bucket) {
		b.put("k", "the same")
		wantErr(b, "put again", b.B.Objects.Put(b.Context(), "k", strings.NewReader("the same"), 8), nil)
		b.wantObject("k", "the same")
	}},
	{"Replaces", func(b *bucket) {
		for i, n := range []int{10_000, 3, 0, 20_000} {
			b.put("k", pattern(i, n))
			b.wantObject("k", pattern(i, n))
		}
	}},
	{"FailedLeavesTheKeyAsItWas", func(b *bucket) {
		for name, c := range map[string]struct {
			r     func() io.Reader
			size  int64
			cause error // nil: of the store's own
		}{
			"short":        {func() io.Reader { return strings.NewReader(pattern(9, 9_999)) }, 10_000, io.ErrUnexpectedEOF},
			"empty":        {func() io.Reader { return strings.NewReader("") }, 1, io.ErrUnexpectedEOF},
			"long":         {func() io.Reader { return strings.NewReader(pattern(9, 10_001)) }, 10_000, nil},
			"long-of-none": {func() io.Reader { return strings.NewReader("x") }, 0, nil},
			"fails-first":  {func() io.Reader { return failing("") }, 10_000, errReader},
			"fails-midway": {func() io.Reader { return failing(pattern(9, 5_000)) }, 10_000, errReader},
			"fails-last":   {func() io.Reader { return failing(pattern(9, 10_000)) }, 10_000, errReader},
		} {
			wantFailed := func(key string) {
				b.Helper()
				err := b.A.Objects.Put(b.Context(), key, c.r(), c.size)
				wantOutcome(b, "put of "+name, err)
				if c.cause != nil {
					wantErr(b, "put of "+name, err, c.cause)
				}
				if !errors.Is(c.cause, errReader) {
					wantErr(b, "put of "+name, err, store.ErrInvalid)
				}
			}
			wantFailed("new/" + name)
			b.wantAbsent("new/" + name)
			b.put("old/"+name, "what was there")
			wantFailed("old/" + name)
			b.wantObject("old/"+name, "what was there")
			b.put("new/"+name, "a later put")
			b.wantObject("new/"+name, "a later put")
		}
	}},
	{"NegativeSize", func(b *bucket) {
		wantErr(b, "put", b.A.Objects.Put(b.Context(), "k", strings.NewReader("x"), -1), store.ErrInvalid)
		b.wantAbsent("k")
	}},
}

var openTests = []bucketTest{
	{"Ranges", func(b *bucket) {
		data := pattern(1, 10_000)
		b.put("k", data)
		for _, c := range []struct{ offset, length int64 }{
			{0, -1}, {1, -1}, {5000, -1}, {9999, -1},
			{0, 10_000}, {0, 9_999}, {0, 1}, {0, 0}, {1, 9_999}, {5000, 1}, {5000, 0}, {9999, 1}, {4096, 4096},
			{0, 10_001}, {9999, 2}, {5000, 1 << 62},
		} {
			end := int64(len(data))
			if c.length >= 0 {
				end = min(end-c.offset, c.length) + c.offset
			}
			if got := b.read("k", c.offset, c.length); got != data[c.offset:end] {
				b.Fatalf("from %d length %d: got %d bytes, want %d", c.offset, c.length, len(got), end-c.offset)
			}
		}
	}},
	{"BadRanges", func(b *bucket) {
		b.put("k", "0123456789")
		b.put("empty", "")
		for _, c := range []struct {
			key            string
			offset, length int64
		}{
			{"k", 10, -1}, {"k", 10, 0}, {"k", 10, 5}, {"k", 11, -1}, {"k", 1 << 62, 1}, {"k", -1, -1}, {"k", -1, 5}, {"k", 0, -2},
			{"empty", 1, -1}, {"empty", 1, 0},
		} {
			_, err := b.B.Objects.Open(b.Context(), c.key, c.offset, c.length)
			wantErr(b, fmt.Sprintf("open of %s from %d length %d", c.key, c.offset, c.length), err, store.ErrInvalid)
		}
		for _, length := range []int64{-1, 0, 5} {
			if got := b.read("empty", 0, length); got != "" {
				b.Fatalf("an empty object gives %q", got)
			}
		}
	}},
	{"Absent", func(b *bucket) {
		b.wantAbsent("none")
		_, err := b.A.Objects.Open(b.Context(), "none", 5, 1)
		wantErr(b, "a range of an absent object", err, store.ErrNotFound)
	}},
	{"IsAFileWhereFilesAre", func(b *bucket) {
		b.put("k", "0123456789")
		for _, offset := range []int64{0, 4} {
			r, err := b.A.Objects.Open(b.Context(), "k", offset, -1)
			wantErr(b, "open", err, nil)
			f, ok := r.(*os.File)
			if ok != b.Files {
				b.Fatalf("open gives a %T; files: %v", r, b.Files)
			}
			if ok {
				at, err := f.Seek(0, io.SeekCurrent)
				wantErr(b, "seek", err, nil)
				if at != offset {
					b.Fatalf("the file stands at %d, want %d", at, offset)
				}
			}
			wantErr(b, "close", r.Close(), nil)
		}
	}},
	{"ManyReadersOfOneObject", func(b *bucket) {
		data := pattern(1, 100_000)
		b.put("k", data)
		var readers []io.ReadCloser
		for i := range int64(3) {
			r, err := b.A.Objects.Open(b.Context(), "k", i, -1)
			wantErr(b, "open", err, nil)
			readers = append(readers, r)
		}
		for i, r := range slices.Backward(readers) {
			got, err := io.ReadAll(r)
			wantErr(b, "read", err, nil)
			if string(got) != data[i:] {
				b.Fatalf("reader %d gives %d bytes that differ", i, len(got))
			}
			wantErr(b, "close", r.Close(), nil)
		}
	}},
}

var deleteTests = []bucketTest{
	{"Removes", func(b *bucket) {
		b.put("a/1", "one")
		b.put("a/2", "two")
		wantErr(b, "delete", b.A.Objects.Delete(b.Context(), "a/1"), nil)
		b.wantAbsent("a/1")
		b.wantObject("a/2", "two")
	}},
	{"AbsentIsNoError", func(b *bucket) {
		wantErr(b, "delete of what never was", b.A.Objects.Delete(b.Context(), "deep/down/none"), nil)
		b.put("k", "x")
		wantErr(b, "delete", b.A.Objects.Delete(b.Context(), "k"), nil)
		wantErr(b, "delete again", b.B.Objects.Delete(b.Context(), "k"), nil)
		b.wantAbsent("k")
	}},
	{"ThenPut", func(b *bucket) {
		b.put("dir/k", "first")
		wantErr(b, "delete", b.A.Objects.Delete(b.Context(), "dir/k"), nil)
		b.put("dir/k", "second")
		b.wantObject("dir/k", "second")
	}},
	{"AnOpenReaderStaysGoodOrFails", func(b *bucket) {
		data := pattern(1, 1<<20)
		for _, length := range []int64{-1, 1 << 20} {
			b.put("k", data)
			r, err := b.A.Objects.Open(b.Context(), "k", 0, length)
			wantErr(b, "open", err, nil)
			head := make([]byte, 10)
			_, err = io.ReadFull(r, head)
			wantErr(b, "read", err, nil)
			wantErr(b, "delete", b.B.Objects.Delete(b.Context(), "k"), nil)
			b.put("k", pattern(2, 1<<20))
			rest, err := io.ReadAll(r)
			if got := string(head) + string(rest); err == nil && got != data || !strings.HasPrefix(data, got) {
				b.Fatalf("the reader of a deleted object gives %d bytes that differ, error %v", len(got), err)
			}
			wantErr(b, "close", r.Close(), nil)
		}
	}},
}

// badObjectKeys break the rule of [store.ValidObjectKey].
var badObjectKeys = []string{
	"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../b", "a/./b", ".a", "a.", "-a", "a/_b", "A", "aB", "a b", "a\x00b", "a\\b", "é", "a%2fb",
	"a\nb", "a:b", strings.Repeat("k", store.MaxObjectKey+1),
}

var objectKeyTests = []bucketTest{
	{"Bad", func(b *bucket) {
		for _, key := range badObjectKeys {
			wantErr(b, fmt.Sprintf("put of %.20q", key), b.A.Objects.Put(b.Context(), key, strings.NewReader("x"), 1), store.ErrInvalid)
			_, err := b.A.Objects.Open(b.Context(), key, 0, -1)
			wantErr(b, fmt.Sprintf("open of %.20q", key), err, store.ErrInvalid)
			_, err = b.A.Objects.Stat(b.Context(), key)
			wantErr(b, fmt.Sprintf("stat of %.20q", key), err, store.ErrInvalid)
			wantErr(b, fmt.Sprintf("delete of %.20q", key), b.A.Objects.Delete(b.Context(), key), store.ErrInvalid)
			_, err = b.A.Multipart.Begin(b.Context(), key)
			wantErr(b, fmt.Sprintf("begin of %.20q", key), err, store.ErrInvalid)
		}
		if got := b.walkObjects("", "", 10); got != nil {
			b.Fatalf("bad keys left %q", got)
		}
	}},
	{"Good", func(b *bucket) {
		// Segments stay well below the 255 bytes that a file's name may have.
		longest := strings.Repeat(strings.Repeat("k", 127)+"/", store.MaxObjectKey/128)
		keys := []string{"0", "z", "0.1_2-3", "a..b", "a/b/c/d/e/f/g/h", "a1/b", longest[:store.MaxObjectKey-1] + "k"}
		for i, key := range keys {
			b.put(key, pattern(i, 100+i))
		}
		for i, key := range keys {
			b.wantObject(key, pattern(i, 100+i))
		}
	}},
}

var canceledObjectTests = []bucketTest{
	{"Reads", func(b *bucket) {
		b.put("k", "x")
		_, err := b.A.Objects.Open(canceled(b), "k", 0, -1)
		wantCanceled(b, "open", err)
		_, err = b.A.Objects.Stat(canceled(b), "k")
		wantCanceled(b, "stat", err)
		_, err = b.A.Objects.List(canceled(b), "", "", 1)
		wantCanceled(b, "list", err)
	}},
	{"Writes", func(b *bucket) {
		wantCanceled(b, "put", b.A.Objects.Put(canceled(b), "new", strings.NewReader("x"), 1))
		b.wantAbsentOr("new", "x")
		b.put("old", "x")
		wantCanceled(b, "delete", b.A.Objects.Delete(canceled(b), "old"))
		b.wantAbsentOr("old", "x")
	}},
	{"PutEnds", func(b *bucket) {
		ctx, r := cancelingReader(b)
		wantCanceled(b, "put", b.A.Objects.Put(ctx, "k", r, 1<<30))
		b.wantAbsent("k")
	}},
	{"PutMidway", func(b *bucket) {
		ctx, cancel := context.WithCancel(b.Context())
		defer cancel()
		data := pattern(1, 100_000)
		half := strings.NewReader(data[:50_000])
		r := io.MultiReader(half, readerFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF }), strings.NewReader(data[50_000:]))
		if err := b.A.Objects.Put(ctx, "k", r, int64(len(data))); err != nil {
			wantCanceled(b, "put", err)
			b.wantAbsentOr("k", data)
			return
		}
		b.wantObject("k", data)
	}},
}

// cancelingReader gives a context that it ends at its first Read, and bytes for as long as it is asked: a call that does
// not end with its context fails the test.
func cancelingReader(tb testing.TB) (context.Context, io.Reader) {
	ctx, cancel := context.WithCancel(tb.Context())
	left := 64 << 20
	return ctx, readerFunc(func(p []byte) (int, error) {
		cancel()
		if left -= len(p); left < 0 {
			tb.Error("the call goes on after its context has ended")
			return 0, errReader
		}
		return len(p), nil
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// wantAbsentOr sees that an object is absent or complete.
func (b *bucket) wantAbsentOr(key, data string) {
	b.Helper()
	if _, err := b.B.Objects.Stat(b.Context(), key); errors.Is(err, store.ErrNotFound) {
		b.wantAbsent(key)
		return
	}
	b.wantObject(key, data)
}
