// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"io"
	"slices"
	"strings"
	"testing"

	"tare/internal/store"
)

// TestMultipart checks a [store.Multipart]: what all keep, and what depends on whether it has a least part.
func TestMultipart(t *testing.T, open func(testing.TB) Buckets) {
	t.Run("All", func(t *testing.T) { runBucket(t, open, multipartTests) })
	if open(t).A.Multipart.MinPart() == 0 {
		t.Run("Appended", func(t *testing.T) { runBucket(t, open, appendedTests) })
	} else {
		t.Run("KeptApart", func(t *testing.T) { runBucket(t, open, keptApartTests) })
	}
}

// assembly is an upload under way: what has been stored and what the object will be.
type assembly struct {
	*bucket
	key, id string
	parts   []store.Part
	data    string
}

func (b *bucket) begin(key string) *assembly {
	b.Helper()
	id, err := b.A.Multipart.Begin(b.Context(), key)
	wantErr(b, "begin", err, nil)
	return &assembly{bucket: b, key: key, id: id}
}

// try sends a part that continues the upload.
func (u *assembly) try(r io.Reader, size int64) (store.Part, error) {
	return u.A.Multipart.Part(u.Context(), u.key, u.id, u.A.Multipart.Turn(), len(u.parts)+1, int64(len(u.data)), r, size)
}

// keep takes a stored part into the list.
func (u *assembly) keep(p store.Part, data string) {
	u.Helper()
	if p.Number != len(u.parts)+1 || p.Size != int64(len(data)) {
		u.Fatalf("part %d of %d bytes is answered as %+v", len(u.parts)+1, len(data), p)
	}
	u.parts = append(u.parts, p)
	u.data += data
}

// part stores a part.
func (u *assembly) part(data string) {
	u.Helper()
	p, err := u.try(strings.NewReader(data), int64(len(data)))
	wantErr(u, "part", err, nil)
	u.keep(p, data)
}

func (u *assembly) complete() {
	u.Helper()
	wantErr(u, "complete", u.A.Multipart.Complete(u.Context(), u.key, u.id, u.parts), nil)
	u.wantObject(u.key, u.data)
}

// enough makes a part that is large enough to be followed by another.
func (b *bucket) enough(seed int) string {
	return pattern(seed, int(max(1000, b.A.Multipart.MinPart())))
}

// wantPending compares the unfinished uploads under a prefix, in any order.
func (b *bucket) wantPending(prefix string, want ...*assembly) {
	b.Helper()
	got, err := b.B.Multipart.Pending(b.Context(), prefix)
	wantErr(b, "pending", err, nil)
	ok := len(got) == len(want)
	for _, u := range want {
		ok = ok && slices.Contains(got, store.PendingUpload{Key: u.key, ID: u.id})
	}
	if !ok {
		b.Fatalf("pending under %q: got %v, want %d uploads", prefix, got, len(want))
	}
}

// wantNoUpload sees that an upload is missing everywhere.
func (u *assembly) wantNoUpload() {
	u.Helper()
	_, err := u.B.Multipart.Part(u.Context(), u.key, u.id, u.B.Multipart.Turn(), 1, 0, strings.NewReader("x"), 1)
	wantErr(u, "a part of a missing upload", err, store.ErrNotFound)
	wantErr(u, "abort of a missing upload", u.B.Multipart.Abort(u.Context(), u.key, u.id), nil)
	pending, err := u.B.Multipart.Pending(u.Context(), u.key)
	wantErr(u, "pending", err, nil)
	if slices.Contains(pending, store.PendingUpload{Key: u.key, ID: u.id}) {
		u.Fatalf("upload %s of %s is pending", u.id, u.key)
	}
}

var multipartTests = []bucketTest{
	{"PartsMakeTheObject", func(b *bucket) {
		u := b.begin("dir/k")
		b.wantAbsent(u.key)
		for i := range 3 {
			u.part(b.enough(i))
			b.wantAbsent(u.key)
		}
		u.part("and a small last one")
		b.wantAbsent(u.key)
		u.complete()
		u.wantNoUpload()
		b.wantObject(u.key, u.data)
	}},
	{"OnePart", func(b *bucket) {
		u := b.begin("k")
		u.part("small")
		u.complete()
	}},
	{"OneEmptyPart", func(b *bucket) {
		u := b.begin("k")
		u.part("")
		u.complete()
	}},
	{"EitherClientContinues", func(b *bucket) {
		u := b.begin("k")
		u.part(b.enough(1))
		u.A, u.B = u.B, u.A
		u.part("last")
		u.A, u.B = u.B, u.A
		u.complete()
	}},
	{"PartAgainReplaces", func(b *bucket) {
		u := b.begin("k")
		u.part(b.enough(1))
		_, err := u.try(strings.NewReader(b.enough(2)), int64(len(b.enough(2))))
		wantErr(b, "part", err, nil)
		u.part(b.enough(3))
		u.part("last")
		u.complete()
	}},
	{"PartThatWasShort", func(b *bucket) {
		u := b.begin("k")
		u.part(b.enough(1))
		_, err := u.try(strings.NewReader("short"), 10)
		wantErr(b, "a short part", err, io.ErrUnexpectedEOF)
		u.part("again, in full")
		u.complete()
	}},
	{"PartThatWasLong", func(b *bucket) {
		u := b.begin("k")
		u.part(b.enough(1))
		_, err := u.try(strings.NewReader("too long"), 3)
		wantErr(b, "a long part", err, store.ErrInvalid)
		u.part("again")
		u.complete()
	}},
	{"PartThatFailed", func(b *bucket) {
		u := b.begin("k")
		u.part(b.enough(1))
		_, err := u.try(failing("some"), 10)
		wantErr(b, "a part whose reader fails", err, errReader)
		u.part("again")
		u.complete()
	}},
	{"CompleteTwice", func(b *bucket) {
		u := b.begin("k")
		u.part("all")
		u.complete()
		if err := b.B.Multipart.Complete(b.Context(), u.key, u.id, u.parts); err != nil {
			wantErr(b, "complete again", err, store.ErrNotFound)
		}
		b.wantObject(u.key, "all")
	}},
	{"CompleteAgainOfOtherParts", func(b *bucket) {
		u := b.begin("k")
		u.part(b.enough(1))
		u.part("last")
		u.complete()
		err := b.B.Multipart.Complete(b.Context(), u.key, u.id, u.parts[:1])
		wantErr(b, "complete of other parts", err, store.ErrNotFound)
		b.wantObject(u.key, u.data)
	}},
	{"CompleteOfNoUpload", func(b *bucket) {
		err := b.A.Multipart.Complete(b.Context(), "none", "no-such-upload", []store.Part{{Number: 1, Size: 1}})
		wantErr(b, "complete", err, store.ErrNotFound)
		b.wantAbsent("none")
	}},
	{"CompleteOfOtherParts", func(b *bucket) {
		u := b.begin("k")
		u.part(b.enough(1))
		u.part(b.enough(2))
		u.part("last")
		for what, parts := range map[string][]store.Part{
			"in another order":   {u.parts[1], u.parts[0], u.parts[2]},
			"one twice":          {u.parts[0], u.parts[0]},
			"one that was never": append(slices.Clone(u.parts), store.Part{Number: 4, Size: 1 << 30, Mark: "none"}),
			"without a number":   {{Number: 0, Size: u.parts[0].Size, Mark: u.parts[0].Mark}},
			"of a negative size": {{Number: 1, Size: -1, Mark: u.parts[0].Mark}},
		} {
			wantErr(b, "complete of parts "+what, b.A.Multipart.Complete(b.Context(), u.key, u.id, parts), store.ErrInvalid)
			b.wantAbsent(u.key)
		}
		u.complete()
	}},
	{"Abort", func(b *bucket) {
		u := b.begin("k")
		u.part("all")
		wantErr(b, "abort", b.B.Multipart.Abort(b.Context(), u.key, u.id), nil)
		u.wantNoUpload()
		wantErr(b, "complete", b.A.Multipart.Complete(b.Context(), u.key, u.id, u.parts), store.ErrNotFound)
		b.wantAbsent(u.key)
	}},
	{"AbortAfterComplete", func(b *bucket) {
		u := b.begin("k")
		u.part("all")
		u.complete()
		wantErr(b, "abort", b.A.Multipart.Abort(b.Context(), u.key, u.id), nil)
		b.wantObject(u.key, "all")
	}},
	{"MissingUploads", func(b *bucket) {
		u := b.begin("k")
		u.part("all")
		ids := []string{"", "none", u.id + "x"}
		if b.Files {
			ids = append(ids, "../k", "/")
		}
		for _, id := range ids {
			(&assembly{bucket: b, key: u.key, id: id}).wantNoUpload()
		}
		other := &assembly{bucket: b, key: "other", id: u.id, parts: u.parts}
		other.wantNoUpload()
		wantErr(b, "complete under another key", b.A.Multipart.Complete(b.Context(), other.key, u.id, u.parts), store.ErrNotFound)
		u.complete()
	}},
	{"UploadsOfOneKeyStayApart", func(b *bucket) {
		u, v := b.begin("k"), b.begin("k")
		if u.id == v.id {
			b.Fatalf("two uploads are both named %q", u.id)
		}
		u.part("first")
		v.part("the second one")
		b.wantPending("k", u, v)
		wantErr(b, "abort", b.A.Multipart.Abort(b.Context(), v.key, v.id), nil)
		b.wantPending("k", u)
		u.complete()
		b.wantPending("")
	}},
	{"AnObjectStaysUntilComplete", func(b *bucket) {
		b.put("k", "what was there")
		u := b.begin("k")
		u.part("what comes")
		b.wantObject("k", "what was there")
		wantErr(b, "abort", b.A.Multipart.Abort(b.Context(), u.key, u.id), nil)
		b.wantObject("k", "what was there")
	}},
	{"Pending", func(b *bucket) {
		b.wantPending("")
		one, two, three := b.begin("a/1"), b.begin("a/2"), b.begin("ab")
		two.part("some")
		b.wantPending("", one, two, three)
		b.wantPending("a", one, two, three)
		b.wantPending("a/", one, two)
		b.wantPending("a/2", two)
		b.wantPending("a/3")
		two.complete()
		b.wantPending("", one, three)
		b.put("a/3", "an object")
		b.wantPending("", one, three)
		if got := b.walkObjects("", "", 10); !slices.Equal(got, []string{"a/2", "a/3"}) {
			b.Fatalf("list shows %q beside unfinished uploads", got)
		}
	}},
	{"BadCalls", func(b *bucket) {
		u := b.begin("k")
		for what, c := range map[string]struct {
			turn         int64
			number       int
			offset, size int64
		}{
			"turn 0": {0, 1, 0, 1}, "number 0": {1, 0, 0, 1}, "a negative number": {1, -1, 0, 1}, "a negative offset": {1, 1, -1, 1},
			"a size of -2": {1, 1, 0, -2},
		} {
			_, err := b.A.Multipart.Part(b.Context(), u.key, u.id, c.turn, c.number, c.offset, strings.NewReader("x"), c.size)
			wantErr(b, "a part with "+what, err, store.ErrInvalid)
		}
		u.part("x")
		u.complete()
	}},
	{"Canceled", func(b *bucket) {
		_, err := b.A.Multipart.Begin(canceled(b), "k")
		wantCanceled(b, "begin", err)
		u := b.begin("k")
		_, err = b.A.Multipart.Part(canceled(b), u.key, u.id, b.A.Multipart.Turn(), 1, 0, strings.NewReader("x"), 1)
		wantCanceled(b, "part", err)
		u.part("all")
		wantCanceled(b, "complete", b.A.Multipart.Complete(canceled(b), u.key, u.id, u.parts))
		wantCanceled(b, "abort", b.A.Multipart.Abort(canceled(b), "other", "none"))
		_, err = b.A.Multipart.Pending(canceled(b), "")
		wantCanceled(b, "pending", err)
		b.wantAbsentOr(u.key, u.data)
		u.complete()
	}},
}
