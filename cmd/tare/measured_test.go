// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"

	"tare/internal/refcount"
	"tare/internal/store"
)

// refusing is a table whose commits fail.
type refusing struct {
	store.Table
	err error
}

func (r refusing) Commit(context.Context, store.Tx) error { return r.err }

func scrape(m *metrics) string {
	w := httptest.NewRecorder()
	m.handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Body.String()
}

func TestOutcomes(t *testing.T) {
	m := newMetrics()
	outcomes := map[string]error{
		"ok": nil, "not_found": store.ErrNotFound, "conflict": store.ErrConflict, "contended": store.ErrContended, "full": store.ErrFull,
		"expired": store.ErrExpired, "unavailable": store.ErrUnavailable, "unknown": store.ErrUnknownOutcome, "corrupt": store.ErrCorrupt,
		"invalid": store.ErrInvalid, "canceled": context.Canceled, "other": errors.New("other"),
	}
	for _, err := range outcomes {
		if err != nil {
			err = fmt.Errorf("wrapped: %w", err)
		}
		table := m.measured(refcount.Stores{Table: refusing{err: err}}, testClock()).Table
		_ = table.Commit(t.Context(), store.Tx{})
	}
	text := scrape(m)
	for name := range outcomes {
		says(t, text, fmt.Sprintf(`tare_store_calls_total{call="commit",outcome=%q,store="table"} 1`, name))
	}
}

func TestSweepsAreCounted(t *testing.T) {
	data, layer := shortFolder(t), largeLayer("layer ")
	s := start(t, data)
	d := s.pushImage("app", "v1", layer)
	s.want(s.ask(http.MethodDelete, "/v2/app/manifests/"+d, "", nil), http.StatusAccepted)
	succeeds(t, "gc", "--give-up-margins", "--yes", "--data", data)
	says(t, s.ask(http.MethodGet, "/metrics", "", nil).body,
		`tare_sweep_removed_total{kind="manifest"} 1`, `tare_sweep_removed_total{kind="link"} 2`, `tare_sweep_removed_total{kind="object"} 1`,
		fmt.Sprintf("tare_sweep_freed_bytes_total %d\n", len(layer)+len(config)), "tare_sweep_failures_total 0", "tare_sweep_left 0")
}
