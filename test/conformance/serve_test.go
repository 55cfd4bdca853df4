// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/ocihttp"
	"tare/internal/refcount"
	"tare/internal/registry"
	"tare/internal/store"
	"tare/internal/store/diskstore"
	"tare/internal/store/memstore"
	"tare/internal/upload"
	"tare/test/conformance"
)

// stores is what a registry keeps its state in.
type stores interface {
	store.Table
	store.Scanner
	store.Objects
	store.Multipart
}

// TestServed runs the suite against this registry on each of its stores, with a collector that never rests, and audits
// what is left.
func TestServed(t *testing.T) {
	for _, s := range []struct {
		name   string
		open   func(t *testing.T) stores
		sparse bool
	}{
		{"memory", func(*testing.T) stores { return memstore.New(clock.System{}, memstore.Options{}) }, false},
		{"memory, refusing overlap, sparse", func(*testing.T) stores {
			return memstore.New(clock.System{}, memstore.Options{RefuseOverlap: true})
		}, true},
		{"memory, parts of a least size", func(*testing.T) stores { return memstore.New(clock.System{}, memstore.Options{MinPart: leastPart}) }, false},
		{"disk", openDisk, false},
	} {
		t.Run(s.name, func(t *testing.T) { serve(t, s.open(t), s.sparse) })
	}
}

// leastPart is that of a store that takes requests of clients.
const leastPart = 16 << 10

func openDisk(t *testing.T) stores {
	s, err := diskstore.Open(t.TempDir(), diskstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// shifted is the machine's clock, set forward or back.
type shifted struct{ by atomic.Int64 }

func (s *shifted) Now() time.Time { return clock.System{}.Now().Add(time.Duration(s.by.Load())) }

func (s *shifted) Pause(ctx context.Context, d time.Duration) error {
	return clock.System{}.Pause(ctx, d)
}

func serve(t *testing.T, s stores, sparse bool) {
	clk, target := &shifted{}, conformance.Target{Sparse: sparse}
	ledger, err := refcount.New(refcount.Stores{Table: s, Objects: s, Parts: s}, clk,
		refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: 4096})
	if err != nil {
		t.Fatal(err)
	}
	var direct store.Direct
	if memory, ok := s.(*memstore.Store); ok && s.MinPart() == leastPart {
		web := httptest.NewServer(memory.Handler())
		t.Cleanup(web.Close)
		signing := &shifted{}
		direct = memory.Direct(web.URL, signing)
		target.Past = func(f func()) {
			signing.by.Store(-int64(time.Hour))
			defer signing.by.Store(0)
			f()
		}
	}
	uploads, err := upload.New(ledger, s, s, clk, upload.Options{Direct: direct})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(ocihttp.New(registry.New(ledger, uploads, s, registry.Options{SparseIndexes: sparse, Direct: direct}), ocihttp.Options{
		Log: slog.New(slog.NewTextHandler(failures{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}))
	ctx, stop := context.WithCancel(t.Context())
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		for ctx.Err() == nil {
			if _, err := ledger.Sweep(ctx, refcount.SweepOptions{}); err != nil && ctx.Err() == nil {
				t.Errorf("sweep: %v", err)
				return
			}
		}
	}()

	target.BaseURL = server.URL
	conformance.Run(t, target)

	stop()
	<-swept
	server.Close()
	audit(t, ledger, s)
	for range 4 {
		clk.by.Add(int64(50 * time.Hour))
		if _, err := ledger.Sweep(t.Context(), refcount.SweepOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	audit(t, ledger, s)
	left(t, s)
}

func audit(t *testing.T, ledger *refcount.Ledger, s stores) {
	t.Helper()
	findings, err := ledger.Audit(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Errorf("audit: %s", f)
	}
}

// left wants nothing to be left of uploads, once their time is over: no row, no part, and no tombstone of theirs.
func left(t *testing.T, s stores) {
	t.Helper()
	for after, more := (store.Key{}), true; more; {
		page, err := s.Scan(t.Context(), after, store.MaxLimit)
		if err != nil {
			t.Fatal(err)
		}
		for _, it := range page.Items {
			after = it.Key
			if kind, _, _ := strings.Cut(it.Key.PK, "#"); kind == "s" || kind == "p" || kind == "x" {
				t.Errorf("left: %s %v", it.Key, it.Row)
			}
		}
		more = page.More
	}
	if pending, err := s.Pending(t.Context(), ""); err != nil || len(pending) > 0 {
		t.Errorf("left: parts of %v, %v", pending, err)
	}
}

// failures shows the log of a registry that has something to warn of.
type failures struct{ t *testing.T }

func (f failures) Write(line []byte) (int, error) {
	f.t.Logf("%s", line)
	return len(line), nil
}
