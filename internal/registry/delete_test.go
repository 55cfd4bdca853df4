// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/registry"
)

func TestDelete(t *testing.T) {
	w := newWorld(t, registry.Options{})
	ctx := t.Context()
	config, layer := w.upload(repo, "{}"), w.upload(repo, pattern(1, 1000))
	child, top := image("", config, layer), index(digest.FromBytes(image("", config, layer)))
	c, i := w.push(child, "child", "again"), w.push(top, "index")

	w.must(w.DeleteTag(ctx, repo, "again"))
	w.mustBe(w.DeleteTag(ctx, repo, "again"), oci.ManifestUnknown)
	w.wantNoManifest("again")
	w.wantManifest("child", oci.MediaTypeManifest, child)

	w.mustBe(w.DeleteBlob(ctx, repo, layer), oci.InUse)
	w.mustBe(w.DeleteManifest(ctx, repo, c), oci.InUse)
	w.must(w.DeleteManifest(ctx, repo, i))
	w.mustBe(w.DeleteManifest(ctx, repo, i), oci.ManifestUnknown)
	w.must(w.DeleteManifest(ctx, repo, c))
	for _, ref := range []string{"child", "index", string(c), string(i)} {
		w.wantNoManifest(ref)
	}
	w.must(w.DeleteBlob(ctx, repo, layer))
	w.mustBe(w.DeleteBlob(ctx, repo, layer), oci.BlobUnknown)
	w.wantNoBlob(repo, layer)
	w.mustBe(w.DeleteBlob(ctx, "team/other", config), oci.BlobUnknown)
	w.mustBe(w.DeleteManifest(ctx, "team/other", c), oci.ManifestUnknown)
	w.settle()
}

func TestUndelete(t *testing.T) {
	w := newWorld(t, registry.Options{})
	body := image("", w.upload(repo, "{}"), w.upload(repo, pattern(1, 1000)))
	d := w.push(body, "v1", "v2")
	signature := w.push(image(subject(d), w.upload(repo, "{}")))
	w.must(w.DeleteManifest(t.Context(), repo, d))
	w.wantNoManifest("v1")
	w.wantNoManifest(string(signature))
	w.clock.Advance(11 * time.Hour)
	w.sweep()
	got, err := w.ledger.Undelete(t.Context(), repo, d)
	w.must(err)
	if len(got.Manifests) != 2 || len(got.Tags) != 2 || len(got.Lost) != 0 {
		t.Fatalf("restored %+v", got)
	}
	w.settle()
	w.wantManifest("v1", oci.MediaTypeManifest, body)
	w.wantManifest("v2", oci.MediaTypeManifest, body)
	referrers, _, err := w.Referrers(t.Context(), repo, d, "", "")
	w.must(err)
	if len(referrers) != 1 || referrers[0].Digest != signature {
		t.Fatalf("the referrers are %+v", referrers)
	}
}
