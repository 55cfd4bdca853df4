// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/http"
	"strings"
	"testing"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

func TestPodman(t *testing.T) {
	client{
		push: podmanPush,
		pull: func(t *testing.T, e endpoint, name string, img image) error {
			p := newPodman(t)
			if _, err := p.run("pull", append(imageOptions(e, "--"), e.ref(name))...); err != nil {
				return err
			}
			p.must("save", "--format", "docker-archive", "-o", p.file("saved.tar"), e.ref(name))
			img.sameAsArchive(t, p.file("saved.tar"))
			return nil
		},
		bulk: http.MethodPatch,
	}.roundTrips(t)
}

func podmanPush(t *testing.T, e endpoint, name string, img image) error {
	p := newPodman(t)
	p.must("load", "-i", img.archive(t, e.ref(name)))
	_, err := p.run("push", append(imageOptions(e, "--"), e.ref(name))...)
	return err
}

// TestPodmanManifest makes an index of two images, pushes it with them, and pulls one of them by it.
func TestPodmanManifest(t *testing.T) {
	e := serve(t, access{}).endpoint
	pusher := newPodman(t)
	images := map[string]image{"amd64": newImage(t, "amd64"), "arm64": newImage(t, "arm64")}
	pusher.must("manifest", "create", "multi")
	for architecture, img := range images {
		pusher.must("manifest", "add", "--arch", architecture, "--os", "linux", "multi", "oci:"+img.layout+":latest")
	}
	push := append([]string{"push", "--all"}, imageOptions(e, "--")...)
	pusher.must("manifest", append(push, "multi", "docker://"+e.ref("team/app:multi"))...)
	if root := e.holds(t, "team/app:multi"); root.MediaType != ocispec.MediaTypeImageIndex {
		t.Errorf("the index has media type %s", root.MediaType)
	}
	puller := newPodman(t)
	puller.must("pull", append(imageOptions(e, "--"), "--platform", "linux/amd64", e.ref("team/app:multi"))...)
	puller.must("save", "--format", "docker-archive", "-o", puller.file("saved.tar"), e.ref("team/app:multi"))
	images["amd64"].sameAsArchive(t, puller.file("saved.tar"))
}

// TestPodmanLogin keeps credentials in podman's own file instead of giving them with each command.
func TestPodmanLogin(t *testing.T) {
	need(t, credentials)
	e := serve(t, access{credentials: true}).endpoint
	img := newImage(t, t.Name())
	e.put(t, "team/app:1.0", img)
	p := newPodman(t)
	if _, err := p.run("login", "--tls-verify=false", "-u", user, "-p", "wrong", e.addr); err == nil {
		t.Error("a login with a wrong password succeeded")
	}
	p.must("login", "--tls-verify=false", "-u", user, "-p", e.password, e.addr)
	p.must("pull", "--tls-verify=false", e.ref("team/app:1.0"))
	if id := strings.TrimSpace(p.must("image", "inspect", "--format", "{{.Id}}", e.ref("team/app:1.0"))); id != img.content(t).config.Encoded() {
		t.Errorf("the image is %s, want %s", id, img.content(t).config)
	}
}

func newPodman(t *testing.T) rooted {
	return newRooted(t, "podman", "--storage-driver", "vfs", "--cgroup-manager", "cgroupfs", "--events-backend", "none")
}
