// SPDX-License-Identifier: Apache-2.0

package faultstore_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"tare/internal/clock"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/store/memstore"
)

// scheduled lets four parties count at one row, each by reading it and committing what it read plus one, and returns all
// that happened, and what the row came to.
func scheduled(t *testing.T, seed uint64) (trace string, counted int64) {
	t.Helper()
	s := memstore.New(clock.NewManual(start), memstore.Options{})
	var sched faultstore.Scheduler
	var b strings.Builder
	names := map[*faultstore.Party]string{}
	for i := range 4 {
		name := fmt.Sprint("party ", i)
		p := sched.Start(func(p *faultstore.Party) {
			for life := range 3 {
				process := faultstore.New(faultstore.Options{Plan: p.Turn, Done: func(c faultstore.Call, err error) {
					fmt.Fprintln(&b, name, c, err)
				}})
				table := process.Table(s)
				for n := 0; !process.Dead() && n < 20; n++ {
					add(t, table, fmt.Sprint(name, life, n))
				}
			}
		})
		names[p] = name
	}
	src := rand.New(rand.NewPCG(seed, 1))
	for waiting := sched.Waiting(); len(waiting) > 0; waiting = sched.Waiting() {
		p := waiting[src.IntN(len(waiting))]
		action := faultstore.Pass
		if src.IntN(20) == 0 {
			action = []faultstore.Action{faultstore.DieAfter, faultstore.Unavailable, faultstore.LoseReply}[src.IntN(3)]
		}
		fmt.Fprintln(&b, names[p], p.Call().Kind, action)
		p.Let(action)
	}
	rows, err := s.Get(t.Context(), theKey)
	if err != nil {
		t.Fatal(err)
	}
	return b.String(), rows[0].Num("n")
}

// add reads the row and commits one more, if it is as it was read.
func add(t *testing.T, table store.Table, token string) {
	rows, err := table.Get(t.Context(), theKey)
	if err != nil {
		return
	}
	cond := store.Cond{Is: store.Absent}
	if rows[0] != nil {
		cond = store.Cond{Attr: "n", Is: store.Equal, Value: store.Int(rows[0].Num("n"))}
	}
	_ = table.Commit(t.Context(), store.Tx{Token: token, Ops: []store.Op{{
		Key: theKey, Kind: store.OpUpdate, Add: []store.Attr{{Name: "n", Value: store.Int(1)}}, If: []store.Cond{cond},
	}}})
}

// One seed is one schedule, however many processors there are and whatever else they do.
func TestOneSeedOneSchedule(t *testing.T) {
	seen := map[string]bool{}
	for seed := range uint64(20) {
		want, n := scheduled(t, seed)
		seen[want] = true
		for procs := 1; procs <= 4; procs++ {
			before := runtime.GOMAXPROCS(procs)
			got, m := scheduled(t, seed)
			runtime.GOMAXPROCS(before)
			if got != want || m != n {
				t.Fatalf("seed %d on %d processors came to %d by\n%s\nand before to %d by\n%s", seed, procs, m, got, n, want)
			}
		}
	}
	if len(seen) != 20 {
		t.Errorf("20 seeds made %d schedules", len(seen))
	}
}

// The parties do meet: what one read, another has changed when it commits.
func TestScheduledPartiesMeet(t *testing.T) {
	trace, _ := scheduled(t, 1)
	if !strings.Contains(trace, "refused by operation") {
		t.Fatalf("no commit was refused:\n%s", trace)
	}
}

func TestSchedulerStops(t *testing.T) {
	s := memstore.New(clock.NewManual(start), memstore.Options{})
	var sched faultstore.Scheduler
	ended := 0
	for range 3 {
		sched.Start(func(p *faultstore.Party) {
			for !p.Gone() {
				process := faultstore.New(faultstore.Options{Plan: p.Turn})
				for !process.Dead() {
					_, _ = process.Table(s).Get(t.Context(), theKey)
				}
			}
			ended++
		})
	}
	sched.Waiting()[1].Let(faultstore.Pass)
	sched.Stop()
	if ended != 3 || len(sched.Waiting()) != 0 {
		t.Fatalf("%d parties ended, and %d wait", ended, len(sched.Waiting()))
	}
	sched.Stop()
}

func TestPartyWithoutCallsEnds(t *testing.T) {
	var sched faultstore.Scheduler
	ran := false
	sched.Start(func(*faultstore.Party) { ran = true })
	if len(sched.Waiting()) != 0 || !ran {
		t.Fatal("it waits, or did not run")
	}
}

// A party whose calls overlap has no order that a seed could decide.
func TestOverlappingCallsOfAParty(t *testing.T) {
	s := memstore.New(clock.NewManual(start), memstore.Options{})
	var sched faultstore.Scheduler
	waits, panicked := make(chan struct{}), make(chan any)
	p := sched.Start(func(p *faultstore.Party) {
		table := faultstore.New(faultstore.Options{Plan: p.Turn}).Table(s)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = table.Get(t.Context(), theKey)
		}()
		<-waits
		func() {
			defer func() { panicked <- recover() }()
			_, _ = table.Get(t.Context(), theKey)
		}()
		<-done
	})
	close(waits)
	if <-panicked == nil {
		t.Error("the second of two calls at once waited")
	}
	p.Let(faultstore.Pass)
	if len(sched.Waiting()) != 0 {
		t.Error("the party did not end")
	}
}
