// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/store/memstore"
	"tare/internal/upload"
)

// ways are all ways in which clients upload a blob. Each returns what the last request was answered.
var ways = []struct {
	name string
	push func(w *world, content string, d oci.Digest) (oci.Descriptor, error)
}{
	{"POST", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		return w.Push(w.t.Context(), repo, d, body(content), int64(len(content)))
	}},
	{"POST without a length", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		return w.Push(w.t.Context(), repo, d, body(content), -1)
	}},
	{"PUT", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		return w.Finish(w.t.Context(), repo, w.id(), d, -1, body(content), int64(len(content)))
	}},
	{"PUT without a length", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		return w.Finish(w.t.Context(), repo, w.id(), d, -1, body(content), -1)
	}},
	{"PUT with a range", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		return w.Finish(w.t.Context(), repo, w.id(), d, 0, body(content), int64(len(content)))
	}},
	{"PATCH", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		id := w.id()
		w.write(id, -1, content, int64(len(content)), len(content))
		return w.Finish(w.t.Context(), repo, id, d, -1, body(""), 0)
	}},
	{"PATCH without a length", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		id := w.id()
		w.write(id, -1, content, -1, len(content))
		return w.Finish(w.t.Context(), repo, id, d, -1, body(""), -1)
	}},
	{"chunks", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		id := w.id()
		w.chunks(id, content, len(content))
		return w.Finish(w.t.Context(), repo, id, d, -1, body(""), 0)
	}},
	{"chunks, the last by PUT", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		id := w.id()
		cut := len(content) * 2 / 3
		w.chunks(id, content, cut)
		return w.Finish(w.t.Context(), repo, id, d, int64(cut), body(content[cut:]), int64(len(content)-cut))
	}},
	{"chunks, the last by PUT without a length", func(w *world, content string, d oci.Digest) (oci.Descriptor, error) {
		id := w.id()
		cut := len(content) / 2
		w.chunks(id, content, cut)
		return w.Finish(w.t.Context(), repo, id, d, -1, body(content[cut:]), -1)
	}},
}

// chunks sends the first end bytes of content in seven pieces, some of them empty when there are few.
func (w *world) chunks(id, content string, end int) {
	w.t.Helper()
	for i, at := range []int{0, 1, 2, 3, 4, 5, 6} {
		from, to := end*at/7, end*(at+1)/7
		size := int64(to - from)
		if i%2 == 1 {
			size = -1
		}
		w.write(id, int64(from), content[from:to], size, to)
	}
}

var sizes = []int{0, 1, inline - 1, inline, inline + 1, 2*inline + 1, 100_000}

// Every way leads to the same blob, by both algorithms, twice over, and leaves nothing behind.
func TestWays(t *testing.T) {
	for _, way := range ways {
		for _, size := range sizes {
			t.Run(fmt.Sprintf("%s/%d", way.name, size), func(t *testing.T) {
				w := newWorld(t, upload.Options{})
				content := pattern(1, size)
				for _, d := range []oci.Digest{digest.FromString(content), sha512Of(content)} {
					for range 2 {
						desc, err := way.push(w, content, d)
						w.must(err)
						w.wantBlob(desc, d, content)
					}
				}
				w.settle()
			})
		}
	}
}

// Of content with another digest nothing is kept, and the upload has ended.
func TestWrongDigest(t *testing.T) {
	for _, way := range ways {
		for _, size := range sizes[1:] {
			t.Run(fmt.Sprintf("%s/%d", way.name, size), func(t *testing.T) {
				w := newWorld(t, upload.Options{})
				content := pattern(1, size)
				for _, d := range []oci.Digest{digest.FromString("other"), sha512Of("other")} {
					_, err := way.push(w, content, d)
					w.mustBe(err, oci.DigestInvalid)
					w.absent(d)
					w.absent(digest.FromString(content))
					w.audit()
				}
				w.settle()
			})
		}
	}
}

func TestWrongDigestEndsTheUpload(t *testing.T) {
	for _, size := range []int{inline, 1000} {
		w := newWorld(t, upload.Options{})
		id, content := w.id(), pattern(1, size)
		w.write(id, -1, content, -1, size)
		_, err := w.Finish(t.Context(), repo, id, digest.FromString("other"), -1, body(""), 0)
		w.mustBe(err, oci.DigestInvalid)
		_, err = w.Resume(t.Context(), repo, id)
		w.mustBe(err, oci.BlobUploadUnknown)
		_, err = w.Write(t.Context(), repo, id, -1, body("x"), 1)
		w.mustBe(err, oci.BlobUploadUnknown)
		_, err = w.Write(t.Context(), repo, id, -1, body(content), int64(size))
		w.mustBe(err, oci.BlobUploadUnknown)
		for _, data := range []string{"", "x", content} {
			_, err = w.Finish(t.Context(), repo, id, digest.FromString(content), -1, body(data), int64(len(data)))
			w.mustBe(err, oci.BlobUploadUnknown)
		}
		w.settle()
	}
}

// A client whose last request was answered into the void sends it again.
func TestFinishAgain(t *testing.T) {
	for _, c := range []struct {
		name         string
		size, before int
		offset       int64
	}{
		{"all of a small blob", 10, 0, -1},
		{"all of a large blob", 1000, 0, -1},
		{"nothing after a small blob", 10, 10, -1},
		{"nothing after a large blob", 1000, 1000, -1},
		{"the end of a small blob", 10, 5, 5},
		{"the end of a large blob", 1000, 700, 700},
		{"a small end of a large blob", 1000, 999, 999},
		{"nothing of an empty blob", 0, 0, -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, upload.Options{})
			id, content := w.id(), pattern(1, c.size)
			if c.before > 0 {
				w.write(id, 0, content[:c.before], int64(c.before), c.before)
			}
			for range 3 {
				w.finish(id, c.offset, content[c.before:], int64(c.size-c.before), content)
			}
			w.settle()
		})
	}
}

func TestFinishOfNothing(t *testing.T) {
	w := newWorld(t, upload.Options{})
	_, err := w.Finish(t.Context(), repo, w.id(), digest.FromString("x"), -1, body(""), 0)
	w.mustBe(err, oci.BlobUploadUnknown)
	_, err = w.Finish(t.Context(), repo, w.id(), digest.FromString("x"), 7, body("x"), 1)
	w.mustBe(err, oci.RangeInvalid)
	w.settle()
}

// Ids that were not issued for this repository, or have ended, cost no call of a store.
func TestForgedIDs(t *testing.T) {
	w := newWorld(t, upload.Options{})
	id := w.id()
	foreign, err := w.Start(t.Context(), "team/other")
	w.must(err)
	stranger := newWorld(t, upload.Options{}).id()

	bad := map[string]string{
		"empty": "", "a word": "upload", "another repository's": foreign.ID, "another registry's": stranger,
		"padded": id + "=", "cut": id[:len(id)-1], "longer": id + "A", "in another alphabet": strings.Repeat("+", len(id)),
		"a path": "../" + id[3:],
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range id {
		c := alphabet[(strings.IndexByte(alphabet, id[i])+1)%64]
		bad[fmt.Sprintf("altered at %d", i)] = id[:i] + string(c) + id[i+1:]
	}
	calls := w.proc.Calls()
	refused := func(name, id string) {
		t.Helper()
		d := digest.FromString("x")
		_, err := w.Resume(t.Context(), repo, id)
		w.mustBe(err, oci.BlobUploadUnknown)
		_, err = w.Write(t.Context(), repo, id, 0, body("x"), 1)
		w.mustBe(err, oci.BlobUploadUnknown)
		_, err = w.Finish(t.Context(), repo, id, d, 0, body("x"), 1)
		w.mustBe(err, oci.BlobUploadUnknown)
		w.mustBe(w.Cancel(t.Context(), repo, id), oci.BlobUploadUnknown)
		if n := w.proc.Calls() - calls; n != 0 {
			t.Fatalf("an id that is %s made %d store calls", name, n)
		}
	}
	for name, id := range bad {
		refused(name, id)
	}
	w.clock.Advance(refcount.DefaultMargins().UploadTTL)
	refused("over", id)
}

// An id is good until its end in every process on the same table.
func TestIDsOutliveTheProcess(t *testing.T) {
	w := newWorld(t, upload.Options{})
	id := w.id()
	w.write(id, 0, "some", 4, 4)
	w.start(nil)
	w.clock.Advance(refcount.DefaultMargins().UploadTTL - time.Second)
	w.write(id, 4, " more", 5, 9)
	w.finish(id, 9, "", 0, "some more")
	w.settle()
}

func TestStartAsksForTheSecretOnce(t *testing.T) {
	w := newWorld(t, upload.Options{})
	w.id()
	w.start(nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := w.Start(t.Context(), repo); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	calls := w.proc.Calls()
	w.id()
	if w.proc.Calls() != calls || w.proc.Trace().Count(faultstore.Commit) > 0 {
		t.Fatalf("starting uploads made the calls\n%s", w.proc.Trace())
	}
}

func TestStartWithoutAStore(t *testing.T) {
	w := newWorld(t, upload.Options{})
	w.start(func(faultstore.Call) faultstore.Action { return faultstore.Unavailable })
	_, err := w.Start(t.Context(), repo)
	if !errors.Is(err, store.ErrUnavailable) {
		t.Fatal(err)
	}
}

// A chunk in the wrong place is refused, says where the right one is, and hurts nothing.
func TestOffsets(t *testing.T) {
	for _, unit := range []int{10, 40, 100} {
		t.Run(fmt.Sprint(unit), func(t *testing.T) {
			w := newWorld(t, upload.Options{})
			id, content := w.id(), pattern(1, 3*unit)
			d := digest.FromString(content)
			for i := range 3 {
				at := i * unit
				for _, wrong := range []int{0, at - 1, at + 1, at + unit, 3 * unit} {
					if wrong == at || wrong < 0 {
						continue
					}
					for _, data := range []string{"", content[:unit]} {
						up, err := w.Write(t.Context(), repo, id, int64(wrong), body(data), int64(len(data)))
						w.mustBe(err, oci.RangeInvalid)
						if up.Offset != int64(at) {
							t.Fatalf("told to go on at %d, want %d", up.Offset, at)
						}
						_, err = w.Finish(t.Context(), repo, id, d, int64(wrong), body(data), int64(len(data)))
						w.mustBe(err, oci.RangeInvalid)
					}
					// The digest of the chunk itself does not make it the whole blob.
					if at > 0 {
						_, err := w.Finish(t.Context(), repo, id, digest.FromString(content[:unit]), int64(wrong), body(content[:unit]), int64(unit))
						w.mustBe(err, oci.RangeInvalid)
					}
				}
				w.write(id, int64(at), content[at:at+unit], int64(unit), at+unit)
			}
			w.finish(id, int64(3*unit), "", 0, content)
			w.settle()
		})
	}
}

// What came of a chunk that broke off is kept, whatever was there before, and the upload goes on from there.
func TestBrokenWrite(t *testing.T) {
	content := pattern(1, 1000)
	for _, before := range []int{0, 20, inline, 300} {
		for _, came := range []int{0, 1, 30, inline, inline + 1, 500} {
			for _, known := range []bool{true, false} {
				t.Run(fmt.Sprintf("%d+%d/%v", before, came, known), func(t *testing.T) {
					w := newWorld(t, upload.Options{})
					id := w.id()
					w.write(id, 0, content[:before], int64(before), before)
					size := int64(-1)
					if known {
						size = int64(len(content) - before)
					}
					_, err := w.Write(t.Context(), repo, id, int64(before), torn(content[before:before+came]), size)
					if !errors.Is(err, errTorn) {
						t.Fatalf("got %v", err)
					}
					w.stands(id, before+came)
					w.audit()
					w.write(id, int64(before+came), content[before+came:900], -1, 900)
					w.finish(id, 900, content[900:], 100, content)
					w.settle()
				})
			}
		}
	}
}

// The context of a request whose client is gone has ended by the time at which what came is recorded.
func TestBrokenWriteOfADeadRequest(t *testing.T) {
	for _, came := range []int{10, 500} {
		w := newWorld(t, upload.Options{})
		id, content := w.id(), pattern(1, 1000)
		ctx, cancel := context.WithCancel(t.Context())
		r := io.MultiReader(body(content[:came]), readerFunc(func([]byte) (int, error) {
			cancel()
			return 0, context.Canceled
		}))
		_, err := w.Write(ctx, repo, id, 0, r, -1)
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		w.stands(id, came)
		w.finish(id, int64(came), content[came:], -1, content)
		w.settle()
	}
}

// A request whose context ends is at its end, although its body may go on.
func TestCanceledWrite(t *testing.T) {
	w := newWorld(t, upload.Options{})
	id, content := w.id(), pattern(1, 1000)
	ctx, cancel := context.WithCancel(t.Context())
	r := io.MultiReader(body(content[:500]), readerFunc(func([]byte) (int, error) {
		cancel()
		return 0, io.EOF
	}), body(content[500:510]), body(content[510:]))
	_, err := w.Write(ctx, repo, id, 0, r, 1000)
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	w.stands(id, 510)
	w.finish(id, 510, content[510:], -1, content)
	w.settle()
}

// A closing request that broke off is repeated from its beginning, so nothing of it may stay.
func TestBrokenFinish(t *testing.T) {
	content := pattern(1, 1000)
	for _, before := range []int{0, 20, 300} {
		for _, came := range []int{0, 1, 30, inline + 1, 500} {
			for _, size := range []int64{-1, int64(len(content) - before)} {
				t.Run(fmt.Sprintf("%d+%d/%d", before, came, size), func(t *testing.T) {
					w := newWorld(t, upload.Options{})
					id := w.id()
					w.write(id, 0, content[:before], int64(before), before)
					for range 2 {
						_, err := w.Finish(t.Context(), repo, id, digest.FromString(content), -1, torn(content[before:before+came]), size)
						if !errors.Is(err, errTorn) {
							t.Fatalf("got %v", err)
						}
						w.stands(id, before)
						w.audit()
					}
					w.finish(id, -1, content[before:], size, content)
					w.settle()
				})
			}
		}
	}
}

func TestBrokenPush(t *testing.T) {
	w := newWorld(t, upload.Options{})
	content := pattern(1, 1000)
	for _, came := range []int{0, 10, 500} {
		for _, size := range []int64{-1, 1000} {
			_, err := w.Push(t.Context(), repo, digest.FromString(content), torn(content[:came]), size)
			if !errors.Is(err, errTorn) {
				t.Fatal(err)
			}
			w.audit()
		}
	}
	w.settle()
}

// A body has a word of its own for the client, and it is passed on.
func TestBodyWithAnErrorForTheClient(t *testing.T) {
	w := newWorld(t, upload.Options{})
	r := func(n int) io.Reader {
		return io.MultiReader(body(pattern(1, n)), failing{oci.Errorf(oci.TooManyRequests, "slow down")})
	}
	for _, n := range []int{1, 1000} {
		_, err := w.Write(t.Context(), repo, w.id(), -1, r(n), -1)
		w.mustBe(err, oci.TooManyRequests)
		_, err = w.Finish(t.Context(), repo, w.id(), digest.FromString("x"), -1, r(n), 10_000)
		w.mustBe(err, oci.TooManyRequests)
	}
	w.settle()
}

// A body of another length than announced is refused. What came of a short chunk is kept, and nothing of a long one.
func TestSizes(t *testing.T) {
	content := pattern(1, 1000)
	for _, c := range []struct{ came, size, kept int }{
		{10, 11, 0}, {10, 9, 0}, {10, 500, 10}, {500, 900, 500}, {500, 499, 0}, {500, 10, 0}, {inline + 1, inline, 0}, {0, 1, 0}, {0, 500, 0},
	} {
		t.Run(fmt.Sprintf("%d of %d", c.came, c.size), func(t *testing.T) {
			w := newWorld(t, upload.Options{})
			id, d := w.id(), digest.FromString(content[:c.came])
			_, err := w.Finish(t.Context(), repo, id, d, -1, body(content[:c.came]), int64(c.size))
			w.mustBe(err, oci.SizeInvalid)
			w.stands(id, 0)
			_, err = w.Push(t.Context(), repo, d, body(content[:c.came]), int64(c.size))
			w.mustBe(err, oci.SizeInvalid)
			_, err = w.Write(t.Context(), repo, id, -1, body(content[:c.came]), int64(c.size))
			w.mustBe(err, oci.SizeInvalid)
			w.stands(id, c.kept)
			w.absent(d)
			w.finish(id, int64(c.kept), content[c.kept:], -1, content)
			w.settle()
		})
	}
}

func TestMaxBlob(t *testing.T) {
	content := pattern(1, 500)
	w := newWorld(t, upload.Options{MaxBlob: 300})
	for _, size := range []int64{-1, 500} {
		_, err := w.Push(t.Context(), repo, digest.FromString(content), body(content), size)
		w.mustBe(err, oci.TooLarge)
		_, err = w.Finish(t.Context(), repo, w.id(), digest.FromString(content), -1, body(content), size)
		w.mustBe(err, oci.TooLarge)
		_, err = w.Write(t.Context(), repo, w.id(), -1, body(content), size)
		w.mustBe(err, oci.TooLarge)
		id := w.id()
		w.write(id, 0, content[:200], 200, 200)
		_, err = w.Write(t.Context(), repo, id, 200, body(content[:101]), min(size, 101))
		w.mustBe(err, oci.TooLarge)
		id = w.id()
		w.write(id, 0, content[:inline], inline, inline)
		_, err = w.Finish(t.Context(), repo, id, digest.FromString(content), inline, body(content[inline:]), min(size, 500-inline))
		w.mustBe(err, oci.TooLarge)
		w.audit()
	}
	exact := content[:300]
	w.finish(w.id(), -1, exact, -1, exact)
	id := w.id()
	w.write(id, 0, exact[:200], 200, 200)
	w.finish(id, 200, exact[200:], -1, exact)
	w.settle()

	tiny := newWorld(t, upload.Options{MaxBlob: 10})
	_, err := tiny.Push(t.Context(), repo, digest.FromString("12345678901"), body("12345678901"), -1)
	tiny.mustBe(err, oci.TooLarge)
	id = tiny.id()
	tiny.write(id, 0, "12345", 5, 5)
	_, err = tiny.Write(t.Context(), repo, id, 5, body("678901"), -1)
	tiny.mustBe(err, oci.TooLarge)
	_, err = tiny.Finish(t.Context(), repo, id, digest.FromString("12345678901"), 5, body("678901"), 6)
	tiny.mustBe(err, oci.TooLarge)
	tiny.settle()
}

// No byte is taken without room for it; an upload that has all of its bytes can end.
func TestRoom(t *testing.T) {
	full := false
	var asked []int64
	w := newWorld(t, upload.Options{Room: func(n int64) error {
		asked = append(asked, n)
		if full {
			return oci.Errorf(oci.NoSpace, "the disk is almost full")
		}
		return nil
	}})
	id, content := w.id(), pattern(1, 500)
	w.write(id, 0, content, 500, 500)
	full = true
	for _, n := range []int64{1, 100, -1} {
		data := content[:max(n, 1)]
		_, err := w.Write(t.Context(), repo, id, 500, body(data), n)
		w.mustBe(err, oci.NoSpace)
		_, err = w.Push(t.Context(), repo, digest.FromString(data), body(data), n)
		w.mustBe(err, oci.NoSpace)
		_, err = w.Finish(t.Context(), repo, id, digest.FromString(content), 500, body(data), n)
		w.mustBe(err, oci.NoSpace)
	}
	w.finish(id, 500, "", 0, content)
	if want := "[500 1 1 1 100 100 100 -1 -1 -1]"; fmt.Sprint(asked) != want {
		t.Fatalf("asked for room for %v, want %s", asked, want)
	}
}

func TestCancel(t *testing.T) {
	for _, size := range []int{0, 10, 500} {
		w := newWorld(t, upload.Options{})
		id, content := w.id(), pattern(1, size)
		w.write(id, -1, content, int64(size), size)
		w.must(w.Cancel(t.Context(), repo, id))
		w.mustBe(w.Cancel(t.Context(), repo, id), oci.BlobUploadUnknown)
		_, err := w.Resume(t.Context(), repo, id)
		w.mustBe(err, oci.BlobUploadUnknown)
		for _, n := range []int{1, 500} {
			data := pattern(2, n)
			_, err = w.Write(t.Context(), repo, id, -1, body(data), int64(n))
			w.mustBe(err, oci.BlobUploadUnknown)
			_, err = w.Finish(t.Context(), repo, id, digest.FromString(data), -1, body(data), int64(n))
			w.mustBe(err, oci.BlobUploadUnknown)
		}
		w.settle()
	}
}

// A large upload in many small chunks keeps a row of constant size.
func TestManyChunks(t *testing.T) {
	w := newWorld(t, upload.Options{})
	id, content := w.id(), pattern(1, 30_000)
	for at := 0; at < len(content); at += 10 {
		_, err := w.Write(t.Context(), repo, id, int64(at), body(content[at:at+10]), 10)
		w.must(err)
	}
	if s := w.session(id); len(s.Parts) != 1 || s.Tail != "" {
		t.Fatalf("the session has %d parts and a tail of %d bytes", len(s.Parts), len(s.Tail))
	}
	w.finish(id, -1, "", 0, content)
	w.settle()
}

// A running hash of another version of Go is no reason to fail.
func TestUnreadableHashState(t *testing.T) {
	for _, state := range []string{"", "sha\x02", "something else"} {
		w := newWorld(t, upload.Options{})
		id, content := w.id(), pattern(1, 1000)
		w.write(id, 0, content[:500], 500, 500)
		s := w.session(id)
		s.Hash = state
		_, err := w.ledger.Write(t.Context(), s)
		w.must(err)
		w.write(id, 500, content[500:700], 200, 700)
		w.finish(id, 700, content[700:], 300, content)

		id = w.id()
		w.write(id, 0, content[:500], 500, 500)
		s = w.session(id)
		s.Hash = state
		_, err = w.ledger.Write(t.Context(), s)
		w.must(err)
		_, err = w.Finish(t.Context(), repo, id, digest.FromString("other"), -1, body(""), 0)
		w.mustBe(err, oci.DigestInvalid)
		w.settle()
	}
}

// Two clients push the same new blob at once: both succeed, whichever is first.
func TestOneBlobTwiceAtOnce(t *testing.T) {
	for _, size := range []int{10, 1000} {
		for _, finishFirst := range []int{0, 1} {
			w := newWorld(t, upload.Options{})
			content := pattern(1, size)
			ids := [2]string{w.id(), w.id()}
			for _, id := range ids {
				w.write(id, 0, content, -1, size)
			}
			w.finish(ids[finishFirst], -1, "", 0, content)
			w.finish(ids[1-finishFirst], -1, "", 0, content)
			w.settle()
		}
	}
}

func TestManyUploadersAtOnce(t *testing.T) {
	w := newWorld(t, upload.Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 5 {
				content := pattern(j, []int{10, 1000}[(i+j)%2])
				d := digest.FromString(content)
				up, err := w.Start(t.Context(), repo)
				if err != nil {
					t.Error(err)
					return
				}
				if i%2 == 0 {
					_, err = w.Write(t.Context(), repo, up.ID, -1, body(content[:5]), -1)
					content = content[5:]
				}
				if err == nil {
					_, err = w.Finish(t.Context(), repo, up.ID, d, -1, body(content), int64(len(content)))
				}
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	w.settle()
}

// gate is a body that stops in the middle until it is let go.
type gate struct {
	reached, goOn chan struct{}
}

func newGate() gate { return gate{make(chan struct{}), make(chan struct{})} }

func (g gate) body(before, after string) io.Reader {
	stop := readerFunc(func([]byte) (int, error) {
		close(g.reached)
		<-g.goOn
		return 0, io.EOF
	})
	return io.MultiReader(body(before), stop, body(after))
}

// A client repeats a request while its first one is still being read. The later one wins; the bytes of the earlier one
// never meet its.
func TestRepeatedRequestOvertakesTheFirst(t *testing.T) {
	content := pattern(1, 1000)
	d := digest.FromString(content)
	for name, c := range map[string]struct {
		before int
		first  func(w *world, id string, r io.Reader) error
		second func(w *world, id string)
	}{
		"PUT by PUT": {
			first: func(w *world, id string, r io.Reader) error {
				_, err := w.Finish(w.t.Context(), repo, id, d, -1, r, 1000)
				return err
			},
			second: func(w *world, id string) { w.finish(id, -1, content, 1000, content) },
		},
		"PUT by PUT after a tail": {
			before: 10,
			first: func(w *world, id string, r io.Reader) error {
				_, err := w.Finish(w.t.Context(), repo, id, d, -1, r, 990)
				return err
			},
			second: func(w *world, id string) { w.finish(id, -1, content[10:], 990, content) },
		},
		"PUT by PUT of unknown length": {
			first: func(w *world, id string, r io.Reader) error {
				_, err := w.Finish(w.t.Context(), repo, id, d, -1, r, -1)
				return err
			},
			second: func(w *world, id string) { w.finish(id, -1, content, -1, content) },
		},
		"PUT by PATCH": {
			first: func(w *world, id string, r io.Reader) error {
				_, err := w.Finish(w.t.Context(), repo, id, d, -1, r, 1000)
				return err
			},
			second: func(w *world, id string) {
				w.write(id, 0, content[:10], 10, 10)
				w.finish(id, 10, content[10:], 990, content)
			},
		},
		"PUT by a small PUT": {
			first: func(w *world, id string, r io.Reader) error {
				_, err := w.Finish(w.t.Context(), repo, id, d, -1, r, 1000)
				return err
			},
			second: func(w *world, id string) {
				w.finish(id, -1, "small", 5, "small")
				w.finish(w.id(), -1, content, 1000, content)
			},
		},
		"PATCH by PATCH": {
			before: 200,
			first: func(w *world, id string, r io.Reader) error {
				_, err := w.Write(w.t.Context(), repo, id, 200, r, -1)
				return err
			},
			second: func(w *world, id string) {
				w.write(id, 200, content[200:600], 400, 600)
				w.finish(id, 600, content[600:], -1, content)
			},
		},
		"first PATCH by PATCH": {
			first: func(w *world, id string, r io.Reader) error {
				_, err := w.Write(w.t.Context(), repo, id, 0, r, -1)
				return err
			},
			second: func(w *world, id string) {
				w.write(id, 0, content[:600], 600, 600)
				w.finish(id, 600, content[600:], 400, content)
			},
		},
		"PATCH by PUT": {
			before: 200,
			first: func(w *world, id string, r io.Reader) error {
				_, err := w.Write(w.t.Context(), repo, id, 200, r, -1)
				return err
			},
			second: func(w *world, id string) { w.finish(id, 200, content[200:], 800, content) },
		},
		"PATCH by a cancel": {
			before: 200,
			first: func(w *world, id string, r io.Reader) error {
				_, err := w.Write(w.t.Context(), repo, id, 200, r, -1)
				return err
			},
			second: func(w *world, id string) {
				w.must(w.Cancel(w.t.Context(), repo, id))
				w.finish(w.id(), -1, content, -1, content)
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, upload.Options{})
			id := w.id()
			if c.before > 0 {
				w.write(id, 0, content[:c.before], int64(c.before), c.before)
			}
			g := newGate()
			earlier := make(chan error)
			other := strings.Repeat("other bytes ", 100)[:1000-c.before]
			go func() { earlier <- c.first(w, id, g.body(other[:300], other[300:])) }()
			<-g.reached
			c.second(w, id)
			close(g.goOn)
			if err := <-earlier; err == nil {
				t.Fatal("the first request succeeded")
			}
			if got := w.read(d); got != content {
				t.Fatal("the first request spoiled the blob")
			}
			w.settle()
		})
	}
}

// Two chunks for one place: one of them loses before a byte of it is written.
func TestTwoChunksForOnePlace(t *testing.T) {
	for _, unit := range []int{10, 200} {
		w := newWorld(t, upload.Options{})
		id := w.id()
		var wg sync.WaitGroup
		results := make(chan error, 8)
		for i := range cap(results) {
			wg.Go(func() {
				_, err := w.Write(t.Context(), repo, id, 0, body(pattern(i, unit)), int64(unit))
				results <- err
			})
		}
		wg.Wait()
		close(results)
		for err := range results {
			switch oci.CodeOf(err) {
			case oci.RangeInvalid, oci.BlobUploadInvalid:
			default:
				if err != nil && !errors.Is(err, store.ErrUnavailable) && oci.CodeOf(err) != oci.BlobUploadUnknown {
					t.Error(err)
				}
			}
		}
		w.audit()
		w.settle()
	}
}

// A put must not land when its row may be gone: a request has to end within MaxPut by the wall clock.
func TestSlowBody(t *testing.T) {
	content := pattern(1, 1000)
	slow := func(w *world) io.Reader {
		return io.MultiReader(body(content[:500]), readerFunc(func([]byte) (int, error) {
			w.clock.Advance(refcount.DefaultMargins().MaxPut + time.Second)
			return 0, io.EOF
		}), body(content[500:510]), body(content[510:]))
	}
	w := newWorld(t, upload.Options{})
	_, err := w.Finish(t.Context(), repo, w.id(), digest.FromString(content), -1, slow(w), 1000)
	w.mustBe(err, oci.BlobUploadInvalid)
	id := w.id()
	_, err = w.Write(t.Context(), repo, id, -1, slow(w), -1)
	w.mustBe(err, oci.BlobUploadInvalid)
	w.stands(id, 510)
	w.finish(id, 510, content[510:], 490, content)
	w.settle()
}

// A disk that is full loses nothing that was there before.
func TestFullStore(t *testing.T) {
	content := pattern(1, 1000)
	w := newWorld(t, upload.Options{})
	id := w.id()
	w.write(id, 0, content[:300], 300, 300)
	fullFor := func(kind faultstore.Kind) {
		w.start(func(c faultstore.Call) faultstore.Action {
			if c.Kind == kind {
				return faultstore.Full
			}
			return faultstore.Pass
		})
	}
	for _, kind := range []faultstore.Kind{faultstore.Put, faultstore.Part, faultstore.Begin, faultstore.Commit} {
		fullFor(kind)
		fresh := w.id()
		for what, err := range map[string]error{
			"push":   second(w.Push(t.Context(), repo, digest.FromString(content), body(content), 1000)),
			"write":  second(w.Write(t.Context(), repo, fresh, 0, body(content), 1000)),
			"append": second(w.Write(t.Context(), repo, id, 300, body(content[300:]), 700)),
		} {
			wrote := what == "push" && kind != faultstore.Put && kind != faultstore.Commit ||
				what == "write" && kind == faultstore.Put || what == "append" && (kind == faultstore.Put || kind == faultstore.Begin)
			if errors.Is(err, store.ErrFull) == wrote {
				t.Fatalf("%s with no room for %s: %v", what, kind, err)
			}
		}
		w.start(nil)
		w.audit()
		if up, err := w.Resume(t.Context(), repo, id); err != nil || up.Offset != 300 {
			w.must(err)
			id = w.id()
			w.write(id, 0, content[:300], 300, 300)
		}
	}
	w.finish(id, 300, content[300:], 700, content)
	w.settle()
}

func second[T any](_ T, err error) error { return err }

// An upload whose bytes did not come back with a backup has ended.
func TestBytesThatAreGone(t *testing.T) {
	w := newWorld(t, upload.Options{})
	id, content := w.id(), pattern(1, 1000)
	w.write(id, 0, content[:500], 500, 500)
	s := w.session(id)
	w.must(w.store.Abort(t.Context(), s.Object, s.Multipart))
	for range 2 {
		_, err := w.Write(t.Context(), repo, id, 500, body(content[500:]), 500)
		w.mustBe(err, oci.BlobUploadUnknown)
		_, err = w.Finish(t.Context(), repo, id, digest.FromString(content), 500, body(content[500:]), 500)
		w.mustBe(err, oci.BlobUploadUnknown)
		_, err = w.Finish(t.Context(), repo, id, digest.FromString(content), -1, body(""), 0)
		w.mustBe(err, oci.BlobUploadUnknown)
	}
	w.settle()
}

// Parts of a least size are not supported, and nothing pretends that they are.
func TestStoreWithALeastPart(t *testing.T) {
	clk := clock.NewManual(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	st := memstore.New(clk, memstore.Options{MinPart: 5 << 20})
	l, err := refcount.New(refcount.Stores{Table: st, Objects: st, Parts: st}, clk, refcount.Config{Margins: refcount.DefaultMargins()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := upload.New(l, st, st, clk, upload.Options{}); err == nil || !strings.Contains(err.Error(), "5242880") {
		t.Fatal(err)
	}
}
