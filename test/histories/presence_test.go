// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"fmt"
	"slices"
	"time"

	"tare/internal/oci"

	"github.com/anishathalye/porcupine"
)

// presence is the specification of one digest in one repository, a blob's or a manifest's. It says what a client may rely
// on who was told of it, and so what a lease promises.
//
// The register knows whether the digest is there, until when it was promised, which manifests hold it, and, for a
// manifest that was deleted, until when it can be undeleted.
//
//   - An upload and a mount put a blob there. They, and every answer that shows it (HEAD, GET), promise it for Lease from
//     the moment at which the request came. So does an answer that shows a manifest, for all that the manifest lists: who
//     was given a manifest can fetch it all.
//   - A direct upload brings its blob not before its bytes come, and from then on at any moment: whoever completes or settles it.
//   - A push or an undelete of a manifest needs all that the manifest lists to be there, and holds it from then on. A
//     delete of the manifest lets go, and promises it for UndoWindow, so that an undelete finds it.
//   - What is promised or held is there. A blob that is neither may go at any moment, and an answer that shows that it is
//     missing (404; a refused push or undelete that names it; a mount that found nothing) is right if the promise ended
//     before the answer. Once it was seen to be missing it is not there until it is brought again. A manifest does not go
//     by itself.
//   - A person's delete takes away what is not held, whatever was promised; what is held is refused (405), and nothing
//     else is.
//   - When every margin has passed and nobody does anything any more, a blob is there if and only if it is held.
//
// Requests without an answer may take effect at any later moment, once, or never; they promise nothing. 404 and 405 mean
// that nothing was done. A manifest's delete that meets another one may find the work done, and an undelete that meets a
// delete is told nothing certain.
var presence = porcupine.Model{
	Init: func() any { return digestState{} },
	Step: func(state, input, _ any) (bool, any) {
		s := input.(presenceStep)
		return s.on(state.(digestState))
	},
	DescribeOperation: func(input, _ any) string { return input.(presenceStep).event.String() },
	DescribeState:     func(state any) string { return fmt.Sprintf("%+v", state) },
}

// digestState is the state of the register. Times are milliseconds.
type digestState struct {
	there  bool
	until  int64
	heldBy uint16 // a bit for each manifest
	undo   bool   // it was deleted, and not pushed anew since
	window int64  // until when it can be undeleted at least
}

// presenceStep is what one request does to one digest.
type presenceStep struct {
	event *event
	do    presenceVerb
	self  bool  // the digest is a manifest
	by    int   // holds, frees: the manifest
	until int64 // what the answer promises; 0: nothing
}

type presenceVerb uint8

const (
	isBrought   presenceVerb = iota // an upload, a mount, a push of the manifest
	isSeen                          // it was there
	isMissing                       // it was not
	isHeld                          // a manifest that lists it is there from now on
	isFreed                         // such a manifest was deleted
	isRemoved                       // a person took it away
	isInUse                         // a person could not take it away
	isRestored                      // an undelete brought the manifest back
	isForgotten                     // an undelete found nothing that could come back
)

// on tells whether the step can be made in a state, and to which it leads.
func (s presenceStep) on(d digestState) (bool, digestState) {
	e := s.event
	maybe := e.answer.outcome == unknown
	was := d
	switch s.do {
	case isBrought:
		if !d.there {
			d.undo = false
		}
		d.there, d.until = true, max(d.until, s.until)
		return true, d
	case isSeen:
		d.until = max(d.until, s.until)
		return d.there && (!e.afterSettled || s.self || d.heldBy != 0), d
	case isMissing:
		right := !was.there || s.mayGo(was)
		d.there, d.until = false, 0
		return right && (!e.afterSettled || d.heldBy == 0), d
	case isHeld:
		if !d.there {
			return maybe, was
		}
		d.heldBy |= 1 << s.by
		return true, d
	case isFreed:
		d.heldBy &^= 1 << s.by
		d.until = max(d.until, s.until)
		return true, d
	case isRemoved:
		if !d.there || d.heldBy != 0 {
			return maybe || !d.there && e.shared, was
		}
		d.there, d.until = false, 0
		d.undo, d.window = s.self, s.until
		return true, d
	case isInUse:
		return d.there && d.heldBy != 0 || e.stageHeld, was
	case isRestored:
		if !d.undo {
			return maybe, was
		}
		d.there = true
		return true, d
	case isForgotten:
		right := !d.undo || !d.there && milli(e.answeredAt) >= d.window
		d.undo = d.undo && d.there
		return right, d
	}
	panic("a step of no kind")
}

// mayGo tells whether a blob may have gone by itself before the answer.
func (s presenceStep) mayGo(d digestState) bool {
	return !s.self && d.heldBy == 0 && milli(s.event.answeredAt) >= d.until
}

func milli(t time.Time) int64 { return t.UnixMilli() }

// promise is the end of a promise for d that the answer to e makes; 0 where there was no answer.
func (e *event) promise(d time.Duration) int64 {
	if e.answer.outcome == unknown {
		return 0
	}
	return milli(e.askedAt.Add(d))
}

// onBlob tells what an event did to, or showed of, the blob at place b in repository r, if anything.
func (e *event) onBlob(r, b int) (presenceStep, bool) {
	step := func(do presenceVerb, until int64) (presenceStep, bool) {
		return presenceStep{event: e, do: do, by: e.manifest, until: until}, true
	}
	a := &e.answer
	lease := e.promise(margins.Lease)
	switch {
	case e.verb == mount && e.blob == b:
		switch {
		case a.outcome == done && !a.mounted: // neither repository has it
			return step(isMissing, 0)
		case e.repo == r:
			return step(isBrought, lease)
		}
	case e.repo != r:
	case e.verb == push || e.verb == undelete || e.verb == erase || e.verb == get:
		return e.onListed(reference{false, b})
	case e.blob != b:
	case e.verb == upload && a.outcome != refused:
		return step(isBrought, lease)
	case (e.verb == end || e.verb == begin || e.verb == complete) && a.outcome != refused:
		return step(isBrought, lease)
	case e.verb == head || e.verb == fetch:
		return e.sight(step, lease)
	case e.verb == remove:
		return e.removal(step, 0)
	}
	return presenceStep{}, false
}

// onManifest tells what an event did to, or showed of, the manifest at place m in its repository, if anything.
func (e *event) onManifest(m int) (presenceStep, bool) {
	step := func(do presenceVerb, until int64) (presenceStep, bool) {
		return presenceStep{event: e, do: do, self: true, by: e.manifest, until: until}, true
	}
	a := &e.answer
	switch {
	case e.verb == get && a.outcome == done && a.manifest == m:
		return step(isSeen, 0)
	case e.verb == get && a.outcome == refused && e.manifest == m && e.tag == none:
		return step(isMissing, 0)
	case e.verb == push && e.manifest == m && a.outcome != refused:
		return step(isBrought, 0)
	case e.verb == erase && e.manifest == m:
		return e.removal(step, e.promise(margins.UndoWindow))
	case e.verb == undelete && e.manifest == m && a.outcome != refused:
		return step(isRestored, 0)
	case e.verb == undelete && e.manifest == m && a.code == oci.ManifestUnknown:
		return step(isForgotten, 0)
	}
	s, ok := e.onListed(reference{true, m})
	s.self = true
	return s, ok
}

// stepper makes a step of an event.
type stepper func(do presenceVerb, until int64) (presenceStep, bool)

// sight is the step of a reader.
func (e *event) sight(step stepper, until int64) (presenceStep, bool) {
	switch e.answer.outcome {
	case done:
		return step(isSeen, until)
	case refused:
		return step(isMissing, 0)
	}
	return presenceStep{}, false
}

// removal is the step of a person who takes the digest away.
func (e *event) removal(step stepper, window int64) (presenceStep, bool) {
	switch {
	case e.answer.outcome != refused:
		return step(isRemoved, window)
	case e.answer.code == oci.InUse:
		return step(isInUse, 0)
	}
	return step(isMissing, 0)
}

// onListed is the step of a request about a manifest at something that the manifest lists.
func (e *event) onListed(ref reference) (presenceStep, bool) {
	a := &e.answer
	m := e.manifest
	if e.verb == get {
		m = a.manifest
	}
	if m == none || !manifests[m].lists(ref) {
		return presenceStep{}, false
	}
	step := func(do presenceVerb, until int64) (presenceStep, bool) {
		return presenceStep{event: e, do: do, by: m, until: until}, true
	}
	switch {
	case (e.verb == push || e.verb == undelete) && a.outcome == refused:
		if a.missing == ref {
			return step(isMissing, 0)
		}
	case e.verb == push, e.verb == undelete:
		return step(isHeld, 0)
	case e.verb == erase && a.outcome != refused:
		return step(isFreed, e.promise(margins.UndoWindow))
	case e.verb == get && a.outcome == done:
		return step(isSeen, e.promise(margins.Lease))
	}
	return presenceStep{}, false
}

// lists tells whether the manifest lists something.
func (m manifest) lists(ref reference) bool {
	if ref.child {
		return slices.Contains(m.children, ref.place)
	}
	return slices.Contains(m.blobs, ref.place)
}
