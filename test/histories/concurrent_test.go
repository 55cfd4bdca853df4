// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tare/internal/store"
)

var (
	oneSeed = flag.Uint64("seed", 0, "run this seed alone, and say what happens in it; 0: many")
	seeds   = flag.Int("seeds", 2000, "how many seeds to run at once, and a tenth as many one after another")
	first   = flag.Uint64("first", 1, "the first of them")
)

// tried is what came of a script.
type tried struct {
	script // with its turns as they were taken
	world  *world
}

// try runs a script and judges what came of it.
func (sc script) try(plant func(store.Table) store.Table) tried {
	w, turns := sc.run(plant)
	if len(w.faults) == 0 {
		w.judge()
		w.check()
	}
	sc.turns = turns
	return tried{sc, w}
}

// fails tells whether a script fails in the way that kind says, "" for any.
func (tr tried) fails(kind string) bool {
	for _, f := range tr.world.faults {
		if kind == "" || f.kind == kind {
			return true
		}
	}
	return false
}

// String says what was wrong, what happened, and the script.
func (tr tried) String() string {
	var b strings.Builder
	for i, f := range tr.world.faults {
		if i == 10 {
			fmt.Fprintf(&b, "and %d more\n", len(tr.world.faults)-i)
			break
		}
		fmt.Fprintln(&b, f.text)
	}
	fmt.Fprintf(&b, "\nwhat was asked and answered:\n%s\nas a script:\n%s", &tr.world.history, tr.script)
	return b.String()
}

// TestConcurrent lets clients and collectors work at once, one schedule for each seed.
func TestConcurrent(t *testing.T) {
	if *oneSeed != 0 {
		tr := generatorOf(*oneSeed).script(*oneSeed).try(nil)
		if !tr.fails("") {
			t.Log(tr)
			return
		}
		t.Errorf("seed %d:\n%s", *oneSeed, tr)
		t.Errorf("made smaller:\n%s", tr.shrink(nil))
		return
	}
	failed := each(t, *seeds, func(seed uint64) bool { return generatorOf(seed).script(seed).try(nil).fails("") })
	for _, seed := range failed {
		tr := generatorOf(seed).script(seed).try(nil)
		t.Errorf("seed %d fails; again: go test ./test/histories -run 'TestConcurrent$' -seed %d\nmade smaller, for testdata:\n%s", seed, seed, tr.shrink(nil))
	}
}

// TestDistantTable lets clients and collectors work at once on a table that may still apply what it has refused when it was
// repeated. To ledgers that know it, it is as any other: no answer is ever taken back.
func TestDistantTable(t *testing.T) {
	distant := func(seed uint64) script {
		sc := generatorOf(seed).script(seed)
		sc.opts.distant = true
		return sc
	}
	for _, seed := range each(t, *seeds, func(seed uint64) bool { return distant(seed).try(nil).fails("") }) {
		t.Errorf("seed %d fails; made smaller, for testdata:\n%s", seed, distant(seed).try(nil).shrink(nil))
	}
}

// To ledgers that do not know it, it is not: the scripts that showed so are found out, and hold where it is known.
func TestDistantTableScripts(t *testing.T) {
	for _, name := range []string{"late-push-after-404", "late-push-after-412", "late-push-after-untag"} {
		t.Run(name, func(t *testing.T) {
			sc := readScript(t, filepath.Join("testdata/failed", name))
			sc.opts.distant = true
			if tr := sc.try(nil); tr.fails("") {
				t.Errorf("on a distant table:\n%s", tr)
			}
			sc.opts.distant, sc.opts.hasty = false, true
			if tr := sc.try(nil); !tr.fails("") {
				t.Errorf("nothing is found where the ledger takes the table for a near one:\n%s", tr)
			}
		})
	}
}

// maxFailures is how many failing seeds are shown.
const maxFailures = 3

// each calls bad for n seeds, on all processors, and returns the first that are.
func each(t *testing.T, n int, bad func(seed uint64) bool) []uint64 {
	t.Helper()
	var next, count atomic.Int64
	var mu sync.Mutex // guards failed
	var failed []uint64
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for count.Load() < maxFailures {
				i := next.Add(1) - 1
				if i >= int64(n) {
					return
				}
				if seed := *first + uint64(i); bad(seed) {
					count.Add(1)
					mu.Lock()
					failed = append(failed, seed)
					mu.Unlock()
				}
			}
		})
	}
	workers.Wait()
	t.Logf("%d seeds from %d on", min(next.Load(), int64(n)), *first)
	return failed
}

// TestScripts runs the scripts of testdata/failed, each of which failed once.
func TestScripts(t *testing.T) {
	names, err := filepath.Glob("testdata/failed/*")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		t.Run(filepath.Base(name), func(t *testing.T) {
			sc := readScript(t, name)
			var calls strings.Builder
			sc.opts.log = &calls
			if tr := sc.try(nil); tr.fails("") {
				t.Errorf("%s\nstore calls:\n%s", tr, &calls)
			}
		})
	}
}

func readScript(t *testing.T, name string) script {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	sc, err := parseScript(string(text))
	if err != nil {
		t.Fatal(err)
	}
	return sc
}
