// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"errors"
	"net/http"
	"slices"
	"testing"
)

// TestMount copies an index from one repository to another of the same registry. Clients ask for the layers to be
// mounted, and do not send them again.
func TestMount(t *testing.T) {
	const from, to = "team/one:1.0", "team/two:1.0"
	for client, duplicate := range map[string]func(t *testing.T, e endpoint, index image) error{
		"crane": func(t *testing.T, e endpoint, _ image) error {
			_, err := knowing(t, e).run("crane", "copy", e.ref(from), e.ref(to))
			return err
		},
		"ctr": func(t *testing.T, e endpoint, _ image) error {
			need(t, uploadDigest)
			b := containerd(t)
			options := ctrOptions(t, e)
			b.must("ctr", append(append([]string{"content", "fetch", "--all-platforms"}, options...), e.ref(from))...)
			_, err := b.run("ctr", append(append([]string{"images", "push"}, options...), e.ref(to), e.ref(from))...)
			return err
		},
		"oras": func(t *testing.T, e endpoint, _ image) error {
			_, err := knowing(t, e).run("oras", "cp", "--no-tty", "--from-plain-http", "--to-plain-http", e.ref(from), e.ref(to))
			return err
		},
		"regctl": func(t *testing.T, e endpoint, _ image) error {
			b, err := regctlBox(t, e)
			if err != nil {
				return err
			}
			_, err = b.run("regctl", "image", "copy", e.ref(from), e.ref(to))
			return err
		},
		// It mounts what it remembers to have pushed elsewhere, itself: of what it only found there it does not know how it is
		// compressed. Only root's skopeo remembers, in /var.
		"skopeo": func(t *testing.T, e endpoint, index image) error {
			needRoot(t)
			b := newBox(t, e)
			return errors.Join(b.skopeoPush(e, "team/zero:1.0", index), b.skopeoPush(e, to, index))
		},
	} {
		t.Run(client, func(t *testing.T) {
			e, wire := record(t, serve(t, access{}).endpoint)
			index := newIndex(t, t.Name())
			e.put(t, from, index)
			if err := duplicate(t, e, index); err != nil {
				t.Fatal(err)
			}
			if root := e.holds(t, to); root.Digest != index.root.Digest {
				t.Errorf("the copy is %s, want %s", root.Digest, index.root.Digest)
			}
			mounted := wire.count(func(x exchange) bool {
				return x.method == http.MethodPost && x.query.Get("mount") != "" && slices.Contains([]string{"team/zero", "team/one"}, x.query.Get("from")) &&
					x.status == http.StatusCreated
			})
			const layers = 4
			if mounted < layers {
				t.Errorf("%d mounts, want one for each of %d layers", mounted, layers)
			}
			wire.tell(t)
		})
	}
}
