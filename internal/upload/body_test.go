// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/upload"
)

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
			kept := c.kept
			if w.store.MinPart() > 0 && c.came > c.size && c.size > inline {
				kept = c.size / (2 * least) * (2 * least) // the pieces before that in which it was found out
			}
			w.stands(id, kept)
			w.absent(d)
			w.finish(id, int64(kept), content[kept:], -1, content)
			w.settle()
		})
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

// That a body is small does not give it more time, however steadily it comes.
func TestSlowSmallBody(t *testing.T) {
	content := pattern(1, 30)
	w := newWorld(t, upload.Options{})
	slow := func() io.Reader {
		at := 0
		return readerFunc(func(p []byte) (int, error) {
			if at == len(content) {
				return 0, io.EOF
			}
			w.clock.Advance(refcount.DefaultMargins().MaxPut / 10)
			at++
			return copy(p, content[at-1:at]), nil
		})
	}
	d := digest.FromString(content)
	_, err := w.Push(t.Context(), repo, d, slow(), 30)
	w.mustBe(err, oci.BlobUploadInvalid)
	_, err = w.Finish(t.Context(), repo, w.id(), d, -1, slow(), -1)
	w.mustBe(err, oci.BlobUploadInvalid)
	w.absent(d)
	id := w.id()
	_, err = w.Write(t.Context(), repo, id, -1, slow(), -1)
	w.mustBe(err, oci.BlobUploadInvalid)
	w.stands(id, 11)
	w.finish(id, 11, content[11:], 19, content)
	w.settle()
}

// slept is a table behind which a process sleeps after its first commit.
type slept struct {
	store.Table
	sleep func()
}

func (s *slept) Commit(ctx context.Context, tx store.Tx) error {
	err := s.Table.Commit(ctx, tx)
	if s.sleep != nil {
		s.sleep()
		s.sleep = nil
	}
	return err
}

// A request sleeps between its row and its put. When it wakes up the session has expired and its object is deleted: nothing
// may be made there any more (C1).
func TestRequestSleepsBeforeItsPut(t *testing.T) {
	content := pattern(1, 1000)
	for name, request := range map[string]func(u *upload.Uploads, id string) error{
		"put": func(u *upload.Uploads, id string) error {
			_, err := u.Finish(t.Context(), repo, id, digest.FromString(content), -1, body(content), 1000)
			return err
		},
		"part": func(u *upload.Uploads, id string) error {
			_, err := u.Write(t.Context(), repo, id, 0, body(content), -1)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, upload.Options{})
			id := w.id()
			table := &slept{w.store, func() {
				for range 2 { // the session, its object
					w.clock.Advance(25 * time.Hour)
					_, err := w.ledger.Sweep(t.Context(), refcount.SweepOptions{})
					w.must(err)
				}
			}}
			ledger, err := refcount.New(refcount.Stores{Table: table, Objects: w.store, Parts: w.store}, w.clock,
				refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: inline, NewToken: w.tokens})
			w.must(err)
			u, err := upload.New(ledger, w.store, w.store, w.clock, upload.Options{})
			w.must(err)
			w.mustBe(request(u, id), oci.BlobUploadInvalid)
			w.settle()
		})
	}
}
