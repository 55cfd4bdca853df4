// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/registry"
	"tare/internal/store"
	"tare/internal/store/faultstore"
)

// An image is pushed and pulled, and nothing of it is visible elsewhere. A manifest may be an object.
func TestImage(t *testing.T) {
	for _, size := range []int{0, 100_000, oci.MaxManifest - 1000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			w := newWorld(t, registry.Options{})
			config, layer := w.upload(repo, "{}"), w.upload(repo, pattern(1, 1000))
			body := image(`,"x":"`+pattern(2, size)+`"`, config, layer, layer)
			d := w.push(body, "v1", "latest")
			for _, ref := range []string{"v1", "latest", string(d)} {
				w.wantManifest(ref, oci.MediaTypeManifest, body)
			}
			w.wantNoManifest("v2")
			w.wantNoManifest(string(config))
			for _, ref := range []oci.Reference{{Tag: "v1"}, {Digest: d}} {
				_, err := w.Manifest(t.Context(), "team/other", ref)
				w.mustBe(err, oci.ManifestUnknown)
			}
			w.wantNoBlob("team/other", layer)
			w.settle()
			for blob, content := range map[oci.Digest]string{config: "{}", layer: pattern(1, 1000)} {
				got, err := w.read(repo, blob, 0, -1)
				w.must(err)
				if got != content {
					t.Fatalf("%s has another content", blob)
				}
			}
			w.wantManifest("v1", oci.MediaTypeManifest, body)
		})
	}
}

// The type of a manifest is the one that it was pushed with, and decides nothing else.
func TestMediaTypes(t *testing.T) {
	w := newWorld(t, registry.Options{})
	config, layer := w.upload(repo, "{}"), w.upload(repo, "layer")
	body := fmt.Appendf(nil, `{"schemaVersion":2,"config":%s,"layers":%s}`, desc(mediaTypeConfig, config), list(mediaTypeLayer, layer))
	for _, c := range []struct{ sent, want string }{
		{"", oci.MediaTypeManifest},
		{oci.MediaTypeManifest, oci.MediaTypeManifest},
		{"application/vnd.docker.distribution.manifest.v2+json", "application/vnd.docker.distribution.manifest.v2+json"},
		{"application/vnd.example.thing+json", "application/vnd.example.thing+json"},
	} {
		body := fmt.Appendf(body[:len(body)-1:len(body)-1], `,"for":%q}`, c.sent)
		got, err := w.PushManifest(t.Context(), repo, oci.ManifestPush{Body: body, MediaType: c.sent, Tags: []oci.Tag{"t"}})
		w.must(err)
		if got.MediaType != c.want {
			t.Fatalf("pushed as %q, answered as %q", c.sent, got.MediaType)
		}
		w.wantManifest("t", c.want, body)
		w.wantManifest(string(got.Digest), c.want, body)
	}
	_, err := w.PushManifest(t.Context(), repo, oci.ManifestPush{Body: image("", config), MediaType: oci.MediaTypeIndex, Tags: []oci.Tag{"t"}})
	w.mustBe(err, oci.ManifestInvalid)
	w.mustBe(w.DeleteBlob(t.Context(), repo, layer), oci.InUse)
	w.settle()
}

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
		"blob as child":                  {index(layer), layer},
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
	d := w.push(fmt.Appendf(nil, `{"mediaType":%q,%s`, oci.MediaTypeManifest, body[1:]), "t")
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

func TestSparseIndexes(t *testing.T) {
	w := newWorld(t, registry.Options{SparseIndexes: true})
	child, absent := w.push(image("", w.upload(repo, "{}"))), digest.FromString("absent")
	body := index(child, absent)
	d := w.push(body, "sparse")
	w.wantManifest("sparse", oci.MediaTypeIndex, body)
	w.mustBe(w.DeleteManifest(t.Context(), repo, child), oci.InUse)
	w.settle()
	w.must(w.DeleteManifest(t.Context(), repo, d))
	w.must(w.DeleteManifest(t.Context(), repo, child))
	w.settle()
	_, err := w.PushManifest(t.Context(), repo, oci.ManifestPush{Body: image("", absent), Tags: []oci.Tag{"t"}})
	w.mustBe(err, oci.ManifestBlobUnknown)
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

func TestBlobRanges(t *testing.T) {
	w := newWorld(t, registry.Options{})
	for _, size := range []int{0, 1, inline, 1000} {
		content := pattern(1, size)
		d := w.upload(repo, content)
		b, err := w.Blob(t.Context(), repo, d)
		w.must(err)
		if b.Digest != d || b.Size != int64(size) || b.MediaType != oci.MediaTypeBlob || b.Location != "" {
			t.Fatalf("the blob is %+v", b)
		}
		for _, r := range [][2]int{{0, -1}, {0, size}, {0, size / 2}, {size / 2, -1}, {size / 3, size / 2}, {max(size-1, 0), -1}} {
			if r[0] >= size && r[0] > 0 {
				continue
			}
			want := content[r[0]:]
			if r[1] >= 0 {
				want = want[:r[1]]
			}
			got, err := w.read(repo, d, int64(r[0]), int64(r[1]))
			w.must(err)
			if got != want {
				t.Fatalf("%v of %d bytes: got %d bytes, want %d", r, size, len(got), len(want))
			}
		}
	}
	d := w.upload(repo, "short")
	for _, r := range [][2]int64{{6, -1}, {-1, 1}, {0, 6}, {5, 1}} {
		if _, err := w.read(repo, d, r[0], r[1]); !errors.Is(err, store.ErrInvalid) || oci.CodeOf(err) != oci.Internal {
			t.Fatalf("%v of 5 bytes: %v", r, err)
		}
	}
}

// Bytes that went between the look and the open were deleted: that is no fault of the registry.
func TestOpenOfABlobThatWent(t *testing.T) {
	for _, size := range []int{10, 1000} {
		w := newWorld(t, registry.Options{})
		d := w.upload(repo, pattern(1, size))
		b, err := w.Blob(t.Context(), repo, d)
		w.must(err)
		w.settle()
		_, err = b.Open(t.Context(), 0, -1)
		w.mustBe(err, oci.BlobUnknown)
	}
}

// files is objects whose readers are files.
type files struct {
	store.Objects
	dir string
}

func (f files) Open(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return os.Open(filepath.Join(f.dir, "file"))
}

// A file reaches the caller as it is, or the kernel could not send it.
func TestFilesArePassedOn(t *testing.T) {
	w := newWorld(t, registry.Options{})
	dir := t.TempDir()
	w.must(os.WriteFile(filepath.Join(dir, "file"), []byte("content"), 0o600))
	w.build(files{w.store, dir}, nil)
	b, err := w.Blob(t.Context(), repo, w.upload(repo, pattern(1, 1000)))
	w.must(err)
	r, err := b.Open(t.Context(), 0, -1)
	w.must(err)
	defer r.Close()
	if _, ok := r.(*os.File); !ok {
		t.Fatalf("the reader is a %T", r)
	}
}

func TestManifestObjects(t *testing.T) {
	w := newWorld(t, registry.Options{})
	body := image(`,"x":"`+pattern(1, 40_000)+`"`, w.upload(repo, "{}"))
	w.push(body, "large")
	objects, err := w.store.List(t.Context(), "", "", 10)
	w.must(err)
	if len(objects) != 1 {
		t.Fatalf("there are %d objects", len(objects))
	}
	for _, damaged := range []string{string(body[1:]), string(body) + "x"} {
		w.must(w.store.Put(t.Context(), objects[0].Key, strings.NewReader(damaged), int64(len(damaged))))
		_, err = w.Manifest(t.Context(), repo, oci.Reference{Tag: "large"})
		if oci.CodeOf(err) != oci.Internal || !errors.Is(err, store.ErrCorrupt) {
			t.Fatal(err)
		}
	}
	w.must(w.store.Delete(t.Context(), objects[0].Key))
	_, err = w.Manifest(t.Context(), repo, oci.Reference{Tag: "large"})
	w.mustBe(err, oci.ManifestUnknown)
}

func TestTagList(t *testing.T) {
	w := newWorld(t, registry.Options{})
	_, _, err := w.Tags(t.Context(), repo, "", 10)
	w.mustBe(err, oci.NameUnknown)
	config := w.upload(repo, "{}")
	for _, tag := range []oci.Tag{"b", "a", "C", "_1", "c.1", "c-1"} {
		w.push(image("", config), tag)
	}
	longest := strings.Repeat("z", oci.MaxTag)
	w.push(image("", config), oci.Tag(longest))
	all := []string{"C", "_1", "a", "b", "c-1", "c.1", longest}
	for _, c := range []struct {
		last string
		n    int
		want []string
		more bool
	}{
		{"", 100, all, false}, {"", 7, all, false}, {"", 6, all[:6], true}, {"", 0, nil, true}, {longest, 0, nil, false},
		{"a", 2, all[3:5], true}, {"a\x00", 100, all[3:], false}, {"c", 1, all[4:5], true}, {longest, 5, nil, false},
		{longest[1:], 5, all[6:], false}, {longest + "z", 5, nil, false}, {strings.Repeat("z", 5000), 5, nil, false},
		{strings.Repeat("y", 5000), 5, all[6:], false},
	} {
		got, more, err := w.Tags(t.Context(), repo, c.last, c.n)
		w.must(err)
		if !slices.Equal(got, c.want) || more != c.more {
			t.Errorf("%d after %.10q: got %q, %v", c.n, c.last, got, more)
		}
	}
}

func TestRepositoryList(t *testing.T) {
	w := newWorld(t, registry.Options{})
	var all []string
	for _, name := range []oci.Repository{"a", "a/b", "a0", "b"} {
		w.upload(name, "{}")
		_, err := w.PushManifest(t.Context(), name, oci.ManifestPush{Body: image("", digest.FromString("{}")), Tags: []oci.Tag{"t"}})
		w.must(err)
		all = append(all, string(name))
	}
	for _, c := range []struct {
		last string
		n    int
		keep func(oci.Repository) bool
		want []string
		more bool
	}{
		{"", 10, nil, all, false}, {"", 2, nil, all[:2], true}, {"a", 2, nil, all[1:3], true}, {"", 0, nil, nil, true},
		{strings.Repeat("b", 5000), 2, nil, nil, false}, {strings.Repeat("a", 5000), 2, nil, all[3:], false},
		{"", 10, func(r oci.Repository) bool { return r != "a" }, all[1:], false},
		{"", 1, func(r oci.Repository) bool { return r == "b" }, all[3:], false},
	} {
		got, more, err := w.Repositories(t.Context(), c.last, c.n, c.keep)
		w.must(err)
		if !slices.Equal(got, c.want) || more != c.more {
			t.Errorf("%d after %.10q: got %q, %v", c.n, c.last, got, more)
		}
	}
}

func TestReferrers(t *testing.T) {
	w := newWorld(t, registry.Options{})
	config := w.upload(repo, "{}")
	body := image("", config)
	d := digest.FromBytes(body)
	referrers := func(repo oci.Repository, artifactType, last string) ([]oci.Descriptor, string) {
		t.Helper()
		got, next, err := w.Referrers(t.Context(), repo, d, artifactType, last)
		w.must(err)
		return got, next
	}
	if got, next := referrers(repo, "", ""); len(got) != 0 || next != "" {
		t.Fatalf("nothing has the referrers %v", got)
	}
	signature := w.push(image(`,"artifactType":"x/signature","annotations":{"a":"<1>"}`+subject(d), config))
	plain := w.push(image(subject(d), config), "plain")
	w.push(body, "t")
	got, _ := referrers(repo, "x/signature", "")
	if len(got) != 1 || got[0].Digest != signature || got[0].ArtifactType != "x/signature" || got[0].MediaType != oci.MediaTypeManifest ||
		got[0].Annotations["a"] != "<1>" || got[0].Size == 0 {
		t.Fatalf("the signature is listed as %+v", got)
	}
	if got, _ := referrers(repo, mediaTypeConfig, ""); len(got) != 1 || got[0].Digest != plain {
		t.Fatalf("the other one is listed as %+v", got)
	}
	if got, _ := referrers(repo, "x/none", ""); len(got) != 0 {
		t.Fatal(got)
	}
	if got, _ := referrers("team/other", "", ""); len(got) != 0 {
		t.Fatal(got)
	}
	_, _, err := w.Referrers(t.Context(), repo, d, "", strings.Repeat("x", 5000))
	w.mustBe(err, oci.PaginationInvalid)

	// 30 with 200 KiB of annotations are more than a page.
	seen := map[oci.Digest]bool{}
	for i := range 30 {
		w.push(image(fmt.Sprintf(`,"artifactType":"x/large","annotations":{"a":"%s"}%s`, pattern(i, 200_000), subject(d)), config))
	}
	pages := 0
	for last := ""; ; {
		got, next := referrers(repo, "", last)
		size := 0
		for _, r := range got {
			if seen[r.Digest] {
				t.Fatalf("%s is listed twice", r.Digest)
			}
			seen[r.Digest] = true
			size += len(r.Annotations["a"])
		}
		if pages++; size > oci.MaxReferrers {
			t.Fatalf("a page has %d bytes", size)
		}
		if last = next; next == "" {
			break
		}
	}
	if len(seen) != 32 || pages != 2 {
		t.Fatalf("%d referrers on %d pages", len(seen), pages)
	}
	w.must(w.DeleteManifest(t.Context(), repo, d))
	if got, _ := referrers(repo, "", ""); len(got) != 1 || got[0].Digest != plain {
		t.Fatalf("after its delete the subject has the referrers %v", got)
	}
	w.settle()
}

func TestDamagedReferrer(t *testing.T) {
	w := newWorld(t, registry.Options{})
	d := digest.FromString("subject")
	w.push(image(subject(d), w.upload(repo, "{}")))
	rows, err := w.store.Scan(t.Context(), store.Key{}, 100)
	w.must(err)
	for _, it := range rows.Items {
		if strings.HasPrefix(it.Key.PK, "r#") {
			w.must(w.store.Commit(t.Context(), store.Tx{Token: "damage", Ops: []store.Op{{Key: it.Key, Kind: store.OpUpdate,
				Set: []store.Attr{{Name: "desc", Value: store.String("{")}}}}}))
		}
	}
	_, _, err = w.Referrers(t.Context(), repo, d, "", "")
	if oci.CodeOf(err) != oci.Internal || !errors.Is(err, store.ErrCorrupt) {
		t.Fatal(err)
	}
}

// What a store says is told to the client in one way, whatever it was asked for.
func TestStoreErrors(t *testing.T) {
	for action, want := range map[faultstore.Action]oci.Code{
		faultstore.Unavailable: oci.Unavailable,
		faultstore.Full:        oci.NoSpace,
		faultstore.LoseCall:    oci.Unavailable,
		faultstore.DieBefore:   oci.Internal,
	} {
		w := newWorld(t, registry.Options{})
		ctx, d := t.Context(), w.upload(repo, pattern(1, 1000))
		up, err := w.StartUpload(ctx, repo)
		w.must(err)
		body, ref := image("", d), oci.Reference{Tag: "t"}
		w.push(body, "t")
		w.start(func(c faultstore.Call) faultstore.Action {
			if c.Kind == faultstore.Get && c.Keys[0].PK == "k" { // the secret
				return faultstore.Pass
			}
			return action
		})
		again, err := w.StartUpload(ctx, repo)
		w.must(err)
		page := func(_ []string, _ bool, err error) error { return err }
		_, _, referrersErr := w.Referrers(ctx, repo, d, "", "")
		for what, err := range map[string]error{
			"ResolveManifest": second(w.ResolveManifest(ctx, repo, ref)),
			"Manifest":        second(w.Manifest(ctx, repo, ref)),
			"ResolveBlob":     second(w.ResolveBlob(ctx, repo, d)),
			"Blob":            second(w.Blob(ctx, repo, d)),
			"PushBlob":        second(w.PushBlob(ctx, repo, d, strings.NewReader(pattern(1, 1000)), 1000)),
			"ResumeUpload":    second(w.ResumeUpload(ctx, repo, up.ID)),
			"WriteUpload":     second(w.WriteUpload(ctx, repo, again.ID, -1, strings.NewReader("x"), 1)),
			"FinishUpload":    second(w.FinishUpload(ctx, repo, again.ID, digest.FromString("x"), -1, strings.NewReader("x"), 1)),
			"CancelUpload":    w.CancelUpload(ctx, repo, again.ID),
			"MountBlob":       second(w.MountBlob(ctx, repo, d, "team/other")),
			"PushManifest":    second(w.PushManifest(ctx, repo, oci.ManifestPush{Body: body, Tags: []oci.Tag{"u"}})),
			"DeleteTag":       w.DeleteTag(ctx, repo, "t"),
			"DeleteManifest":  w.DeleteManifest(ctx, repo, digest.FromBytes(body)),
			"DeleteBlob":      w.DeleteBlob(ctx, repo, d),
			"Tags":            page(w.Tags(ctx, repo, "", 10)),
			"Repositories":    page(w.Repositories(ctx, "", 10, nil)),
			"Referrers":       referrersErr,
		} {
			var e *oci.Error
			if !errors.As(err, &e) || e.Code != want || e.Cause == nil {
				t.Errorf("%s, %s: got %v, want %s", what, action, err, want)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestStartUploadWithoutAStore(t *testing.T) {
	w := newWorld(t, registry.Options{})
	w.start(func(faultstore.Call) faultstore.Action { return faultstore.Unavailable })
	_, err := w.StartUpload(t.Context(), repo)
	w.mustBe(err, oci.Unavailable)
}

// The end of a request's context is not the registry's error.
func TestCanceledContext(t *testing.T) {
	w := newWorld(t, registry.Options{})
	d := w.upload(repo, pattern(1, 1000))
	w.push(image("", d), "t")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, err := range map[string]error{
		"Manifest":     second(w.Manifest(ctx, repo, oci.Reference{Tag: "t"})),
		"Blob":         second(w.Blob(ctx, repo, d)),
		"PushBlob":     second(w.PushBlob(ctx, repo, d, strings.NewReader(pattern(1, 1000)), 1000)),
		"PushManifest": second(w.PushManifest(ctx, repo, oci.ManifestPush{Body: image("", d), Tags: []oci.Tag{"u"}})),
		"DeleteTag":    w.DeleteTag(ctx, repo, "t"),
	} {
		var e *oci.Error
		if !errors.Is(err, context.Canceled) || errors.As(err, &e) {
			t.Errorf("%s: %v", what, err)
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
