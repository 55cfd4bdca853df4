// SPDX-License-Identifier: Apache-2.0

package direct_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/direct"
	"tare/internal/oci"
)

// pauses are those that were made on a clock.
type pauses struct {
	*clock.Manual
	mu   sync.Mutex // guards made
	made []time.Duration
}

func (p *pauses) Pause(ctx context.Context, d time.Duration) error {
	p.mu.Lock()
	p.made = append(p.made, d)
	p.mu.Unlock()
	return p.Manual.Pause(ctx, d)
}

// pausing is the client of a world, whose pauses are seen.
func (w *world) pausing(tries int) (*direct.Client, *pauses) {
	w.t.Helper()
	p := &pauses{Manual: w.clock}
	c, err := direct.New(w.base, direct.Options{Clock: p, PartsFrom: 1000, PartSize: minPart, Whole: inline, Parallel: 3, Tries: tries,
		Authorize: func(r *http.Request) error { r.Header.Set("Authorization", "Bearer secret"); return nil }})
	w.must(err)
	return c, p
}

// A request is sent so often and no more, later each time and never by the clock alone.
func TestPausesGrow(t *testing.T) {
	w := newWorld(t, false)
	w.standAtStore(func(rw http.ResponseWriter, r *http.Request) bool {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	c, p := w.pausing(9)
	if err := c.Push(t.Context(), repo, blob(pattern(1, 999))); err == nil || !strings.Contains(err.Error(), "503") {
		t.Fatalf("got %v", err)
	}
	if w.puts.Load() != 9 || len(p.made) != 8 {
		t.Fatalf("%d puts, pauses %v", w.puts.Load(), p.made)
	}
	most := 250 * time.Millisecond
	random := false
	for i, d := range p.made {
		if d < most/2 || d >= most {
			t.Errorf("pause %d is %v, of at most %v", i+1, d, most)
		}
		random = random || d != most/2
		most = min(2*most, 8*time.Second)
	}
	if !random {
		t.Errorf("no pause is random: %v", p.made)
	}

	c, p = w.pausing(3)
	w.standAtRegistry(func(rw http.ResponseWriter, r *http.Request) bool {
		rw.Header().Set("Retry-After", "7")
		rw.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	if _, err := c.Have(t.Context(), repo, []oci.Digest{blob("x").Digest}); oci.CodeOf(err) != oci.Unavailable {
		t.Errorf("got %v", err)
	}
	if len(p.made) != 2 || p.made[0] < 7*time.Second || p.made[1] < 7*time.Second || p.made[1] > 8*time.Second {
		t.Errorf("pauses %v, where 7 s were asked for", p.made)
	}
}

// watched is content that knows when nobody may read it any more.
type watched struct {
	io.ReaderAt
	t    *testing.T
	over atomic.Bool
}

func (w *watched) ReadAt(p []byte, off int64) (int, error) {
	if w.over.Load() {
		w.t.Error("the content is read after the push has returned")
	}
	return w.ReaderAt.ReadAt(p, off)
}

// atWork lists the goroutines that run code of a push.
func atWork() (stacks []string) {
	b := make([]byte, 4<<20)
	for _, stack := range strings.Split(string(b[:runtime.Stack(b, true)]), "\n\n") {
		if strings.Contains(stack, "direct.(*push)") {
			stacks = append(stacks, stack)
		}
	}
	return stacks
}

// A push that is given up returns although the store does not answer, leaves nothing at work, and can be resumed by a client
// that knows nothing but the id.
func TestPushGivenUp(t *testing.T) {
	for name, size := range map[string]int{"one put": 999, "parts": 20 * minPart} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, false)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			open := make(chan struct{})
			defer close(open)
			var puts atomic.Int64
			w.standAtStore(func(rw http.ResponseWriter, r *http.Request) bool {
				if size > 1000 && puts.Add(1) <= 7 {
					return false
				}
				cancel()
				<-open
				return true
			})
			b := blob(pattern(1, size))
			content := &watched{ReaderAt: b.Content, t: t}
			var id string
			b.Content, b.Opened = content, func(opened string) { id = opened }
			if err := w.client().Push(ctx, repo, b); !errors.Is(err, context.Canceled) {
				t.Fatalf("got %v", err)
			}
			content.over.Store(true)
			if left := atWork(); len(left) > 0 {
				t.Errorf("at work is still\n%s", strings.Join(left, "\n\n"))
			}
			w.standAtStore(func(http.ResponseWriter, *http.Request) bool { return false })
			before := w.puts.Load()
			again := blob(pattern(1, size))
			again.Resume = id
			var first int64
			again.Progress = func(n int64) {
				if first == 0 {
					first = n
				}
			}
			w.must(w.client().Push(t.Context(), repo, again))
			if sent := w.puts.Load() - before; size > 1000 && (sent > 20-5 || first < 5*minPart) {
				t.Errorf("%d parts were sent again, and the progress began with %d bytes", sent, first)
			}
			if w.pulled(b.Digest) != pattern(1, size) {
				t.Error("another content")
			}
			w.sound()
		})
	}
}

// failing is content that cannot be read from a byte on.
type failing struct {
	io.ReaderAt
	from int64
	err  error
}

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) <= f.from {
		return f.ReaderAt.ReadAt(p, off)
	}
	return 0, f.err
}

// What is wrong with the content is said as it is, at once: no repetition mends it.
func TestContentThatFails(t *testing.T) {
	broken := errors.New("the disk is broken")
	for _, size := range []int{10, 999, 20 * minPart} {
		w := newWorld(t, false)
		c, p := w.pausing(6)
		b := blob(pattern(1, size))
		b.Content = failing{b.Content, int64(size / 2), broken}
		if err := c.Push(t.Context(), repo, b); !errors.Is(err, broken) {
			t.Errorf("%d bytes: got %v", size, err)
		}
		b.Content = strings.NewReader(pattern(1, size)[:size-1])
		if err := c.Push(t.Context(), repo, b); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%d bytes, one less: got %v", size, err)
		}
		if len(p.made) > 0 {
			t.Errorf("%d bytes: pauses %v", size, p.made)
		}
		w.sound()
	}
}

// Two clients resume the same upload: the one that comes second finds that its parts have been put together.
func TestPushMeetsAnother(t *testing.T) {
	w := newWorld(t, false)
	content := pattern(1, 20*minPart)
	var id string
	var mu sync.Mutex // guards n and id
	n := 0
	w.standAtStore(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		if n++; n == 10 {
			w.standAtStore(func(http.ResponseWriter, *http.Request) bool { return false })
			other := blob(content)
			other.Resume = id
			if err := w.client().Push(t.Context(), repo, other); err != nil {
				t.Errorf("the other: %v", err)
			}
		}
		return false
	})
	b := blob(content)
	b.Opened = func(opened string) { mu.Lock(); id = opened; mu.Unlock() }
	var last int64
	b.Progress = func(n int64) { last = n }
	w.must(w.client().Push(t.Context(), repo, b))
	if w.pulled(b.Digest) != content || last != b.Size {
		t.Errorf("another content, or progress: %d of %d", last, b.Size)
	}
	w.sound()
}

// A store takes its time to put parts together, and meanwhile the registry cannot complete the upload.
func TestPushWaitsForTheStore(t *testing.T) {
	w := newWorld(t, false)
	refused := 0
	w.standAtRegistry(func(rw http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/complete") {
			return false
		}
		if refused++; refused > 40 {
			return false
		}
		rw.Header().Set("Retry-After", "5")
		rw.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	content := pattern(1, 2000)
	w.must(w.client().Push(t.Context(), repo, blob(content)))
	if w.pulled(blob(content).Digest) != content {
		t.Error("another content")
	}
	w.standAtRegistry(func(rw http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/complete") {
			rw.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	if err := w.client().Push(t.Context(), repo, blob(pattern(2, 2000))); oci.CodeOf(err) != oci.Unavailable {
		t.Errorf("got %v", err)
	}
}

// Without credentials no request is sent, and none is tried again.
func TestAuthorizeFails(t *testing.T) {
	w := newWorld(t, false)
	asked, denied := 0, errors.New("the keychain is locked")
	c, err := direct.New(w.base, direct.Options{Clock: w.clock, Authorize: func(*http.Request) error { asked++; return denied }})
	w.must(err)
	if err := c.Push(t.Context(), repo, blob("content")); !errors.Is(err, denied) || asked != 1 {
		t.Errorf("asked %d times, got %v", asked, err)
	}
}

// Parts that follow each other share connections: on a far store each costs three round trips.
func TestConnectionsAreKept(t *testing.T) {
	w := newWorld(t, false)
	var mu sync.Mutex // guards from
	from := map[string]bool{}
	w.standAtStore(func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		from[r.RemoteAddr] = true
		return false
	})
	w.must(w.client().Push(t.Context(), repo, blob(pattern(1, 100*minPart))))
	if len(from) > 10 {
		t.Errorf("100 parts, three at once, came on %d connections", len(from))
	}
}
