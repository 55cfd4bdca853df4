// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
)

// history is all that clients asked and were told, in the order in which they asked.
type history struct {
	events []*event
	moment int64 // counts calls and answers, so that each has a moment of its own
}

// event is a request and its answer.
type event struct {
	operation
	client       string
	asked        int64
	answered     int64     // 0: not yet
	began        time.Time // when the client began with the requests that lead to this one
	askedAt      time.Time
	answeredAt   time.Time
	answer       answer
	disturbed    bool // a fault met the request
	haunted      bool // a transaction of it may still be applied
	afterSettled bool // nothing else happens any more, and every margin has passed

	// What an answer may owe to others, which relate finds.
	shared    bool // another delete of the same manifest was under way
	ghost     bool // it is none of the clients'
	contested bool // the manifest was being deleted, too, while it was undeleted
	stageHeld bool // a push or an undelete that goes in several steps may hold what was not to be taken away
}

// outcome is what a client knows of what it asked for.
type outcome uint8

const (
	unknown outcome = iota // it was not told: it may have happened, may still happen, or never will
	done
	refused
)

// answer is what a client was told.
type answer struct {
	outcome  outcome
	code     oci.Code  // refused: why
	err      error     // the error, where there was one
	manifest int       // get: which was found
	missing  reference // refused for want of this
	tags     []int     // list: those that are there. undelete: those that came back
	lost     []int     // undelete: those whose names were in use
	back     []int     // undelete: the manifests that came back
	mounted  bool
	opened   bool // upload, begin: a direct upload
}

// reference names something that a manifest lists.
type reference struct {
	child bool
	place int // none: nothing
}

// ask begins an event.
func (h *history) ask(client string, o operation, now time.Time) *event {
	h.moment++
	e := &event{operation: o, client: client, asked: h.moment, askedAt: now}
	e.answer.manifest, e.answer.missing.place = none, none
	h.events = append(h.events, e)
	return e
}

// tell ends an event.
func (h *history) tell(e *event, now time.Time, err error) {
	h.moment++
	e.answered, e.answeredAt = h.moment, now
	e.answer.err = err
	e.answer.outcome = done
	if err == nil {
		return
	}
	e.answer.outcome = unknown
	var refusal *oci.Error
	if !errors.As(err, &refusal) || errors.Is(err, context.Canceled) || refusal.Code == oci.Internal || refusal.Code == oci.Unavailable {
		return
	}
	e.answer.outcome, e.answer.code = refused, refusal.Code
	if detail, ok := refusal.Detail.(map[string]string); ok && refusal.Code == oci.ManifestBlobUnknown {
		e.answer.missing = referenceTo(oci.Digest(detail["digest"]))
	}
}

func referenceTo(d oci.Digest) reference {
	if b := blobAt(d); b != none {
		return reference{false, b}
	}
	return reference{true, manifestAt(d)}
}

// restored records what an undelete said that it brought back.
func (a *answer) restored(r refcount.Restored) {
	for _, d := range r.Manifests {
		a.back = append(a.back, manifestAt(d))
	}
	for _, name := range r.Tags {
		a.tags = append(a.tags, tagAt(name))
	}
	for _, l := range r.Lost {
		if t := tagAt(oci.Tag(l.Name)); t != none {
			a.lost = append(a.lost, t)
		}
	}
}

// ghosts are events that the specifications have to allow beside the event, without an outcome that anyone was told: what a late
// transaction may still do; and the deletes and undeletes of the referrers of a manifest, which go and come with it, now or by
// the sweep.
func (e *event) ghosts() []*event {
	var ghosts []*event
	add := func(m int) {
		g := *e
		g.manifest, g.ghost = m, true
		g.answer = answer{manifest: none, missing: reference{place: none}}
		ghosts = append(ghosts, &g)
	}
	if e.haunted {
		add(e.manifest)
	}
	if (e.verb == erase || e.verb == undelete) && e.answer.outcome != refused {
		for _, m := range referrers(e.manifest) {
			add(m)
		}
	}
	return ghosts
}

// erases tells whether a request deletes a manifest, or one to which it refers.
func (e *event) erases(m int) bool {
	return e.verb == erase && m != none && e.answer.outcome != refused && (e.manifest == m || manifests[m].subject == e.manifest)
}

// took is for how long the client waited, by the clock of the world.
func (e *event) took() time.Duration { return e.answeredAt.Sub(e.askedAt) }

// meets tells whether neither event was over when the other began.
func (e *event) meets(f *event) bool { return e.asked < f.over() && f.asked < e.over() }

// over is the moment after which an event has no effect any more, if it has one.
func (e *event) over() int64 {
	if e.answered == 0 || e.answer.outcome == unknown {
		return never
	}
	return e.answered
}

// String says who asked what when, and what he was told.
func (e *event) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%4d–", e.asked)
	if e.answered != 0 {
		fmt.Fprint(&b, e.answered)
	}
	fmt.Fprintf(&b, "\t%s %s: %s\t(%s", e.client, e.operation, e.answer, e.askedAt.Sub(beginning))
	if took := e.took(); e.answered != 0 && took > 0 {
		fmt.Fprintf(&b, " and %s", took)
	}
	b.WriteString(")")
	return b.String()
}

func (a answer) String() string {
	switch {
	case a.outcome == unknown && a.err != nil:
		return fmt.Sprintf("not known (%v)", a.err)
	case a.outcome == unknown:
		return "no answer"
	case a.outcome == refused && a.missing.place != none && a.missing.child:
		return fmt.Sprintf("%s m%d", a.code, a.missing.place)
	case a.outcome == refused && a.missing.place != none:
		return fmt.Sprintf("%s b%d", a.code, a.missing.place)
	case a.outcome == refused:
		return string(a.code)
	}
	s := "done"
	if a.manifest != none {
		s += fmt.Sprintf(", m%d", a.manifest)
	}
	if a.mounted {
		s += ", mounted"
	}
	for _, t := range a.tags {
		s += ", " + tagName(t)
	}
	for _, t := range a.lost {
		s += ", not " + tagName(t)
	}
	return s
}

// String describes the history without what the judge asked, a line for each event.
func (h *history) String() string {
	var b strings.Builder
	for _, e := range h.events {
		if e.client != judge {
			fmt.Fprintln(&b, e)
		}
	}
	return b.String()
}
