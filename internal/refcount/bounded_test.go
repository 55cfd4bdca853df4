// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/faultstore"
)

// ticking makes a process on whose clock each read of rows takes a second.
func ticking(w *world, untagged time.Duration) *refcount.Ledger {
	w.t.Helper()
	p := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		if c.Kind == faultstore.Query || c.Kind == faultstore.Get {
			w.clock.Advance(time.Second)
		}
		return faultstore.Pass
	}})
	margins := w.Margins()
	margins.Untagged = untagged
	l, err := refcount.New(refcount.Stores{Table: p.Table(w.store), Objects: w.store, Parts: w.store}, w.clock,
		refcount.Config{Margins: margins, InlineLimit: 64, NewToken: seededTokens(99)})
	w.must(err)
	return l
}

// A sweep stops at its time, says that work is left, and the next one goes on, until nothing is overdue.
func TestSweepStopsInTime(t *testing.T) {
	w := newWorld(t)
	for i := range 30 {
		w.upload(repo, fmt.Sprintf("content %d", i))
	}
	w.clock.Advance(25 * time.Hour)
	overdue, err := w.Overdue(t.Context())
	w.must(err)
	if overdue != time.Hour {
		t.Errorf("overdue by %v, want an hour", overdue)
	}
	l := ticking(w, 0)
	calls := 0
	for left := true; left; calls++ {
		began := w.clock.Now()
		report, err := l.Sweep(t.Context(), refcount.SweepOptions{Until: began.Add(10 * time.Second)})
		w.must(err)
		if took := w.clock.Now().Sub(began); took > 15*time.Second {
			t.Fatalf("it took %v", took)
		}
		if left = report.Left; calls > 100 {
			t.Fatal("it comes to no end")
		}
	}
	if calls < 3 {
		t.Errorf("%d calls: it did not stop", calls)
	}
	w.settle()
	if overdue, err = w.Overdue(t.Context()); err != nil || overdue > 0 {
		t.Errorf("after all, overdue by %v, %v", overdue, err)
	}
}

// A rule that is turned on finds what was there before it, in as many calls as it takes, and costs one read from then on.
// Turned off and on again, it does so again.
func TestRuleGoesOn(t *testing.T) {
	w := newWorld(t)
	lone := map[oci.Repository]oci.Digest{}
	for i := range 6 {
		name := oci.Repository(fmt.Sprintf("team/app%d", i))
		d, err := w.push(name, "lone", nil)
		w.must(err)
		lone[name] = d
	}
	l := ticking(w, 48*time.Hour)
	run := func() (calls int) {
		for left := true; left; calls++ {
			var err error
			left, err = l.GoOnUntagged(t.Context(), w.clock.Now().Add(3*time.Second))
			w.must(err)
			if calls > 200 {
				t.Fatal("it comes to no end")
			}
			w.clock.Advance(time.Minute)
		}
		return calls
	}
	if calls := run(); calls < 6 {
		t.Errorf("%d calls: it did not stop in time", calls)
	}
	reads := 0
	counted := faultstore.New(faultstore.Options{Plan: func(faultstore.Call) faultstore.Action { reads++; return faultstore.Pass }})
	margins := w.Margins()
	margins.Untagged = 48 * time.Hour
	again, err := refcount.New(refcount.Stores{Table: counted.Table(w.store), Objects: w.store, Parts: w.store}, w.clock, refcount.Config{Margins: margins})
	w.must(err)
	if left, err := again.GoOnUntagged(t.Context(), w.clock.Now().Add(time.Hour)); left || err != nil || reads != 1 {
		t.Errorf("once more: left %v, %v, %d calls of the store", left, err, reads)
	}
	w.audit()

	off, err := w.GoOnUntagged(t.Context(), w.clock.Now()) // w has no rule
	if off || err != nil {
		t.Errorf("off: %v, %v", off, err)
	}
	rows, err := w.store.Get(context.Background(), store.Key{PK: "w", SK: "untagged"})
	if w.must(err); rows[0] != nil {
		t.Error("the progress of a rule that is off was kept")
	}
	if run() < 6 {
		t.Error("turned on again, it went nowhere")
	}

	w.clock.Advance(50 * time.Hour)
	for range 10 {
		_, err := l.Sweep(t.Context(), refcount.SweepOptions{})
		w.must(err)
		w.clock.Advance(24 * time.Hour)
	}
	for name, d := range lone {
		_, err := w.FindManifest(t.Context(), name, d)
		w.mustBe(err, oci.ManifestUnknown)
	}
}

// A process that dies at any call of the walk leaves one that the next goes on with.
func TestRuleSurvivesCrashes(t *testing.T) {
	for call := 1; call < 12; call++ {
		for _, action := range []faultstore.Action{faultstore.DieBefore, faultstore.DieAfter, faultstore.LoseReply} {
			w := newWorld(t)
			d, err := w.push(repo, "lone", nil)
			w.must(err)
			p := faultstore.New(faultstore.Options{Plan: faultstore.At(call, action)})
			margins := w.Margins()
			margins.Untagged = 48 * time.Hour
			make := func(table store.Table) *refcount.Ledger {
				l, err := refcount.New(refcount.Stores{Table: table, Objects: w.store, Parts: w.store}, w.clock, refcount.Config{Margins: margins})
				w.must(err)
				return l
			}
			_, _ = make(p.Table(w.store)).GoOnUntagged(t.Context(), w.clock.Now().Add(time.Hour))
			l := make(w.store)
			for left := true; left; w.clock.Advance(time.Hour) {
				left, err = l.GoOnUntagged(t.Context(), w.clock.Now().Add(time.Hour))
				w.must(err)
			}
			w.clock.Advance(50 * time.Hour)
			for range 3 {
				_, err = l.Sweep(t.Context(), refcount.SweepOptions{})
				w.must(err)
				w.clock.Advance(24 * time.Hour)
			}
			_, err = w.FindManifest(t.Context(), repo, d)
			w.mustBe(err, oci.ManifestUnknown)
		}
	}
}
