// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
)

func TestOras(t *testing.T) {
	client{push: orasPush, pull: orasPull, bulk: http.MethodPut, exact: true}.roundTrips(t)
}

// orasOptions returns the options by which a command reaches the endpoint. Those of a copy begin with "--from" or "--to".
func orasOptions(e endpoint, prefix string) []string {
	var options []string
	if e.ca != "" {
		options = append(options, prefix+"ca-file", e.ca)
	} else {
		options = append(options, prefix+"plain-http")
	}
	if e.user != "" {
		options = append(options, prefix+"username", e.user, prefix+"password", e.password)
	}
	return options
}

func orasPush(t *testing.T, e endpoint, name string, img image) error {
	args := append([]string{"cp", "--no-tty", "--from-oci-layout", img.layout + ":latest", e.ref(name)}, orasOptions(e, "--to-")...)
	_, err := newBox(t, e).run("oras", args...)
	return err
}

func orasPull(t *testing.T, e endpoint, name string, img image) error {
	b := newBox(t, e)
	args := append([]string{"cp", "--no-tty", "--to-oci-layout", e.ref(name), b.file("pulled") + ":latest"}, orasOptions(e, "--from-")...)
	if _, err := b.run("oras", args...); err != nil {
		return err
	}
	img.sameIn(t, b.file("pulled"))
	return nil
}

// TestOrasArtifacts pushes an artifact, attaches two to it, finds them, and copies all of it to another repository.
func TestOrasArtifacts(t *testing.T) {
	e, wire := record(t, serve(t, access{}).endpoint)
	b := knowing(t, e)
	body := noise("artifact", 300<<10)
	if err := os.WriteFile(b.file("model.bin"), body, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(b.file("sbom.json"), []byte(`{"packages":[]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	subject := e.ref("models/one:1.0")
	b.must("oras", "push", "--no-tty", "--plain-http", "--artifact-type", "application/vnd.example.model", subject, "model.bin")
	e.holds(t, "models/one:1.0")
	for _, artifactType := range []string{"application/vnd.example.sbom", "application/vnd.example.review"} {
		b.must("oras", "attach", "--no-tty", "--plain-http", "--artifact-type", artifactType, subject, "sbom.json:application/json")
	}
	wantReferrers(t, b, subject, "", 2)
	wantReferrers(t, b, subject, "application/vnd.example.sbom", 1)

	b.must("oras", "cp", "--no-tty", "-r", "--from-plain-http", "--to-plain-http", subject, e.ref("models/two:1.0"))
	e.holds(t, "models/two:1.0")
	wantReferrers(t, b, e.ref("models/two:1.0"), "", 2)

	clean := knowing(t, e)
	clean.must("oras", "pull", "--no-tty", "--plain-http", e.ref("models/two:1.0"))
	if got, err := os.ReadFile(clean.file("model.bin")); err != nil || !bytes.Equal(got, body) {
		t.Errorf("the pulled file differs from the pushed one, or %v", err)
	}

	if !lacks(t, referrers) {
		listed := wire.count(func(x exchange) bool { return strings.Contains(x.path, "/referrers/") && x.status == http.StatusOK })
		if listed == 0 {
			t.Error("no list of referrers was asked for with success")
		}
		if fallbacks := wire.count(func(x exchange) bool {
			return x.method == http.MethodPut && strings.Contains(x.path, "/manifests/sha256-")
		}); fallbacks != 0 {
			t.Errorf("%d manifests under fallback tags: the client did not see OCI-Subject", fallbacks)
		}
	}
	wire.tell(t)
}

func wantReferrers(t *testing.T, b *box, subject, artifactType string, want int) {
	t.Helper()
	args := []string{"discover", "--plain-http", "--format", "json", subject}
	if artifactType != "" {
		args = append(args, "--artifact-type", artifactType)
	}
	var found struct{ Referrers []json.RawMessage }
	out := b.must("oras", args...)
	if err := json.Unmarshal([]byte(out), &found); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	if len(found.Referrers) != want {
		t.Errorf("%d referrers of type %q, want %d: %s", len(found.Referrers), artifactType, want, out)
	}
}
