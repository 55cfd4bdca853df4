// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"fmt"
	"testing"

	"github.com/opencontainers/go-digest"

	"tare/internal/store/faultstore"
	"tare/internal/upload"
)

// Two equal ends of one upload, in two processes: the second begins before a call of the first, makes some of its calls, and
// goes on when the first has its answer. Both made the blob, and nothing else is left (C1).
func TestTwoEqualEnds(t *testing.T) {
	for _, before := range []int{20, 80, 250, 290} {
		for _, n := range []int{0, 10, 70, 250} {
			if n > 0 && leastOf(t) == 0 {
				continue // there the later one takes the upload
			}
			for _, size := range []int64{int64(n), -1} {
				t.Run(fmt.Sprintf("%d and %d of %d", before, n, size), func(t *testing.T) {
					w := newWorld(t, upload.Options{})
					id, content := w.id(), pattern(1, before+n)
					w.write(id, 0, content[:before], -1, before)
					for k, more := 1, true; more; k++ {
						more = false
						for j := 1; ; j++ {
							began, stopped := equalEnds(t, w.clone(), id, content, finishRequest(content, int64(before), content[before:], size), k, j)
							more = more || began
							if !stopped {
								break
							}
						}
					}
				})
			}
		}
	}
}

// equalEnds begins a request before the kth call of an equal one, and stops it before its own jth until the first is answered.
// It tells whether the first has k calls, and the second j.
func equalEnds(t *testing.T, w *world, id, content string, end request, k, j int) (began, stopped bool) {
	t.Helper()
	first, there, second := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	other := &world{t: w.t, store: w.store, clock: w.clock, opts: w.opts, tokens: w.tokens}
	other.start(func(c faultstore.Call) faultstore.Action {
		if c.N == j {
			stopped = true
			close(there)
			<-first
		}
		return faultstore.Pass
	})
	w.start(func(c faultstore.Call) faultstore.Action {
		if c.N == k {
			began = true
			go func() {
				second <- end(other, id)
				if !stopped {
					close(there)
				}
			}()
			<-there
		}
		return faultstore.Pass
	})
	trace := w.proc
	err := end(w, id)
	close(first)
	if err != nil {
		t.Fatalf("the first: %v; the second came before call %d and made %d:\n%s", err, k, j-1, trace.Trace())
	}
	if !began {
		return false, false
	}
	if err := <-second; err != nil {
		t.Fatalf("the second: %v; it came before call %d and made %d:\n%s%s", err, k, j-1, trace.Trace(), other.proc.Trace())
	}
	w.start(nil)
	if w.read(digest.FromString(content)) != content {
		t.Fatal("the blob is wrong")
	}
	w.settle()
	return began, stopped
}
