// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// TestBeyondTheLimit pushes an image with a layer larger than what the registry takes in one request. A client either
// sends it in smaller pieces, and then it is there, or fails and says why; no client may believe that it has pushed what
// is not there. What each prints is in the log of the test, and in docs/operations.md.
func TestBeyondTheLimit(t *testing.T) {
	limit := bodyLimit(t)
	if limit == 0 {
		t.Skip("the registry has no limit")
	}
	docker := dockerd(t)
	clients := map[string]func(t *testing.T, e endpoint, name string, img image) error{
		"crane": cranePush, "skopeo": skopeoPush, "oras": orasPush, "regctl": regctlPush, "podman": podmanPush, "containerd": containerdPush,
		"docker": func(t *testing.T, e endpoint, name string, img image) error {
			return dockerPush(docker.in(t), e, name, img)
		},
	}
	e := serve(t, access{}).endpoint
	for _, client := range slices.Sorted(maps.Keys(clients)) {
		for _, size := range []struct {
			name  string
			bytes int
		}{{"beyond the function", limit + limit/4}, {"beyond the gateway", 3 * limit}} {
			t.Run(client+" "+size.name, func(t *testing.T) {
				img := newImageOf(t, t.Name(), size.bytes)
				name := "limit/" + client + ":" + strings.ReplaceAll(size.name, " ", "-")
				err := clients[client](t, e, name, img)
				if err == nil {
					e.holds(t, name)
					t.Log("pushed")
					return
				}
				t.Log(err)
				repository, tag, _ := strings.Cut(name, ":")
				if _, _, there := e.manifest(t, repository, tag); there {
					t.Error("the push failed, and its tag is there")
				}
			})
		}
	}
}

// newImageOf makes an image with one layer of noise of about this size.
func newImageOf(t *testing.T, seed string, size int) image {
	t.Helper()
	img := image{layout: shortDir(t)}
	layer, id := img.addLayer(t, seed, size)
	config := img.addJSON(t, ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{id}},
	})
	img.root = img.addJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
		Layers:    []ocispec.Descriptor{layer},
	})
	img.finish(t)
	return img
}
