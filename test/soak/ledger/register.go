// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// Times are counted from the beginning of the run.
const (
	always = time.Duration(math.MinInt64) // before everything
	open   = time.Duration(math.MaxInt64) // not over yet
)

// event is something that set a register, or may have, at one moment between start and end.
type event struct {
	value      string // what the register holds then; "" for nothing
	from       string // if not "": only a register that holds this is changed
	start, end time.Duration
	sure       bool // it did happen
}

// ends tells whether the register cannot hold value just after the event.
func (e *event) ends(value string) bool {
	if e.from != "" {
		return e.from == value
	}
	return e.value != value
}

func (e *event) String() string {
	at := func(t time.Duration) string {
		switch t {
		case always:
			return "…"
		case open:
			return "?"
		}
		return fmt.Sprintf("%.3f", t.Seconds())
	}
	what := "is " + brief(e.value)
	if e.from != "" {
		what = "is " + brief(e.value) + " if " + brief(e.from)
	}
	if !e.sure {
		what = "perhaps " + what
	}
	return fmt.Sprintf("[%s–%s %s]", at(e.start), at(e.end), what)
}

// brief shortens a digest.
func brief(value string) string {
	if value == "" {
		return "absent"
	}
	_, hex, found := strings.Cut(value, ":")
	if !found {
		return value
	}
	return hex[:min(12, len(hex))]
}

// register is a tag, a manifest or a blob: what clients did to it, of all that can still matter.
type register struct{ events []*event }

func (r *register) add(e *event) { r.events = append(r.events, e) }

func (r *register) drop(e *event) {
	r.events = slices.DeleteFunc(r.events, func(other *event) bool { return other == e })
}

// allows tells whether a register that is linearizable may be found to hold value by who looks between start and end:
// something may have set it to that by then, and nothing surely set it to anything else after it and before start.
func (r *register) allows(value string, start, end time.Duration) bool {
	if value == "" && !r.ended(value, always, start) {
		return true
	}
	for _, e := range r.events {
		if e.value == value && e.start < end && !r.ended(value, e.end, start) {
			return true
		}
	}
	return false
}

// ended tells whether something surely took value away between after and before.
func (r *register) ended(value string, after, before time.Duration) bool {
	for _, e := range r.events {
		if e.sure && e.start > after && e.end < before && e.ends(value) {
			return true
		}
	}
	return false
}

// prune forgets what cannot matter to who looks after horizon.
func (r *register) prune(horizon time.Duration) {
	last := always
	for _, e := range r.events {
		if e.sure && e.from == "" && e.end < horizon {
			last = max(last, e.start)
		}
	}
	r.events = slices.DeleteFunc(r.events, func(e *event) bool { return e.end < last })
}

func (r *register) String() string {
	parts := make([]string, len(r.events))
	for i, e := range r.events {
		parts[i] = e.String()
	}
	return strings.Join(parts, " ")
}
