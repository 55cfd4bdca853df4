// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"fmt"
	"io"
	"maps"
	"slices"
)

// Report is what was seen so far.
type Report struct {
	Refusals []Refusal      // the first thousand
	Calls    map[string]int // by actor and call, as "Api GetItem"
	Unused   []string       // actions and resources of statements that let nothing pass
}

// Report tells what was refused and which permissions nothing has used. A statement's action counts as used with any of
// its resources, and a resource with any of its actions.
func (j *Judge) Report() Report {
	j.mu.Lock()
	defer j.mu.Unlock()
	seen := map[string]bool{}
	for u := range j.used {
		seen[u.Statement+": "+u.Action], seen[u.Statement+": "+u.Resource] = true, true
	}
	unused := map[string]bool{}
	for _, a := range j.actors {
		if a.id == deployer {
			continue
		}
		for _, d := range a.documents {
			for _, p := range d.Permissions() {
				for _, line := range []string{p.Statement + ": " + p.Action, p.Statement + ": " + p.Resource} {
					if !seen[line] {
						unused[line] = true
					}
				}
			}
		}
	}
	return Report{slices.Clone(j.refusals), maps.Clone(j.calls), slices.Sorted(maps.Keys(unused))}
}

// Faults are the refusals that are no client's fault: a missing permission, a call that is not known.
func (r Report) Faults() []Refusal {
	return slices.DeleteFunc(slices.Clone(r.Refusals), func(refusal Refusal) bool { return refusal.Kind == Signature })
}

// Print writes the report for a person.
func (r Report) Print(w io.Writer) {
	for _, call := range slices.Sorted(maps.Keys(r.Calls)) {
		fmt.Fprintf(w, "%8d  %s\n", r.Calls[call], call)
	}
	for _, u := range r.Unused {
		fmt.Fprintf(w, "never used: %s\n", u)
	}
	times := map[string]int{}
	for _, refusal := range r.Refusals {
		if refusal.Kind == Signature {
			refusal = Refusal{Kind: Signature, Actor: refusal.Actor, Why: refusal.Why} // of any object
		}
		times[refusal.String()]++
	}
	for _, refusal := range slices.Sorted(maps.Keys(times)) {
		fmt.Fprintf(w, "refused %d times: %s\n", times[refusal], refusal)
	}
}
