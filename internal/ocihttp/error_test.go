// SPDX-License-Identifier: Apache-2.0

package ocihttp_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/ocihttp"
)

// calls is a request that reaches each method of the registry.
func calls() map[string]func(*server) reply {
	layer := string(digestOf("layer", ""))
	send := func(method, path string, body any) func(*server) reply {
		return func(s *server) reply { return s.do(method, path, body) }
	}
	return map[string]func(*server) reply{
		"ResolveManifest": send("HEAD", "/v2/a/manifests/v1", nil),
		"Manifest":        send("GET", "/v2/a/manifests/v1", nil),
		"ResolveBlob":     send("HEAD", "/v2/a/blobs/"+layer, nil),
		"Blob":            send("GET", "/v2/a/blobs/"+layer, nil),
		"Open":            send("GET", "/v2/a/blobs/"+layer, nil),
		"PushBlob":        send("POST", "/v2/a/blobs/uploads/?digest="+layer, "layer"),
		"StartUpload":     send("POST", "/v2/a/blobs/uploads/", nil),
		"ResumeUpload":    send("GET", "/v2/a/blobs/uploads/x", nil),
		"WriteUpload":     send("PATCH", "/v2/a/blobs/uploads/x", "layer"),
		"FinishUpload":    send("PUT", "/v2/a/blobs/uploads/x?digest="+layer, "layer"),
		"CancelUpload":    send("DELETE", "/v2/a/blobs/uploads/x", nil),
		"MountBlob":       send("POST", "/v2/a/blobs/uploads/?mount="+layer+"&from=b", nil),
		"PushManifest":    send("PUT", "/v2/a/manifests/v1", "{}"),
		"DeleteTag":       send("DELETE", "/v2/a/manifests/v1", nil),
		"DeleteManifest":  send("DELETE", "/v2/a/manifests/"+layer, nil),
		"DeleteBlob":      send("DELETE", "/v2/a/blobs/"+layer, nil),
		"Tags":            send("GET", "/v2/a/tags/list", nil),
		"Repositories":    send("GET", "/v2/_catalog", nil),
		"Referrers":       send("GET", "/v2/a/referrers/"+layer, nil),
		"HaveBlobs":       send("POST", "/v2/a/_tare/v1/have", `{"digests":[]}`),
		"OpenDirect":      send("POST", "/v2/a/_tare/v1/uploads", `{"digest":"`+layer+`","size":5}`),
		"SignDirect":      send("POST", "/v2/a/_tare/v1/uploads/x/urls", "{}"),
		"DirectParts":     send("GET", "/v2/a/_tare/v1/uploads/x/parts", nil),
		"CompleteDirect":  send("POST", "/v2/a/_tare/v1/uploads/x/complete", nil),
		"DirectStatus":    send("GET", "/v2/a/_tare/v1/uploads/x", nil),
		"CancelDirect":    send("DELETE", "/v2/a/_tare/v1/uploads/x", nil),
	}
}

// Every error that a registry can give has one status and one code for the client, whichever method gives it, and is
// logged only where the registry itself is at fault.
func TestErrors(t *testing.T) {
	cause := errors.New("the cause")
	with := func(code oci.Code) error {
		return fmt.Errorf("wrapped: %w", &oci.Error{Code: code, Message: "the message", Detail: map[string]int{"n": 1}, Cause: cause})
	}
	for name, c := range map[string]struct {
		err    error
		status int
		code   oci.Code
		level  string
	}{
		"BlobUnknown":         {with(oci.BlobUnknown), 404, oci.BlobUnknown, ""},
		"BlobUploadInvalid":   {with(oci.BlobUploadInvalid), 400, oci.BlobUploadInvalid, ""},
		"BlobUploadUnknown":   {with(oci.BlobUploadUnknown), 404, oci.BlobUploadUnknown, ""},
		"DigestInvalid":       {with(oci.DigestInvalid), 400, oci.DigestInvalid, ""},
		"ManifestBlobUnknown": {with(oci.ManifestBlobUnknown), 404, oci.ManifestBlobUnknown, ""},
		"ManifestInvalid":     {with(oci.ManifestInvalid), 400, oci.ManifestInvalid, ""},
		"ManifestUnknown":     {with(oci.ManifestUnknown), 404, oci.ManifestUnknown, ""},
		"NameInvalid":         {with(oci.NameInvalid), 400, oci.NameInvalid, ""},
		"NameUnknown":         {with(oci.NameUnknown), 404, oci.NameUnknown, ""},
		"SizeInvalid":         {with(oci.SizeInvalid), 400, oci.SizeInvalid, ""},
		"Unauthorized":        {with(oci.Unauthorized), 401, oci.Unauthorized, ""},
		"Denied":              {with(oci.Denied), 403, oci.Denied, ""},
		"Unsupported":         {with(oci.Unsupported), 405, oci.Unsupported, ""},
		"TooManyRequests":     {with(oci.TooManyRequests), 429, oci.TooManyRequests, ""},
		"TagInvalid":          {with(oci.TagInvalid), 400, oci.ManifestInvalid, ""},
		"PreconditionFailed":  {with(oci.PreconditionFailed), 412, oci.Denied, ""},
		"InUse":               {with(oci.InUse), 405, oci.Denied, ""},
		"RangeInvalid":        {with(oci.RangeInvalid), 416, oci.SizeInvalid, ""},
		"TooLarge":            {with(oci.TooLarge), 413, oci.SizeInvalid, ""},
		"QueryTooLong":        {with(oci.QueryTooLong), 414, oci.SizeInvalid, ""},
		"PaginationInvalid":   {with(oci.PaginationInvalid), 400, oci.Unsupported, ""},
		"NoSpace":             {with(oci.NoSpace), 507, oci.NoSpace, "WARN"},
		"Unavailable":         {with(oci.Unavailable), 503, oci.Unavailable, "WARN"},
		"Internal":            {with(oci.Internal), 500, oci.Internal, "ERROR"},
		"unknown code":        {with("NO_CODE"), 500, oci.Internal, "ERROR"},
		"any error":           {cause, 500, oci.Internal, "ERROR"},
		"own deadline":        {fmt.Errorf("x: %w", context.DeadlineExceeded), 503, oci.Unavailable, "WARN"},
		"own cancellation":    {fmt.Errorf("x: %w", context.Canceled), 503, oci.Unavailable, "WARN"},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			withImage(f)
			s := serve(t, f, ocihttp.Options{})
			n := 0
			for call, request := range calls() {
				f.failing(call, c.err)
				r := request(s)
				f.failing(call, nil)
				if r.Request.Method == "HEAD" {
					r.want(t, c.status, "")
				} else {
					e := r.want(t, c.status, c.code).error(t)
					if strings.Contains(r.body, "the cause") {
						t.Errorf("the answer tells the cause: %s", r.body)
					}
					if c.code == oci.Internal && (!strings.Contains(e.Message, r.Header.Get("X-Request-Id")) || strings.Contains(r.body, "the message")) {
						t.Errorf("%s", r.body)
					}
					if c.code != oci.Internal && !strings.HasPrefix(name, "own") && (e.Message != "the message" || fmt.Sprint(e.Detail) != "map[n:1]") {
						t.Errorf("%s", r.body)
					}
				}
				again := map[int]string{503: "1", 429: "1"}[c.status]
				r.header(t, "Retry-After", again)
				if _, ok := r.Header["Allow"]; name == "InUse" && !ok {
					t.Errorf("%s: no Allow", call)
				}
				n++
			}
			log := s.log.String()
			if got := strings.Count(log, "\n"); c.level == "" && got > 0 || c.level != "" && got != n {
				t.Errorf("%d lines for %d requests: %s", got, n, log)
			}
			if c.level != "" && (strings.Count(log, `"level":"`+c.level+`"`) != n || !strings.HasPrefix(name, "own") && strings.Count(log, "the cause") != n) {
				t.Errorf("%s", log)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	f := newFake()
	s := serve(t, f, ocihttp.Options{})
	for after, want := range map[time.Duration]string{0: "1", time.Millisecond: "1", 30 * time.Second: "30", 1500 * time.Millisecond: "2"} {
		f.failing("Tags", &oci.Error{Code: oci.Unavailable, Message: "not now", RetryAfter: after})
		s.do("GET", "/v2/a/tags/list", nil).want(t, 503, oci.Unavailable).header(t, "Retry-After", want)
	}
}

// What the server refuses is answered, logged and observed as everything else, whoever asks.
func TestRefuse(t *testing.T) {
	f := newFake()
	f.before = func(_ context.Context, call string) { t.Errorf("%s was called", call) }
	late := &oci.Error{Code: oci.Unavailable, Message: "not now", RetryAfter: 5 * time.Second}
	s := serve(t, f, ocihttp.Options{Refuse: func(r *http.Request) error {
		if r.Method == http.MethodPost {
			return late
		}
		return nil
	}})
	r := s.do("POST", "/v2/a/blobs/uploads/", nil, "X-Request-Id: late").want(t, 503, oci.Unavailable)
	r.header(t, "Retry-After", "5").header(t, "X-Request-Id", "late").header(t, "Docker-Distribution-Api-Version", "registry/2.0")
	if seen := <-s.seen; seen.Status != 503 || seen.Route != "uploads" {
		t.Errorf("%+v", seen)
	}
	if log := s.log.String(); !strings.Contains(log, `"request":"late"`) || !strings.Contains(log, `"level":"WARN"`) {
		t.Errorf("%s", log)
	}
	s.do("GET", "/v2/", nil).want(t, 200, "")
}

func TestPanics(t *testing.T) {
	f := newFake()
	f.before = func(_ context.Context, call string) { panic("at the wrong moment") }
	s := serve(t, f, ocihttp.Options{})
	s.do("GET", "/v2/a/tags/list", nil).want(t, 500, oci.Internal)
	if seen := <-s.seen; seen.Status != 500 {
		t.Errorf("%+v", seen)
	}
	if log := s.log.String(); !strings.Contains(log, "at the wrong moment") || !strings.Contains(log, "fake_test.go") || strings.Count(log, "\n") != 1 {
		t.Errorf("%s", log)
	}
	f.before = func(context.Context, string) { panic(http.ErrAbortHandler) }
	if r, err := s.try("GET", "/v2/a/tags/list", nil); err == nil {
		t.Errorf("answered %d", r.StatusCode)
	}
	if log := s.log.String(); strings.Count(log, "\n") != 1 {
		t.Errorf("%s", log)
	}
}

func TestMethods(t *testing.T) {
	s := serve(t, newFake(), ocihttp.Options{})
	for path, allow := range map[string]string{
		"/v2/":                          "GET, HEAD",
		"/v2/_catalog":                  "GET, HEAD",
		"/v2/a/tags/list":               "GET, HEAD",
		"/v2/a/referrers/" + someDigest: "GET, HEAD",
		"/v2/a/manifests/v1":            "GET, HEAD, PUT, DELETE",
		"/v2/a/blobs/" + someDigest:     "GET, HEAD, DELETE",
		"/v2/a/blobs/uploads/":          "POST",
		"/v2/a/blobs/uploads/x":         "GET, HEAD, PUT, PATCH, DELETE",
	} {
		for _, method := range []string{"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND"} {
			if strings.Contains(allow+",", method+",") {
				continue
			}
			r := s.do(method, path, nil).header(t, "Allow", allow)
			if method == "HEAD" {
				r.want(t, 405, "")
			} else {
				r.want(t, 405, oci.Unsupported)
			}
		}
	}
}

// No path is redirected, whatever tricks are in it, and each has an answer in the form of the specification.
func TestPathTricks(t *testing.T) {
	s := serve(t, newFake(), ocihttp.Options{})
	for path, want := range map[string]oci.Code{
		"/v2":                   oci.NameUnknown,
		"//v2/":                 oci.NameUnknown,
		"/v2//":                 oci.NameUnknown,
		"/":                     oci.NameUnknown,
		"/v2/a":                 oci.NameUnknown,
		"/v2/a/tags/list/":      oci.NameUnknown,
		"/v2/../v2/a/tags/list": oci.NameInvalid,
		"/v2/a/../b/tags/list":  oci.NameInvalid,
		"/v2/./tags/list":       oci.NameInvalid,
		"/v2//tags/list":        oci.NameInvalid,
		"/v2/a//b/tags/list":    oci.NameInvalid,
		"/v2/a%2Fb/tags/list":   oci.NameInvalid,
		"/v2/a%2fb/tags/list":   oci.NameInvalid,
		"/v2/%2e%2e/tags/list":  oci.NameInvalid,
		"/v2/a%00/tags/list":    oci.NameInvalid,
		"/v2/a\\b/tags/list":    oci.NameInvalid,
		"/v2/A/tags/list":       oci.NameInvalid,
		"/v2/a/tags%2Flist":     oci.NameUnknown,
		"/v2/" + strings.Repeat("a", 256) + "/tags/list": oci.NameInvalid,
		"/v2/a/manifests/":                            oci.ManifestUnknown,
		"/v2/a/manifests/..":                          oci.ManifestUnknown,
		"/v2/a/manifests/%2e%2e%2fx":                  oci.ManifestUnknown,
		"/v2/a/manifests/" + strings.Repeat("a", 129): oci.ManifestUnknown,
		"/v2/a/blobs/":                                oci.DigestInvalid,
		"/v2/a/blobs/..%2f" + someDigest:              oci.DigestInvalid,
		"http://elsewhere/v2/a/manifests/-":           oci.ManifestUnknown,
		"/v2/a/manifests/-?x=%zz;y":                   oci.ManifestUnknown,
	} {
		r := s.raw("GET "+path+" HTTP/1.1\r\nHost: x\r\n\r\n", false)
		if r.body == "" {
			t.Errorf("%s: %d without a body", path, r.StatusCode)
		} else if got := r.error(t).Code; got != want || r.StatusCode != map[oci.Code]int{oci.NameUnknown: 404, oci.ManifestUnknown: 404, oci.NameInvalid: 400, oci.DigestInvalid: 400}[want] {
			t.Errorf("%s: %d %s, want %s", path, r.StatusCode, got, want)
		}
	}
}

func TestRequestID(t *testing.T) {
	f := newFake()
	s := serve(t, f, ocihttp.Options{AccessLog: true})
	seen := map[string]bool{}
	for range 100 {
		id := s.do("GET", "/v2/", nil).Header.Get("X-Request-Id")
		if id == "" || seen[id] {
			t.Fatalf("id %q", id)
		}
		seen[id] = true
	}
	for id, taken := range map[string]bool{"abc-DEF_1.2": true, strings.Repeat("x", 64): true, strings.Repeat("x", 65): false, "a b": false, "a/b": false, "é": false} {
		if got := s.do("GET", "/v2/nothing", nil, "X-Request-Id: "+id).Header.Get("X-Request-Id"); got == "" || (got == id) != taken {
			t.Errorf("%q becomes %q", id, got)
		}
	}
	if log := s.log.String(); !strings.Contains(log, `"request":"abc-DEF_1.2"`) {
		t.Errorf("%s", log)
	}
}

func TestLogAndObserve(t *testing.T) {
	f := newFake()
	manifest, _ := withImage(f)
	c := clock.NewManual(time.Unix(1e9, 0))
	f.before = func(context.Context, string) { c.Advance(3 * time.Second) }
	s := serve(t, f, ocihttp.Options{AccessLog: true, Clock: c})
	s.do("GET", "/v2/a/manifests/v1", nil).want(t, 200, "")
	want := ocihttp.Observation{Method: "GET", Route: "manifest", Status: 200, Out: int64(len(manifest)), Duration: 3 * time.Second}
	if got := <-s.seen; got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	s.do("PUT", "/v2/a/blobs/uploads/secret?digest="+string(digestOf("layer", "")), "layer").want(t, 404, oci.BlobUploadUnknown)
	want = ocihttp.Observation{Method: "PUT", Route: "upload", Status: 404, In: 5, Duration: 3 * time.Second}
	if got := <-s.seen; got.Out == 0 || func() bool { got.Out = 0; return got != want }() {
		t.Errorf("got %+v, want %+v", got, want)
	}
	s.do("DELETE", "/v2/a/blobs/"+string(digestOf("layer", "")), nil).want(t, 405, oci.Denied)
	<-s.seen
	s.do("PROPFIND", "/v2/x", nil).want(t, 404, oci.NameUnknown)
	if got := <-s.seen; got.Method != "other" || got.Route != "unknown" {
		t.Errorf("%+v", got)
	}
	// The id of an upload is not logged either where it stands in a path that is none.
	for _, path := range []string{"/v2/a/blobs/uploads/secret/", "/v2/a/blobs/uploads/secret/x"} {
		s.do("PATCH", path, "layer").want(t, 404, oci.NameUnknown)
		<-s.seen
	}
	log := s.log.String()
	for _, part := range []string{`"level":"INFO"`, `"route":"manifest"`, `"repository":"a"`, `"reference":"v1"`, `"status":200`, `"code":"BLOB_UPLOAD_UNKNOWN"`, `"code":"IN_USE"`, `"path":"/v2/x"`} {
		if !strings.Contains(log, part) {
			t.Errorf("no %s in %s", part, log)
		}
	}
	if strings.Contains(log, "reference\":\"secret") || strings.Contains(log, "uploads/secret") || strings.Count(log, "\n") != 6 {
		t.Errorf("%s", log)
	}
}

// A client that goes away while it waits is nobody's fault, and is not answered.
func TestClientLeaves(t *testing.T) {
	f := newFake()
	arrived := make(chan struct{})
	f.before = func(ctx context.Context, _ string) {
		close(arrived)
		<-ctx.Done()
	}
	s := serve(t, f, ocihttp.Options{})
	conn := s.dial()
	if _, err := io.WriteString(conn, "GET /v2/a/tags/list HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-arrived
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if seen := <-s.seen; seen.Status != 499 || seen.Out != 0 {
		t.Errorf("%+v", seen)
	}
	if log := s.log.String(); log != "" {
		t.Errorf("%s", log)
	}
}

// A body that breaks off is the client's fault, and what came of an upload stays.
func TestBodyBreaksOff(t *testing.T) {
	layer := string(digestOf("layer", ""))
	for name, request := range map[string]string{
		"PATCH":    "PATCH %s HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123",
		"chunked":  "PATCH %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n0123\r\n",
		"PUT":      "PUT %s?digest=" + layer + " HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123",
		"manifest": "PUT /v2/a/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123",
		"POST":     "POST /v2/a/blobs/uploads/?digest=" + layer + " HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123",
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, newFake(), ocihttp.Options{StallTimeout: time.Minute})
			location := s.start("a")
			<-s.seen
			if strings.Contains(request, "%s") {
				request = fmt.Sprintf(request, location)
			}
			e := s.raw(request, true).want(t, 400, oci.SizeInvalid).error(t)
			if !strings.Contains(e.Message, "broke off after 4 bytes") {
				t.Errorf("%s", e.Message)
			}
			if seen := <-s.seen; seen.In != 4 {
				t.Errorf("%+v", seen)
			}
			if strings.Contains(request, location) {
				s.do("GET", location, nil).want(t, 204, "").header(t, "Range", "0-3")
			}
			if log := s.log.String(); log != "" {
				t.Errorf("%s", log)
			}
		})
	}
}

// A client that sends nothing more is told so.
func TestBodyStalls(t *testing.T) {
	s := serve(t, newFake(), ocihttp.Options{StallTimeout: 50 * time.Millisecond})
	location := s.start("a")
	e := s.raw("PATCH "+location+" HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123", false).want(t, 400, oci.SizeInvalid).error(t)
	if !strings.Contains(e.Message, "no byte of the body came for 50ms, after 4") {
		t.Errorf("%s", e.Message)
	}
	s.do("GET", location, nil).want(t, 204, "").header(t, "Range", "0-3")
}

// An error that could be told before the body came is told after it, so that clients that do not listen while they send
// hear it: one connection serves all.
func TestDrain(t *testing.T) {
	s := serve(t, newFake(), ocihttp.Options{})
	conn := s.dial()
	for _, size := range []int{0, 1000, 1 << 20, 8 << 20} {
		request := fmt.Sprintf("PUT /v2/a/manifests/- HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", size)
		if _, err := io.WriteString(conn, request+strings.Repeat("x", size)); err != nil {
			t.Fatal(size, err)
		}
		r := s.readReply(conn, false).want(t, 400, oci.ManifestInvalid)
		if r.Close {
			t.Errorf("%d bytes: the connection ends", size)
		}
		if seen := <-s.seen; seen.In != int64(size) {
			t.Errorf("%d bytes: %+v", size, seen)
		}
	}
	// Too much, or not begun: the answer comes at once.
	for _, header := range []string{"Content-Length: 8388609", "Content-Length: 1000\r\nExpect: 100-continue"} {
		r := s.raw("PUT /v2/a/manifests/- HTTP/1.1\r\nHost: x\r\n"+header+"\r\n\r\n", false).want(t, 400, oci.ManifestInvalid)
		if !r.Close {
			t.Errorf("%s: the connection goes on", header)
		}
		if seen := <-s.seen; seen.In != 0 {
			t.Errorf("%s: %+v", header, seen)
		}
	}
}

// middle is a writer of another wrapper, with and without ReadFrom.
type middle struct{ http.ResponseWriter }

func (m middle) Unwrap() http.ResponseWriter { return m.ResponseWriter }

// The handler works behind wrappers, which may hide ReadFrom and deadlines.
func TestBehindWrappers(t *testing.T) {
	f := newFake()
	f.dir = t.TempDir()
	withImage(f)
	h := ocihttp.New(f, ocihttp.Options{StallTimeout: time.Minute})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(middle{w}, r) }))
	defer s.Close()
	c := &server{fake: f, t: t, http: s}
	if r := c.do("GET", "/v2/a/blobs/"+string(digestOf("layer", "")), nil).want(t, 200, ""); r.body != "layer" {
		t.Errorf("%q", r.body)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("PATCH", "/v2/a/blobs/uploads/x", strings.NewReader("x")))
	if w.Code != 404 {
		t.Errorf("%d", w.Code)
	}
}

// HTTP/2 has no connection to send files on and cuts streams instead of connections.
func TestHTTP2(t *testing.T) {
	f := newFake()
	f.dir = t.TempDir()
	content := strings.Repeat("0123456789abcdef", 1<<17)
	d := digestOf(content, "")
	f.repo("a").blobs[d] = content
	h := httptest.NewUnstartedServer(ocihttp.New(f, ocihttp.Options{StallTimeout: time.Minute}))
	h.EnableHTTP2 = true
	h.StartTLS()
	defer h.Close()
	s := &server{fake: f, t: t, http: h}
	r := s.do("GET", "/v2/a/blobs/"+string(d), nil).want(t, 200, "")
	if r.ProtoMajor != 2 || r.body != content {
		t.Errorf("%s, %d bytes", r.Proto, len(r.body))
	}
	s.pushed(s.do("PUT", s.start("b")+"?digest="+string(d), unsized(content)), "b", content, "")
	s.do("GET", "/v2/a/blobs/x", nil).want(t, 400, oci.DigestInvalid)
}

// A client that has enough of an answer, and ends its stream, is nobody's fault over HTTP/2 either.
func TestHTTP2ClientLeaves(t *testing.T) {
	f := newFake()
	f.dir = t.TempDir()
	content := strings.Repeat("0123456789abcdef", 1<<19)
	d := digestOf(content, "")
	f.repo("a").blobs[d] = content
	log, seen := &lockedBuffer{}, make(chan ocihttp.Observation, 1)
	h := httptest.NewUnstartedServer(ocihttp.New(f, ocihttp.Options{
		Log: slog.New(slog.NewJSONHandler(log, nil)), Observe: func(o ocihttp.Observation) { seen <- o },
	}))
	h.EnableHTTP2 = true
	h.StartTLS()
	defer h.Close()
	resp, err := h.Client().Get(h.URL + "/v2/a/blobs/" + string(d))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(resp.Body, make([]byte, 10)); err != nil || resp.ProtoMajor != 2 {
		t.Fatal(resp.Proto, err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	if o := <-seen; o.Out == int64(len(content)) {
		t.Errorf("the whole of it was sent: %+v", o)
	}
	if log := log.String(); log != "" {
		t.Errorf("%s", log)
	}
}

// A server that has a deadline for its answers says at it that this took too long: nobody went away. The bytes of an
// upload, which go on without their client, end there, too.
func TestOwnDeadline(t *testing.T) {
	reg := newFake()
	reg.before = func(ctx context.Context, _ string) { <-ctx.Done() }
	h := ocihttp.New(reg, ocihttp.Options{})
	for _, r := range []*http.Request{
		httptest.NewRequest("HEAD", "/v2/a/manifests/v1", nil),
		httptest.NewRequest("PATCH", "/v2/a/blobs/uploads/x", strings.NewReader("layer")),
		httptest.NewRequest("PUT", "/v2/a/blobs/uploads/x?digest="+string(digestOf("layer", "")), strings.NewReader("layer")),
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r.WithContext(ctx))
		cancel()
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
			t.Errorf("%s: %d, Retry-After %q", r.Method, w.Code, w.Header().Get("Retry-After"))
		}
	}
}
