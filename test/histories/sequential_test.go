// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tare/internal/store/diskstore"
)

// sequenceLength is how many operations a sequence has.
const sequenceLength = 60

// follow compares what a world was told with the model of the whole registry. It returns what was wrong, "" for nothing.
func (w *world) follow() string {
	m := newModel()
	for i, e := range w.history.events {
		if want := m.step(e); want != "" {
			var b strings.Builder
			for _, e := range w.history.events[:i+1] {
				fmt.Fprintln(&b, e)
			}
			return b.String() + "want: " + want
		}
	}
	return ""
}

// sequence lets one client do things in a world, and judges it.
func (w *world) sequence(ops []operation) string {
	w.alone("client", ops...)
	w.judge()
	wrong := w.follow()
	for _, f := range w.faults {
		wrong += "\n" + f.text
	}
	return wrong
}

// smaller leaves out operations that a sequence does not need in order to go wrong.
func smaller(ops []operation, wrong func([]operation) string) []operation {
	for size := len(ops) / 2; size > 0; size /= 2 {
		for at := len(ops) - size; at >= 0; at -= size {
			if fewer := slices.Delete(slices.Clone(ops), at, at+size); wrong(fewer) != "" {
				ops = fewer
			}
		}
	}
	return ops
}

// TestSequential lets one client do one thing after another, with pauses and restarts in between, in memory.
func TestSequential(t *testing.T) {
	sequences(t, *seeds/10, func(t *testing.T, seed uint64, ops []operation) string {
		return newWorld(seed, options{gathers: gathers(seed)}).sequence(ops)
	})
}

// TestSequentialOnDisk does the same in a folder, which is closed and opened again at each restart.
func TestSequentialOnDisk(t *testing.T) {
	sequences(t, *seeds/100, func(t *testing.T, seed uint64, ops []operation) string {
		w := newWorld(seed, options{})
		w.onDisk(t)
		return w.sequence(ops)
	})
}

// onDisk gives the world a folder for its store.
func (w *world) onDisk(t *testing.T) {
	dir := t.TempDir()
	var s *diskstore.Store
	w.open = func() durable {
		if s != nil {
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if s, err = diskstore.Open(dir, diskstore.Options{Clock: w.clock, LogSize: 1 << 20, Headroom: 64 << 10}); err != nil {
			t.Fatal(err)
		}
		return s
	}
	w.reopen()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
}

func sequences(t *testing.T, n int, run func(t *testing.T, seed uint64, ops []operation) string) {
	from, n := *first, max(n, 1)
	if *oneSeed != 0 {
		from, n = *oneSeed, 1
	}
	for seed := from; seed < from+uint64(n); seed++ {
		ops := generatorOf(seed).sequence(sequenceLength)
		if run(t, seed, ops) == "" {
			continue
		}
		ops = smaller(ops, func(ops []operation) string { return run(t, seed, ops) })
		t.Fatalf("seed %d fails; again: go test ./test/histories -run '%s$' -seed %d\n%s\nas a sequence: %v", seed, t.Name(), seed, run(t, seed, ops), ops)
	}
	t.Logf("%d seeds from %d on", n, from)
}
