// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"fmt"
	"slices"

	"github.com/anishathalye/porcupine"
)

// tagStep is what one request does to one tag.
type tagStep struct {
	event *event
	do    tagVerb
	to    int // points, restores: the manifest. drops: the manifest whose tags go. found: what was found
	old   int // swaps, differs: what the client said that the tag points to; none: nothing
}

type tagVerb uint8

const (
	tagPoints   tagVerb = iota // the tag points to a manifest, whatever it was
	tagSwaps                   // the same, where the tag was as the client said
	tagDiffers                 // the client was told that it was not
	tagGoes                    // the name is taken away
	tagDrops                   // a manifest is deleted, and with it the tag where it points there
	tagRestores                // an undelete gives the name back, where it is free
	tagTaken                   // an undelete found the name in use
	tagFound                   // the tag was seen
	tagListed                  // the tag was seen in a list
	tagMissing                 // the tag was seen not to be there
)

// tag is the specification of a tag: a compare-and-swap register that holds a manifest, or none. Its state is an int, the
// place of that manifest.
//
// A write with If-Match or If-None-Match takes effect if the register holds what it names, and is refused if it does not,
// never otherwise. One without takes effect. Deleting the tag empties the register; deleting a manifest empties it where
// it holds that manifest. Undeleting a manifest fills an empty register with it. Readers see what it holds.
//
// A request whose client was not told the outcome may take effect at any later moment, once, or never: it never has to.
var tag = porcupine.Model{
	Init: func() any { return none },
	Step: func(state, input, _ any) (bool, any) {
		s := input.(tagStep)
		return s.on(state.(int))
	},
	DescribeOperation: func(input, _ any) string { return input.(tagStep).event.String() },
	DescribeState:     func(state any) string { return fmt.Sprint("m", state) },
}

// on tells whether the step can be made in a state, and to which it leads.
func (s tagStep) on(state int) (bool, int) {
	maybe := s.event.answer.outcome == unknown
	switch s.do {
	case tagPoints:
		return true, s.to
	case tagSwaps:
		if state == s.old {
			return true, s.to
		}
		return maybe, state
	case tagDiffers:
		return state != s.old, state
	case tagGoes:
		return maybe || state != none, none
	case tagDrops:
		if state == s.to {
			return true, none
		}
		return true, state
	case tagRestores:
		if state == none {
			return true, s.to
		}
		return maybe, state
	case tagTaken, tagListed:
		return state != none, state
	case tagFound:
		return state == s.to, state
	case tagMissing:
		return state == none, state
	}
	panic("a step of no kind")
}

// onTag tells what an event did to, or showed of, the tag at place t of its repository, if anything.
func (e *event) onTag(t int) (tagStep, bool) {
	step := func(do tagVerb, to, old int) (tagStep, bool) { return tagStep{e, do, to, old}, true }
	var nothing tagStep
	a := &e.answer
	if e.ghost && e.manifest != none && !e.haunted { // a referrer goes and comes without a tag
		return nothing, false
	}
	switch e.verb {
	case push:
		if e.tag != t {
			return nothing, false
		}
		conditional := e.ifAbsent || e.ifMatch != none
		switch {
		case a.outcome == refused && a.missing.place != none:
			return nothing, false
		case a.outcome == refused:
			return step(tagDiffers, none, e.ifMatch)
		case conditional:
			return step(tagSwaps, e.manifest, e.ifMatch)
		}
		return step(tagPoints, e.manifest, none)
	case get:
		switch {
		case e.tag != t || a.outcome == unknown:
			return nothing, false
		case a.outcome == done:
			return step(tagFound, a.manifest, none)
		case e.took() > margins.MaxStep:
			return nothing, false // a reader that is slower than the margins is answered that there is nothing
		}
		return step(tagMissing, none, none)
	case untag:
		switch {
		case e.tag != t:
			return nothing, false
		case a.outcome == refused:
			return step(tagMissing, none, none)
		}
		return step(tagGoes, none, none)
	case erase:
		if a.outcome != refused {
			return step(tagDrops, e.manifest, none)
		}
	case undelete:
		switch {
		case a.outcome == unknown || slices.Contains(a.tags, t):
			return step(tagRestores, e.manifest, none)
		case slices.Contains(a.lost, t):
			return step(tagTaken, none, none)
		}
	case list:
		if a.outcome == unknown {
			return nothing, false
		}
		if slices.Contains(a.tags, t) {
			return step(tagListed, none, none)
		}
		return step(tagMissing, none, none)
	}
	return nothing, false
}
