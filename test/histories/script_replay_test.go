// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"runtime"
	"strings"
	"sync"
	"testing"
)

// happened runs a script and describes all that happened in it: every store call, every answer, every turn.
func happened(sc script) string {
	var calls strings.Builder
	sc.opts.log = &calls
	w, turns := sc.run(nil)
	sc.turns = turns
	return calls.String() + w.history.String() + sc.String()
}

// One seed is one history: the same however often it runs, on however many processors, and beside whatever else.
func TestOneSeedOneHistory(t *testing.T) {
	const n = 30
	var want [n]string
	for seed := range want {
		want[seed] = happened(generatorOf(uint64(seed)).script(uint64(seed)))
	}
	for procs := 1; procs <= 4; procs++ {
		before := runtime.GOMAXPROCS(procs)
		var all sync.WaitGroup
		for seed := range want {
			all.Go(func() {
				if got := happened(generatorOf(uint64(seed)).script(uint64(seed))); got != want[seed] {
					t.Errorf("seed %d on %d processors:\n%s\nand before:\n%s", seed, procs, got, want[seed])
				}
			})
		}
		all.Wait()
		runtime.GOMAXPROCS(before)
	}
}

// What was written down happens again.
func TestScriptsHappenAgain(t *testing.T) {
	for seed := range uint64(30) {
		sc := generatorOf(seed).script(seed)
		want := happened(sc)
		_, sc.turns = sc.run(nil)
		again, err := parseScript(sc.String())
		if err != nil {
			t.Fatal(err)
		}
		if got := happened(again); got != want {
			t.Fatalf("seed %d:\n%s\nand by its script:\n%s", seed, want, got)
		}
	}
}

func TestScriptsThatSayNothing(t *testing.T) {
	for _, text := range []string{
		"a line", "seed x", "client: fly p b1", "client: upload p b9", "client: push p m1 z", "client: wait long",
		"turns: aa", "turns: a:unknown", "turns: +long",
	} {
		if sc, err := parseScript(text); err == nil {
			t.Errorf("%q says %s", text, sc)
		}
	}
}
