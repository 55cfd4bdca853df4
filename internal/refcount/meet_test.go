// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/faultstore"

	"github.com/opencontainers/go-digest"
)

func ruled(c *refcount.Config) { c.Margins.Untagged = 48 * time.Hour }

// The rule about untagged manifests does not reach what refers to a subject that is there: it goes when the subject does.
func TestRuleSparesReferrersOfAVisibleSubject(t *testing.T) {
	w := newWorld(t, ruled)
	ctx := t.Context()
	image, err := w.push(repo, "image", []oci.Tag{"v1"})
	w.must(err)
	signature, err := w.push(repo, "signature", nil, subject(image))
	w.must(err)
	over, err := w.push(repo, "signature of the signature", nil, subject(signature))
	w.must(err)
	stray, err := w.push(repo, "stray", nil, subject(digestOf("nothing")))
	w.must(err)
	for range 3 {
		w.clock.Advance(49 * time.Hour)
		w.must(w.ApplyUntagged(ctx))
		w.sweep()
	}
	for _, d := range []oci.Digest{image, signature, over} {
		_, err := w.FindManifest(ctx, repo, d)
		w.must(err)
	}
	_, err = w.FindManifest(ctx, repo, stray)
	w.mustBe(err, oci.ManifestUnknown)
	w.must(w.ApplyUntagged(ctx))
	w.must(w.Waiting(ctx, func(x refcount.Waiting) bool {
		if x.Kind == "manifest" && x.Name != string(stray) {
			t.Errorf("waits: %v", x)
		}
		return true
	}))

	w.must(w.DeleteTag(ctx, repo, "v1"))
	w.clock.Advance(49 * time.Hour)
	w.sweep()
	for _, d := range []oci.Digest{image, signature, over} {
		_, err := w.FindManifest(ctx, repo, d)
		w.mustBe(err, oci.ManifestUnknown)
	}
	w.audit()
	w.settle()
	if n := w.left(); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// A subject arrives, or somebody looks at the manifest or deletes it, while the sweep applies the rule. The sweep lets it
// be, at once and without a failure.
func TestRuleMeetsOthers(t *testing.T) {
	for name, meet := range map[string]func(w *world, d oci.Digest){
		"a look": func(w *world, d oci.Digest) {
			_, err := w.FindManifest(t.Context(), repo, d)
			w.must(err)
		},
		"a delete": func(w *world, d oci.Digest) { w.must(w.DeleteManifest(t.Context(), repo, d)) },
		"a subject": func(w *world, _ oci.Digest) {
			_, err := w.push(repo, "image", []oci.Tag{"v1"})
			w.must(err)
		},
	} {
		for call := 1; call <= 4; call++ {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, ruled)
				w.t = t
				d, err := w.push(repo, "signature", nil, subject(digestOf(`{"name":"image"}`)))
				w.must(err)
				w.clock.Advance(49 * time.Hour)
				n := 0
				p := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
					if n > 0 || c.Kind == faultstore.Get && strings.HasPrefix(c.Keys[0].PK, "m#") {
						if n++; n == call+1 { // the first is the sweep's own batch
							meet(w, d)
						}
					}
					return faultstore.Pass
				}})
				report, err := w.beside(p.Table(w.store)).Sweep(t.Context(), refcount.SweepOptions{})
				w.must(err)
				if n <= call || report.Failed > 0 || p.Trace().Count(faultstore.Commit) > 3 {
					t.Errorf("%d failed: %v\n%s", report.Failed, report.Errors, p.Trace())
				}
				w.audit()
				_, err = w.FindManifest(t.Context(), repo, d)
				if name != "a delete" {
					w.must(err)
				}
			})
		}
	}
}

// A repository was empty when a sweep looked; then a link came, another sweep put the row back, and a push that relied on
// the row is under way when the first sweep's removal lands.
func TestRepositoryPutBackMeetsItsRemoval(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	d, err := w.push(repo, "first", nil)
	w.must(err)
	w.must(w.DeleteManifest(ctx, repo, d))
	for _, wait := range []time.Duration{25 * time.Hour, 11 * time.Minute} {
		w.clock.Advance(wait)
		w.sweep()
	}
	w.clock.Advance(11 * time.Minute)
	late := false
	slow := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		switch {
		case late:
			return faultstore.DieBefore
		case c.Kind == faultstore.Commit && c.Tx.Ops[0].Kind == store.OpDelete && c.Keys[0].PK == "n":
			late = true
			return faultstore.Late
		}
		return faultstore.Pass
	}})
	_, _ = w.beside(slow.Table(w.store)).Sweep(ctx, refcount.SweepOptions{})
	if !late {
		t.Fatal("nothing was removed")
	}
	blob := w.upload(repo, big)
	w.sweep()
	p := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		if c.Kind == faultstore.Commit {
			_, _ = slow.Land()
		}
		return faultstore.Pass
	}})
	push := refcount.Push{Repo: repo, MediaType: oci.MediaTypeManifest, Body: []byte("{}"), Digest: digestOf("{}"), Links: []oci.Digest{blob}}
	w.must(second(w.beside(p.Table(w.store)).Push(ctx, push)))
	w.audit()
}

// A link and its blob are swept between two reads of a batch, and uploaded again after it. Nothing is corrupt.
func TestDeleteMeetsSweepAndUpload(t *testing.T) {
	w := newWorld(t)
	d := w.upload(repo, big)
	w.clock.Advance(25 * time.Hour)
	swept, uploaded := false, false
	other := w.beside(faultstore.Apart{Table: w.store, Between: func(next store.Key) {
		switch {
		case strings.HasPrefix(next.PK, "b#") && !swept:
			swept = true
			w.sweep()
		case next.PK == "n" && !uploaded:
			uploaded = true
			w.upload(repo, big)
		}
	}})
	w.must(other.DeleteBlob(t.Context(), repo, d))
	w.audit()
}

// A push goes on with a stage whose body it read before another push took an edge out of it, and whose manifest after. It
// must not count the edges of the one along the other.
func TestStageOfTwoMoments(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	contents := []string{big + "1", big + "2", big + "3"}
	var foreign []oci.Digest
	for _, c := range contents {
		foreign = append(foreign, w.upload(repo, c))
	}
	first := slices.Index(foreign, slices.Min(foreign))
	body := strings.Repeat("x", refcount.MaxInlineBody+1)
	push := refcount.Push{Repo: repo, MediaType: oci.MediaTypeManifest, Body: []byte(body), Digest: digestOf(body), Foreign: foreign}

	die := func(when func(store.Op) bool) *refcount.Ledger {
		return w.beside(faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
			if c.Kind == faultstore.Commit && slices.ContainsFunc(c.Tx.Ops, when) {
				return faultstore.DieAfter
			}
			return faultstore.Pass
		}}).Table(w.store))
	}
	bodyOp := func(kind store.OpKind) func(store.Op) bool {
		return func(op store.Op) bool { return op.Kind == kind && strings.HasPrefix(op.Key.PK, "y#") }
	}
	_, _ = die(bodyOp(store.OpPut)).Push(ctx, push)

	looks := 0
	other := w.beside(faultstore.Apart{Table: w.store, Backward: true, Between: func(next store.Key) {
		if next.PK != "n" {
			return
		}
		if looks++; looks == 3 { // the second one found the stage and put its body
			w.must(w.DeleteBlob(ctx, repo, foreign[first]))
			_, _ = die(bodyOp(store.OpUpdate)).Push(ctx, push)
			w.upload(repo, contents[first])
		}
	}})
	w.must(second(other.Push(ctx, push)))
	if looks < 3 {
		t.Fatal("they did not meet")
	}
	w.audit()
}

// What is pushed again after it was deleted is what the new push says, by tag and by digest.
func TestPushAfterDeleteSaysWhatItIs(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	d, err := w.push(repo, "a", nil)
	w.must(err)
	w.must(w.DeleteManifest(ctx, repo, d))
	const docker = "application/vnd.docker.distribution.manifest.v2+json"
	_, err = w.push(repo, "a", []oci.Tag{"v1"}, func(p *refcount.Push) { p.MediaType = docker })
	w.must(err)
	byTag, err := w.FindTag(ctx, repo, "v1")
	w.must(err)
	byDigest, err := w.FindManifest(ctx, repo, d)
	w.must(err)
	if byTag.MediaType != docker || byDigest.MediaType != docker {
		t.Errorf("by tag it is %s, by digest %s", byTag.MediaType, byDigest.MediaType)
	}
}

// The subject is pushed again while its deletion takes its referrers along. The deletion stops there and then.
func TestCascadeStopsWhenItsSubjectIsBack(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	image, err := w.push(repo, "image", nil)
	w.must(err)
	signature, err := w.push(repo, "signature", nil, subject(image))
	w.must(err)
	commits := 0
	p := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		if c.Kind == faultstore.Commit {
			if commits++; commits == 2 {
				_, err := w.push(repo, "image", []oci.Tag{"v1"})
				w.must(err)
			}
		}
		return faultstore.Pass
	}})
	w.must(w.beside(p.Table(w.store)).DeleteManifest(ctx, repo, image))
	if commits > 5 {
		t.Errorf("%d commits", commits)
	}
	_, err = w.FindManifest(ctx, repo, signature)
	w.must(err)
	w.audit()
}

func digestOf(content string) oci.Digest { return digest.FromString(content) }

// before runs meet once, before the nth commit of the ledger that it returns.
func (w *world) before(n int, meet func()) *refcount.Ledger {
	commits := 0
	return w.beside(faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		if c.Kind == faultstore.Commit {
			if commits++; commits == n {
				meet()
			}
		}
		return faultstore.Pass
	}}).Table(w.store))
}

// A session expires, or is canceled, between the reads of its finish and the commit (W4). Its object is the tombstone's.
func TestFinishMeetsTheEndOfItsSession(t *testing.T) {
	for name, end := range map[string]func(w *world){
		"expiry": func(w *world) {
			w.clock.Advance(25 * time.Hour)
			w.sweep()
		},
		"cancel": func(w *world) { w.must(w.Discard(t.Context(), repo, "u", w.clock.Now().Add(time.Hour))) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ctx := t.Context()
			s, err := w.Write(ctx, refcount.Session{ID: "u", Repo: repo, Object: w.NewObject()})
			w.must(err)
			w.must(w.store.Put(ctx, s.Object, strings.NewReader(big), int64(len(big))))
			err = w.before(1, func() { end(w) }).Finish(ctx, s, digestOf(big), int64(len(big)))
			w.mustBe(err, oci.BlobUploadUnknown)
			w.audit()
			w.settle()
			if n := w.left(); n != 0 {
				t.Errorf("%d rows are left", n)
			}
		})
	}
}

// A mount read a link to one object; before it commits the blob dies and comes back with another (W1).
func TestMountMeetsANewObject(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	const from, target = oci.Repository("team/from"), repo
	d := w.upload(from, big)
	mounted, err := w.before(1, func() {
		w.must(w.DeleteBlob(ctx, from, d))
		w.sweep()
		w.upload(from, big)
	}).Mount(ctx, target, d, from)
	w.must(err)
	if !mounted {
		t.Error("it was not mounted")
	}
	w.audit()
}

// A sweep read a blob without links; before it commits another has condemned it, an upload has become it with a new
// object, and its link has gone again (W11).
func TestCondemnMeetsANewObject(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	d := w.upload(repo, big)
	w.must(w.DeleteBlob(ctx, repo, d))
	_, err := w.before(1, func() {
		_, err := w.Sweep(ctx, refcount.SweepOptions{GiveUpMargins: true}) // the tombstone goes, too
		w.must(err)
		w.upload(repo, big)
		w.must(w.DeleteBlob(ctx, repo, d))
	}).Sweep(ctx, refcount.SweepOptions{})
	w.must(err)
	w.audit()
	w.settle()
	if n := w.left(); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// A sweep finds a due on a blob that has a link again; before it clears the due the last link goes (W12).
func TestHintMeetsTheLastLink(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	d := w.upload(repo, big)
	_, err := w.push(repo, "image", nil, links(d))
	w.must(err)
	// Only a stale reading of a sweep leaves a due on a blob that has links, so that this one is set by hand.
	w.must(w.store.Commit(ctx, store.Tx{Token: "hint", Ops: []store.Op{{
		Key: store.Key{PK: "b#" + string(d), SK: "b"}, Kind: store.OpUpdate,
		Set: []store.Attr{{Name: store.AttrDue, Value: store.Int(w.clock.Now().UnixMilli())}},
	}}}))
	image := digestOf(`{"name":"image"}`)
	_, err = w.before(1, func() {
		w.must(w.DeleteManifest(ctx, repo, image))
		w.must(w.DeleteBlob(ctx, repo, d))
	}).Sweep(ctx, refcount.SweepOptions{})
	w.must(err)
	w.audit()
	w.settle()
	if n := w.left(); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// A delete took effect and its reply was lost; before it is repeated the manifest is pushed again (W19). The push stays,
// also where the delete takes several transactions.
func TestDeleteMeetsAPushAfterALostReply(t *testing.T) {
	var many []oci.Tag
	for range 5 * refcount.MaxPushTags {
		many = append(many, oci.Tag("t"+strings.Repeat("x", len(many))))
	}
	for name, tags := range map[string][]oci.Tag{"few tags": many[:1], "many tags": many} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ctx := t.Context()
			push := func(tags ...oci.Tag) oci.Digest {
				var d oci.Digest
				for part := range slices.Chunk(tags, refcount.MaxPushTags) {
					var err error
					d, err = w.push(repo, "image", part)
					w.must(err)
				}
				return d
			}
			d := push(tags...)
			pushed := false
			var p *faultstore.Process
			p = faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
				n := p.Trace().Count(faultstore.Commit)
				last := (len(tags)-1)/32 + 1
				switch {
				case c.Kind == faultstore.Commit && n == last-1:
					return faultstore.LoseReply
				case n == last && !pushed:
					pushed = true
					push("again")
				}
				return faultstore.Pass
			}})
			w.must(w.beside(p.Table(w.store)).DeleteManifest(ctx, repo, d))
			_, err := w.FindTag(ctx, repo, "again")
			w.must(err)
			_, err = w.FindManifest(ctx, repo, d)
			w.must(err)
			_, err = w.FindTag(ctx, repo, tags[0])
			w.mustBe(err, oci.ManifestUnknown)
			if !pushed {
				t.Error("nobody pushed")
			}
			w.audit()
		})
	}
}

// A delete of many tags is between two of its transactions when another delete ends, and the manifest is pushed again. It
// deletes the incarnation that it found first, and no other (C8).
func TestDeleteMeetsAnotherDeleteAndAPush(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	var d oci.Digest
	for i := range 5 {
		var tags []oci.Tag
		for j := range refcount.MaxPushTags {
			tags = append(tags, oci.Tag("t"+strings.Repeat("x", i*refcount.MaxPushTags+j)))
		}
		var err error
		d, err = w.push(repo, "image", tags)
		w.must(err)
	}
	w.must(w.before(2, func() {
		w.must(w.DeleteManifest(ctx, repo, d))
		_, err := w.push(repo, "image", []oci.Tag{"again"})
		w.must(err)
	}).DeleteManifest(ctx, repo, d))
	_, err := w.FindTag(ctx, repo, "again")
	w.must(err)
	w.audit()
}
