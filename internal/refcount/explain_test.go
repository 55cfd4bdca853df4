// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/refcount"
)

// explain explains a digest in the repositories of a damaged world, before the damage.
func (x *damaged) explain(d oci.Digest) refcount.Explanation {
	x.t.Helper()
	out, err := x.Explain(context.Background(), d, []oci.Repository{repo, "team/none", "team/other"}, func(int) {})
	x.must(err)
	return out
}

// stays fails the test unless something stays for the reason.
func (x *damaged) stays(f refcount.Fate, why string) {
	x.t.Helper()
	if !f.Stays || !f.Until.IsZero() || !strings.Contains(f.Why, why) {
		x.t.Errorf("got %+v, want one that stays: %s", f, why)
	}
}

// goes fails the test unless something goes in so long, for the reason.
func (x *damaged) goes(f refcount.Fate, in time.Duration, why string) {
	x.t.Helper()
	if f.Stays || !f.Until.Equal(x.clock.Now().Add(in)) || !strings.Contains(f.Why, why) {
		x.t.Errorf("got %+v, want one that goes in %v: %s", f, in, why)
	}
}

func TestExplainManifests(t *testing.T) {
	ctx := context.Background()
	x := newDamaged(t)
	one := func(d oci.Digest) refcount.ExplainedManifest {
		t.Helper()
		e := x.explain(d)
		if len(e.Manifests) != 1 || e.Manifests[0].Repository != repo || e.Blob != nil {
			t.Fatalf("%+v", e)
		}
		return e.Manifests[0]
	}
	m := one(x.image)
	x.stays(m.Fate, "the tag v1 points to it")
	if m.State != "visible" || len(m.Tags) != 1 || len(m.Parents) != 1 || m.Parents[0] != x.list || m.Referrers != 1 {
		t.Errorf("%+v", m)
	}
	x.must(x.DeleteTag(ctx, repo, "v1"))
	x.stays(one(x.image).Fate, "the index "+string(x.list)+" lists it")
	x.stays(one(x.signature).Fate, "it refers to "+string(x.image))
	x.stays(one(x.large).Fate, "kept until somebody deletes them")

	x.must(x.DeleteManifest(ctx, repo, x.list))
	m = one(x.list)
	x.goes(m.Fate, x.Margins().UndoWindow, "can be undeleted")
	if !m.Undelete.Equal(m.Until) || !m.Deleted.Equal(x.clock.Now()) || len(m.Tags) != 1 {
		t.Errorf("%+v", m)
	}
	x.settle()
	if e := x.explain(x.list); len(e.Manifests) != 0 {
		t.Errorf("what is gone is there: %+v", e)
	}
	if e := x.explain(digest.FromString("never")); len(e.Manifests)+len(e.Links) != 0 || e.Blob != nil {
		t.Errorf("what never was is there: %+v", e)
	}
}

func TestExplainUnderARule(t *testing.T) {
	w := newWorld(t, func(c *refcount.Config) { c.Margins.Untagged = 48 * time.Hour })
	x := &damaged{world: w}
	d, err := w.push(repo, "a", nil)
	w.must(err)
	x.goes(x.explain(d).Manifests[0].Fate, 48*time.Hour, "the rule")
}

func TestExplainAStage(t *testing.T) {
	w := newWorld(t)
	x := &damaged{world: w}
	var ds []oci.Digest
	for i := range 150 {
		ds = append(ds, digest.FromString(string(rune('a'+i))))
	}
	d, err := w.push(repo, "wide", nil, links(ds...)) // none of which is there
	w.mustBe(err, oci.ManifestBlobUnknown)
	m := x.explain(d).Manifests[0]
	x.goes(m.Fate, w.Margins().StageLease, "its push is under way")
	w.clock.Advance(w.Margins().StageLease)
	w.sweep()
	if e := x.explain(d); len(e.Manifests) != 0 {
		t.Errorf("%+v", e)
	}
}

func TestExplainBlobs(t *testing.T) {
	ctx := context.Background()
	x := newDamaged(t)
	e := x.explain(x.layer)
	if len(e.Links) != 2 || len(e.Manifests) != 0 || e.Blob == nil || e.Blob.Links != 2 || e.Blob.Size != int64(len(big)) || e.Blob.Inline || !e.Blob.Freed.IsZero() {
		t.Fatalf("%+v", e)
	}
	x.stays(e.Links[0].Fate, "2 manifests list it")
	if ms := e.Links[0].Manifests; len(ms) != 2 {
		t.Errorf("listed by %v", ms)
	}
	x.goes(e.Links[1].Fate, x.Margins().Grace, "no manifest of the repository")
	x.stays(e.Blob.Fate, "2 repositories have it")

	e = x.explain(x.config)
	x.stays(e.Links[0].Fate, "the manifest "+string(x.image)+" lists it")

	e = x.explain(x.lone)
	x.goes(e.Links[0].Fate, x.Margins().Grace, "no manifest")
	if x.goes(e.Blob.Fate, x.Margins().Grace, "any repository"); !e.Blob.Inline || !e.Blob.Freed.Equal(e.Blob.Until) {
		t.Errorf("%+v", e.Blob)
	}
	for _, d := range []oci.Digest{x.list, x.image, x.large} {
		x.must(x.DeleteManifest(ctx, repo, d))
	}
	e = x.explain(x.layer)
	x.goes(e.Blob.Fate, x.Margins().Grace, "any repository")
	if !e.Blob.Freed.Equal(x.clock.Now().Add(x.Margins().Grace + x.Margins().TombstoneDelay)) {
		t.Errorf("%+v", e.Blob)
	}
	// What was told happens.
	x.clock.Advance(x.Margins().Grace)
	x.sweep()
	x.clock.Advance(x.Margins().TombstoneDelay - time.Millisecond)
	x.sweep()
	if n := x.objects(); n != 2 { // that of the large manifest waits, too
		t.Errorf("%d objects", n)
	}
	x.clock.Advance(time.Millisecond)
	x.sweep()
	if _, err := x.store.Stat(ctx, e.Blob.Object); err == nil {
		t.Error("the object is not freed when it was told")
	}
}

func TestExplainTags(t *testing.T) {
	ctx := context.Background()
	x := newDamaged(t)
	ask := func(name oci.Tag) refcount.Explanation {
		t.Helper()
		e, err := x.ExplainTag(ctx, repo, name, func(int) {})
		x.must(err)
		return e
	}
	if e := ask("v1"); !e.Tag.There || e.Tag.Digest != x.image || e.Digest != x.image || len(e.Manifests) != 1 {
		t.Errorf("%+v", e)
	}
	x.clock.Advance(time.Minute)
	x.must(x.DeleteTag(ctx, repo, "v1"))
	if e := ask("v1"); e.Tag.There || e.Tag.Digest != x.image || !e.Tag.Moved.Equal(x.clock.Now()) || len(e.Manifests) != 1 {
		t.Errorf("%+v", e)
	}
	_, err := x.push(repo, "pr", []oci.Tag{"pr"}, func(p *refcount.Push) { p.Expires = x.clock.Now().Add(time.Hour) })
	x.must(err)
	if e := ask("pr"); !e.Tag.Expires.Equal(x.clock.Now().Add(time.Hour)) {
		t.Errorf("%+v", e)
	}
	if e := ask("never"); e.Tag.There || e.Tag.Digest != "" || e.Digest != "" {
		t.Errorf("%+v", e)
	}
}
