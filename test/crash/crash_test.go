// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"tare/internal/refcount"
	"tare/internal/store/faultstore"
)

// scenario is an operation in a world that was made ready for it.
type scenario struct {
	name  string
	setup operation
	op    operation
	// twice: also let the second attempt die at each of its calls. It is quadratic, so the wide ones leave it out.
	twice bool
}

func scenarios() []scenario {
	return slices.Concat(blobScenarios(), pushScenarios(), deleteScenarios(), sweepScenarios(), readScenarios(), keeperScenarios(), gatheredScenarios(), directScenarios())
}

// TestCrashAtEveryCall takes each scenario, lets the process die before, in the middle of and after each store call, and
// then goes both ways: the client tries again, or never comes back.
func TestCrashAtEveryCall(t *testing.T) {
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			ready := sc.ready(t)
			calls := sc.count(t, ready)
			for k := 1; k <= calls; k++ {
				for _, action := range []faultstore.Action{faultstore.DieBefore, faultstore.DieMidway, faultstore.DieAfter} {
					t.Run(fmt.Sprintf("%s %d", action, k), func(t *testing.T) {
						sc.dieAndRetry(t, ready, faultstore.At(k, action))
						sc.dieForGood(t, ready, faultstore.At(k, action))
					})
				}
			}
		})
	}
}

// TestLivesThroughEveryFault lets each store call fail in the ways that a process survives. The operation, or the client
// that repeats it, must succeed.
func TestLivesThroughEveryFault(t *testing.T) {
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			ready := sc.ready(t)
			calls := sc.count(t, ready)
			for k := 1; k <= calls; k++ {
				for _, action := range []faultstore.Action{
					faultstore.Unavailable, faultstore.Contended, faultstore.Full, faultstore.LoseReply, faultstore.LoseCall,
				} {
					t.Run(fmt.Sprintf("%s %d", action, k), func(t *testing.T) {
						w := ready.clone(t)
						p := w.boot(faultstore.At(k, action))
						if err := sc.op(context.Background(), p); err != nil {
							if errors.Is(err, errUnexpected) && action != faultstore.Full {
								t.Log(err)
							}
							w.audit()
							if err := sc.op(context.Background(), p); err != nil {
								t.Fatal(err)
							}
						}
						w.finish()
					})
				}
			}
		})
	}
}

// TestCrashTwice lets the second attempt die as well, at each of its calls.
func TestCrashTwice(t *testing.T) {
	for _, sc := range scenarios() {
		if !sc.twice {
			continue
		}
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			ready := sc.ready(t)
			calls := sc.count(t, ready)
			for k := 1; k <= calls; k++ {
				first := ready.clone(t)
				_ = sc.op(context.Background(), first.boot(faultstore.At(k, faultstore.DieAfter)))
				for j := 1; ; j++ {
					w := first.clone(t)
					p := w.boot(faultstore.At(j, faultstore.DieAfter))
					_ = sc.op(context.Background(), p)
					if !p.Dead() {
						break
					}
					w.check(true)
					if err := sc.op(context.Background(), w.boot(nil)); err != nil {
						t.Fatalf("dead after %d, then after %d: %v", k, j, err)
					}
					w.finish()
					if t.Failed() {
						t.Fatalf("dead after %d, then after %d", k, j)
					}
				}
			}
		})
	}
}

// TestCrashWhileUnwinding lets the operation die, nobody come back, and the sweep die at each of its calls.
func TestCrashWhileUnwinding(t *testing.T) {
	for _, sc := range scenarios() {
		if !sc.twice {
			continue
		}
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			ready := sc.ready(t)
			calls := sc.count(t, ready)
			for k := 1; k <= calls; k++ {
				first := ready.clone(t)
				_ = sc.op(context.Background(), first.boot(faultstore.At(k, faultstore.DieAfter)))
				for range 2 { // the first sweep begins what the second ends
					first.clock.Advance(25 * time.Hour)
					for j := 1; ; j++ {
						w := first.clone(t)
						p := w.boot(faultstore.At(j, faultstore.DieAfter))
						_, _ = p.ledger.Sweep(context.Background(), refcount.SweepOptions{})
						if !p.Dead() {
							first = w
							break
						}
						w.blobs = map[string]promise{}
						w.finish()
						if t.Failed() {
							t.Fatalf("dead after %d, its sweep after %d", k, j)
						}
					}
				}
			}
		})
	}
}

func (sc scenario) ready(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	if sc.setup != nil {
		if err := sc.setup(context.Background(), w.boot(nil)); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// count is how many store calls the operation makes.
func (sc scenario) count(t *testing.T, ready *world) int {
	t.Helper()
	w := ready.clone(t)
	p := w.boot(nil)
	if err := sc.op(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	w.finish()
	if t.Failed() {
		t.Fatal("without a crash")
	}
	if p.Calls() == 0 {
		t.Fatal("no store calls")
	}
	return p.Calls()
}

func (sc scenario) dieAndRetry(t *testing.T, ready *world, plan faultstore.Plan) {
	t.Helper()
	w := ready.clone(t)
	p := w.boot(plan)
	if err := sc.op(context.Background(), p); err == nil && !p.Dead() {
		t.Fatal("the process lives on")
	}
	w.check(true)
	w.audit()
	if err := sc.op(context.Background(), w.boot(nil)); err != nil {
		t.Fatal(err)
	}
	w.finish()
}

func (sc scenario) dieForGood(t *testing.T, ready *world, plan faultstore.Plan) {
	t.Helper()
	w := ready.clone(t)
	_ = sc.op(context.Background(), w.boot(plan)) // what it says, nobody hears
	w.finish()
}

// finish checks everything now, again when all margins have passed, and again when all was deleted.
func (w *world) finish() {
	w.t.Helper()
	w.check(true)
	w.audit()
	w.settle()
	w.check(false)
	w.audit()
	w.empty()
}
