// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/registry"
)

func TestManifestDigests(t *testing.T) {
	w := newWorld(t, registry.Options{})
	body := image("", w.upload(repo, "{}"))
	sum := sha512.Sum512(body)
	long := oci.Digest("sha512:" + hex.EncodeToString(sum[:]))
	short := digest.FromBytes(body)
	for _, d := range []oci.Digest{long, short} {
		got, err := w.PushManifest(t.Context(), repo, oci.ManifestPush{Body: body, Digest: d, Tags: []oci.Tag{"t"}})
		w.must(err)
		if got.Digest != d {
			t.Fatalf("pushed as %s, answered as %s", d, got.Digest)
		}
		w.wantManifest(string(d), oci.MediaTypeManifest, body)
		r, err := w.ResolveManifest(t.Context(), repo, oci.Reference{Tag: "t"})
		w.must(err)
		if r.Digest != d {
			t.Fatalf("pushed by %s, the tag leads to %s", d, r.Digest)
		}
	}
	for _, d := range []oci.Digest{digest.FromString("x"), digest.FromString(""), "sha512:" + oci.Digest(strings.Repeat("0", 128))} {
		_, err := w.PushManifest(t.Context(), repo, oci.ManifestPush{Body: body, Digest: d})
		w.mustBe(err, oci.DigestInvalid)
		w.wantNoManifest(string(d))
	}
	w.settle()
}

func TestInvalidManifests(t *testing.T) {
	w := newWorld(t, registry.Options{})
	for what, c := range map[string]struct {
		body string
		code oci.Code
	}{
		"nothing":   {"", oci.ManifestInvalid},
		"no JSON":   {"{", oci.ManifestInvalid},
		"too large": {strings.Repeat(" ", oci.MaxManifest+1), oci.TooLarge},
	} {
		_, err := w.PushManifest(t.Context(), repo, oci.ManifestPush{Body: []byte(c.body), Tags: []oci.Tag{"t"}})
		if oci.CodeOf(err) != c.code {
			t.Errorf("%s: got %v, want %s", what, err, c.code)
		}
	}
	w.wantNoManifest("t")
}

// A manifest is refused when anything that it lists is not in the repository, and the answer names what.
func TestMissingReferences(t *testing.T) {
	w := newWorld(t, registry.Options{})
	config, layer := w.upload(repo, "{}"), w.upload(repo, "layer")
	elsewhere := w.upload("team/other", "elsewhere")
	child := w.push(image("", config))
	missing := digest.FromString("missing")
	for what, c := range map[string]struct {
		body []byte
		want oci.Digest
	}{
		"config":                         {image("", missing, layer), missing},
		"layer":                          {image("", config, layer, missing), missing},
		"layer of another repository":    {image("", config, elsewhere), elsewhere},
		"child":                          {index(child, missing), missing},
		"blob of another repository":     {index(child, elsewhere), elsewhere},
		"manifest as layer":              {image("", config, child), child},
		"blob of an ORAS manifest":       {fmt.Appendf(nil, `{"mediaType":"application/vnd.oci.artifact.manifest.v1+json","blobs":%s}`, list("x/y", missing)), missing},
		"one of more than a transaction": {image("", config, append(w.blobs(150), missing)...), missing},
	} {
		t.Run(what, func(t *testing.T) {
			_, err := w.PushManifest(t.Context(), repo, oci.ManifestPush{Body: c.body, Tags: []oci.Tag{"t"}})
			w.mustBe(err, oci.ManifestBlobUnknown)
			var e *oci.Error
			if errors.As(err, &e); fmt.Sprint(e.Detail) != fmt.Sprint(map[string]string{"digest": string(c.want)}) {
				t.Fatalf("the detail is %v, want %s", e.Detail, c.want)
			}
			w.wantNoManifest("t")
			w.wantNoManifest(string(digest.FromBytes(c.body)))
			w.audit()
		})
	}
	w.settle()
}

func (w *world) blobs(n int) []oci.Digest {
	w.t.Helper()
	ds := make([]oci.Digest, n)
	for i := range ds {
		ds[i] = w.upload(repo, fmt.Sprint("blob ", i))
	}
	return ds
}

// A layer whose bytes may stay elsewhere need not be there; one that is is held as any other.
func TestForeignLayers(t *testing.T) {
	w := newWorld(t, registry.Options{})
	config, here, absent := w.upload(repo, "{}"), w.upload(repo, "here"), digest.FromString("absent")
	body := fmt.Appendf(nil, `{"schemaVersion":2,"config":%s,"layers":%s}`, desc(mediaTypeConfig, config), list(mediaTypeForeign, here, absent))
	d := w.lacking(fmt.Appendf(nil, `{"mediaType":%q,%s`, oci.MediaTypeManifest, body[1:]), absent)
	w.mustBe(w.DeleteBlob(t.Context(), repo, here), oci.InUse)
	w.upload(repo, "absent")
	w.must(w.DeleteBlob(t.Context(), repo, absent))
	w.settle()
	if _, err := w.read(repo, here, 0, -1); err != nil {
		t.Fatal(err)
	}
	w.must(w.DeleteManifest(t.Context(), repo, d))
	w.must(w.DeleteBlob(t.Context(), repo, here))
	w.settle()
}

// lacking pushes a manifest as "t", once and again, and wants to be told of what it lists and is not there.
func (w *world) lacking(body []byte, absent ...oci.Digest) oci.Digest {
	w.t.Helper()
	for range 2 {
		got, err := w.PushManifest(w.t.Context(), repo, oci.ManifestPush{Body: body, Tags: []oci.Tag{"t"}})
		w.must(err)
		if !slices.Equal(got.Absent, absent) {
			w.t.Fatalf("told of %v, want %v", got.Absent, absent)
		}
	}
	return digest.FromBytes(body)
}

func TestSparseIndexes(t *testing.T) {
	for _, more := range []int{0, 200} { // in one transaction, and staged
		w := newWorld(t, registry.Options{SparseIndexes: true})
		child, layer := w.push(image("", w.upload(repo, "{}"))), w.upload(repo, "layer")
		absent := []oci.Digest{digest.FromString("x"), digest.FromString("absent")}
		body := index(append(w.blobs(more), absent[0], child, layer, absent[1], absent[0])...)
		d := w.lacking(body, absent...)
		w.wantManifest("t", oci.MediaTypeIndex, body)
		w.mustBe(w.DeleteManifest(t.Context(), repo, child), oci.InUse)
		w.mustBe(w.DeleteBlob(t.Context(), repo, layer), oci.InUse)
		w.settle()
		w.push(image("", w.upload(repo, "{}")))
		w.must(w.DeleteManifest(t.Context(), repo, d))
		w.must(w.DeleteManifest(t.Context(), repo, child))
		w.must(w.DeleteBlob(t.Context(), repo, layer))
		w.settle()
	}
	w := newWorld(t, registry.Options{SparseIndexes: true})
	absent := digest.FromString("absent")
	w.settle()
	_, err := w.PushManifest(t.Context(), repo, oci.ManifestPush{Body: image("", absent), Tags: []oci.Tag{"t"}})
	w.mustBe(err, oci.ManifestBlobUnknown)
}

// An index may list blobs: BuildKit's caches are made so. It holds them as an image holds its layers.
func TestBlobsInAnIndex(t *testing.T) {
	for _, n := range []int{2, 300} { // in one transaction, and staged
		for _, sparse := range []bool{false, true} {
			w := newWorld(t, registry.Options{SparseIndexes: sparse})
			ctx := t.Context()
			blobs := w.blobs(n)
			child := w.push(image("", blobs[0]))
			both := w.upload(repo, string(image("", blobs[1])))
			if w.push(image("", blobs[1])) != both {
				t.Fatal("the blob and the manifest have two digests")
			}
			body := index(append(blobs, child, both, blobs[0])...)
			d := w.lacking(body)
			w.must(w.DeleteBlob(ctx, repo, both)) // the manifest is what is held
			w.mustBe(w.DeleteManifest(ctx, repo, both), oci.InUse)
			w.mustBe(w.DeleteManifest(ctx, repo, child), oci.InUse)
			w.mustBe(w.DeleteBlob(ctx, repo, blobs[n-1]), oci.InUse)
			w.settle()
			w.wantManifest("t", oci.MediaTypeIndex, body)

			w.must(w.DeleteManifest(ctx, repo, d))
			w.audit()
			w.must(second(w.ledger.Undelete(ctx, repo, d)))
			w.wantManifest("t", oci.MediaTypeIndex, body)
			w.mustBe(w.DeleteBlob(ctx, repo, blobs[n-1]), oci.InUse)
			w.settle()
			for _, blob := range blobs {
				w.must(second(w.read(repo, blob, 0, -1)))
			}

			for _, m := range []oci.Digest{d, child, both} {
				w.must(w.DeleteManifest(ctx, repo, m))
			}
			w.must(w.DeleteBlob(ctx, repo, blobs[n-1]))
			w.settle()
			w.wantNoBlob(repo, blobs[0])
		}
	}
}

// More than a transaction holds: a manifest with hundreds of layers, an index with hundreds of children.
func TestManyReferences(t *testing.T) {
	w := newWorld(t, registry.Options{})
	blobs := w.blobs(300)
	wide := image("", blobs[0], blobs[1:]...)
	d := w.push(wide, "wide")
	w.audit()
	w.wantManifest("wide", oci.MediaTypeManifest, wide)
	w.mustBe(w.DeleteBlob(t.Context(), repo, blobs[299]), oci.InUse)

	children := make([]oci.Digest, 300)
	for i := range children {
		children[i] = w.push(image("", blobs[i]))
	}
	body := index(append(children, d)...)
	top := w.push(body, "index")
	w.audit()
	w.wantManifest("index", oci.MediaTypeIndex, body)
	w.mustBe(w.DeleteManifest(t.Context(), repo, children[299]), oci.InUse)
	w.settle()
	w.wantManifest("index", oci.MediaTypeIndex, body)

	w.must(w.DeleteManifest(t.Context(), repo, top))
	w.wantNoManifest("index")
	for _, child := range append(children, d) {
		w.must(w.DeleteManifest(t.Context(), repo, child))
	}
	for _, blob := range blobs {
		w.must(w.DeleteBlob(t.Context(), repo, blob))
	}
	w.settle()
}

func TestTagsMove(t *testing.T) {
	w := newWorld(t, registry.Options{})
	config := w.upload(repo, "{}")
	one, two := image(`,"n":1`, config), image(`,"n":2`, config)
	a, b := w.push(one, "t", "u"), w.push(two, "t")
	w.wantManifest("t", oci.MediaTypeManifest, two)
	w.wantManifest("u", oci.MediaTypeManifest, one)
	w.wantManifest(string(a), oci.MediaTypeManifest, one)
	w.push(one, "t")
	w.wantManifest("t", oci.MediaTypeManifest, one)
	w.must(w.DeleteManifest(t.Context(), repo, b))
	w.wantManifest("t", oci.MediaTypeManifest, one)
	w.settle()
}

func TestManyTagsInOnePush(t *testing.T) {
	w := newWorld(t, registry.Options{})
	body := image("", w.upload(repo, "{}"))
	var tags []oci.Tag
	for i := range 10 {
		tags = append(tags, oci.Tag(fmt.Sprint("t", i)))
	}
	w.push(body, tags...)
	for _, tag := range tags {
		w.wantManifest(string(tag), oci.MediaTypeManifest, body)
	}
	_, err := w.PushManifest(t.Context(), repo, oci.ManifestPush{Body: body, Tags: append(tags, "t10")})
	w.mustBe(err, oci.TooLarge)
	w.wantNoManifest("t10")
	w.settle()
}

func TestPreconditions(t *testing.T) {
	w := newWorld(t, registry.Options{})
	config := w.upload(repo, "{}")
	one, two := image(`,"n":1`, config), image(`,"n":2`, config)
	a, b := digest.FromBytes(one), digest.FromBytes(two)
	put := func(body []byte, match oci.Digest, absent bool) error {
		_, err := w.PushManifest(t.Context(), repo, oci.ManifestPush{Body: body, Tags: []oci.Tag{"t"}, IfMatch: match, IfAbsent: absent})
		return err
	}
	w.mustBe(put(one, a, false), oci.PreconditionFailed)
	w.must(put(one, "", true))
	w.mustBe(put(one, "", true), oci.PreconditionFailed)
	w.mustBe(put(two, "", true), oci.PreconditionFailed)
	w.mustBe(put(two, b, false), oci.PreconditionFailed)
	w.wantManifest("t", oci.MediaTypeManifest, one)
	w.must(put(two, a, false))
	w.mustBe(put(one, a, false), oci.PreconditionFailed)
	w.wantManifest("t", oci.MediaTypeManifest, two)
	w.must(w.DeleteTag(t.Context(), repo, "t"))
	w.mustBe(put(one, b, false), oci.PreconditionFailed)
	w.must(put(one, "", true))
	w.settle()
}

func TestMount(t *testing.T) {
	for _, size := range []int{10, 1000} {
		w := newWorld(t, registry.Options{})
		ctx, content := t.Context(), pattern(1, size)
		d := w.upload("team/base", content)
		for _, from := range []oci.Repository{"team/none", repo} {
			ok, err := w.MountBlob(ctx, repo, d, from)
			w.must(err)
			if ok {
				t.Fatalf("mounted from %s", from)
			}
		}
		w.wantNoBlob(repo, d)
		for range 2 {
			ok, err := w.MountBlob(ctx, repo, d, "team/base")
			w.must(err)
			if !ok {
				t.Fatal("not mounted")
			}
		}
		w.must(w.DeleteBlob(ctx, "team/base", d))
		w.wantNoBlob("team/base", d)
		w.push(image("", d), "t")
		w.settle()
		got, err := w.read(repo, d, 0, -1)
		w.must(err)
		if got != content {
			t.Fatal("the mounted blob has another content")
		}
	}
}

// The methods of an upload reach package upload, whose tests say what they do.
func TestUpload(t *testing.T) {
	w := newWorld(t, registry.Options{})
	ctx, content := t.Context(), pattern(1, 1000)
	d := digest.FromString(content)
	up, err := w.StartUpload(ctx, repo)
	w.must(err)
	got, err := w.WriteUpload(ctx, repo, up.ID, 0, strings.NewReader(content[:600]), 600)
	w.must(err)
	if got != (oci.Upload{ID: up.ID, Offset: 600}) {
		t.Fatalf("the upload is %+v", got)
	}
	if got, err = w.ResumeUpload(ctx, repo, up.ID); err != nil || got.Offset != 600 {
		t.Fatal(got, err)
	}
	if got, err = w.WriteUpload(ctx, repo, up.ID, 0, strings.NewReader(content), 1000); got.Offset != 600 {
		t.Fatal(got, err)
	}
	w.mustBe(err, oci.RangeInvalid)
	desc, err := w.FinishUpload(ctx, repo, up.ID, d, 600, strings.NewReader(content[600:]), 400)
	w.must(err)
	if desc.Digest != d || desc.Size != 1000 {
		t.Fatalf("the blob is %+v", desc)
	}
	if up, err = w.StartUpload(ctx, repo); err == nil {
		err = w.CancelUpload(ctx, repo, up.ID)
	}
	w.must(err)
	w.mustBe(w.CancelUpload(ctx, repo, up.ID), oci.BlobUploadUnknown)
	w.settle()
	w.wantNoBlob(repo, d)
}
