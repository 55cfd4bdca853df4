// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const largeLayer = 6 << 30

// TestLarge pushes and pulls an image with one layer of 6 GiB, once by PATCH and once by PUT. At no time does it need
// more than about 12 GiB of disk: the image beside the registry's copy of it, then that beside the pulled one.
func TestLarge(t *testing.T) {
	if limit := bodyLimit(t); limit > 0 {
		t.Skipf("the registry takes %d bytes in one request", limit)
	}
	for _, test := range []struct {
		name   string
		client client
	}{
		{"patch", client{push: cranePush, pull: cranePull, bulk: http.MethodPatch}},
		{"put", client{push: orasPush, pull: orasPull, bulk: http.MethodPut}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := serve(t, access{})
			img, layer := newLargeImage(t, t.Name())
			const name = "team/large:1.0"
			start := time.Now()
			if err := test.client.push(t, s.endpoint, name, img); err != nil {
				t.Fatal(err)
			}
			t.Logf("pushed in %v", time.Since(start))
			// Beyond 4 GiB offsets do not fit 32 bits.
			const offset, length = 5<<30 + 12345, 1000
			want := readAt(t, blobFile(img.layout, layer.Digest), offset, length)
			response, got := s.do(t, http.MethodGet, "/v2/team/large/blobs/"+layer.Digest.String(),
				http.Header{"Range": {fmt.Sprintf("bytes=%d-%d", offset, offset+length-1)}}, nil)
			if response.StatusCode != http.StatusPartialContent || !bytes.Equal(got, want) {
				t.Errorf("a range of the layer: %s, %d bytes", response.Status, len(got))
			}
			if err := os.Remove(blobFile(img.layout, layer.Digest)); err != nil {
				t.Fatal(err)
			}
			start = time.Now()
			if err := test.client.pull(t, s.endpoint, name, img); err != nil {
				t.Fatal(err)
			}
			t.Logf("pulled and compared in %v", time.Since(start))
		})
	}
}

// newLargeImage makes an image of one layer that is not compressed, and returns that too.
func newLargeImage(t *testing.T, seed string) (image, ocispec.Descriptor) {
	t.Helper()
	img := image{layout: shortDir(t)}
	layer := img.addLargeLayer(t, seed)
	config := img.addJSON(t, ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.Digest}},
	})
	img.root = img.addJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
		Layers:    []ocispec.Descriptor{layer},
	})
	img.finish(t)
	return img, layer
}

func (img image) addLargeLayer(t *testing.T, seed string) ocispec.Descriptor {
	t.Helper()
	file, err := os.CreateTemp(img.layout, "layer")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	sum := digest.Canonical.Digester()
	archive := tar.NewWriter(io.MultiWriter(file, sum.Hash()))
	header := &tar.Header{Name: "large", Mode: 0o644, Size: largeLayer - 4096, ModTime: time.Unix(1, 0)}
	if err := archive.WriteHeader(header); err != nil {
		t.Fatal(err)
	}
	if _, err := io.CopyN(archive, rand.NewChaCha8(sha256.Sum256([]byte(seed))), header.Size); err != nil {
		t.Fatal(err)
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	size, err := file.Seek(0, io.SeekEnd)
	if err != nil {
		t.Fatal(err)
	}
	d := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: sum.Digest(), Size: size}
	if err := os.MkdirAll(filepath.Dir(blobFile(img.layout, d.Digest)), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file.Name(), blobFile(img.layout, d.Digest)); err != nil {
		t.Fatal(err)
	}
	return d
}

func readAt(t *testing.T, name string, offset int64, length int) []byte {
	t.Helper()
	file, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	body := make([]byte, length)
	if _, err := file.ReadAt(body, offset); err != nil {
		t.Fatal(err)
	}
	return body
}
