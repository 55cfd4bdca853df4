// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// TestCosign signs an image and verifies the signature, which is kept under a tag made of the digest, or as a referrer.
func TestCosign(t *testing.T) {
	for _, kept := range []struct {
		where   string
		options []string
	}{
		{"tag", []string{"--new-bundle-format=false"}},
		{"referrer", nil},
	} {
		t.Run(kept.where, func(t *testing.T) {
			eachAccess(t, func(t *testing.T, w ways) {
				img := newImage(t, t.Name())
				w.writer.put(t, "team/app:1.0", img)
				signer := cosignBox(t)
				name := func(e endpoint) string { return e.ref("team/app@" + img.root.Digest.String()) }
				sign := func(e endpoint) error { return cosignSign(signer, e, name(e), kept.options...) }
				verify := func(b *box, e endpoint) error { return cosignVerify(b, e, name(e), kept.options...) }
				if verify(signer, w.reader) == nil {
					t.Error("an image without a signature was verified")
				}
				for _, stranger := range w.noPush {
					if sign(stranger) == nil {
						t.Errorf("a signature as %q:%q succeeded", stranger.user, stranger.password)
					}
				}
				if err := sign(w.writer); err != nil {
					t.Fatal(err)
				}
				if err := verify(signer, w.reader); err != nil {
					t.Error(err)
				}
				if verify(cosignBox(t), w.reader) == nil {
					t.Error("the signature was verified by another key")
				}
			})
		})
	}
}

// TestCosignReferrer checks that a signature kept as a referrer is one: no tag is made for it.
func TestCosignReferrer(t *testing.T) {
	need(t, referrers)
	e, wire := record(t, serve(t, access{}).endpoint)
	img := newImage(t, t.Name())
	e.put(t, "team/app:1.0", img)
	b := cosignBox(t)
	if err := cosignSign(b, e, e.ref("team/app@"+img.root.Digest.String())); err != nil {
		t.Fatal(err)
	}
	tagged := wire.count(func(x exchange) bool {
		return x.method == http.MethodPut && strings.Contains(x.path, "/manifests/sha256-")
	})
	if tagged != 0 {
		t.Errorf("%d manifests were put under a fallback tag", tagged)
	}
	response, body := e.do(t, http.MethodGet, "/v2/team/app/referrers/"+img.root.Digest.String(), nil, nil)
	if response.StatusCode != http.StatusOK || !strings.Contains(string(body), "application/vnd.dev.sigstore.bundle") {
		t.Errorf("the list of referrers is %s: %s", response.Status, body)
	}
	wire.tell(t)
}

// cosignBox returns a box with a key pair of its own.
func cosignBox(t *testing.T) *box {
	t.Helper()
	b := newBox(t, endpoint{})
	b.env = append(b.env, "COSIGN_PASSWORD=of the key")
	b.must("cosign", "generate-key-pair")
	return b
}

// cosignSign signs with the key of the box, and asks neither a transparency log nor a timestamp authority.
func cosignSign(b *box, e endpoint, name string, options ...string) error {
	offline := []string{"sign", "--yes", "--key", "cosign.key", "--tlog-upload=false", "--use-signing-config=false", name}
	_, err := b.run("cosign", slices.Concat(offline, options, cosignOptions(e))...)
	return err
}

func cosignVerify(b *box, e endpoint, name string, options ...string) error {
	offline := []string{"verify", "--key", "cosign.pub", "--insecure-ignore-tlog=true", name}
	_, err := b.run("cosign", slices.Concat(offline, options, cosignOptions(e))...)
	return err
}

func cosignOptions(e endpoint) []string {
	var options []string
	if e.ca != "" {
		options = append(options, "--registry-cacert", e.ca)
	}
	if e.user != "" {
		options = append(options, "--registry-username", e.user, "--registry-password", e.password)
	}
	return options
}
