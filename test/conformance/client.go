// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// client speaks to the target in one repository, for one test.
type client struct {
	*testing.T
	target Target
	base   *url.URL
	http   *http.Client
	repo   string
}

// in returns the same client in another repository.
func (c *client) in(repo string) *client {
	other := *c
	other.repo = repo
	return &other
}

func (c *client) manifest(ref any) string  { return fmt.Sprintf("/v2/%s/manifests/%s", c.repo, ref) }
func (c *client) blob(d any) string        { return fmt.Sprintf("/v2/%s/blobs/%s", c.repo, d) }
func (c *client) referrersOf(d any) string { return fmt.Sprintf("/v2/%s/referrers/%s", c.repo, d) }
func (c *client) uploads() string          { return "/v2/" + c.repo + "/blobs/uploads/" }
func (c *client) tags() string             { return "/v2/" + c.repo + "/tags/list" }
func with(ref, key string, value any) string {
	return withRaw(ref, key, url.QueryEscape(fmt.Sprint(value)))
}

// withRaw adds a query parameter behind those that ref has, in the order and the encoding in which they are.
func withRaw(ref, key, value string) string {
	separator := "?"
	if strings.Contains(ref, "?") {
		separator = "&"
	}
	return ref + separator + key + "=" + value
}

// option shapes a request.
type option func(*http.Request)

func header(key, value string) option {
	return func(r *http.Request) { r.Header.Add(key, value) }
}

// body sends b with its Content-Length.
func body(b []byte) option {
	return func(r *http.Request) {
		r.ContentLength = int64(len(b))
		if len(b) == 0 {
			r.Body = http.NoBody
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(b))
		r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	}
}

// stream sends b chunk-encoded, without a Content-Length.
func stream(b []byte) option {
	return func(r *http.Request) {
		r.ContentLength = -1
		r.Body = io.NopCloser(bytes.NewReader(b))
	}
}

// followBlobs follows a redirect of a blob, which may be served by another host, and no other one.
func followBlobs(next *http.Request, via []*http.Request) error {
	if first := via[0]; (first.Method == http.MethodGet || first.Method == http.MethodHead) && strings.Contains(first.URL.Path, "/blobs/") && len(via) < 10 {
		return nil
	}
	return http.ErrUseLastResponse
}

// answer is a response with its body read.
type answer struct {
	t      *testing.T
	what   string // the request, for messages
	url    *url.URL
	status int
	header http.Header
	length int64 // Content-Length, -1 where there was none
	body   []byte
}

// send sends a request to a path, taken literally, or to an absolute URL, and checks what must hold of every answer.
func (c *client) send(method, ref string, options ...option) *answer {
	c.Helper()
	a, err := c.try(method, ref, options...)
	if err != nil {
		c.Fatal(err)
	}
	return a
}

// try is send for goroutines. The error is that of the connection, or of an answer that no registry may give.
func (c *client) try(method, ref string, options ...option) (*answer, error) {
	if strings.HasPrefix(ref, "/") {
		ref = c.target.BaseURL + ref
	}
	request, err := http.NewRequest(method, ref, nil)
	if err != nil {
		return nil, err
	}
	if c.target.Username != "" {
		request.SetBasicAuth(c.target.Username, c.target.Password)
	}
	for _, o := range options {
		o(request)
	}
	if _, said := request.Header["Accept"]; !said && strings.Contains(ref, "/manifests/") {
		// "Pulling manifests": "The client SHOULD include an Accept header indicating which manifest content types it
		// supports."
		request.Header.Set("Accept", strings.Join([]string{typeManifest, typeIndex, typeDockerManifest, typeDockerList, "*/*"}, ", "))
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	a := &answer{
		t: c.T, what: method + " " + ref, url: response.Request.URL,
		status: response.StatusCode, header: response.Header, length: response.ContentLength,
	}
	if redirect := response.Request.Response; redirect != nil && a.status < 300 {
		// What the registry says of a blob it says where it leads to the bytes; their host knows nothing of digests.
		for _, name := range []string{"Docker-Content-Digest", "Etag"} {
			if said := redirect.Header.Values(name); len(said) > 0 {
				a.header[name] = said
			}
		}
	}
	if a.body, err = io.ReadAll(response.Body); err != nil {
		return nil, fmt.Errorf("%s: body: %w", a.what, err)
	}
	if err := a.wellFormed(method); err != nil {
		return nil, fmt.Errorf("%s: status %d: %w", a.what, a.status, err)
	}
	return a, nil
}

// The grammar of "Warnings": "MUST specify a warn-code of 299 and a warn-agent of -, and MUST NOT specify a warn-date".
var warningGrammar = regexp.MustCompile(`^299 - "(?:[^"\\]|\\.)*"$`)

// wellFormed checks what must hold of every answer: no server fault, warnings in their grammar, errors in theirs.
func (a *answer) wellFormed(method string) error {
	warnings := 0
	for _, w := range a.header.Values("Warning") {
		if warnings += len(w); !warningGrammar.MatchString(w) {
			return fmt.Errorf("warning %q", w)
		}
	}
	// "Warnings": "A registry MUST NOT send more than 4096 bytes of warning data from all headers combined."
	if warnings > 4096 {
		return fmt.Errorf("%d bytes of warnings", warnings)
	}
	if a.status >= 500 {
		return fmt.Errorf("a server fault: %s", clip(a.body))
	}
	if a.status >= 400 && method != http.MethodHead && strings.HasPrefix(a.url.Path, "/v2/") {
		_, err := a.errors()
		return err
	}
	return nil
}

// specified tells whether an error may have this code.
//
// "Error Codes": "The code field MUST be one of the following". Design: the legacy codes, which a client "MAY encounter",
// are none of ours.
func specified(code string) bool {
	switch code {
	case "BLOB_UNKNOWN", "BLOB_UPLOAD_INVALID", "BLOB_UPLOAD_UNKNOWN", "DIGEST_INVALID", "MANIFEST_BLOB_UNKNOWN", "MANIFEST_INVALID",
		"MANIFEST_UNKNOWN", "NAME_INVALID", "NAME_UNKNOWN", "SIZE_INVALID", "UNAUTHORIZED", "DENIED", "UNSUPPORTED", "TOOMANYREQUESTS":
		return true
	}
	return false
}

// errors parses the body of an error.
//
// "Error Codes": "If the response body is in JSON format, it MUST have the following format"; design: it always is.
func (a *answer) errors() ([]string, error) {
	if t, _, _ := strings.Cut(a.header.Get("Content-Type"), ";"); t != "application/json" {
		return nil, fmt.Errorf("an error with Content-Type %q: %s", t, clip(a.body))
	}
	var message struct {
		Errors []struct {
			Code    string  `json:"code"`
			Message *string `json:"message"`
		} `json:"errors"`
	}
	if err := json.Unmarshal(a.body, &message); err != nil {
		return nil, fmt.Errorf("an error that is not JSON: %w: %s", err, clip(a.body))
	}
	if len(message.Errors) == 0 {
		return nil, fmt.Errorf("an error without errors: %s", clip(a.body))
	}
	var codes []string
	for _, e := range message.Errors {
		if !specified(e.Code) {
			return nil, fmt.Errorf("error code %q: %s", e.Code, clip(a.body))
		}
		codes = append(codes, e.Code)
	}
	return codes, nil
}

// want ends the test unless the status is one of those given.
func (a *answer) want(statuses ...int) *answer {
	a.t.Helper()
	if !slices.Contains(statuses, a.status) {
		a.t.Fatalf("%s: status %d, want %v: %s", a.what, a.status, statuses, clip(a.body))
	}
	return a
}

// wantError ends the test unless the answer has this status and its first error one of these codes.
func (a *answer) wantError(status int, codes ...string) *answer {
	a.t.Helper()
	a.want(status)
	got, err := a.errors()
	if err != nil {
		a.t.Fatalf("%s: %v", a.what, err)
	}
	if !slices.Contains(codes, got[0]) {
		a.t.Fatalf("%s: error %s, want one of %v", a.what, got[0], codes)
	}
	return a
}

// wantHeader wants exactly one value of a header.
func (a *answer) wantHeader(key string, value any) *answer {
	a.t.Helper()
	if got := a.header.Values(key); len(got) != 1 || got[0] != fmt.Sprint(value) {
		a.t.Errorf("%s: %s is %q, want %q", a.what, key, got, fmt.Sprint(value))
	}
	return a
}

// wantWarning wants one warning, which names a digest that the registry took a manifest without.
//
// "Warnings": "Registry implementations MAY include informational warnings in Warning headers"; design: so it does here.
func (a *answer) wantWarning(d digest.Digest) *answer {
	a.t.Helper()
	if got := a.header.Values("Warning"); len(got) != 1 || !strings.Contains(got[0], string(d)) {
		a.t.Errorf("%s: warnings %q, want one that names %s", a.what, got, d)
	}
	return a
}

// wantNoWarning wants none: what is usual is not warned of.
func (a *answer) wantNoWarning() *answer {
	a.t.Helper()
	if got := a.header.Values("Warning"); len(got) != 0 {
		a.t.Errorf("%s: warnings %q, want none", a.what, got)
	}
	return a
}

// wantBody wants exactly these bytes, and their number in Content-Length.
func (a *answer) wantBody(b []byte) *answer {
	a.t.Helper()
	if !bytes.Equal(a.body, b) {
		a.t.Errorf("%s: a body of %d bytes, %s, want one of %d, %s", a.what, len(a.body), clip(a.body), len(b), clip(b))
	}
	if a.length != int64(len(b)) {
		a.t.Errorf("%s: Content-Length %d, want %d", a.what, a.length, len(b))
	}
	return a
}

// location resolves the Location header, which must be there once.
func (a *answer) location() string {
	a.t.Helper()
	u, err := a.resolve()
	if err != nil {
		a.t.Fatal(err)
	}
	return u
}

// resolve is location for goroutines.
func (a *answer) resolve() (string, error) {
	values := a.header.Values("Location")
	if len(values) != 1 || values[0] == "" {
		return "", fmt.Errorf("%s: Location is %q, want one", a.what, values)
	}
	u, err := a.url.Parse(values[0])
	if err != nil {
		return "", fmt.Errorf("%s: Location: %w", a.what, err)
	}
	return u.String(), nil
}

// decode parses a JSON body.
func (a *answer) decode(v any) {
	a.t.Helper()
	if err := json.Unmarshal(a.body, v); err != nil {
		a.t.Fatalf("%s: %v: %s", a.what, err, clip(a.body))
	}
}

func clip(b []byte) string {
	if len(b) > 300 {
		return fmt.Sprintf("%q… (%d bytes)", b[:300], len(b))
	}
	return fmt.Sprintf("%q", b)
}
