// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
)

func TestDocker(t *testing.T) {
	pusher, puller := dockerd(t), dockerd(t)
	client{
		push: func(t *testing.T, e endpoint, name string, img image) error {
			return dockerPush(pusher.in(t), e, name, img)
		},
		pull: func(t *testing.T, e endpoint, name string, img image) error {
			if err := puller.in(t).login(e); err != nil {
				return err
			}
			if _, err := puller.in(t).run("docker", "pull", e.ref(name)); err != nil {
				return err
			}
			puller.in(t).must("docker", "save", "-o", puller.file("saved.tar"), e.ref(name))
			img.sameAsArchive(t, puller.file("saved.tar"))
			return nil
		},
		bulk: http.MethodPatch,
	}.roundTrips(t)
}

// TestDockerManifestList makes a list of two images with docker's own command, and pulls by it.
func TestDockerManifestList(t *testing.T) {
	e := serve(t, access{}).endpoint
	pusher, puller := dockerd(t), dockerd(t)
	for _, b := range []*box{pusher, puller} {
		if err := b.login(e); err != nil {
			t.Fatal(err)
		}
	}
	images := map[string]image{"amd64": newImage(t, "amd64"), "arm64": newImage(t, "arm64")}
	for architecture, img := range images {
		name := e.ref("team/app:" + architecture)
		pusher.must("docker", "load", "-i", img.archive(t, name))
		pusher.must("docker", "push", name)
	}
	list := e.ref("team/app:multi")
	pusher.must("docker", "manifest", "create", "--insecure", list, e.ref("team/app:amd64"), e.ref("team/app:arm64"))
	pusher.must("docker", "manifest", "annotate", "--arch", "arm64", list, e.ref("team/app:arm64"))
	pusher.must("docker", "manifest", "push", "--insecure", list)
	if root := e.holds(t, "team/app:multi"); root.MediaType != dockerList {
		t.Errorf("the list has media type %s", root.MediaType)
	}
	puller.must("docker", "pull", "--platform", "linux/amd64", list)
	puller.must("docker", "save", "-o", puller.file("saved.tar"), list)
	images["amd64"].sameAsArchive(t, puller.file("saved.tar"))
}

func dockerPush(b *box, e endpoint, name string, img image) error {
	b.t.Helper()
	if err := b.login(e); err != nil {
		return err
	}
	b.must("docker", "load", "-i", img.archive(b.t, e.ref(name)))
	_, err := b.run("docker", "push", e.ref(name))
	return err
}

// dockerd starts a Docker daemon with empty storage, without networks, and returns the box of its clients. Docker does not
// verify the certificates of registries on loopback: of TLS this checks that the two speak it.
func dockerd(t *testing.T) *box {
	t.Helper()
	needRoot(t)
	b := newBox(t, endpoint{})
	socket := b.file("docker.sock")
	daemon := &daemon{
		words: []string{find(t, "dockerd"), "--iptables=false", "--ip6tables=false", "--bridge=none", "--storage-driver=vfs",
			"--data-root", b.file("data"), "--exec-root", b.file("exec"), "-p", b.file("pid"), "-H", "unix://" + socket},
		env: b.env,
		log: b.file("dockerd.log"),
	}
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}
	t.Cleanup(transport.CloseIdleConnections)
	daemon.start(t, func() bool { return answers(t.Context(), transport, "http://docker/_ping") })
	b.env = append(b.env, "DOCKER_HOST=unix://"+socket)
	return b
}

// login gives the daemon's clients the endpoint's credentials, or none.
func (b *box) login(e endpoint) error {
	if e.user == "" {
		_, err := b.run("docker", "logout", e.addr)
		return err
	}
	_, err := b.feed(e.password, "docker", "login", "-u", e.user, "--password-stdin", e.addr)
	return err
}

// TestDockerMount pushes an image under a second name: its layers are mounted, not sent again.
func TestDockerMount(t *testing.T) {
	e, wire := record(t, serve(t, access{}).endpoint)
	b := dockerd(t)
	if err := dockerPush(b, e, "team/one:1.0", newImage(t, t.Name())); err != nil {
		t.Fatal(err)
	}
	b.must("docker", "tag", e.ref("team/one:1.0"), e.ref("team/two:1.0"))
	if out := b.must("docker", "push", e.ref("team/two:1.0")); strings.Count(out, "Mounted from team/one") != 2 {
		t.Errorf("not all layers were mounted: %s", out)
	}
	e.holds(t, "team/two:1.0")
	wire.tell(t)
}
