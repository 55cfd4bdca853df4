// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/http"
	"path/filepath"
	"slices"
	"testing"
)

func TestSkopeo(t *testing.T) {
	client{push: skopeoPush, pull: skopeoPull, bulk: http.MethodPatch, exact: true}.roundTrips(t)
}

// imageOptions returns the options by which skopeo, podman and buildah reach the endpoint. Those of a copy begin with
// "--src-" or "--dest-".
func imageOptions(e endpoint, prefix string) []string {
	options := []string{prefix + "tls-verify=false"}
	if e.ca != "" {
		options = []string{prefix + "cert-dir", filepath.Dir(e.ca)}
	}
	if e.user != "" {
		options = append(options, prefix+"creds", e.user+":"+e.password)
	}
	return options
}

func skopeoPush(t *testing.T, e endpoint, name string, img image) error {
	return newBox(t, e).skopeoPush(e, name, img)
}

func (b *box) skopeoPush(e endpoint, name string, img image) error {
	args := append([]string{"copy", "--all", "--preserve-digests"}, imageOptions(e, "--dest-")...)
	_, err := b.run("skopeo", append(args, "oci:"+img.layout+":latest", "docker://"+e.ref(name))...)
	return err
}

func skopeoPull(t *testing.T, e endpoint, name string, img image) error {
	b := newBox(t, e)
	args := append([]string{"copy", "--all", "--preserve-digests"}, imageOptions(e, "--src-")...)
	if _, err := b.run("skopeo", append(args, "docker://"+e.ref(name), "oci:"+b.file("pulled")+":latest")...); err != nil {
		return err
	}
	img.sameAs(t, b.file("pulled"))
	return nil
}

// A rooted client is a box with one client that keeps images in it.
type rooted struct {
	*box
	client string
	global []string // options before the command
}

func newRooted(t *testing.T, client string, global ...string) rooted {
	t.Helper()
	needRoot(t)
	b := newBox(t, endpoint{})
	return rooted{b, client, append(global, "--root", b.file("root"), "--runroot", b.file("run"))}
}

func (r rooted) run(command string, args ...string) (string, error) {
	r.t.Helper()
	return r.box.run(r.client, slices.Concat(r.global, []string{command}, args)...)
}

func (r rooted) must(command string, args ...string) string {
	r.t.Helper()
	return r.box.must(r.client, slices.Concat(r.global, []string{command}, args)...)
}
