// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"
)

// patience bounds the check of one register. These histories are small: one that takes this long has to be looked at.
const patience = 20 * time.Second

// check looks for an order of the requests that explains what the clients were told, for each tag of a repository and for
// each digest in a repository. What cannot be explained is a fault of the world.
func (w *world) check() {
	h := &w.history
	h.relate()
	for r := range repos {
		for t := range tags {
			w.explain(tag, fmt.Sprintf("tag %s of %s", tagName(t), repoName(r)), h.operations(func(e *event) (any, bool) {
				if e.repo != r || e.verb == sweep {
					return nil, false
				}
				return boxed(e.onTag(t))
			}))
		}
		for b := range blobs {
			w.explain(presence, fmt.Sprintf("blob b%d in %s", b, repoName(r)), h.operations(func(e *event) (any, bool) {
				return boxed(e.onBlob(r, b))
			}))
		}
		for m := range manifests {
			w.explain(presence, fmt.Sprintf("manifest m%d in %s", m, repoName(r)), h.operations(func(e *event) (any, bool) {
				if e.repo != r {
					return nil, false
				}
				return boxed(e.onManifest(m))
			}))
		}
	}
}

func boxed[T any](step T, ok bool) (any, bool) { return step, ok }

// relate finds what an answer may owe to another request that was under way.
func (h *history) relate() {
	for _, e := range h.events {
		for _, f := range h.events {
			if e == f || e.repo != f.repo {
				continue
			}
			switch {
			case e.verb == erase && f.erases(e.manifest) && e.meets(f):
				e.shared = true
			case e.verb == undelete && f.erases(e.manifest) && e.meets(f) && e.answer.outcome == refused:
				e.contested = true
			case e.verb == remove || e.verb == erase:
				// A stage holds what its manifest lists before the manifest is there; one that was left holds it for a while.
				if f.stages() && f.asked < e.over() && (f.answer.outcome != done || f.answered > e.asked) && f.listsWhatGoes(e) {
					e.stageHeld = true
				}
			}
		}
	}
	for _, e := range h.events {
		if e.contested {
			e.answer.outcome = unknown
		}
	}
}

// stages tells whether a request may go in several steps, and so may leave something half-way.
func (e *event) stages() bool {
	return e.verb == undelete || e.verb == push
}

// listsWhatGoes tells whether the manifest of a request lists what another one takes away.
func (e *event) listsWhatGoes(f *event) bool {
	gone := reference{true, f.manifest}
	if f.verb == remove {
		gone = reference{false, f.blob}
	}
	listed := manifests[e.manifest].lists(gone)
	for _, m := range referrers(e.manifest) { // they are undeleted with it
		listed = listed || e.verb == undelete && manifests[m].lists(gone)
	}
	return listed
}

// operations are the steps of a history at one register.
func (h *history) operations(step func(*event) (any, bool)) []porcupine.Operation {
	var ops []porcupine.Operation
	add := func(e *event) {
		if s, ok := step(e); ok {
			ops = append(ops, porcupine.Operation{Input: s, Call: e.asked, Return: e.over()})
		}
	}
	for _, e := range h.events {
		add(e)
		for _, g := range e.ghosts() {
			add(g)
		}
	}
	return ops
}

// explain looks for an order at one register.
func (w *world) explain(spec porcupine.Model, register string, ops []porcupine.Operation) {
	if len(ops) == 0 {
		return
	}
	result := porcupine.CheckOperationsTimeout(spec, ops, patience)
	if result == porcupine.Ok {
		return
	}
	var lines []string
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	for _, op := range ops {
		lines = append(lines, spec.DescribeOperation(op.Input, op.Output))
	}
	kind, _, _ := strings.Cut(register, " ")
	w.fail(kind, "%s: %s: no order explains\n%s", register, result, strings.Join(lines, "\n"))
}
