// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"fmt"

	"tare/internal/oci"

	"github.com/opencontainers/go-digest"
)

// deleteScenarios are deletes of tags and manifests, and undeletes.
func deleteScenarios() []scenario {
	wide := many(wideWorth)
	var tagged []operation
	var refs []string
	for i := range 45 {
		name := oci.Tag(fmt.Sprint("t", i))
		tagged = append(tagged, pushManifest(repo, image(small), name))
		refs = append(refs, ":"+string(name))
	}
	return []scenario{
		{"delete a tag", pushImage(repo, "v1", small), deleteTag(repo, "v1"), true},
		{"delete an image", pushImage(repo, "v1", small, large), deleteManifest(repo, image(small, large), ":v1"), true},
		{"delete an index", all(pushImage(repo, "v1", small), pushManifest(repo, index(image(small)), "all")),
			deleteManifest(repo, index(image(small)), ":all"), true},
		{"delete a subject", all(pushImage(repo, "v1", small), pushManifest(repo, signature(image(small), small)),
			pushManifest(repo, signature(signature(image(small), small), small)), pushManifest(repo, signature(image(small)), "kept")),
			deleteManifest(repo, image(small), ":v1", "@"+string(digest.FromString(signature(image(small), small))),
				"@"+string(digest.FromString(signature(signature(image(small), small), small)))), false},
		{"delete a wide image", pushImage(repo, "wide", wide...), deleteManifest(repo, image(wide...), ":wide"), false},
		{"delete a heavy manifest", all(pushBlobs(repo, small), pushManifest(repo, heavyManifest(), "heavy")), deleteManifest(repo, heavyManifest(), ":heavy"), true},
		{"delete an image with many tags", all(pushBlob(repo, small), all(tagged...)), deleteManifest(repo, image(small), refs...), false},
		{"undelete", all(pushImage(repo, "v1", small, large), pushManifest(repo, signature(image(small, large), small)),
			deleteManifest(repo, image(small, large), ":v1", "@"+string(digest.FromString(signature(image(small, large), small))))),
			undelete(repo, image(small, large), "v1"), true},
		{"undelete a wide image", all(pushImage(repo, "wide", wide...), deleteManifest(repo, image(wide...), ":wide")), undelete(repo, image(wide...), "wide"), false},
		{"undelete a tag", all(pushImage(repo, "v1", small), deleteTag(repo, "v1"), deleteManifest(repo, image(small))), undeleteTag(repo, image(small), "v1"), true},
		{"delete a child of an index", all(pushImage(repo, "v1", small), pushManifest(repo, index(image(small)), "all")),
			refused(deleteManifest(repo, image(small)), oci.InUse), true},
		{"delete an image with a foreign layer", all(pushBlobs(repo, small, large), pushManifest(repo, foreignImage(small, large), "v1")),
			deleteManifest(repo, foreignImage(small, large), ":v1"), true},
		{"delete a sparse index", all(pushImage(repo, "v1", small), sparse, again(pushManifest(repo, sparseIndex(), "sparse"))),
			deleteManifest(repo, sparseIndex(), ":sparse"), true},

		{"undelete an index", all(pushImage(repo, "v1", small), pushManifest(repo, index(image(small)), "all"), deleteManifest(repo, index(image(small)), ":all")),
			undelete(repo, index(image(small)), "all"), true},
		{"undelete an index and its child", all(pushImage(repo, "v1", small), pushManifest(repo, index(image(small)), "all"),
			deleteManifest(repo, index(image(small)), ":all"), deleteManifest(repo, image(small), ":v1")),
			all(undelete(repo, image(small), "v1"), undelete(repo, index(image(small)), "all")), true},
		{"undelete an index without its child", all(pushImage(repo, "v1", small), pushManifest(repo, index(image(small)), "all"),
			deleteManifest(repo, index(image(small)), ":all"), deleteManifest(repo, image(small), ":v1")),
			refused(undelete(repo, index(image(small))), oci.ManifestBlobUnknown), true},
		{"undelete a heavy manifest", all(pushBlobs(repo, small), pushManifest(repo, heavyManifest(), "heavy"), deleteManifest(repo, heavyManifest(), ":heavy")),
			undelete(repo, heavyManifest(), "heavy"), true},
		{"undelete what lacks a blob", all(pushImage(repo, "v1", small, large), deleteManifest(repo, image(small, large), ":v1"), deleteBlob(repo, large)),
			refused(undelete(repo, image(small, large)), oci.ManifestBlobUnknown), true},
		{"undelete where the tag is taken", all(pushImage(repo, "v1", small), deleteManifest(repo, image(small), ":v1"), pushImage(repo, "v1", large)),
			undelete(repo, image(small)), true},
	}
}

func deleteTag(r oci.Repository, name oci.Tag) operation {
	return func(ctx context.Context, p *process) error {
		delete(p.manifests, string(r)+":"+string(name))
		return allow(p.reg.DeleteTag(ctx, r, name), oci.ManifestUnknown)
	}
}

// deleteManifest deletes a manifest; gone are the references that go with it.
func deleteManifest(r oci.Repository, body string, gone ...string) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(body)
		for _, ref := range append(gone, "@"+string(d)) {
			delete(p.manifests, string(r)+ref)
		}
		return allow(p.reg.DeleteManifest(ctx, r, d), oci.ManifestUnknown)
	}
}

func undelete(r oci.Repository, body string, tags ...oci.Tag) operation {
	return func(ctx context.Context, p *process) error {
		if _, err := p.ledger.Undelete(ctx, r, digest.FromString(body)); err != nil {
			return err
		}
		p.toldOfManifest(r, body, tags...)
		return nil
	}
}

func undeleteTag(r oci.Repository, body string, name oci.Tag) operation {
	return func(ctx context.Context, p *process) error {
		if _, err := p.ledger.UndeleteTag(ctx, r, name); allow(err, oci.PreconditionFailed) != nil {
			return err
		}
		p.toldOfManifest(r, body, name)
		return nil
	}
}
