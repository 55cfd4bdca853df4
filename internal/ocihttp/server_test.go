// SPDX-License-Identifier: Apache-2.0

package ocihttp_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"tare/internal/oci"
	"tare/internal/ocihttp"
)

// server is a real HTTP server over a fake registry, with what it logged and observed.
type server struct {
	*fake
	t    *testing.T
	http *httptest.Server
	log  *lockedBuffer
	seen chan ocihttp.Observation // one a request, when it has ended
}

// lockedBuffer is where the log goes.
type lockedBuffer struct {
	mu sync.Mutex // guards b
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// serve starts a server that logs at Info.
func serve(t *testing.T, f *fake, o ocihttp.Options) *server {
	s := &server{fake: f, t: t, log: &lockedBuffer{}, seen: make(chan ocihttp.Observation, 1000)}
	o.Log = slog.New(slog.NewJSONHandler(s.log, nil))
	o.Observe = func(seen ocihttp.Observation) { s.seen <- seen }
	s.http = httptest.NewUnstartedServer(ocihttp.New(f, o))
	s.http.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	s.http.Start()
	t.Cleanup(s.http.Close)
	return s
}

// reply is an answer that has been read.
type reply struct {
	*http.Response
	body string
}

// do sends a request. Header lines are "Name: value"; a body of the type string has a length, any other io.Reader none.
func (s *server) do(method, path string, body any, header ...string) reply {
	s.t.Helper()
	r, err := s.try(method, path, body, header...)
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return r
}

func (s *server) try(method, path string, body any, header ...string) (reply, error) {
	s.t.Helper()
	var reader io.Reader
	switch b := body.(type) {
	case string:
		reader = strings.NewReader(b)
	case io.Reader:
		reader = b
	}
	req, err := http.NewRequestWithContext(s.t.Context(), method, s.http.URL+"/", reader)
	if err != nil {
		s.t.Fatal(err)
	}
	path, query, _ := strings.Cut(path, "?")
	req.URL.Path, req.URL.RawPath, req.URL.RawQuery = path, path, query
	if req.URL.Path, err = url.PathUnescape(path); err != nil {
		s.t.Fatal(err)
	}
	for _, h := range header {
		name, value, _ := strings.Cut(h, ": ")
		req.Header.Add(name, value)
	}
	resp, err := s.http.Client().Transport.RoundTrip(req)
	if err != nil {
		return reply{}, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return reply{resp, string(b)}, err
}

// raw sends bytes on a connection of their own, closes its writing side if asked to, and reads one answer.
func (s *server) raw(request string, closeWrite bool) reply {
	s.t.Helper()
	conn := s.dial()
	if _, err := io.WriteString(conn, request); err != nil {
		s.t.Fatal(err)
	}
	if closeWrite {
		if err := conn.CloseWrite(); err != nil {
			s.t.Fatal(err)
		}
	}
	return s.readReply(conn, strings.HasPrefix(request, "HEAD"))
}

func (s *server) dial() *net.TCPConn {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.http.Listener.Addr().String())
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { conn.Close() })
	return conn.(*net.TCPConn)
}

func (s *server) readReply(conn net.Conn, head bool) reply {
	s.t.Helper()
	req := &http.Request{Method: "GET"}
	if head {
		req.Method = "HEAD"
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{resp, string(b)}
}

// want checks the status, and for an error the code and the form of the body.
func (r reply) want(t *testing.T, status int, code oci.Code) reply {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("%s %s: status %d (%s), want %d", r.Request.Method, r.Request.URL, r.StatusCode, r.body, status)
	}
	if code == "" {
		return r
	}
	if got := r.error(t).Code; got != code {
		t.Fatalf("%s %s: code %s (%s), want %s", r.Request.Method, r.Request.URL, got, r.body, code)
	}
	return r
}

// apiError is an entry of an error body.
type apiError struct {
	Code    oci.Code
	Message string
	Detail  any
}

// specified is the table of the specification, "Error Codes".
var specified = []oci.Code{oci.BlobUnknown, oci.BlobUploadInvalid, oci.BlobUploadUnknown, oci.DigestInvalid, oci.ManifestBlobUnknown, oci.ManifestInvalid,
	oci.ManifestUnknown, oci.NameInvalid, oci.NameUnknown, oci.SizeInvalid, oci.Unauthorized, oci.Denied, oci.Unsupported, oci.TooManyRequests}

// error decodes the body of an error, which must be what the specification says.
func (r reply) error(t *testing.T) apiError {
	t.Helper()
	var body struct{ Errors []apiError }
	d := json.NewDecoder(strings.NewReader(r.body))
	d.DisallowUnknownFields()
	if err := d.Decode(&body); err != nil || len(body.Errors) != 1 || body.Errors[0].Message == "" {
		t.Fatalf("%q is no OCI error: %v", r.body, err)
	}
	if code := body.Errors[0].Code; r.StatusCode < 500 && !slices.Contains(specified, code) {
		t.Fatalf("status %d with the code %s", r.StatusCode, code)
	}
	if got := r.Header.Get("Content-Type"); got != "application/json" {
		t.Fatalf("an error of type %q", got)
	}
	return body.Errors[0]
}

// header checks a header; "" means that there must be none.
func (r reply) header(t *testing.T, name, want string) reply {
	t.Helper()
	if got := strings.Join(r.Header.Values(name), ", "); got != want {
		t.Fatalf("%s: %q, want %q", name, got, want)
	}
	return r
}

// descriptor describes content that a test has.
func descriptor(content string) string {
	return fmt.Sprintf(`{"mediaType":"application/octet-stream","digest":"%s","size":%d}`, digestOf(content, ""), len(content))
}

// image is an image manifest of one layer.
func image(layer string, more string) string {
	return `{"schemaVersion":2,"mediaType":"` + oci.MediaTypeManifest + `","config":` + descriptor("{}") + `,"layers":[` + descriptor(layer) + `]` + more + `}`
}

// withImage puts an image and its blobs into repository a under tag v1, and returns the manifest and its digest.
func withImage(f *fake) (manifest string, d oci.Digest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.repo("a")
	for _, b := range []string{"{}", "layer"} {
		r.blobs[digestOf(b, "")] = b
	}
	manifest = image("layer", "")
	d = digestOf(manifest, "")
	r.manifests[d] = oci.Content{Descriptor: oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: d, Size: int64(len(manifest))}, Body: manifest}
	r.tags["v1"] = d
	return manifest, d
}
