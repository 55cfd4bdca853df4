// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"slices"
	"testing"

	"github.com/anishathalye/porcupine"
)

// told makes the histories below: one request after another, a millisecond each, unless its time is given.
func told(events ...event) *history {
	h := &history{}
	for i, e := range events {
		e.missing, e.call, e.end = none, int64(2*i), int64(2*i+1)
		if e.asked == 0 {
			e.asked, e.answered = int64(i), int64(i)+1
		}
		h.events = append(h.events, &e)
	}
	return h
}

func of(v verb, blob, manifest, tag int, o outcome, status int) event {
	return event{verb: v, blob: blob, manifest: manifest, tag: tag, ifMatch: none, outcome: o, status: status}
}

// TestRegisters shows the registers what a registry may tell, and what it may not.
func TestRegisters(t *testing.T) {
	with := func(before []event, more ...event) []event { return slices.Concat(before, more) }
	brings := []event{of(upload, 0, none, none, done, 201), of(upload, 1, none, none, done, 201), of(upload, 2, none, none, done, 201)}
	pushed := with(brings, of(push, none, 0, 0, done, 201))
	late := func(e event, ms int64) event { e.asked, e.answered = ms, ms; return e }
	for _, c := range []struct {
		name   string
		right  bool
		events []event
	}{
		{"a blob that was uploaded is there", true, with(brings, of(head, 0, none, none, done, 200))},
		{"it is lost within its lease", false, with(brings, of(head, 0, none, none, refused, 404))},
		{"it goes after its lease", true, with(brings, late(of(head, 0, none, none, refused, 404), lease+10))},
		{"it is there again without being brought", false, with(brings, late(of(head, 0, none, none, refused, 404), lease+10), late(of(head, 0, none, none, done, 200), lease+11))},
		{"what a manifest lists stays", false, with(pushed, late(of(fetch, 1, none, none, refused, 404), 9*lease))},
		{"who was given a manifest can fetch it all", false, with(pushed, late(of(get, none, 0, 0, done, 200), 9*lease),
			late(of(erase, none, 0, none, done, 202), 9*lease), late(of(fetch, 1, none, none, refused, 404), 10*lease-1))},
		{"but not for ever", true, with(pushed, late(of(get, none, 0, 0, done, 200), 9*lease),
			late(of(erase, none, 0, none, done, 202), 9*lease), late(of(fetch, 1, none, none, refused, 404), 10*lease))},
		{"a tag that was written is read", false, with(pushed, of(get, none, none, 0, refused, 404))},
		{"a tag is another's", false, with(pushed, of(get, none, 1, 0, done, 200))},
		{"a write was lost", true, with(pushed, of(push, none, 1, 0, unknown, 503), of(get, none, 0, 0, done, 200))},
		{"a write was lost, and came", true, with(pushed, of(push, none, 1, 0, unknown, 503), of(get, none, 0, 0, done, 200), of(get, none, 1, 0, done, 200))},
		{"a write came, and went again", false, with(pushed, of(push, none, 1, 0, unknown, 503), of(get, none, 1, 0, done, 200), of(get, none, 0, 0, done, 200))},
		{"a blob in use is deleted", false, with(pushed, of(remove, 0, none, none, done, 202))},
		{"a manifest goes by itself", false, with(pushed, late(of(get, none, 0, none, refused, 404), 9*lease))},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := told(c.events...)
			for i, e := range h.events {
				if e.outcome == unknown {
					e.end = int64(2*len(h.events) + i)
				}
			}
			right := true
			for at := range tags {
				right = right && h.holds(tagRegister, func(e *event) (step, bool) { return e.atTag(at) })
			}
			for at := range blobs {
				right = right && h.holds(digestRegister, func(e *event) (step, bool) { return e.atBlob(0, at) })
			}
			for at := range manifests {
				right = right && h.holds(digestRegister, func(e *event) (step, bool) { return e.atManifest(at) })
			}
			if right != c.right {
				t.Errorf("right: %t, want %t", right, c.right)
			}
		})
	}
}

func (h *history) holds(register porcupine.Model, at func(*event) (step, bool)) bool {
	return porcupine.CheckOperations(register, h.operations(at))
}
