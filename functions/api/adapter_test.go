// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"tare/internal/clock"
)

// httpEvent is an event as the gateway makes it.
func httpEvent(method, path string, change ...func(*events.APIGatewayV2HTTPRequest)) events.APIGatewayV2HTTPRequest {
	var e events.APIGatewayV2HTTPRequest
	e.Version, e.RouteKey, e.RawPath = "2.0", "$default", path
	e.Headers = map[string]string{"host": "registry.example", "x-forwarded-proto": "https"}
	e.RequestContext.DomainName = "registry.example"
	e.RequestContext.HTTP = events.APIGatewayV2HTTPRequestContextHTTPDescription{Method: method, Path: path, SourceIP: "192.0.2.1"}
	for _, f := range change {
		f(&e)
	}
	return e
}

// through sends an event to a handler and returns what it got and what came back.
func through(t *testing.T, e events.APIGatewayV2HTTPRequest, h http.HandlerFunc) (a events.APIGatewayV2HTTPResponse, body []byte, got *http.Request) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	d := &door{log: log, gateway: newGateway(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		h(w, r)
	}), log)}
	payload, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	a, body = answer(t, d, payload)
	return a, body, got
}

func nothing(http.ResponseWriter, *http.Request) {}

func TestPaths(t *testing.T) {
	for _, tt := range []struct{ raw, path string }{
		{"/v2/", "/v2/"},
		{"/v2/team/app/manifests/v1", "/v2/team/app/manifests/v1"},
		{"/v2/a/manifests/sha256:ab", "/v2/a/manifests/sha256:ab"},
		{"/v2/a/manifests/sha256%3Aab", "/v2/a/manifests/sha256:ab"}, // should the gateway not decode
		{"/v2/a/manifests/100%", "/v2/a/manifests/100%"},
		{"/v2/a/manifests/%41", "/v2/a/manifests/%41"}, // was %2541
		{"/v2/a/manifests/%zz", "/v2/a/manifests/%zz"},
		{"/v2/a/manifests/a b", "/v2/a/manifests/a b"},
		{"/v2/a/manifests/a?b", "/v2/a/manifests/a?b"},
		{"/v2/a/manifests/a#b", "/v2/a/manifests/a#b"},
		{"/v2/a/manifests/\x00\x7f\n", "/v2/a/manifests/\x00\x7f\n"},
		{"/v2/ä/manifests/v1", "/v2/ä/manifests/v1"},
		{"//v2/", "//v2/"},
		{"v2/", "/v2/"},
		{"*", "/*"},
		{"http://elsewhere/v2/", "/http://elsewhere/v2/"},
		{"", "/"},
	} {
		_, _, r := through(t, httpEvent("GET", tt.raw), nothing)
		if r == nil || r.URL.Path != tt.path || r.URL.RawQuery != "" || r.URL.Host != "" || r.Host != "registry.example" {
			t.Errorf("%q: got %+v", tt.raw, r)
		}
	}
}

func TestQueries(t *testing.T) {
	for raw, want := range map[string]string{
		"":                        "",
		"n=1&last=v1":             "n=1&last=v1",
		"digest=sha256%3Aab":      "digest=sha256%3Aab",
		"digest=sha256:ab":        "digest=sha256:ab",
		"a=%&b=%zz":               "a=%&b=%zz",
		"a=b#c":                   "a=b%23c",
		"a= \n\x00":               "a=%20%0A%00",
		"artifactType=a%2Fb%2Bc?": "artifactType=a%2Fb%2Bc?",
	} {
		_, _, r := through(t, httpEvent("GET", "/v2/", func(e *events.APIGatewayV2HTTPRequest) {
			e.RawQueryString = raw
			e.QueryStringParameters = map[string]string{"joined": "a,b"}
		}), nothing)
		if r == nil || r.URL.RawQuery != want {
			t.Errorf("%q: got %+v, want %q", raw, r, want)
		}
	}
}

func TestRequest(t *testing.T) {
	_, _, r := through(t, httpEvent("PATCH", "/v2/a/blobs/uploads/x", func(e *events.APIGatewayV2HTTPRequest) {
		e.RawQueryString = "q=1"
		e.Headers = map[string]string{
			"host": "elsewhere", "content-length": "5", "content-type": "application/octet-stream", "range": "bytes=0-1,3-4",
			"accept": "a/b,c/d", "user-agent": "x (a, b)", "x-request-id": "theirs", "transfer-encoding": "chunked", "expect": "100-continue", "x-forwarded-proto": "http",
		}
		e.Cookies = []string{"a=1", "b=2"}
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte{0, 1, 2, 254, 255}), true
	}), func(_ http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err != nil || !bytes.Equal(b, []byte{0, 1, 2, 254, 255}) {
			t.Errorf("the body is %v, %v", b, err)
		}
	})
	for name, want := range map[string][]string{
		"Range": {"bytes=0-1,3-4"}, "Accept": {"a/b,c/d"}, "User-Agent": {"x (a, b)"}, "Cookie": {"a=1; b=2"}, "Content-Type": {"application/octet-stream"},
		"X-Request-Id": {"8476a536-e9f4-11e8-9739-2dfe598c3fcd"}, "X-Forwarded-Proto": {"http"},
		"Host": nil, "Expect": nil, "Transfer-Encoding": nil,
	} {
		if got := r.Header[name]; strings.Join(got, "|") != strings.Join(want, "|") {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if r.Method != "PATCH" || r.Host != "registry.example" || r.RemoteAddr != "192.0.2.1:0" || r.ContentLength != 5 || r.RequestURI != "/v2/a/blobs/uploads/x?q=1" {
		t.Errorf("got %+v", r)
	}
}

func TestDefaults(t *testing.T) {
	_, _, r := through(t, httpEvent("get", "/v2/", func(e *events.APIGatewayV2HTTPRequest) {
		e.Headers = map[string]string{"Host": "fallback"}
		e.RequestContext.DomainName = ""
	}), nothing)
	if r.Method != "get" || r.Host != "fallback" || r.Header.Get("X-Forwarded-Proto") != "https" || r.ContentLength != 0 {
		t.Errorf("got %+v", r)
	}
	if r.Context().Err() == nil {
		t.Error("the request's context outlives the answer")
	}
	if _, ok := r.Context().Deadline(); !ok {
		t.Error("a request has no deadline")
	}
}

func TestBodies(t *testing.T) {
	for _, tt := range []struct {
		name, method, length, body string
		encoded                    bool
		status                     int
	}{
		{"text", "PUT", "2", "{}", false, 200},
		{"no length", "PUT", "", "{}", false, 200},
		{"a strange length", "PUT", "two", "{}", false, 200},
		{"empty", "POST", "0", "", false, 200},
		{"cut", "PUT", "3", "{}", false, 400},
		{"dropped", "PATCH", "3", "", false, 400},
		{"longer", "PATCH", "1", "{}", false, 400},
		{"recoded", "PUT", "1", "\ufffd", false, 400},
		{"of a GET, dropped", "GET", "3", "", false, 200},
		{"no base64", "PUT", "", "!!!!", true, 400},
		{"too large", "PUT", "4700001", "", false, 413},
		{"far too large", "PATCH", "99999999999", "", false, 413},
		{"too large in fact", "PATCH", "", strings.Repeat("a", maxBody+1), false, 413},
		{"the largest", "PATCH", "4700000", strings.Repeat("a", maxBody), false, 200},
	} {
		a, body, _ := through(t, httpEvent(tt.method, "/v2/a/blobs/uploads/x", func(e *events.APIGatewayV2HTTPRequest) {
			if tt.length != "" {
				e.Headers["content-length"] = tt.length
			}
			e.Body, e.IsBase64Encoded = tt.body, tt.encoded
		}), nothing)
		if a.StatusCode != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, a.StatusCode, tt.status)
		}
		if tt.status >= 400 && !bytes.Contains(body, []byte(`"code":"SIZE_INVALID"`)) {
			t.Errorf("%s: %s", tt.name, body)
		}
		if tt.status == 413 && !bytes.Contains(body, []byte("4700000")) {
			t.Errorf("%s: the limit is not named: %s", tt.name, body)
		}
	}
}

// What the registry says that it takes passes the gateway, whatever else is in the event: 10,240 bytes of path, query and headers,
// of which the gateway repeats path and query, and JSON escapes some.
func TestTheLargestBodyFitsAnEvent(t *testing.T) {
	for name, change := range map[string]func(*events.APIGatewayV2HTTPRequest){
		"a long path": func(e *events.APIGatewayV2HTTPRequest) {
			e.RawPath = "/v2/" + strings.Repeat("a", 10000)
			e.RequestContext.HTTP.Path = e.RawPath
		},
		"a long query": func(e *events.APIGatewayV2HTTPRequest) {
			e.RawQueryString = "digest=" + strings.Repeat("a", 10000)
			e.QueryStringParameters = map[string]string{"digest": strings.Repeat("a", 10000)}
		},
		"quotes": func(e *events.APIGatewayV2HTTPRequest) { e.Headers["x"] = strings.Repeat(`"`, 10000) },
	} {
		payload, err := json.Marshal(httpEvent("PATCH", "/v2/a/blobs/uploads/x", change, func(e *events.APIGatewayV2HTTPRequest) {
			e.Headers["content-length"] = strconv.Itoa(maxBody)
			e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(make([]byte, maxBody)), true
		}))
		if err != nil {
			t.Fatal(err)
		}
		const context = 2 << 10 // what the gateway says besides of the request, at the most
		if n := len(payload) + context; n > 6<<20 {
			t.Errorf("%s: the largest body makes an event of %d bytes", name, n)
		}
	}
}

// A manifest that JSON would blow up passes the gateway, and so does any that is as large as manifests can be.
func TestLargestManifest(t *testing.T) {
	for _, fill := range []string{"<", `"`, "\x00", "a", "\xff"} {
		want := strings.Repeat(fill, 4<<20)
		a, body, _ := through(t, httpEvent("GET", "/v2/a/manifests/v1"), func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/vnd.oci.image.manifest.v1+json")
			w.WriteHeader(http.StatusOK)
			_, _ = io.WriteString(w, want)
		})
		if string(body) != want || !a.IsBase64Encoded {
			t.Errorf("%q: %d bytes came through", fill, len(body))
		}
	}
}

func TestTooLargeAnAnswer(t *testing.T) {
	a, _, _ := through(t, httpEvent("GET", "/v2/a/blobs/x"), func(w http.ResponseWriter, _ *http.Request) {
		for range 5 {
			if _, err := w.Write(make([]byte, 1<<20)); err != nil {
				panic(http.ErrAbortHandler)
			}
		}
	})
	if a.StatusCode != 500 {
		t.Errorf("got %d", a.StatusCode)
	}
}

// Whether a gateway tells the length of an answer to HEAD by the header or by the body, it is right.
func TestHead(t *testing.T) {
	for _, tt := range []struct {
		name           string
		status, length int
		want           int
	}{
		{"a manifest", 200, 1234, 1234},
		{"the largest", 200, 4 << 20, 4 << 20},
		{"absent", 404, 0, 0},
		{"not modified", 304, 0, 0},
		{"too large to be said so", 200, 1 << 30, 0},
	} {
		a, body, r := through(t, httpEvent("HEAD", "/v2/a/manifests/v1"), func(w http.ResponseWriter, _ *http.Request) {
			if tt.status != 304 {
				w.Header()["Content-Length"] = []string{itoa(tt.length)}
			}
			w.WriteHeader(tt.status)
		})
		if r.Method != "HEAD" || a.StatusCode != tt.status || len(body) != tt.want {
			t.Errorf("%s: %s %d, a body of %d bytes", tt.name, r.Method, a.StatusCode, len(body))
		}
		if tt.status != 304 && a.Headers["Content-Length"] != itoa(tt.length) {
			t.Errorf("%s: the header says %q", tt.name, a.Headers["Content-Length"])
		}
	}
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name    string
		h       http.HandlerFunc
		status  int
		body    string
		headers map[string]string
	}{
		{"no status", nothing, 200, "", nil},
		{"a body without a status", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("x")) }, 200, "x", nil},
		{"two statuses", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(202); w.WriteHeader(500) }, 202, "", nil},
		{"an informational one", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(100); w.WriteHeader(201) }, 201, "", nil},
		{"several values", func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Oci-Tag"] = []string{"v1", "v2"}
			w.Header().Set("WWW-Authenticate", `Bearer realm="https://registry.example/token",service="tare"`)
			w.WriteHeader(201)
		}, 201, "", map[string]string{"Oci-Tag": "v1,v2", "Www-Authenticate": `Bearer realm="https://registry.example/token",service="tare"`}},
		{"a line break", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X", "a\r\nSet-Cookie: b")
			w.WriteHeader(200)
		}, 200, "", map[string]string{"X": "a  Set-Cookie: b"}},
		{"204 with a body", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204); _, _ = w.Write([]byte("x")) }, 204, "", nil},
		{"a panic", func(http.ResponseWriter, *http.Request) { panic("x") }, 500, "INTERNAL", nil},
		{"a panic in an answer", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); panic("x") }, 500, "INTERNAL", nil},
		{"an answer that is cut off", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(200); panic(http.ErrAbortHandler) }, 500, "INTERNAL", nil},
	} {
		a, body, _ := through(t, httpEvent("GET", "/v2/"), tt.h)
		if a.StatusCode != tt.status || !strings.Contains(string(body), tt.body) || tt.body == "" && len(body) > 0 {
			t.Errorf("%s: %d %q", tt.name, a.StatusCode, body)
		}
		for name, want := range tt.headers {
			if a.Headers[name] != want {
				t.Errorf("%s: %s is %q, want %q", tt.name, name, a.Headers[name], want)
			}
		}
	}
}

// A request that the function's time is up for is answered 503 with Retry-After, whatever it was at.
func TestOutOfTime(t *testing.T) {
	g := newGateway(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(200)
		<-r.Context().Done()
		panic(http.ErrAbortHandler)
	}), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	e := httpEvent("GET", "/v2/")
	if a := g.serve(ctx, &e); a.StatusCode != 503 || a.Headers["Retry-After"] == "" {
		t.Errorf("got %d, Retry-After %q", a.StatusCode, a.Headers["Retry-After"])
	}
	if patience >= 28*time.Second {
		t.Errorf("patience is %v, and the gateway's is 30s", patience)
	}
}

func TestDocumentedEvent(t *testing.T) {
	payload, err := os.ReadFile("testdata/events/documented.json") // API Gateway Developer Guide, "Payload format version 2.0"
	if err != nil {
		t.Fatal(err)
	}
	var e events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(payload, &e); err != nil {
		t.Fatal(err)
	}
	_, _, r := through(t, e, func(_ http.ResponseWriter, r *http.Request) {
		if b, err := io.ReadAll(r.Body); err != nil || string(b) != "Hello from Lambda" {
			t.Errorf("the body is %q, %v", b, err)
		}
	})
	if r.URL.Path != "/my/path" || r.URL.Query()["parameter1"][1] != "value2" || r.Header.Get("Header2") != "value1,value2" || r.Header.Get("Cookie") != "cookie1; cookie2" {
		t.Errorf("got %+v", r)
	}
}

// However malformed, an event is answered, and never by an error of the function.
func FuzzEvent(f *testing.F) {
	documented, err := os.ReadFile("testdata/events/documented.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(documented)
	for _, s := range []string{
		``, `{}`, `null`, `[]`, `"x"`, `{"version":2}`, `{"tare":"credential"}`, `{"tare":"credential","do":"mint","name":"a","rights":"admin"}`,
		`{"tare":"x","version":"2.0","requestContext":{"http":{"method":"GET"}}}`, `{"tare":"rotate","secret":"upload","forget":true}`,
		`{"version":"2.0","rawPath":"/v2/%","requestContext":{"http":{"method":"GET"}}}`, `{"version":"2.0","rawPath":"/v2/a/manifests/%zz?x","rawQueryString":"a=%#\u0000","requestContext":{"http":{"method":"\u0000"}}}`,
		`{"version":"2.0","rawPath":"http://[::1]:namedport/","headers":{"host":"a b","content-length":"-1","":"\u0000"},"cookies":[""],"requestContext":{"domainName":"[","http":{"method":"PUT","sourceIp":"%"}}}`,
		`{"version":"2.0","isBase64Encoded":true,"body":"=","requestContext":{"http":{"method":"PATCH"}}}`,
	} {
		f.Add([]byte(s))
	}
	w := newFuzzWorld(f)
	f.Fuzz(func(t *testing.T, payload []byte) {
		out, err := w.Invoke(t.Context(), payload)
		if err != nil || !json.Valid(out) {
			t.Fatalf("%s: %v", out, err)
		}
		var e event
		if json.Unmarshal(payload, &e) != nil || e.Tare == "" {
			answer(t, w, payload)
		}
	})
}

// FuzzRequest is FuzzEvent for what a client can choose.
func FuzzRequest(f *testing.F) {
	f.Add("GET", "/v2/a/manifests/v1", "n=1", "authorization", "Basic YTpi", "body", false)
	f.Add("PUT", "/v2/%/%zz", "%", "content-length", "-1", "\xff", true)
	f.Add("", "", "", "", "", "", false)
	w := newFuzzWorld(f)
	f.Fuzz(func(t *testing.T, method, path, query, name, value, body string, encoded bool) {
		payload, err := json.Marshal(httpEvent(method, path, func(e *events.APIGatewayV2HTTPRequest) {
			e.RawQueryString, e.Body, e.IsBase64Encoded = query, body, encoded
			e.Headers[name] = value
		}))
		if err != nil {
			t.Fatal(err)
		}
		if a, _ := answer(t, w, payload); a.StatusCode == 500 {
			t.Fatalf("an internal error: %+v", a)
		}
	})
}

func newFuzzWorld(f *testing.F) *door {
	return newWorld(f, clock.NewManual(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)), true).door
}
