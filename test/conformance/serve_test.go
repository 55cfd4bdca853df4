// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"context"
	"log/slog"
	"net/http/httptest"
	"testing"

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
		{"memory, parts of a least size", func(*testing.T) stores { return memstore.New(clock.System{}, memstore.Options{MinPart: 16 << 10}) }, false},
		{"disk", openDisk, false},
	} {
		t.Run(s.name, func(t *testing.T) { serve(t, s.open(t), s.sparse) })
	}
}

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

func serve(t *testing.T, s stores, sparse bool) {
	ledger, err := refcount.New(refcount.Stores{Table: s, Objects: s, Parts: s}, clock.System{},
		refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: 4096})
	if err != nil {
		t.Fatal(err)
	}
	uploads, err := upload.New(ledger, s, s, clock.System{}, upload.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(ocihttp.New(registry.New(ledger, uploads, s, registry.Options{SparseIndexes: sparse}), ocihttp.Options{
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

	conformance.Run(t, conformance.Target{BaseURL: server.URL, Sparse: sparse})

	stop()
	<-swept
	server.Close()
	findings, err := ledger.Audit(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Errorf("audit: %s", f)
	}
}

// failures shows the log of a registry that has something to warn of.
type failures struct{ t *testing.T }

func (f failures) Write(line []byte) (int, error) {
	f.t.Logf("%s", line)
	return len(line), nil
}
