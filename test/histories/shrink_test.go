// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"slices"

	"tare/internal/store"
)

// maxTries bounds how many smaller scripts are tried.
const maxTries = 3000

// shrinker looks for a smaller script that fails as a first one did.
type shrinker struct {
	best  tried
	kind  string
	plant func(store.Table) store.Table
	tries int
}

// shrink leaves out whatever is not needed for the failure: operations, clients, turns, faults, the order of the clock.
func (tr tried) shrink(plant func(store.Table) store.Table) tried {
	s := &shrinker{best: tr, kind: tr.world.faults[0].kind, plant: plant}
	for smaller := true; smaller && s.tries < maxTries; {
		smaller = s.dropOperations()
		smaller = s.dropTurns() || smaller
		smaller = s.calm() || smaller
	}
	s.better(s.best.compact())
	return s.best
}

// compact leaves out the clients who do nothing, and gives the others their names.
func (sc script) compact() script {
	places := make([]int, len(sc.clients))
	var clients [][]operation
	for i, ops := range sc.clients {
		places[i] = len(clients)
		if len(ops) > 0 {
			clients = append(clients, ops)
		}
	}
	turns := []turn{}
	for _, t := range sc.turns {
		if t.advance == 0 {
			if len(sc.clients[t.client]) == 0 {
				continue
			}
			t.client = places[t.client]
		}
		turns = append(turns, t)
	}
	sc.clients, sc.turns = clients, turns
	return sc
}

// better takes a script for the best one if it still fails.
func (s *shrinker) better(sc script) bool {
	if s.tries++; s.tries > maxTries {
		return false
	}
	tr := sc.try(s.plant)
	if !tr.fails(s.kind) {
		return false
	}
	tr.script = sc // its own turns: those that were passed over are dropped one by one
	s.best = tr
	return true
}

// dropOperations leaves out clients, then single operations.
func (s *shrinker) dropOperations() (smaller bool) {
	for i := len(s.best.clients) - 1; i >= 0; i-- {
		if len(s.best.clients[i]) == 0 {
			continue
		}
		sc := s.best.script
		sc.clients = slices.Clone(sc.clients)
		sc.clients[i] = nil // the others keep their names
		smaller = s.better(sc) || smaller
	}
	for i := range s.best.clients {
		for j := len(s.best.clients[i]) - 1; j >= 0; j-- {
			sc := s.best.script
			sc.clients = slices.Clone(sc.clients)
			sc.clients[i] = slices.Delete(slices.Clone(sc.clients[i]), j, j+1)
			smaller = s.better(sc) || smaller
		}
	}
	for j := len(s.best.setup) - 1; j >= 0; j-- {
		sc := s.best.script
		sc.setup = slices.Delete(slices.Clone(sc.setup), j, j+1)
		smaller = s.better(sc) || smaller
	}
	if s.best.opts.apart {
		sc := s.best.script
		sc.opts.apart, sc.opts.backward = false, false
		smaller = s.better(sc) || smaller
	}
	if s.best.opts.gathers {
		sc := s.best.script
		sc.opts.gathers = false
		smaller = s.better(sc) || smaller
	}
	return smaller
}

// dropTurns leaves out turns, many at once as long as that goes.
func (s *shrinker) dropTurns() (smaller bool) {
	for size := (len(s.best.turns) + 1) / 2; size > 0; size /= 2 {
		for at := len(s.best.turns) - size; at >= 0; at -= size {
			if at+size > len(s.best.turns) {
				continue
			}
			sc := s.best.script
			sc.turns = slices.Delete(slices.Clone(sc.turns), at, at+size)
			smaller = s.better(sc) || smaller
		}
	}
	return smaller
}

// calm takes faults out of turns.
func (s *shrinker) calm() (smaller bool) {
	for i := range s.best.turns {
		t := s.best.turns[i]
		for _, simpler := range []turn{{client: t.client}, {client: t.client, action: t.action}} {
			if t.advance == 0 && !t.land && s.best.turns[i] != simpler && (t.hangUp || t.action != simpler.action) {
				sc := s.best.script
				sc.turns = slices.Clone(sc.turns)
				sc.turns[i] = simpler
				smaller = s.better(sc) || smaller
			}
		}
	}
	return smaller
}
