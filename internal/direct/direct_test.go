// SPDX-License-Identifier: Apache-2.0

package direct_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/clock"
	"tare/internal/direct"
	"tare/internal/oci"
	"tare/internal/ocihttp"
	"tare/internal/refcount"
	"tare/internal/registry"
	"tare/internal/store/memstore"
	"tare/internal/upload"
)

const (
	repo    = oci.Repository("team/app")
	inline  = 64
	minPart = 128
)

// world is a registry and its store, each behind a door that a test can stand in.
type world struct {
	t        *testing.T
	clock    *clock.Manual
	store    *memstore.Store
	ledger   *refcount.Ledger
	uploads  *upload.Uploads
	base     string
	toStore  atomic.Pointer[func(http.ResponseWriter, *http.Request) bool] // whether it has answered
	registry atomic.Pointer[func(http.ResponseWriter, *http.Request) bool]
	puts     atomic.Int64
	most     atomic.Int64 // puts at one time
	asked    chan string  // what is to be settled, where that is done elsewhere
}

func newWorld(t *testing.T, elsewhere bool) *world {
	t.Helper()
	w := &world{t: t, clock: clock.NewManual(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)), asked: make(chan string, 100)}
	w.store = memstore.New(w.clock, memstore.Options{MinPart: minPart})
	var at atomic.Int64
	stored := w.store.Handler()
	store := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the store got credentials of the registry")
		}
		if r.Method == http.MethodPut {
			w.puts.Add(1)
			w.most.Store(max(w.most.Load(), at.Add(1)))
			defer at.Add(-1)
		}
		if door := w.toStore.Load(); door == nil || !(*door)(rw, r) {
			stored.ServeHTTP(rw, r)
		}
	}))
	t.Cleanup(store.Close)
	signer := w.store.Direct(store.URL, w.clock)
	var err error
	w.ledger, err = refcount.New(refcount.Stores{Table: w.store, Objects: w.store, Parts: w.store}, w.clock, refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: inline})
	w.must(err)
	options := upload.Options{Direct: signer}
	if elsewhere {
		options.Settle = func(_ context.Context, id string) error { w.asked <- id; return nil }
	}
	w.uploads, err = upload.New(w.ledger, w.store, w.store, w.clock, options)
	w.must(err)
	reg := registry.New(w.ledger, w.uploads, w.store, registry.Options{Direct: signer})
	handler := ocihttp.New(reg, ocihttp.Options{})
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer secret" && r.Method == http.MethodPost {
			t.Error("a request of the client has no credentials")
		}
		if door := w.registry.Load(); door == nil || !(*door)(rw, r) {
			handler.ServeHTTP(rw, r)
		}
	}))
	t.Cleanup(server.Close)
	w.base = server.URL
	return w
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// client cuts blobs of 1,000 bytes and more into parts of minPart.
func (w *world) client() *direct.Client {
	w.t.Helper()
	c, err := direct.New(w.base, direct.Options{Clock: w.clock, PartsFrom: 1000, PartSize: minPart, Whole: inline, Parallel: 3,
		Authorize: func(r *http.Request) error { r.Header.Set("Authorization", "Bearer secret"); return nil }})
	w.must(err)
	return c
}

// pulled reads a blob as a client does: following the redirect to the store.
func (w *world) pulled(d oci.Digest) string {
	w.t.Helper()
	resp, err := http.Get(w.base + "/v2/" + string(repo) + "/blobs/" + string(d))
	w.must(err)
	b, err := io.ReadAll(resp.Body)
	w.must(errors.Join(err, resp.Body.Close()))
	if resp.StatusCode != http.StatusOK {
		w.t.Fatalf("status %d: %s", resp.StatusCode, b)
	}
	return string(b)
}

func (w *world) sound() {
	w.t.Helper()
	findings, err := w.ledger.Audit(w.t.Context(), w.store)
	w.must(err)
	for _, f := range findings {
		w.t.Error(f)
	}
}

func (w *world) standAtStore(door func(http.ResponseWriter, *http.Request) bool) {
	w.toStore.Store(&door)
}

func (w *world) standAtRegistry(door func(http.ResponseWriter, *http.Request) bool) {
	w.registry.Store(&door)
}

func pattern(seed, n int) string {
	src := rand.NewPCG(uint64(seed), uint64(n))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(src.Uint64())
	}
	return string(b)
}

func blob(content string) direct.Blob {
	return direct.Blob{Digest: digest.FromString(content), Size: int64(len(content)), Content: strings.NewReader(content)}
}

func TestPush(t *testing.T) {
	for name, c := range map[string]struct {
		size int
		puts int64
	}{"empty": {0, 0}, "inline": {inline, 0}, "one put": {999, 1}, "parts": {10*minPart + 1, 11}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, false)
			content := pattern(1, c.size)
			b := blob(content)
			var progress []int64
			b.Progress = func(n int64) { progress = append(progress, n) }
			for range 2 {
				w.must(w.client().Push(t.Context(), repo, b))
				if got := w.pulled(b.Digest); got != content {
					t.Fatalf("%d bytes, which are not those that were pushed", len(got))
				}
				if c.size > 0 && progress[len(progress)-1] != int64(c.size) {
					t.Errorf("the progress is %v", progress)
				}
			}
			if got := w.puts.Load(); got != c.puts {
				t.Errorf("%d puts, want %d", got, c.puts)
			}
			if w.most.Load() > 3 {
				t.Errorf("%d puts at once", w.most.Load())
			}
			w.sound()
		})
	}
}

func TestPushSHA512(t *testing.T) {
	w := newWorld(t, false)
	content := pattern(1, 500)
	sum := sha512.Sum512([]byte(content))
	b := blob(content)
	b.Digest = oci.Digest("sha512:" + hex.EncodeToString(sum[:]))
	w.must(w.client().Push(t.Context(), repo, b))
	if w.pulled(b.Digest) != content {
		t.Error("another content")
	}
	w.sound()
}

// Settled elsewhere, a push ends when that is done.
func TestPushWaits(t *testing.T) {
	w := newWorld(t, true)
	done := make(chan struct{})
	go func() {
		defer close(done)
		id := <-w.asked
		if _, err := w.uploads.Settle(context.WithoutCancel(t.Context()), id, time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)); err != nil {
			t.Error(err)
		}
	}()
	content := pattern(1, 2000)
	w.must(w.client().Push(t.Context(), repo, blob(content)))
	<-done
	if w.pulled(digest.FromString(content)) != content {
		t.Error("another content")
	}
	w.sound()
}

// What fails on the way is sent again, by another request where the first one has ended.
func TestPushRetries(t *testing.T) {
	for _, size := range []int{999, 2000} {
		w := newWorld(t, false)
		var mu sync.Mutex // guards n
		n := 0
		w.standAtStore(func(rw http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			n++
			switch {
			case r.Method != http.MethodPut:
				return false
			case n == 1:
				rw.WriteHeader(http.StatusServiceUnavailable)
			case n == 2:
				_, _ = io.CopyN(io.Discard, r.Body, 10)
				panic(http.ErrAbortHandler)
			case n == 3:
				w.clock.Advance(16 * time.Minute)
				return false
			default:
				return false
			}
			return true
		})
		m := 0
		w.standAtRegistry(func(rw http.ResponseWriter, r *http.Request) bool {
			mu.Lock()
			defer mu.Unlock()
			if m++; m%2 == 0 || strings.Contains(r.URL.Path, "/blobs/") {
				return false
			}
			rw.Header().Set("Retry-After", "1")
			rw.WriteHeader(http.StatusServiceUnavailable)
			return true
		})
		content := pattern(1, size)
		b := blob(content)
		var last int64
		b.Progress = func(n int64) { last = n }
		w.must(w.client().Push(t.Context(), repo, b))
		if w.pulled(b.Digest) != content || last != int64(size) {
			t.Errorf("another content, or progress: %d of %d", last, size)
		}
		w.sound()
	}
}

func TestPushResumes(t *testing.T) {
	w := newWorld(t, false)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	content := pattern(1, 20*minPart)
	b := blob(content)
	var id string
	b.Opened = func(opened string) { id = opened }
	b.Progress = func(n int64) {
		if n > 8*minPart {
			cancel()
		}
	}
	if err := w.client().Push(ctx, repo, b); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	before := w.puts.Load()
	if before >= 20 || id == "" {
		t.Fatalf("%d puts, id %q", before, id)
	}
	b.Resume, b.Progress = id, nil
	b.Opened = func(string) { t.Error("another upload was opened") }
	w.must(w.client().Push(t.Context(), repo, b))
	if again := w.puts.Load() - before; again > 20-5 {
		t.Errorf("%d puts when it was resumed, after %d", again, before)
	}
	if w.pulled(b.Digest) != content {
		t.Error("another content")
	}
	w.must(w.client().Push(t.Context(), repo, b)) // of what is done

	other := blob(pattern(2, 2000))
	other.Resume = "unknown"
	w.must(w.client().Push(t.Context(), repo, other))
	w.sound()
}

// changing is content that is another when it is read again.
type changing struct {
	bytes.Reader
	reads atomic.Int64
}

func (c *changing) ReadAt(p []byte, off int64) (int, error) {
	n, err := c.Reader.ReadAt(p, off)
	if off == 0 && c.reads.Add(1) > 1 {
		p[0] ^= 1
	}
	return n, err
}

func TestPushOfOtherContent(t *testing.T) {
	for _, size := range []int{10, 999, 2000} {
		w := newWorld(t, false)
		b := blob(pattern(1, size))
		b.Content = strings.NewReader(pattern(2, size))
		if err := w.client().Push(t.Context(), repo, b); oci.CodeOf(err) != oci.DigestInvalid {
			t.Errorf("%d bytes: got %v", size, err)
		}
		b.Content = strings.NewReader("short")
		if err := w.client().Push(t.Context(), repo, b); err == nil {
			t.Errorf("%d bytes: content that is too short was pushed", size)
		}
		have, err := w.client().Have(t.Context(), repo, []oci.Digest{b.Digest})
		w.must(err)
		if len(have) > 0 {
			t.Error("it is there")
		}
		w.sound()
	}
	w := newWorld(t, false)
	content := pattern(1, 2000)
	b := blob(content)
	b.Content = &changing{Reader: *bytes.NewReader([]byte(content))}
	if err := w.client().Push(t.Context(), repo, b); oci.CodeOf(err) != oci.DigestInvalid {
		t.Errorf("content that changes: got %v", err)
	}
}

// No error shows a URL of the store.
func TestErrorsKeepSecrets(t *testing.T) {
	w := newWorld(t, false)
	w.standAtStore(func(rw http.ResponseWriter, r *http.Request) bool { panic(http.ErrAbortHandler) })
	err := w.client().Push(t.Context(), repo, blob(pattern(1, 2000)))
	if err == nil || strings.Contains(err.Error(), "signature") || strings.Contains(err.Error(), "http://") {
		t.Errorf("got %v", err)
	}
	w.standAtStore(func(rw http.ResponseWriter, r *http.Request) bool {
		rw.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(rw, "<Error><Code>AccessDenied</Code><Resource>"+r.URL.String()+"</Resource></Error>")
		return true
	})
	err = w.client().Push(t.Context(), repo, blob(pattern(1, 999)))
	if err == nil || !strings.Contains(err.Error(), "403 AccessDenied") || strings.Contains(err.Error(), "signature") {
		t.Errorf("got %v", err)
	}
}

func TestHave(t *testing.T) {
	w := newWorld(t, false)
	c := w.client()
	support, err := c.Discover(t.Context())
	w.must(err)
	if !support.Have || !support.Uploads {
		t.Errorf("the registry offers %+v", support)
	}
	var digests []oci.Digest
	want := map[oci.Digest]int64{}
	for i := range 250 {
		b := blob(pattern(i, 10))
		digests = append(digests, b.Digest, b.Digest)
		if i%50 == 0 {
			w.must(c.Push(t.Context(), repo, b))
			want[b.Digest] = 10
		}
	}
	have, err := c.Have(t.Context(), repo, digests)
	w.must(err)
	if len(have) != len(want) {
		t.Errorf("the repository has %v", have)
	}
	w.clock.Advance(20 * time.Hour)
	_, err = c.Have(t.Context(), repo, digests)
	w.must(err)
	w.clock.Advance(20 * time.Hour)
	report, err := w.ledger.Sweep(t.Context(), refcount.SweepOptions{})
	w.must(err)
	if report.Links > 0 {
		t.Errorf("%d blobs went that the client was told of", report.Links)
	}
	elsewhere, err := c.Have(t.Context(), "team/other", digests)
	w.must(err)
	if len(elsewhere) > 0 {
		t.Errorf("another repository has %v", elsewhere)
	}
	w.standAtRegistry(func(rw http.ResponseWriter, r *http.Request) bool {
		http.Error(rw, "404 page not found", http.StatusNotFound)
		return true
	})
	support, err = c.Discover(t.Context())
	w.must(err)
	if support.Have || support.Uploads {
		t.Errorf("another registry offers %+v", support)
	}
}

func TestCancel(t *testing.T) {
	w := newWorld(t, true)
	content := pattern(1, 2000)
	b := blob(content)
	var id string
	b.Opened = func(opened string) { id = opened }
	w.standAtStore(func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
	if err := w.client().Push(t.Context(), repo, b); err == nil {
		t.Fatal("no error")
	}
	w.must(w.client().Cancel(t.Context(), repo, id))
	if err := w.client().Cancel(t.Context(), repo, id); oci.CodeOf(err) != oci.BlobUploadUnknown {
		t.Errorf("got %v", err)
	}
	w.sound()
}

func TestNew(t *testing.T) {
	for _, base := range []string{"", "registry.example", "ftp://registry.example", "https://", "https://registry.example/v2/", "http://%"} {
		if _, err := direct.New(base, direct.Options{}); err == nil {
			t.Errorf("%q is taken for a registry", base)
		}
	}
	for _, base := range []string{"https://registry.example", "http://127.0.0.1:5000/"} {
		_, err := direct.New(base, direct.Options{})
		if err != nil {
			t.Error(err)
		}
	}
}
