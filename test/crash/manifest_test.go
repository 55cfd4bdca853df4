// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"

	"github.com/opencontainers/go-digest"
)

// image is a manifest of blobs with the given contents.
func image(blobs ...string) string { return manifest(oci.MediaTypeManifest, "layers", "", blobs...) }

// index lists manifests of the given bodies.
func index(bodies ...string) string { return manifest(oci.MediaTypeIndex, "manifests", "", bodies...) }

// signature is an image that refers to a manifest.
func signature(subject string, blobs ...string) string {
	return manifest(oci.MediaTypeManifest, "layers", subject, blobs...)
}

func manifest(mediaType, field, subject string, contents ...string) string {
	descriptor := func(content string) oci.Descriptor {
		return oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: digest.FromString(content), Size: int64(len(content))}
	}
	list := []oci.Descriptor{}
	for _, c := range contents {
		list = append(list, descriptor(c))
	}
	doc := map[string]any{"schemaVersion": 2, "mediaType": mediaType, field: list}
	if field == "layers" && len(list) > 0 {
		doc["config"] = list[0]
	}
	if subject != "" {
		doc["subject"] = descriptor(subject)
		doc["artifactType"] = "application/vnd.example.signature"
	}
	b, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// foreignImage is an image of a config and a layer whose bytes may be elsewhere.
func foreignImage(config, layer string) string {
	whole := image(config, layer)
	at := strings.LastIndex(whole[:strings.Index(whole, string(digest.FromString(layer)))], oci.MediaTypeManifest)
	return whole[:at] + "application/vnd.oci.image.layer.nondistributable.v1.tar" + whole[at+len(oci.MediaTypeManifest):]
}

// many are the contents of n small blobs.
func many(n int) []string {
	contents := make([]string, n)
	for i := range contents {
		contents[i] = fmt.Sprint("blob ", i)
	}
	return contents
}

// wideWorth is how many blobs make a manifest whose edges do not fit a transaction.
const wideWorth = 120

// pushScenarios are pushes of manifests.
func pushScenarios() []scenario {
	wide := many(wideWorth)
	return []scenario{
		{"push an image", nil, pushImage(repo, "v1", small, large), true},
		{"push by digest", pushBlobs(repo, small), pushManifest(repo, image(small)), true},
		{"push with two tags", pushBlobs(repo, small), pushManifest(repo, image(small), "v1", "v2"), true},
		{"push again", pushImage(repo, "v1", small), pushManifest(repo, image(small), "v1"), true},
		{"move a tag", all(pushImage(repo, "v1", small), pushBlob(repo, large)), pushManifest(repo, image(large), "v1"), true},
		{"move a tag to a manifest that is there", all(pushImage(repo, "v1", small), pushImage(repo, "v2", large)), pushManifest(repo, image(large), "v1"), true},
		{"push an index of what its tag pointed to", pushImage(repo, "v1", small), pushManifest(repo, index(image(small)), "v1"), true},
		{"push a referrer", pushImage(repo, "v1", small), pushManifest(repo, signature(image(small), small)), true},
		{"push a referrer before its subject", pushBlob(repo, small), all(pushManifest(repo, signature(image(small), small)), pushManifest(repo, image(small), "v1")), true},
		{"push a wide image", pushBlobs(repo, wide...), pushManifest(repo, image(wide...), "wide"), true},
		{"push a wide image over another", all(pushBlobs(repo, wide...), pushImage(repo, "wide", small)), pushManifest(repo, image(wide...), "wide"), false},
		{"push a heavy manifest", pushBlobs(repo, small), pushManifest(repo, heavyManifest(), "heavy"), true},
		{"push what was deleted", all(pushImage(repo, "v1", small), deleteManifest(repo, image(small), ":v1")), pushManifest(repo, image(small), "v1"), true},
		{"push into a closing repository", all(emptied(), sweep(refcount.SweepOptions{})), pushImage(repo, "v1", small), true},
		{"push if there is none", pushBlobs(repo, small), pushIf(image(small), ""), true},
		{"push if there is none, and there is", all(pushImage(repo, "v1", small), pushBlob(repo, large)),
			refused(compareAndSwap(image(large), ""), oci.PreconditionFailed), true},
		{"push if it matches", all(pushImage(repo, "v1", small), pushBlob(repo, large)), pushIf(image(large), image(small)), true},
		{"push if it matches, and it does not", all(pushImage(repo, "v1", small), pushBlob(repo, large)),
			refused(compareAndSwap(image(large), image(large)), oci.PreconditionFailed), true},
		{"push if there is none, over an expired tag", all(pushBlobs(repo, small, large), pushExpiring(repo, small, "v1"), wait(2*time.Hour)),
			pushIf(image(large), ""), true},
		{"push with an expiry", pushBlobs(repo, small), pushExpiring(repo, small, "v1"), true},
		{"push a foreign layer", pushBlobs(repo, small), pushManifest(repo, foreignImage(small, large), "v1"), true},
		{"push a foreign layer that is there", pushBlobs(repo, small, large), pushManifest(repo, foreignImage(small, large), "v1"), true},
		{"push a sparse index", all(pushImage(repo, "v1", small), sparse), pushManifest(repo, sparseIndex(), "sparse"), true},
		{"push what a sparse index lists", all(pushImage(repo, "v1", small), sparse, again(pushManifest(repo, sparseIndex(), "sparse"))),
			pushImage(repo, "v2", small, large), true},
		{"push an image that lacks a blob", pushBlobs(repo, small), refused(pushManifest(repo, image(small, large), "v1"), oci.ManifestBlobUnknown), true},
		{"push a wide image that lacks a blob", pushBlobs(repo, wide[1:]...), refused(pushManifest(repo, image(wide...), "wide"), oci.ManifestBlobUnknown), false},
		{"go on with a stage", all(pushBlobs(repo, wide...), dying(pushManifest(repo, image(wide...), "wide"), 4)), pushManifest(repo, image(wide...), "wide"), false},
	}
}

// pushImage uploads the blobs and pushes a manifest of them.
func pushImage(r oci.Repository, name oci.Tag, blobs ...string) operation {
	return all(pushBlobs(r, blobs...), pushManifest(r, image(blobs...), name))
}

// pushManifest pushes a manifest that lists blobs of the given contents, under tags.
func pushManifest(r oci.Repository, body string, tags ...oci.Tag) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(body)
		for _, name := range tags { // until it is answered, the tag may point to the old or to the new one
			delete(p.manifests, string(r)+":"+string(name))
		}
		_, err := p.reg.PushManifest(ctx, r, oci.ManifestPush{Digest: d, Tags: tags, Body: []byte(body)})
		if err != nil {
			return err
		}
		p.toldOfManifest(r, body, tags...)
		return nil
	}
}

// pushIf is compareAndSwap by a client that repeats what was not answered, and may find that it was done.
func pushIf(body, old string) operation {
	return func(ctx context.Context, p *process) error {
		delete(p.manifests, string(repo)+":v1")
		if err := allow(compareAndSwap(body, old)(ctx, p), oci.PreconditionFailed); err != nil {
			return err
		}
		p.toldOfManifest(repo, body, "v1")
		return nil
	}
}

// pushExpiring pushes an image of one blob under a tag that is good for an hour.
func pushExpiring(r oci.Repository, content string, name oci.Tag) operation {
	return func(ctx context.Context, p *process) error {
		body := image(content)
		_, err := p.ledger.Push(ctx, refcount.Push{
			Repo: r, Digest: digest.FromString(body), MediaType: oci.MediaTypeManifest, Body: []byte(body),
			Links: []oci.Digest{digest.FromString(content)}, Tags: []oci.Tag{name}, Expires: p.clock.Now().Add(time.Hour),
		})
		if err == nil {
			p.toldOfManifest(r, body)
		}
		return err
	}
}

// sparse has the registry take indexes of what is not there, from its next start on.
func sparse(_ context.Context, p *process) error {
	p.sparse = true
	return nil
}

// toldOfManifest records that a client was told of a manifest and its tags.
func (w *world) toldOfManifest(r oci.Repository, body string, tags ...oci.Tag) {
	m, err := oci.ParseManifest([]byte(body), "")
	if err != nil {
		w.t.Fatal(err)
	}
	var blobs []oci.Digest
	for _, l := range m.Layers {
		if !l.NonDistributable() {
			blobs = append(blobs, l.Digest)
		}
	}
	d := digest.FromString(body)
	w.manifests[string(r)+"@"+string(d)] = promise{r, oci.Reference{Digest: d}, body, blobs}
	for _, name := range tags {
		w.manifests[string(r)+":"+string(name)] = promise{r, oci.Reference{Tag: name}, body, blobs}
	}
}
