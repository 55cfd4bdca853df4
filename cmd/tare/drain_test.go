// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"

	"tare/internal/clock"
	"tare/internal/oci"
)

// gate is a handler whose requests end when they are let go.
type gate struct{ open chan struct{} }

func (g gate) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	<-g.open
	w.WriteHeader(http.StatusNoContent)
}

func do(h http.Handler, method, path string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

func TestDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{make(chan struct{})}
		d := newDrain(clock.System{})
		h := d.watch(g)
		patched := make(chan int, 1)
		go func() { patched <- do(h, http.MethodPatch, "/v2/a/blobs/uploads/1").Code }()
		synctest.Wait()

		drained := make(chan error, 1)
		go func() { drained <- d.wait(t.Context()) }()
		synctest.Wait()
		if !d.draining() || len(drained) > 0 {
			t.Fatal("not draining, or drained while an upload is under way")
		}
		for _, path := range []string{"/v2/a/blobs/uploads/", "/v2/a/b/blobs/uploads", "/v2/a/blobs/uploads/?mount=x&from=b"} {
			if err := d.refuse(httptest.NewRequest(http.MethodPost, path, nil)); oci.CodeOf(err) != oci.Unavailable {
				t.Errorf("POST %s: %v", path, err)
			}
		}
		if d.enter(true) {
			t.Error("a client who comes again and again holds the drain up")
		}
		close(g.open)
		if code := <-patched; code != http.StatusNoContent {
			t.Errorf("the upload got %d", code)
		}
		synctest.Wait()
		if len(drained) > 0 {
			t.Fatal("drained before the client could go on")
		}
		for _, method := range []string{http.MethodPut, http.MethodGet} {
			const path = "/v2/a/blobs/uploads/1"
			if err := d.refuse(httptest.NewRequest(method, path, nil)); err != nil || do(h, method, path).Code != http.StatusNoContent {
				t.Errorf("%s: %v", method, err)
			}
		}
		if err := <-drained; err != nil {
			t.Error(err)
		}
	})
}

func TestDrainIdle(t *testing.T) {
	d := newDrain(clock.NewManual(clock.System{}.Now()))
	do(d.watch(http.NotFoundHandler()), http.MethodGet, "/v2/")
	if err := d.refuse(httptest.NewRequest(http.MethodPost, "/v2/a/blobs/uploads/", nil)); err != nil {
		t.Errorf("refused before it began: %v", err)
	}
	if err := d.wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestDrainGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{make(chan struct{})}
		d := newDrain(clock.System{})
		go do(d.watch(g), http.MethodPut, "/v2/a/manifests/b")
		synctest.Wait()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.wait(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
		close(g.open)
	})
}
