// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/faultstore"
)

// beside returns a second ledger on the world's store, behind another table.
func (w *world) beside(table store.Table) *refcount.Ledger {
	w.t.Helper()
	w.others++
	l, err := refcount.New(refcount.Stores{Table: table, Objects: w.store, Parts: w.store}, w.clock,
		refcount.Config{Margins: w.Margins(), InlineLimit: w.InlineLimit(), NewToken: seededTokens(w.others + 1)})
	w.must(err)
	return l
}

// Another sweeper takes a link and its blob between this one's reads of them. Nothing is corrupt.
func TestSweepersMeetAtALink(t *testing.T) {
	w := newWorld(t)
	w.upload(repo, big)
	w.clock.Advance(25 * time.Hour)
	met := false
	other := w.beside(faultstore.Apart{Table: w.store, Between: func(next store.Key) {
		if strings.HasPrefix(next.PK, "b#") && !met {
			met = true
			w.sweep()
		}
	}})
	report, err := other.Sweep(t.Context(), refcount.SweepOptions{})
	w.must(err)
	if !met || report.Failed > 0 {
		t.Fatalf("met: %v; failures: %v", met, report.Errors)
	}
	w.audit()
}

// The sweep takes a link and its blob while a person deletes the blob. It is unknown then, and nothing is corrupt.
func TestDeleteMeetsTheSweep(t *testing.T) {
	w := newWorld(t)
	d := w.upload(repo, big)
	w.clock.Advance(25 * time.Hour)
	other := w.beside(faultstore.Apart{Table: w.store, Between: func(next store.Key) {
		if strings.HasPrefix(next.PK, "b#") {
			w.sweep()
		}
	}})
	w.mustBe(other.DeleteBlob(t.Context(), repo, d), oci.BlobUnknown)
	w.audit()
}

// A session whose object a request may still be writing is finished with a small content by another request. A sweep
// that gives the margins up must wait for the writer.
func TestGivingUpWaitsForAWriter(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	s, err := w.Write(ctx, refcount.Session{ID: "u", Repo: repo, Object: w.NewObject()})
	w.must(err)
	w.must(w.FinishInline(ctx, s, digest.FromString("small"), "small"))
	_, err = w.Sweep(ctx, refcount.SweepOptions{GiveUpMargins: true})
	w.must(err)
	w.must(w.store.Put(ctx, s.Object, strings.NewReader(big), int64(len(big)))) // the writer's, within MaxPut
	w.audit()
}

// A referrer that is pushed again after its subject was deleted does not go with the subject, however late the sweep
// comes to it.
func TestCascadeSparesWhatCameAfter(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	d, err := w.push(repo, "subject", nil)
	w.must(err)
	signature, err := w.push(repo, "signature", nil, subject(d))
	w.must(err)
	w.clock.Advance(time.Minute)

	commits := 0
	cut := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		if c.Kind == faultstore.Commit {
			if commits++; commits > 1 { // the flip, and no cascade
				return faultstore.Unavailable
			}
		}
		return faultstore.Pass
	}})
	w.must(w.beside(cut.Table(w.store)).DeleteManifest(ctx, repo, d))
	_, err = w.FindManifest(ctx, repo, signature)
	w.must(err)
	w.clock.Advance(time.Minute)
	w.must(w.DeleteManifest(ctx, repo, signature))
	w.clock.Advance(time.Minute)
	_, err = w.push(repo, "signature", nil, subject(d))
	w.must(err)
	w.clock.Advance(time.Minute)
	w.sweep()
	if _, err := w.FindManifest(ctx, repo, signature); err != nil {
		t.Fatalf("pushed after the delete of its subject: %v", err)
	}
	w.audit()
}

// The same for a referrer that is still there, and is pushed again under a tag, or deleted and brought back. The tag it
// loses before the cascade comes.
func TestCascadeSparesWhatIsBack(t *testing.T) {
	for name, back := range map[string]func(*world, oci.Digest, oci.Digest){
		"tagged": func(w *world, d, _ oci.Digest) {
			_, err := w.push(repo, "signature", []oci.Tag{"t"}, subject(d))
			w.must(err)
			w.must(w.DeleteTag(w.t.Context(), repo, "t"))
		},
		"undeleted": func(w *world, _, signature oci.Digest) {
			w.must(w.DeleteManifest(w.t.Context(), repo, signature))
			w.clock.Advance(time.Second)
			_, err := w.Undelete(w.t.Context(), repo, signature)
			w.must(err)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			d, err := w.push(repo, "subject", nil)
			w.must(err)
			signature, err := w.push(repo, "signature", nil, subject(d))
			w.must(err)
			w.clock.Advance(time.Minute)
			commits := 0
			cut := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
				if c.Kind == faultstore.Commit {
					if commits++; commits > 1 { // the flip, and no cascade
						return faultstore.Unavailable
					}
				}
				return faultstore.Pass
			}})
			w.must(w.beside(cut.Table(w.store)).DeleteManifest(t.Context(), repo, d))
			w.clock.Advance(time.Second)
			back(w, d, signature)
			w.sweep()
			if _, err := w.FindManifest(t.Context(), repo, signature); err != nil {
				t.Fatalf("it was back after the delete of its subject: %v", err)
			}
			w.audit()
		})
	}
}

// The same for a referrer that is still there, and is pushed again just before the cascade takes it.
func TestCascadeSparesWhatWasPushedAgain(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	d, err := w.push(repo, "subject", nil)
	w.must(err)
	signature, err := w.push(repo, "signature", nil, subject(d))
	w.must(err)
	w.clock.Advance(time.Minute)
	commits := 0
	beside := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		if c.Kind == faultstore.Commit {
			if commits++; commits == 2 { // the first flips the subject, the second takes the referrer
				w.clock.Advance(time.Second)
				_, err := w.push(repo, "signature", nil, subject(d))
				w.must(err)
			}
		}
		return faultstore.Pass
	}})
	w.must(w.beside(beside.Table(w.store)).DeleteManifest(ctx, repo, d))
	w.sweep()
	if _, err := w.FindManifest(ctx, repo, signature); err != nil {
		t.Fatalf("pushed after the delete of its subject: %v", err)
	}
	w.audit()
}

// Whose clock is behind that of the process that deleted the subject pushes after it all the same: a referrer that is new, one
// that is new and too large for one transaction, one that is there and pushed again, and one that is pushed again under a tag.
func TestCascadeSparesWhatComesAfterByASlowerClock(t *testing.T) {
	for name, c := range map[string]struct {
		before bool // whether the referrer is there when its subject goes
		size   int
		tags   []oci.Tag
	}{
		"new":         {},
		"staged":      {size: 200},
		"there":       {before: true},
		"there, tags": {before: true, tags: []oci.Tag{"t"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ctx := t.Context()
			d, err := w.push(repo, "subject", nil)
			w.must(err)
			w.must(second(w.push(repo, "another", nil, subject(d)))) // which has to go
			push := func(tags []oci.Tag) oci.Digest {
				layers := make([]oci.Digest, c.size)
				for i := range layers {
					layers[i] = digest.FromString(fmt.Sprint("layer ", i))
					w.upload(repo, fmt.Sprint("layer ", i))
				}
				signature, err := w.push(repo, "signature", tags, subject(d), links(layers...))
				w.must(err)
				return signature
			}
			if c.before {
				push(nil)
			}
			w.clock.Advance(time.Minute)
			commits := 0
			cut := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
				if c.Kind == faultstore.Commit {
					if commits++; commits > 1 { // the flip, and no cascade
						return faultstore.Unavailable
					}
				}
				return faultstore.Pass
			}})
			w.must(w.beside(cut.Table(w.store)).DeleteManifest(ctx, repo, d))
			w.clock.Advance(-time.Second)
			signature := push(c.tags)
			for _, name := range c.tags {
				w.must(w.DeleteTag(ctx, repo, name))
			}
			w.clock.Advance(time.Minute)
			w.sweep()
			if _, err := w.FindManifest(ctx, repo, signature); err != nil {
				t.Fatalf("pushed after the delete of its subject: %v", err)
			}
			w.audit()
		})
	}
}

// A stage that began when a foreign layer was there does not insist on it for ever: the layer may stay elsewhere.
func TestStageForgetsAForeignLayerThatWent(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	ds := make([]oci.Digest, 150)
	contents := map[oci.Digest]string{}
	for i := range ds {
		content := fmt.Sprint("blob ", i)
		ds[i] = digest.FromString(content)
		contents[ds[i]] = content
	}
	slices.Sort(ds)
	missing, foreign := ds[0], ds[149]
	for _, d := range ds[1:] {
		w.upload(repo, contents[d])
	}
	wide := func(p *refcount.Push) {
		p.Links, p.Foreign = ds[:149], []oci.Digest{foreign}
	}
	_, err := w.push(repo, "wide", []oci.Tag{"wide"}, wide)
	w.mustBe(err, oci.ManifestBlobUnknown) // the missing one
	w.must(w.DeleteBlob(ctx, repo, foreign))
	w.upload(repo, contents[missing])
	_, err = w.push(repo, "wide", []oci.Tag{"wide"}, wide)
	w.must(err)
	w.audit()
}

// The reads of a delete do not grow with the square of the tags.
func TestDeleteOfManyTags(t *testing.T) {
	w := newWorld(t)
	var d oci.Digest
	const tags = 2000
	for i := 0; i < tags; i += 10 {
		var names []oci.Tag
		for j := range 10 {
			names = append(names, oci.Tag(fmt.Sprint("t", i+j)))
		}
		var err error
		d, err = w.push(repo, "a", names)
		w.must(err)
	}
	rows := 0
	p := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		if c.Kind == faultstore.Get {
			rows += len(c.Keys)
		}
		return faultstore.Pass
	}})
	w.must(w.beside(p.Table(w.store)).DeleteManifest(t.Context(), repo, d))
	if rows > 3*tags {
		t.Fatalf("the delete of a manifest with %d tags read %d rows one by one", tags, rows)
	}
	w.audit()
}

// The object of a large manifest body may still be written when its stage was given up and dropped. A sweep that gives
// the margins up must wait for that writer, too.
func TestGivingUpWaitsForTheWriterOfABody(t *testing.T) {
	w := newWorld(t)
	p := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		if c.Kind == faultstore.Put {
			return faultstore.Late
		}
		return faultstore.Pass
	}})
	l, err := refcount.New(refcount.Stores{Table: p.Table(w.store), Objects: p.Objects(w.store), Parts: w.store}, w.clock,
		refcount.Config{Margins: w.Margins(), NewToken: seededTokens(w.others + 1)})
	w.must(err)
	body := []byte(strings.Repeat(" ", refcount.MaxInlineBody+1))
	if _, err := l.Push(t.Context(), refcount.Push{Repo: repo, Digest: digest.FromBytes(body), MediaType: oci.MediaTypeManifest, Body: body}); err == nil {
		t.Fatal("the push succeeded without its body")
	}
	w.clock.Advance(w.Margins().StageLease + time.Second)
	w.sweep()
	_, err = w.Sweep(t.Context(), refcount.SweepOptions{GiveUpMargins: true})
	w.must(err)
	if landed, err := p.Land(); !landed || err != nil {
		t.Fatal(landed, err)
	}
	w.audit()
}

// What came after a manifest that lists it is not held by it, and a push that only finds the manifest does not say so (C3).
func TestRepushTellsWhatIsNotHeld(t *testing.T) {
	for name, between := range map[string]func(w *world, p refcount.Push){
		"visible": func(*world, refcount.Push) {},
		"deleted": func(w *world, p refcount.Push) { w.must(w.DeleteManifest(t.Context(), repo, p.Digest)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			const content = "comes later"
			d := digestOf(content)
			index := refcount.Push{Repo: repo, MediaType: oci.MediaTypeIndex, Body: []byte("[]"), Digest: digestOf("[]"), Sparse: []oci.Digest{d}, Tags: []oci.Tag{"v1"}}
			for i := range 3 {
				absent, err := w.Push(t.Context(), index)
				w.must(err)
				if len(absent) != 1 || absent[0] != d {
					t.Errorf("push %d: absent %v", i+1, absent)
				}
				if i == 0 {
					between(w, index)
					w.upload(repo, content)
				}
			}
			w.audit()
		})
	}
}
