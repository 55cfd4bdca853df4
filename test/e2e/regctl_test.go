// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/http"
	"os"
	"strings"
	"testing"
)

func TestRegctl(t *testing.T) {
	client{push: regctlPush, pull: regctlPull, bulk: http.MethodPut, exact: true}.roundTrips(t)
}

func regctlBox(t *testing.T, e endpoint, settings ...string) (*box, error) {
	t.Helper()
	b := newBox(t, e)
	args := []string{"registry", "set", e.addr, "--skip-check", "--tls", "disabled"}
	if e.ca != "" {
		ca, err := os.ReadFile(e.ca)
		if err != nil {
			t.Fatal(err)
		}
		args = []string{"registry", "set", e.addr, "--skip-check", "--tls", "enabled", "--cacert", string(ca)}
	}
	if _, err := b.run("regctl", append(args, settings...)...); err != nil || e.user == "" {
		return b, err
	}
	_, err := b.feed(e.password, "regctl", "registry", "login", e.addr, "-u", e.user, "--pass-stdin")
	return b, err
}

func regctlPush(t *testing.T, e endpoint, name string, img image) error {
	b, err := regctlBox(t, e)
	if err != nil {
		return err
	}
	_, err = b.run("regctl", "image", "copy", "ocidir://"+img.layout+":latest", e.ref(name))
	return err
}

func regctlPull(t *testing.T, e endpoint, name string, img image) error {
	b, err := regctlBox(t, e)
	if err != nil {
		return err
	}
	if _, err := b.run("regctl", "image", "copy", e.ref(name), "ocidir://"+b.file("pulled")+":latest"); err != nil {
		return err
	}
	img.sameAs(t, b.file("pulled"))
	return nil
}

// TestRegctlChunks uploads a layer of 700 KiB in many small PATCHes, each with its Content-Range.
func TestRegctlChunks(t *testing.T) {
	e, wire := record(t, serve(t, access{}).endpoint)
	b, err := regctlBox(t, e, "--blob-max", "1", "--blob-chunk", "65536")
	if err != nil {
		t.Fatal(err)
	}
	img := newImage(t, t.Name())
	b.must("regctl", "image", "copy", "ocidir://"+img.layout+":latest", e.ref("team/app:1.0"))
	if root := e.holds(t, "team/app:1.0"); root.Digest != img.root.Digest {
		t.Errorf("the registry has %s, want %s", root.Digest, img.root.Digest)
	}
	// A registry with a limit asks for larger chunks: two of them make a part of S3's.
	want := 11
	if bodyLimit(t) > 0 {
		want = 1
	}
	if chunks := wire.count(func(x exchange) bool { return x.method == http.MethodPatch }); chunks < want {
		t.Errorf("%d chunks, want at least %d", chunks, want)
	}
	if failed := wire.count(func(x exchange) bool { return x.isUpload() && x.status >= http.StatusBadRequest }); failed != 0 {
		t.Errorf("%d requests of the upload failed", failed)
	}
	wire.tell(t)
}

// TestRegctlArtifact puts an artifact that refers to an image, and lists and gets it.
func TestRegctlArtifact(t *testing.T) {
	e := serve(t, access{}).endpoint
	e.put(t, "team/app:1.0", newImage(t, t.Name()))
	b, err := regctlBox(t, e)
	if err != nil {
		t.Fatal(err)
	}
	const report = `{"findings":[]}`
	if err := os.WriteFile(b.file("report.json"), []byte(report), 0o600); err != nil {
		t.Fatal(err)
	}
	b.must("regctl", "artifact", "put", "--artifact-type", "application/vnd.example.report", "--subject", e.ref("team/app:1.0"),
		"--file", "report.json", "--file-media-type", "application/json")
	digests := strings.Fields(b.must("regctl", "artifact", "list", e.ref("team/app:1.0"), "--format",
		`{{range .Descriptors}}{{.Digest}} {{end}}`))
	if len(digests) != 1 {
		t.Fatalf("referrers %v, want one", digests)
	}
	if got := b.must("regctl", "artifact", "get", e.ref("team/app@"+digests[0])); got != report {
		t.Errorf("the artifact is %q, want %q", got, report)
	}
}
