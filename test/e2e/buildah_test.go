// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/http"
	"os"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestBuildah(t *testing.T) {
	client{
		push: func(t *testing.T, e endpoint, name string, img image) error {
			b := newBuildah(t)
			id := strings.TrimSpace(b.must("pull", "-q", "oci:"+img.layout+":latest"))
			_, err := b.run("push", append(imageOptions(e, "--"), id, "docker://"+e.ref(name))...)
			return err
		},
		pull: func(t *testing.T, e endpoint, name string, img image) error {
			b := newBuildah(t)
			if _, err := b.run("pull", append(imageOptions(e, "--"), "docker://"+e.ref(name))...); err != nil {
				return err
			}
			b.must("push", e.ref(name), "docker-archive:"+b.file("saved.tar"))
			img.sameAsArchive(t, b.file("saved.tar"))
			return nil
		},
		bulk: http.MethodPatch,
	}.roundTrips(t)
}

// TestBuildahBuild builds an image, and an index of it and another, and pushes both.
func TestBuildahBuild(t *testing.T) {
	e := serve(t, access{}).endpoint
	b := newBuildah(t)
	const greeting = "hello from a layer\n"
	if err := os.WriteFile(b.file("greeting"), []byte(greeting), 0o600); err != nil {
		t.Fatal(err)
	}
	container := strings.TrimSpace(b.must("from", "scratch"))
	b.must("copy", container, b.file("greeting"), "/greeting")
	b.must("config", "--cmd", "/greeting", container)
	b.must("commit", container, "built")
	options := imageOptions(e, "--")
	b.must("push", append(options, "--digestfile", b.file("digest"), "built", "docker://"+e.ref("team/app:built"))...)
	root := e.holds(t, "team/app:built")
	if said, err := os.ReadFile(b.file("digest")); err != nil || string(said) != root.Digest.String() {
		t.Errorf("the client pushed %q, the registry has %s, or %v", said, root.Digest, err)
	}

	other := newImage(t, t.Name())
	b.must("manifest", "create", "multi")
	b.must("manifest", "add", "multi", "built")
	b.must("manifest", "add", "--arch", "arm64", "multi", "oci:"+other.layout+":latest")
	b.must("manifest", append(append([]string{"push", "--all"}, options...), "multi", "docker://"+e.ref("team/app:multi"))...)
	if root := e.holds(t, "team/app:multi"); root.MediaType != ocispec.MediaTypeImageIndex {
		t.Errorf("the index has media type %s", root.MediaType)
	}

	clean := newBuildah(t)
	container = strings.TrimSpace(clean.must("from", append(options, "docker://"+e.ref("team/app:multi"))...))
	mounted := strings.TrimSpace(clean.must("mount", container))
	if got, err := os.ReadFile(mounted + "/greeting"); err != nil || string(got) != greeting {
		t.Errorf("the pulled image greets %q, want %q, or %v", got, greeting, err)
	}
	clean.must("unmount", container)
}

func newBuildah(t *testing.T) rooted {
	return newRooted(t, "buildah", "--storage-driver", "vfs")
}
