// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/upload"
)

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
			go func() { earlier <- c.first(w, id, g.body(other[:150], other[150:])) }()
			<-g.reached
			c.second(w, id)
			close(g.goOn)
			// A request that gathers touches the upload when it has a piece. Where there was no row before, and is none any
			// more, it begins anew, as one would that comes after all this.
			mayBegin := name == "first PATCH by PATCH" && w.store.MinPart() > 0
			if err := <-earlier; err == nil && !mayBegin {
				t.Fatal("the first request succeeded")
			}
			if got := w.read(d); got != content {
				t.Fatal("the first request spoiled the blob")
			}
			w.settle()
		})
	}
}

// stopAt makes a new life in which the first call of a kind waits until it is let go: before it is made, or afterwards,
// with its answer.
func (w *world) stopAt(kind faultstore.Kind, after bool) gate {
	g := newGate()
	var stopped atomic.Bool
	stop := func(c faultstore.Call) {
		if c.Kind == kind && stopped.CompareAndSwap(false, true) {
			close(g.reached)
			<-g.goOn
		}
	}
	if after {
		w.startWith(faultstore.Options{Done: func(c faultstore.Call, _ error) { stop(c) }})
		return g
	}
	w.start(func(c faultstore.Call) faultstore.Action {
		stop(c)
		return faultstore.Pass
	})
	return g
}

// A request that has the upload, but not yet its file, when another one takes both: it neither cuts off what the other one
// was promised nor writes over it (C3).
func TestOvertakenBeforeItsFirstByte(t *testing.T) {
	content := pattern(1, 1000)
	d := digest.FromString(content)
	for name, late := range map[string]func(w *world, id string) error{
		"same bytes, fewer": writeRequest(200, content[200:300], -1),
		"other bytes":       writeRequest(200, strings.Repeat("x", 400), 400),
		"other end":         finishRequest(content, 200, strings.Repeat("x", 800), 800),
	} {
		for _, at := range []faultstore.Kind{faultstore.Commit, faultstore.Part} {
			t.Run(fmt.Sprintf("%s/%s", name, at), func(t *testing.T) {
				w := newWorld(t, upload.Options{})
				id := w.id()
				w.write(id, 0, content[:200], 200, 200)
				g := w.stopAt(at, at == faultstore.Commit)
				earlier := make(chan error)
				go func() { earlier <- late(w, id) }()
				<-g.reached
				w.write(id, 200, content[200:600], 400, 600)
				close(g.goOn)
				w.mustBe(<-earlier, oci.BlobUploadInvalid)
				w.stands(id, 600)
				w.finish(id, 600, content[600:], 400, content)
				if got := w.read(d); got != content {
					t.Fatal("the earlier request spoiled the blob")
				}
				w.settle()
			})
		}
	}
}

// Two ends of one upload, each right about what it saw of it. The slower one makes the object of its part of the bytes,
// and no blob; the other one looks at what the object has before it says that it is the blob (C3).
func TestTwoEndsOfDifferentLength(t *testing.T) {
	content := pattern(1, 1000)
	d := digest.FromString(content)
	w := newWorld(t, upload.Options{})
	id := w.id()
	w.write(id, 0, content[:600], 600, 600)
	g := w.stopAt(faultstore.Complete, false)
	earlier := make(chan error)
	go func() { earlier <- finishRequest(content[:600], 600, "", 0)(w, id) }()
	<-g.reached
	w.write(id, 600, content[600:], 400, 1000)
	close(g.goOn)
	if err := <-earlier; err == nil {
		t.Fatal("the end of a part of the upload succeeded")
	}
	_, err := w.Finish(t.Context(), repo, id, d, 1000, body(""), 0)
	w.mustBe(err, oci.DigestInvalid)
	w.absent(d)
	w.absent(digest.FromString(content[:600]))
	w.settle()
}

// An end that made the object and no blob, and then an end that names less: the object is what it is.
func TestEndOfLessThanWasCompleted(t *testing.T) {
	content := pattern(1, 1000)
	d, less := digest.FromString(content), digest.FromString(content[:600])
	for _, same := range []bool{true, false} {
		w := newWorld(t, upload.Options{})
		id := w.id()
		w.write(id, 0, content[:600], 600, 600)
		completed := false
		w.start(func(c faultstore.Call) faultstore.Action {
			if completed && c.Kind == faultstore.Commit {
				return faultstore.Unavailable
			}
			completed = completed || c.Kind == faultstore.Complete
			return faultstore.Pass
		})
		if err := finishRequest(content, 600, content[600:], 400)(w, id); !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
		w.start(nil)
		if same {
			w.finish(id, 600, "", 0, content)
		} else {
			_, err := w.Finish(t.Context(), repo, id, less, 600, body(""), 0)
			w.mustBe(err, oci.DigestInvalid)
			w.absent(d)
		}
		w.absent(less)
		w.settle()
	}
}

// Of several chunks for one place exactly one takes it, and the upload has its bytes.
func TestManyChunksForOnePlace(t *testing.T) {
	for _, unit := range []int{10, 200} {
		w := newWorld(t, upload.Options{})
		id := w.id()
		var errs [8]error
		var wg sync.WaitGroup
		for i := range errs {
			wg.Go(func() { _, errs[i] = w.Write(t.Context(), repo, id, 0, body(pattern(i, unit)), int64(unit)) })
		}
		wg.Wait()
		winner := -1
		for i, err := range errs {
			switch code := oci.CodeOf(err); {
			case err == nil && winner < 0:
				winner = i
			case err == nil:
				t.Fatalf("chunks %d and %d both took the place", winner, i)
			case code != oci.RangeInvalid && code != oci.BlobUploadInvalid && !errors.Is(err, store.ErrUnavailable):
				t.Fatal(err)
			}
		}
		if winner < 0 {
			t.Fatal(errs)
		}
		w.finish(id, int64(unit), "", 0, pattern(winner, unit))
		w.settle()
	}
}
