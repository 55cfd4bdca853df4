// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/faultstore"
)

// What an index lists changes between the reads of its push and the commit: what was a blob is a manifest, or both, or
// nothing. Each edge is counted once, and on the row that says so.
func TestChildrenChangeBeforeTheCommit(t *testing.T) {
	ctx := t.Context()
	const content = `{"name":"both"}`
	d := digestOf(content)
	blob := func(w *world) { w.upload(repo, content) }
	noBlob := func(w *world) { w.must(w.DeleteBlob(ctx, repo, d)) }
	manifest := func(w *world) { w.must(second(w.push(repo, "both", nil))) }
	noManifest := func(w *world) { w.must(w.DeleteManifest(ctx, repo, d)) }
	for _, c := range []struct {
		name        string
		ready, meet []func(*world)
		commit      int // before which they meet: the first takes each child for a manifest
		want        oci.Code
		held        string
	}{
		{"a blob", []func(*world){blob}, nil, 1, "", "blob"},
		{"a blob goes", []func(*world){blob}, []func(*world){noBlob}, 2, oci.ManifestBlobUnknown, ""},
		{"a blob goes and a manifest comes", []func(*world){blob}, []func(*world){noBlob, manifest}, 2, "", "manifest"},
		{"a manifest comes beside the blob that was seen", []func(*world){blob}, []func(*world){manifest}, 2, "", "blob"},
		{"a manifest comes beside the blob", []func(*world){blob}, []func(*world){manifest}, 1, "", "manifest"},
		{"a manifest goes", []func(*world){manifest}, []func(*world){noManifest}, 1, oci.ManifestBlobUnknown, ""},
		{"a manifest goes that was a blob, too", []func(*world){manifest, blob}, []func(*world){noManifest}, 1, "", "blob"},
		{"a blob comes", nil, []func(*world){blob}, 1, "", "blob"},
		{"nothing", nil, nil, 1, oci.ManifestBlobUnknown, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.must(second(w.push(repo, "other", nil))) // so that the repository's row is no reason to read again
			for _, f := range c.ready {
				f(w)
			}
			index := refcount.Push{Repo: repo, MediaType: oci.MediaTypeIndex, Body: []byte("[]"), Digest: digestOf("[]"), Children: []oci.Digest{d}}
			l := w.before(c.commit, func() {
				for _, f := range c.meet {
					f(w)
				}
			})
			if _, err := l.Push(ctx, index); c.want != "" {
				w.mustBe(err, c.want)
			} else {
				w.must(err)
			}
			w.audit()
			switch c.held {
			case "blob":
				w.mustBe(w.DeleteBlob(ctx, repo, d), oci.InUse)
			case "manifest":
				w.mustBe(w.DeleteManifest(ctx, repo, d), oci.InUse)
			}
			if c.held != "" {
				w.must(w.DeleteManifest(ctx, repo, index.Digest))
				w.audit()
			}
			w.settle()
		})
	}
}

// A stage records what its children are. Those that it has counted stay what they were; one that it has not counted yet may
// become the other before somebody goes on, and is counted as that (C2).
func TestStageFollowsWhatItsChildrenBecome(t *testing.T) {
	for _, wasBlob := range []bool{false, true} {
		w := newWorld(t)
		ctx := t.Context()
		bodies := map[oci.Digest]string{}
		var ds []oci.Digest
		for i := range 150 {
			name := fmt.Sprint("m", i)
			body := `{"name":"` + name + `"}`
			d := digestOf(body)
			bodies[d], ds = name, append(ds, d)
			if wasBlob {
				w.upload(repo, body)
			} else {
				w.must(second(w.push(repo, name, nil)))
			}
		}
		slices.Sort(ds)
		counted, other := ds[0], ds[149]
		index := refcount.Push{Repo: repo, MediaType: oci.MediaTypeIndex, Body: []byte("[]"), Digest: digestOf("[]"), Children: ds}
		_, _ = w.dying(writes(store.OpUpdate, "m#")).Push(ctx, index) // after its first batch
		for _, d := range []oci.Digest{counted, other} {
			w.upload(repo, `{"name":"`+bodies[d]+`"}`)
			w.must(second(w.push(repo, bodies[d], nil)))
		}
		remove, keep := w.DeleteManifest, w.DeleteBlob
		if wasBlob {
			remove, keep = keep, remove
		}
		w.mustBe(remove(ctx, repo, counted), oci.InUse)
		w.must(keep(ctx, repo, counted))
		w.must(remove(ctx, repo, other))

		w.must(second(w.Push(ctx, index)))
		w.audit()
		w.mustBe(keep(ctx, repo, other), oci.InUse)
		w.mustBe(remove(ctx, repo, counted), oci.InUse)
		w.settle()
		w.mustBe(keep(ctx, repo, other), oci.InUse)

		w.must(w.DeleteManifest(ctx, repo, index.Digest))
		w.audit()
		w.must(keep(ctx, repo, other))
		w.must(remove(ctx, repo, counted))
		w.settle()
	}
}

// A push finds that a child of its stage is a blob by now. Before it commits that, the manifest is back, and another push
// has counted it: it stays what it was counted as.
func TestAmendMeetsAnotherPush(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	const content = `{"name":"both"}`
	d := w.upload(repo, content)
	w.must(second(w.push(repo, "both", nil)))
	body := strings.Repeat("x", refcount.MaxInlineBody+1)
	index := refcount.Push{Repo: repo, MediaType: oci.MediaTypeIndex, Body: []byte(body), Digest: digestOf(body), Children: []oci.Digest{d}}
	_, _ = w.dying(writes(store.OpPut, "y#")).Push(ctx, index)
	w.must(w.DeleteManifest(ctx, repo, d))
	met := false
	_, err := w.beside(faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		if c.Kind == faultstore.Commit && slices.ContainsFunc(c.Tx.Ops, writes(store.OpUpdate, "y#")) && !met {
			met = true
			w.must(second(w.push(repo, "both", nil)))
			_, _ = w.dying(writes(store.OpUpdate, "m#")).Push(ctx, index)
		}
		return faultstore.Pass
	}}).Table(w.store)).Push(ctx, index)
	w.must(err)
	if !met {
		t.Fatal("they did not meet")
	}
	w.audit()
	w.mustBe(w.DeleteManifest(ctx, repo, d), oci.InUse)
	w.must(w.DeleteBlob(ctx, repo, d))
}

// A blob that a manifest lists twice, once as a foreign layer, has to be there: a stage does not forget it (C3).
func TestStageKeepsAForeignLayerThatIsNeeded(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	d := w.upload(repo, big)
	body := strings.Repeat("x", refcount.MaxInlineBody+1)
	push := refcount.Push{Repo: repo, MediaType: oci.MediaTypeManifest, Body: []byte(body), Digest: digestOf(body),
		Links: []oci.Digest{d}, Foreign: []oci.Digest{d}}
	_, _ = w.dying(writes(store.OpPut, "y#")).Push(ctx, push)
	w.must(w.DeleteBlob(ctx, repo, d))
	_, err := w.Push(ctx, push)
	w.mustBe(err, oci.ManifestBlobUnknown)
	w.upload(repo, big)
	w.must(second(w.Push(ctx, push)))
	w.mustBe(w.DeleteBlob(ctx, repo, d), oci.InUse)
	w.audit()
}
