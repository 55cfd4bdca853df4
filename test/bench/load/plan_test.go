// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"tare/test/bench/load"
)

func nothing(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func TestPlanUsesEachIndexOnce(t *testing.T) {
	addr := nothing(t)
	req := load.NewRequest(addr, "GET", "/", nil)
	var mu sync.Mutex
	seen := map[int]int{}
	result, err := load.Plan{Clients: 4, Operations: 100}.Run(t.Context(), addr, func(conn *load.Conn, i int) error {
		mu.Lock()
		seen[i]++
		mu.Unlock()
		_, err := conn.Expect(req, 200, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if seen[i] != 1 {
			t.Errorf("operation %d ran %d times", i, seen[i])
		}
	}
	if len(seen) != 100 || len(result.Operations) != 100 || result.Errors != 0 {
		t.Errorf("%d indices, %d operations, %d errors", len(seen), len(result.Operations), result.Errors)
	}
}

func TestPlanStopsAtItsLimit(t *testing.T) {
	addr := nothing(t)
	req := load.NewRequest(addr, "GET", "/", nil)
	result, err := load.Plan{Clients: 2, Limit: 20 * time.Millisecond}.Run(t.Context(), addr, func(conn *load.Conn, _ int) error {
		_, err := conn.Expect(req, 200, 0)
		return err
	})
	if err != nil || len(result.Operations) == 0 {
		t.Errorf("%d operations: %v", len(result.Operations), err)
	}
}

func TestPlanCountsErrorsAndGoesOn(t *testing.T) {
	addr := nothing(t)
	req := load.NewRequest(addr, "GET", "/", nil)
	broken := errors.New("broken")
	result, err := load.Plan{Clients: 2, Operations: 30}.Run(t.Context(), addr, func(conn *load.Conn, i int) error {
		if i%3 == 0 {
			conn.Close()
			return broken
		}
		_, err := conn.Expect(req, 200, 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Operations) != 20 || result.Errors != 10 || !errors.Is(result.FirstError, broken) {
		t.Errorf("%d operations, %d errors, the first %v", len(result.Operations), result.Errors, result.FirstError)
	}
}

func TestPlanGivesUp(t *testing.T) {
	addr := nothing(t)
	broken := errors.New("broken")
	fail := func(*load.Conn, int) error { return broken }
	if _, err := (load.Plan{Clients: 2, Limit: time.Hour}).Run(t.Context(), addr, fail); !errors.Is(err, broken) {
		t.Errorf("a server that always fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	stop := func(*load.Conn, int) error { cancel(); return broken }
	if _, err := (load.Plan{Clients: 2, Limit: time.Hour}).Run(ctx, addr, stop); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled run: %v", err)
	}
	if _, err := (load.Plan{Clients: 1}).Run(t.Context(), addr, fail); err == nil {
		t.Error("a plan without an end was run")
	}
	if _, err := (load.Plan{Clients: 1, Operations: 1}).Run(t.Context(), "127.0.0.1:1", fail); err == nil {
		t.Error("a run without a server succeeded")
	}
}

func TestResult(t *testing.T) {
	var slowing load.Result
	// Ten operations, one every 10 ms, then ten, one every 100 ms; operation i takes i ms.
	at := time.Duration(0)
	for i := range 20 {
		step := 10 * time.Millisecond
		if i >= 10 {
			step = 100 * time.Millisecond
		}
		at += step
		slowing.Operations = append(slowing.Operations, load.Operation{Done: at, Took: time.Duration(i) * time.Millisecond})
	}
	tests := []struct {
		name      string
		got, want float64
	}{
		{"rate", slowing.Rate(), 20 / 1.1},
		{"first", slowing.First(10), 100},
		{"last", slowing.Last(10), 10},
		{"last of more than all", slowing.Last(50), 20 / 1.1},
		{"p50", slowing.Quantile(0.5).Seconds(), 0.010},
		{"p99", slowing.Quantile(0.99).Seconds(), 0.019},
		{"p100", slowing.Quantile(1).Seconds(), 0.019},
		{"rate of nothing", load.Result{}.Rate(), 0},
		{"p50 of nothing", load.Result{}.Quantile(0.5).Seconds(), 0},
	}
	for _, test := range tests {
		if math.Abs(test.got-test.want) > 1e-9 {
			t.Errorf("%s is %g, want %g", test.name, test.got, test.want)
		}
	}
}
