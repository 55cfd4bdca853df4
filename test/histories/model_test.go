// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"tare/internal/oci"
)

// model is the whole registry as one client sees it who does one thing after another: for each repository what is there.
// Where a lease has run out the registry may keep a blob or not, until a sweep that comes after Grace takes it, and a
// deleted manifest stays longer where an attempt to bring it back has failed; there the model learns from the answer. All
// other answers it knows before.
type model [len(repos)]modelRepo

type modelRepo struct {
	known     bool // it has had a manifest
	deletions int  // so far
	blobs     map[int]modelBlob
	manifests map[int]*modelManifest
	tags      map[int]int // the manifest that each points to
	direct    modelDirect // the direct upload that was opened last
}

// modelBlob is a blob that is there: certainly until the end of its promise, possibly until a sweep that comes when it is
// due.
type modelBlob struct{ promised, due time.Time }

// modelManifest is a manifest that is there, or can come back.
type modelManifest struct {
	there  bool
	undo   bool      // it was deleted, and not pushed anew since
	window time.Time // until when it can come back, if it is not there
	longer bool      // somebody tried to bring it back, which makes the window longer
	gone   []int     // tags that went with the deletion
	id     int       // of the deletion
	with   int       // of the deletion of its subject, with which it went; 0: it went alone
}

func newModel() *model {
	var m model
	for i := range m {
		m[i] = modelRepo{blobs: map[int]modelBlob{}, manifests: map[int]*modelManifest{}, tags: map[int]int{}}
	}
	return &m
}

// step compares an answer with what the model says and goes on. It returns what the answer should have been, "" where it
// was right.
func (m *model) step(e *event) (want string) {
	r := &m[e.repo]
	now := e.askedAt
	switch e.verb {
	case upload:
		if e.answer.opened {
			r.direct = modelDirect{blob: e.blob, at: now, state: directGone}
		}
		r.touch(e.blob, now)
		return e.want(done, "")
	case end:
		return r.end(e)
	case begin:
		return r.begin(e)
	case complete:
		return m.complete(e)
	case settle:
		if r.direct.state == directOpen && !r.direct.parts { // parts are nothing before they are complete
			r.touch(r.direct.blob, now)
			r.direct.state = directGone
		}
		return e.want(done, "")
	case abort:
		if r.direct.state != directOpen || r.direct.ended(now) {
			return e.want(refused, oci.BlobUploadUnknown)
		}
		r.direct.state = directLost
		return e.want(done, "")
	case cancel:
		if e.answer.code == oci.BlobUploadUnknown { // no upload was begun, or its end has come
			return ""
		}
		return e.want(done, "")
	case head, fetch:
		return m.look(e, e.repo, e.blob)
	case mount:
		return m.mount(e)
	case remove:
		return r.remove(e)
	case push:
		return r.push(e)
	case get:
		return r.get(e)
	case untag:
		if _, ok := r.tags[e.tag]; !ok {
			return e.want(refused, oci.ManifestUnknown)
		}
		delete(r.tags, e.tag)
		return e.want(done, "")
	case erase:
		return r.erase(e)
	case undelete:
		return r.undelete(e)
	case list:
		return r.list(e)
	case sweep:
		m.sweep(now)
		return e.want(done, "")
	}
	return "no request"
}

// want says which answer there should have been, "" where it was that.
func (e *event) want(o outcome, code oci.Code) string {
	if e.answer.outcome == o && e.answer.code == code {
		return ""
	}
	return answer{outcome: o, code: code, manifest: none, missing: reference{place: none}}.String()
}

// touch renews the promise of a blob, which is there.
func (r *modelRepo) touch(b int, now time.Time) {
	r.blobs[b] = modelBlob{now.Add(margins.Lease), now.Add(margins.Grace)}
}

// held tells whether a manifest that is there lists the thing.
func (r *modelRepo) held(ref reference) bool {
	for i, m := range r.manifests {
		if m.there && manifests[i].lists(ref) {
			return true
		}
	}
	return false
}

// certain tells whether a blob must be there.
func (r *modelRepo) certain(b int, now time.Time) bool {
	there, ok := r.blobs[b]
	return ok && (now.Before(there.promised) || r.held(reference{false, b}))
}

// possible tells whether a blob can be there.
func (r *modelRepo) possible(b int) bool {
	_, ok := r.blobs[b]
	return ok
}

// look is a request that looks for a blob.
func (m *model) look(e *event, repo, b int) string {
	r := &m[repo]
	switch {
	case e.answer.outcome == done && r.possible(b):
		r.touch(b, e.askedAt)
		return ""
	case r.certain(b, e.askedAt):
		return e.want(done, "")
	}
	delete(r.blobs, b)
	return e.want(refused, oci.BlobUnknown)
}

// end is a closing request for an upload that was finished or canceled, or whose end has come.
func (r *modelRepo) end(e *event) string {
	switch {
	case e.answer.code == oci.BlobUploadUnknown:
		return ""
	case e.answer.outcome == done && (r.possible(e.blob) || e.way == inTwo): // which begins it anew
		r.touch(e.blob, e.askedAt)
		return ""
	case r.certain(e.blob, e.askedAt) || e.way == inTwo:
		return e.want(done, "")
	}
	delete(r.blobs, e.blob)
	return e.want(refused, oci.RangeInvalid)
}

func (m *model) mount(e *event) string {
	to, from := &m[e.repo], &m[1-e.repo]
	a := &e.answer
	switch {
	case a.outcome != done:
		return "done"
	case a.mounted && !to.possible(e.blob) && !from.possible(e.blob):
		return "no mount"
	case a.mounted:
		to.touch(e.blob, e.askedAt)
	case to.certain(e.blob, e.askedAt) || from.certain(e.blob, e.askedAt):
		return "a mount"
	default:
		delete(to.blobs, e.blob)
		delete(from.blobs, e.blob)
	}
	return ""
}

func (r *modelRepo) remove(e *event) string {
	switch {
	case r.held(reference{false, e.blob}):
		return e.want(refused, oci.InUse)
	case r.certain(e.blob, e.askedAt), r.possible(e.blob) && e.answer.outcome == done:
		delete(r.blobs, e.blob)
		return e.want(done, "")
	}
	delete(r.blobs, e.blob)
	return e.want(refused, oci.BlobUnknown)
}

// lacking are the things that a manifest lists and that may be missing, and whether one of them must be.
func (r *modelRepo) lacking(m int, now time.Time) (refs []reference, must bool) {
	for _, b := range manifests[m].blobs {
		if !r.certain(b, now) {
			refs = append(refs, reference{false, b})
			must = must || !r.possible(b)
		}
	}
	for _, c := range manifests[m].children {
		if child := r.manifests[c]; child == nil || !child.there {
			refs = append(refs, reference{true, c})
			must = true
		}
	}
	return refs, must
}

// needs judges whether a manifest could come, by what it lists. It answers whether it came.
func (r *modelRepo) needs(e *event) (came bool, want string) {
	refs, must := r.lacking(e.manifest, e.askedAt)
	a := &e.answer
	switch {
	case a.outcome == refused && a.code == oci.ManifestBlobUnknown && slices.Contains(refs, a.missing):
		if !a.missing.child {
			delete(r.blobs, a.missing.place)
		}
		if m := r.manifests[e.manifest]; m != nil {
			m.longer = true
		}
		return false, ""
	case must:
		return false, e.want(refused, oci.ManifestBlobUnknown) + fmt.Sprint(refs)
	}
	return true, e.want(done, "")
}

func (r *modelRepo) push(e *event) string {
	old, tagged := r.tags[e.tag]
	if e.ifAbsent && tagged || e.ifMatch != none && (!tagged || old != e.ifMatch) {
		return e.want(refused, oci.PreconditionFailed)
	}
	m := r.manifests[e.manifest]
	if m == nil || !m.there {
		came, want := r.needs(e)
		if !came || want != "" {
			return want
		}
		m = &modelManifest{there: true}
		r.manifests[e.manifest] = m
		r.known = true
	}
	if e.tag != none {
		r.tags[e.tag] = e.manifest
		m.gone = slices.DeleteFunc(m.gone, func(t int) bool { return t == e.tag })
	}
	return e.want(done, "")
}

func (r *modelRepo) get(e *event) string {
	m, ok := e.manifest, true
	if e.tag != none {
		m, ok = r.tags[e.tag]
	}
	if ok = ok && r.manifests[m] != nil && r.manifests[m].there; !ok {
		return e.want(refused, oci.ManifestUnknown)
	}
	if e.answer.manifest != m {
		return fmt.Sprint("m", m)
	}
	return e.want(done, "")
}

func (r *modelRepo) erase(e *event) string {
	m := r.manifests[e.manifest]
	switch {
	case m == nil || !m.there:
		return e.want(refused, oci.ManifestUnknown)
	case r.held(reference{true, e.manifest}):
		return e.want(refused, oci.InUse)
	}
	id := r.drop(e.manifest, 0, e.askedAt)
	for _, i := range referrers(e.manifest) {
		if ref := r.manifests[i]; ref != nil && ref.there && !r.tagged(i) {
			r.drop(i, id, e.askedAt)
		}
	}
	return e.want(done, "")
}

func (r *modelRepo) tagged(m int) bool {
	for _, to := range r.tags {
		if to == m {
			return true
		}
	}
	return false
}

// drop deletes a manifest with its tags, and lets go of what it lists. It returns the deletion.
func (r *modelRepo) drop(m, with int, now time.Time) int {
	r.deletions++
	man := r.manifests[m]
	*man = modelManifest{undo: true, window: now.Add(margins.UndoWindow), id: r.deletions, with: with}
	for _, t := range slices.Sorted(maps.Keys(r.tags)) {
		if r.tags[t] == m {
			delete(r.tags, t)
			man.gone = append(man.gone, t)
		}
	}
	for _, b := range manifests[m].blobs {
		if !r.held(reference{false, b}) {
			r.touch(b, now)
		}
	}
	return man.id
}

func (r *modelRepo) undelete(e *event) string {
	m := r.manifests[e.manifest]
	if m != nil && m.longer && e.answer.code == oci.ManifestUnknown {
		m.undo = false
	}
	if m == nil || !m.undo {
		return e.want(refused, oci.ManifestUnknown)
	}
	if !m.there {
		came, want := r.needs(e)
		if !came || want != "" {
			return want
		}
		m.there, m.with = true, 0
	}
	for _, i := range referrers(e.manifest) {
		ref := r.manifests[i]
		if ref == nil || ref.there || !ref.undo || ref.with != m.id {
			continue
		}
		refs, must := r.lacking(i, e.askedAt)
		ref.there = slices.Contains(e.answer.back, i)
		if ref.there && must || !ref.there && len(refs) == 0 && !ref.longer && e.askedAt.Before(ref.window) {
			return fmt.Sprint("m", i, " to come back: ", !ref.there)
		}
		if ref.there {
			ref.with = 0
		}
	}
	var back, lost []int
	for _, t := range m.gone {
		if _, taken := r.tags[t]; taken {
			lost = append(lost, t)
			continue
		}
		r.tags[t] = e.manifest
		back = append(back, t)
	}
	m.gone = lost
	if !slices.Equal(e.answer.tags, back) || !slices.Equal(e.answer.lost, lost) {
		return answer{outcome: done, manifest: none, tags: back, lost: lost}.String()
	}
	return e.want(done, "")
}

func (r *modelRepo) list(e *event) string {
	want := slices.Sorted(maps.Keys(r.tags))
	switch {
	case len(want) == 0 && e.answer.outcome == refused && e.answer.code == oci.NameUnknown:
		return ""
	case !r.known:
		return e.want(refused, oci.NameUnknown)
	case !slices.Equal(e.answer.tags, want):
		return answer{outcome: done, manifest: none, tags: want}.String()
	}
	return e.want(done, "")
}

// sweep takes away all that is due.
func (m *model) sweep(now time.Time) {
	for i := range m {
		r := &m[i]
		if r.direct.state == directOpen && r.direct.ended(now) {
			r.direct.state = directLost
		}
		for _, man := range r.manifests {
			if man.undo && !man.there && !man.longer && !now.Before(man.window) {
				man.undo = false
			}
		}
		for b, there := range r.blobs {
			if !now.Before(there.due) && !r.held(reference{false, b}) {
				delete(r.blobs, b)
			}
		}
	}
}
