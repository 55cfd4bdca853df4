// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tare/internal/oci"
	"tare/internal/registry"
	"tare/internal/store"
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
