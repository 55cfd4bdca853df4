// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/functions/internal/cloud"
	"tare/internal/clock"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/store/memstore"
)

// The input of the schedule, as EventBridge Scheduler gives it on: as it is.
const scheduled = `{"tare":"sweep"}`

type world struct {
	*door
	t     *testing.T
	store *memstore.Store
	clock *clock.Manual
	log   *bytes.Buffer
}

func newWorld(t *testing.T, plan faultstore.Plan) *world {
	t.Helper()
	c := clock.NewManual(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	s := memstore.New(c, memstore.Options{})
	p := faultstore.New(faultstore.Options{Plan: plan})
	ledger, err := cloud.Ledger(cloud.Stores{Table: p.Table(s), Objects: s, Parts: s}, c, 0)
	if err != nil {
		t.Fatal(err)
	}
	log := new(bytes.Buffer)
	return &world{door: &door{ledger: ledger, clock: c, log: slog.New(slog.NewJSONHandler(log, nil)), on: true}, t: t, store: s, clock: c, log: log}
}

// leave leaves n blobs that nothing references, and lets a day pass.
func (w *world) leave(n int) {
	w.t.Helper()
	for i := range n {
		content := fmt.Sprintf("content %d", i)
		if _, err := w.ledger.FinishWhole(w.t.Context(), "team/app", fmt.Sprintf("%032x", i), digest.FromString(content), content); err != nil {
			w.t.Fatal(err)
		}
	}
	w.clock.Advance(25 * time.Hour)
}

// said is the last line of the log.
func (w *world) said() (line map[string]any) {
	w.t.Helper()
	lines := strings.Split(strings.TrimSpace(w.log.String()), "\n")
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &line); err != nil {
		w.t.Fatal(err)
	}
	return line
}

func (w *world) call(within time.Duration) error {
	ctx, cancel := context.WithDeadline(w.t.Context(), time.Now().Add(time.Hour))
	defer cancel()
	out, err := w.Invoke(deadlined{ctx, w.clock.Now().Add(within)}, []byte(scheduled))
	if (err == nil) != (string(out) == "{}") {
		w.t.Errorf("it answers %q, with %v", out, err)
	}
	return err
}

// deadlined is a context whose deadline is by the clock of the test.
type deadlined struct {
	context.Context
	at time.Time
}

func (d deadlined) Deadline() (time.Time, bool) { return d.at, true }

func (w *world) empty() bool {
	w.t.Helper()
	page, err := w.store.Scan(w.t.Context(), store.Key{}, 100)
	if err != nil {
		w.t.Fatal(err)
	}
	return len(page.Items) == 0
}

func TestSweeps(t *testing.T) {
	w := newWorld(t, nil)
	w.leave(3)
	for range 2 { // the repository goes in two steps
		if err := w.call(15 * time.Minute); err != nil {
			t.Fatal(err)
		}
		if line := w.said(); line["msg"] != "Swept." || line["lag"] != 0.0 || line["left"] != false || line["failed"] != 0.0 {
			t.Errorf("it said %v", line)
		}
		w.clock.Advance(time.Hour)
	}
	if err := w.call(15 * time.Minute); err != nil || !w.empty() {
		t.Errorf("something stayed, %v", err)
	}
}

func TestStopsBeforeItsEnd(t *testing.T) {
	var w *world
	w = newWorld(t, func(c faultstore.Call) faultstore.Action {
		if w != nil && c.Kind == faultstore.Commit {
			w.clock.Advance(time.Second)
		}
		return faultstore.Pass
	})
	w.leave(300)
	began := w.clock.Now()
	if err := w.call(time.Minute); err != nil {
		t.Fatal(err)
	}
	if took := w.clock.Now().Sub(began); took > time.Minute-reserve+5*time.Second {
		t.Errorf("it took %v", took)
	}
	if line := w.said(); line["left"] != true || line["lag"].(float64) < 60 || line["links"] == 0.0 {
		t.Errorf("it said %v", line)
	}
}

func TestTwoAtOnce(t *testing.T) {
	w := newWorld(t, nil)
	w.door.log = slog.New(slog.DiscardHandler)
	w.leave(50)
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() {
			for range 3 {
				if err := w.call(15 * time.Minute); err != nil {
					t.Error(err)
				}
			}
		})
	}
	both.Wait()
	w.clock.Advance(time.Hour)
	for range 2 {
		if err := w.call(15 * time.Minute); err != nil {
			t.Error(err)
		}
		w.clock.Advance(time.Hour)
	}
	if !w.empty() {
		t.Error("something stayed")
	}
}

func TestOff(t *testing.T) {
	w := newWorld(t, nil)
	w.on = false
	w.leave(1)
	if err := w.call(15 * time.Minute); err != nil || w.empty() {
		t.Errorf("it swept, or %v", err)
	}
}

func TestThrottled(t *testing.T) {
	w := newWorld(t, nil)
	w.leave(1)
	w2 := newWorld(t, func(faultstore.Call) faultstore.Action { return faultstore.Unavailable })
	if err := w2.call(15 * time.Minute); err == nil {
		t.Error("a sweep that could not be done is no failure")
	}
}

func TestWrongEvents(t *testing.T) {
	w := newWorld(t, nil)
	w.leave(1)
	for _, payload := range []string{"", "null", "{}", "[]", `{"tare":"settle"}`, `{"tare":"sweep","x":1}`, `{"tare":"sweep"}{}`, `{"tare":1}`,
		`{"version":"0","detail-type":"Scheduled Event","source":"aws.events","detail":{}}`} {
		if _, err := w.Invoke(t.Context(), []byte(payload)); err == nil {
			t.Errorf("%s: no error", payload)
		}
	}
	if w.empty() {
		t.Error("a wrong event swept")
	}
}
