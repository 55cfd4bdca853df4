// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/http"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestDelete removes a tag or a manifest with each client that can. Another tag of another image stays whole, though it
// shares a layer.
func TestDelete(t *testing.T) {
	for _, test := range []struct {
		client       string
		remove       func(t *testing.T, e endpoint, name string, root digest.Digest) error
		manifestGoes bool // the client removes what the tag names, and not the tag alone
	}{
		{"crane by tag", func(t *testing.T, e endpoint, name string, _ digest.Digest) error {
			_, err := knowing(t, e).run("crane", "delete", e.ref(name))
			return err
		}, false},
		{"crane by digest", func(t *testing.T, e endpoint, _ string, root digest.Digest) error {
			_, err := knowing(t, e).run("crane", "delete", e.ref("team/app@"+root.String()))
			return err
		}, true},
		{"oras", func(t *testing.T, e endpoint, name string, _ digest.Digest) error {
			_, err := knowing(t, e).run("oras", "manifest", "delete", "--force", "--plain-http", e.ref(name))
			return err
		}, true},
		{"regctl tag", func(t *testing.T, e endpoint, name string, _ digest.Digest) error {
			b, err := regctlBox(t, e)
			if err != nil {
				return err
			}
			_, err = b.run("regctl", "tag", "delete", e.ref(name))
			return err
		}, false},
		{"regctl manifest", func(t *testing.T, e endpoint, _ string, root digest.Digest) error {
			b, err := regctlBox(t, e)
			if err != nil {
				return err
			}
			_, err = b.run("regctl", "manifest", "delete", e.ref("team/app@"+root.String()))
			return err
		}, true},
		{"skopeo", func(t *testing.T, e endpoint, name string, _ digest.Digest) error {
			_, err := knowing(t, e).run("skopeo", "delete", "--tls-verify=false", "docker://"+e.ref(name))
			return err
		}, true},
	} {
		t.Run(test.client, func(t *testing.T) {
			e := serve(t, access{}).endpoint
			index := newIndex(t, t.Name())
			one := index.children[0]
			e.put(t, "team/app:kept", index)
			other := newImage(t, t.Name()+" other")
			e.put(t, "team/app:gone", other)
			e.putManifest(t, "team/app", "child", index, one)

			if err := test.remove(t, e, "team/app:gone", other.root.Digest); err != nil {
				t.Fatal(err)
			}
			if _, _, there := e.manifest(t, "team/app", "gone"); there {
				t.Error("the tag is still there")
			}
			if _, _, there := e.manifest(t, "team/app", other.root.Digest.String()); there == test.manifestGoes {
				t.Errorf("the manifest is there: %t", there)
			}
			e.holds(t, "team/app:kept")
			e.holds(t, "team/app:child")
			e.put(t, "team/app:gone", other)
			e.holds(t, "team/app:gone")
		})
	}
}

// TestDeleteBlob removes a blob that no manifest uses.
func TestDeleteBlob(t *testing.T) {
	e := serve(t, access{}).endpoint
	b := knowing(t, e)
	const body = "nobody needs me"
	d := digest.FromString(body)
	if _, err := b.feed(body, "oras", "blob", "push", "--plain-http", "--size", "15", e.ref("team/app@"+d.String()), "-"); err != nil {
		t.Fatal(err)
	}
	if got := b.must("oras", "blob", "fetch", "--plain-http", "--output", "-", e.ref("team/app@"+d.String())); got != body {
		t.Errorf("the blob is %q, want %q", got, body)
	}
	b.must("oras", "blob", "delete", "--force", "--plain-http", e.ref("team/app@"+d.String()))
	if response, _ := e.do(t, http.MethodHead, "/v2/team/app/blobs/"+d.String(), nil, nil); response.StatusCode != http.StatusNotFound {
		t.Errorf("the blob's HEAD is %s", response.Status)
	}
}
