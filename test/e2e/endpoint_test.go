// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// An endpoint is a registry as a client is told of it.
type endpoint struct {
	addr     string
	user     string // empty: the client knows no credentials
	password string
	ca       string // file with the certificate to trust; empty: plain HTTP
	// transport trusts that certificate. The tests' own requests go through it.
	transport *http.Transport
}

// as returns the endpoint for a client with other credentials.
func (e endpoint) as(user, password string) endpoint {
	e.user, e.password = user, password
	return e
}

// ref is the full name of what the registry has under a short one.
func (e endpoint) ref(name string) string { return e.addr + "/" + name }

func (e endpoint) url(path string) string {
	if e.ca != "" {
		return "https://" + e.addr + path
	}
	return "http://" + e.addr + path
}

// newTransport returns a transport that trusts the certificate in a file, if there is a name of one.
func newTransport(t *testing.T, ca string) *http.Transport {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	if ca != "" {
		pem, err := os.ReadFile(ca)
		if err != nil {
			t.Fatal(err)
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
	}
	return transport
}

// send sends a request with the endpoint's credentials.
func (e endpoint) send(t *testing.T, method, path string, header http.Header, body []byte) (*http.Response, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, e.url(path), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		request.Header = header
	}
	if e.user != "" {
		request.SetBasicAuth(e.user, e.password)
	}
	response, err := e.transport.RoundTrip(request)
	if err != nil || response.StatusCode != http.StatusTemporaryRedirect {
		return response, err
	}
	return e.follow(t, response, request)
}

// follow asks where the registry says that a blob is. The credentials are not for there.
func (e endpoint) follow(t *testing.T, response *http.Response, from *http.Request) (*http.Response, error) {
	t.Helper()
	response.Body.Close()
	to, err := response.Location()
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(t.Context(), from.Method, to.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header = from.Header.Clone()
	request.Header.Del("Authorization")
	return e.transport.RoundTrip(request)
}

// do sends a request and returns the answer with its body, which is closed.
func (e endpoint) do(t *testing.T, method, path string, header http.Header, body []byte) (*http.Response, []byte) {
	t.Helper()
	response, err := e.send(t, method, path, header, body)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, path, err)
	}
	return response, answer
}

// manifest returns the manifest under a tag or digest and whether there is one. Its digest must be the one in the header.
func (e endpoint) manifest(t *testing.T, repository, reference string) (ocispec.Descriptor, []byte, bool) {
	t.Helper()
	header := http.Header{"Accept": {ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, dockerManifest, dockerList}}
	response, body := e.do(t, http.MethodGet, "/v2/"+repository+"/manifests/"+reference, header, nil)
	switch response.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return ocispec.Descriptor{}, nil, false
	default:
		t.Fatalf("GET of manifest %s of %s: %s: %s", reference, repository, response.Status, body)
	}
	d := ocispec.Descriptor{
		MediaType: response.Header.Get("Content-Type"),
		Digest:    digest.FromBytes(body),
		Size:      int64(len(body)),
	}
	if said := response.Header.Get("Docker-Content-Digest"); said != d.Digest.String() {
		t.Errorf("manifest %s of %s has digest %s, its header says %q", reference, repository, d.Digest, said)
	}
	return d, body, true
}

// holds checks that the registry serves what a tag names, whole, and returns what that is.
func (e endpoint) holds(t *testing.T, name string) ocispec.Descriptor {
	t.Helper()
	repository, tag, _ := strings.Cut(name, ":")
	root, _, ok := e.manifest(t, repository, tag)
	if !ok {
		t.Fatalf("the registry does not have %s", name)
	}
	checkTree(t, root, func(d ocispec.Descriptor) (io.ReadCloser, error) {
		kind := "blobs"
		if isManifest(d.MediaType) {
			kind = "manifests"
		}
		path := "/v2/" + repository + "/" + kind + "/" + d.Digest.String()
		response, err := e.send(t, http.MethodGet, path, http.Header{"Accept": {d.MediaType}}, nil)
		if err != nil {
			return nil, err
		}
		if response.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s", path, response.Status)
		}
		return response.Body, nil
	})
	return root
}

// put pushes an image or index by plain requests: what a test needs to be there before its client comes.
func (e endpoint) put(t *testing.T, name string, img image) {
	t.Helper()
	repository, tag, _ := strings.Cut(name, ":")
	for _, d := range img.blobs(t) {
		start, answer := e.do(t, http.MethodPost, "/v2/"+repository+"/blobs/uploads/", nil, nil)
		if start.StatusCode != http.StatusAccepted {
			t.Fatalf("POST of an upload: %s: %s", start.Status, answer)
		}
		location, err := start.Location()
		if err != nil {
			t.Fatal(err)
		}
		query := location.Query()
		query.Set("digest", d.Digest.String())
		e.wantCreated(t, http.MethodPut, location.EscapedPath()+"?"+query.Encode(), "application/octet-stream", img.read(t, d))
	}
	for _, child := range img.children {
		e.putManifest(t, repository, child.Digest.String(), img, child)
	}
	e.putManifest(t, repository, tag, img, img.root)
}

func (e endpoint) putManifest(t *testing.T, repository, reference string, img image, d ocispec.Descriptor) {
	t.Helper()
	e.wantCreated(t, http.MethodPut, "/v2/"+repository+"/manifests/"+reference, d.MediaType, img.read(t, d))
}

func (e endpoint) wantCreated(t *testing.T, method, path, contentType string, body []byte) {
	t.Helper()
	response, answer := e.do(t, method, path, http.Header{"Content-Type": {contentType}}, body)
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("%s %s: %s: %s", method, path, response.Status, answer)
	}
}
