// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

// The specifications are those of test/histories, without what has no request over HTTP: undelete, and without referrers.

// Margins that the functions have (refcount.DefaultMargins), in milliseconds.
const (
	lease      = int64(12 * time.Hour / time.Millisecond)
	undoWindow = lease
)

// patience bounds the check of one register.
const patience = 60 * time.Second

// step is what a request does to, or shows of, a register.
type step struct {
	event *event
	do    verbOf
	self  bool // the digest is a manifest's: it goes by nobody's hand but a person's
	at    int  // a manifest
	old   int  // swaps, differs: the manifest that the client named; none: no tag
	until int64
}

type verbOf uint8

const (
	// of a tag, whose state is the manifest that it points to, or none
	points verbOf = iota
	swaps
	differs
	goes
	drops
	found
	exists
	absent

	// of a digest
	brought
	seen
	missing
	held
	freed
	removed
	inUse
)

// tagRegister is a compare-and-swap register.
var tagRegister = porcupine.Model{
	Init: func() any { return none },
	Step: func(state, input, _ any) (bool, any) {
		ok, next := input.(step).onTag(state.(int))
		return ok, next
	},
	DescribeOperation: func(input, _ any) string { return input.(step).event.String() },
}

func (s step) onTag(state int) (bool, int) {
	maybe := s.event.outcome == unknown
	switch s.do {
	case points:
		return true, s.at
	case swaps:
		if state == s.old {
			return true, s.at
		}
		return maybe, state
	case differs:
		return state != s.old, state
	case goes:
		return maybe || state != none, none
	case drops:
		if state == s.at {
			return true, none
		}
		return true, state
	case found:
		return state == s.at, state
	case exists:
		return state != none, state
	case absent:
		return state == none, state
	}
	panic("a step of no tag")
}

// presence is what a client may rely on who was told of a digest in a repository.
type presence struct {
	there  bool
	until  int64
	heldBy uint16
}

var digestRegister = porcupine.Model{
	Init: func() any { return presence{} },
	Step: func(state, input, _ any) (bool, any) {
		ok, next := input.(step).onDigest(state.(presence))
		return ok, next
	},
	DescribeOperation: func(input, _ any) string { return input.(step).event.String() },
}

func (s step) onDigest(d presence) (bool, presence) {
	maybe, was := s.event.outcome == unknown, d
	switch s.do {
	case brought:
		d.there, d.until = true, max(d.until, s.until)
		return true, d
	case seen:
		d.until = max(d.until, s.until)
		return d.there && (!s.event.settled || s.self || d.heldBy != 0), d
	case missing:
		right := !was.there || !s.self && d.heldBy == 0 && s.event.answered >= d.until
		d.there, d.until = false, 0
		return right && (!s.event.settled || d.heldBy == 0), d
	case held:
		if !d.there {
			return maybe, was
		}
		d.heldBy |= 1 << s.at
		return true, d
	case freed:
		d.heldBy &^= 1 << s.at
		d.until = max(d.until, s.until)
		return true, d
	case removed:
		if !d.there || d.heldBy != 0 {
			return maybe || !d.there && s.event.shared, was
		}
		d.there, d.until = false, 0
		return true, d
	case inUse:
		return d.there && d.heldBy != 0 || s.event.staged, was
	}
	panic("a step of no digest")
}

// promise is the end of a promise that an answer makes; 0 where there was none.
func (e *event) promise(d int64) int64 {
	if e.outcome == unknown {
		return 0
	}
	return e.asked + d
}

func (e *event) atTag(t int) (step, bool) {
	on := func(do verbOf, at, old int) (step, bool) { return step{event: e, do: do, at: at, old: old}, true }
	switch {
	case e.verb == push && e.tag == t:
		switch {
		case e.outcome == refused && e.missing != none:
		case e.outcome == refused:
			return on(differs, none, e.ifMatch)
		case e.ifAbsent || e.ifMatch != none:
			return on(swaps, e.manifest, e.ifMatch)
		default:
			return on(points, e.manifest, none)
		}
	case e.verb == get && e.tag == t && e.outcome == done:
		return on(found, e.manifest, none)
	case e.verb == get && e.tag == t && e.outcome == refused:
		return on(absent, none, none)
	case e.verb == untag && e.tag == t && e.outcome == refused:
		return on(absent, none, none)
	case e.verb == untag && e.tag == t:
		return on(goes, none, none)
	case e.verb == erase && e.outcome != refused:
		return on(drops, e.manifest, none)
	case e.verb == list && e.outcome != unknown && e.listed[t]:
		return on(exists, none, none)
	case e.verb == list && e.outcome != unknown:
		return on(absent, none, none)
	}
	return step{}, false
}

func (e *event) atBlob(r, b int) (step, bool) {
	on := func(do verbOf, until int64) (step, bool) {
		return step{event: e, do: do, at: e.manifest, until: until}, true
	}
	if e.verb == mount && e.blob == b {
		switch {
		case e.outcome == done && !e.mounted: // neither repository has it
			return on(missing, 0)
		case e.repo == r:
			return on(brought, e.promise(lease))
		}
		return step{}, false
	}
	if e.repo != r {
		return step{}, false
	}
	lists := e.manifest != none && slices.Contains(manifests[e.manifest].lists, b)
	switch {
	case e.verb == push && e.outcome == refused && e.missing == b:
		return on(missing, 0)
	case e.verb == push && e.outcome != refused && lists:
		return on(held, 0)
	case e.verb == erase && e.outcome != refused && lists:
		return on(freed, e.promise(undoWindow))
	case e.verb == get && e.outcome == done && lists:
		return on(seen, e.promise(lease))
	case e.blob != b:
	case e.verb == upload && e.outcome != refused:
		return on(brought, e.promise(lease))
	case e.verb == head || e.verb == fetch:
		return e.sight(on, e.promise(lease))
	case e.verb == remove:
		return e.removal(on)
	}
	return step{}, false
}

func (e *event) atManifest(m int) (step, bool) {
	on := func(do verbOf, until int64) (step, bool) {
		return step{event: e, do: do, self: true, at: m, until: until}, true
	}
	switch {
	case e.manifest != m:
	case e.verb == get && e.outcome == done:
		return on(seen, 0)
	case e.verb == get && e.outcome == refused && e.tag == none:
		return on(missing, 0)
	case e.verb == push && e.outcome != refused:
		return on(brought, 0)
	case e.verb == erase:
		return e.removal(on)
	}
	return step{}, false
}

func (e *event) sight(on func(verbOf, int64) (step, bool), until int64) (step, bool) {
	switch e.outcome {
	case done:
		return on(seen, until)
	case refused:
		return on(missing, 0)
	}
	return step{}, false
}

func (e *event) removal(on func(verbOf, int64) (step, bool)) (step, bool) {
	switch {
	case e.outcome != refused:
		return on(removed, 0)
	case e.status == 405:
		return on(inUse, 0)
	}
	return on(missing, 0)
}

// check looks for an order of the requests that explains what the clients were told, for each tag and each digest of each
// repository.
func (h *history) check(t *testing.T) {
	for _, e := range h.events {
		for _, f := range h.events {
			e.shared = e.shared || e != f && e.verb == erase && f.verb == erase && e.repo == f.repo && e.manifest == f.manifest && e.meets(f)
			e.staged = e.staged || f.stages(e)
		}
	}
	for r, repo := range repos {
		for at, tag := range tags {
			h.explain(t, tagRegister, "tag "+tag+" of "+repo, func(e *event) (step, bool) {
				if e.repo != r {
					return step{}, false
				}
				return e.atTag(at)
			})
		}
		for at := range blobs {
			h.explain(t, digestRegister, fmt.Sprintf("blob b%d in %s", at, repo), func(e *event) (step, bool) { return e.atBlob(r, at) })
		}
		for at := range manifests {
			h.explain(t, digestRegister, fmt.Sprintf("manifest m%d in %s", at, repo), func(e *event) (step, bool) {
				if e.repo != r {
					return step{}, false
				}
				return e.atManifest(at)
			})
		}
	}
}

// stages tells whether a push may hold a blob that another request was to take away, although its manifest is not there: the
// push of a manifest whose deletion can still be undone goes in several steps, and one that was refused, or was told nothing
// certain, leaves what it holds for a while.
func (e *event) stages(f *event) bool {
	return e.verb == push && f.verb == remove && e.repo == f.repo && slices.Contains(manifests[e.manifest].lists, f.blob) &&
		e.call < f.end && (e.outcome != done || e.end > f.call)
}

// operations are the steps of a history at one register.
func (h *history) operations(at func(*event) (step, bool)) (ops []porcupine.Operation) {
	for _, e := range h.events {
		if s, ok := at(e); ok {
			ops = append(ops, porcupine.Operation{Input: s, Call: e.call, Return: e.end})
		}
	}
	return ops
}

// explain looks for an order at one register.
func (h *history) explain(t *testing.T, register porcupine.Model, name string, at func(*event) (step, bool)) {
	t.Helper()
	ops := h.operations(at)
	result := porcupine.CheckOperationsTimeout(register, ops, patience)
	if result == porcupine.Ok {
		return
	}
	slices.SortFunc(ops, func(a, b porcupine.Operation) int { return cmp.Compare(a.Call, b.Call) })
	var lines []string
	for _, op := range ops {
		lines = append(lines, register.DescribeOperation(op.Input, op.Output))
	}
	t.Errorf("%s: %s: no order explains\n%s", name, result, strings.Join(lines, "\n"))
}
