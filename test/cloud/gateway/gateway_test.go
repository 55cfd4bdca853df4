// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tare/test/cloud/lambda"
)

// script is a function that keeps its last event and answers what it is told.
type script struct {
	name   string
	event  []byte
	answer string
	err    error
	fault  string
	hang   bool
}

func (s *script) Invoke(ctx context.Context, function string, event []byte) (lambda.Result, error) {
	s.name, s.event = function, event
	if s.hang {
		<-ctx.Done()
		return lambda.Result{}, ctx.Err()
	}
	if len(event) >= lambda.MaxRequest {
		return lambda.Result{}, lambda.ErrTooLarge
	}
	return lambda.Result{Payload: []byte(s.answer), Error: s.fault}, s.err
}

func (s *script) got(t *testing.T) event {
	t.Helper()
	var e event
	if err := json.Unmarshal(s.event, &e); err != nil {
		t.Fatal(err)
	}
	return e
}

func start(t *testing.T, o Options) (*script, *httptest.Server) {
	t.Helper()
	s := &script{answer: `{"statusCode":200,"body":"ok"}`}
	if o.Routes == nil {
		o.Routes = []Route{{Key: "$default", Function: "api"}}
	}
	g, err := New(o, s)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	return s, server
}

// raw sends bytes as they are and returns the answer.
func raw(t *testing.T, server *httptest.Server, method, request string) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func TestEvent(t *testing.T) {
	s, server := start(t, Options{Account: "123456789012"})
	raw(t, server, "GET", "GET /v2/a/tags/list?n=1&n=2&last=%20x HTTP/1.1\r\nHost: registry.test\r\nAccept: a\r\nAccept: b\r\n"+
		"Cookie: one=1; two=2\r\nCookie: three=3\r\nAuthorization: Basic x\r\nConnection: close\r\nTE: trailers\r\nX-Forwarded-For: 203.0.113.9\r\n\r\n")
	e := s.got(t)
	if e.Version != "2.0" || e.RouteKey != "$default" || e.RawPath != "/v2/a/tags/list" || e.RawQueryString != "n=1&n=2&last=%20x" {
		t.Errorf("%+v", e)
	}
	if e.Query["n"] != "1,2" || e.Query["last"] != " x" || strings.Join(e.Cookies, "|") != "one=1|two=2|three=3" {
		t.Errorf("query %v, cookies %v", e.Query, e.Cookies)
	}
	for name, want := range map[string]string{
		"accept": "a,b", "host": "registry.test", "authorization": "Basic x", "connection": "", "te": "", "cookie": "",
		"x-forwarded-for": "203.0.113.9, 127.0.0.1", "x-forwarded-proto": "http", "content-length": "0",
	} {
		if e.Headers[name] != want {
			t.Errorf("header %s is %q, want %q", name, e.Headers[name], want)
		}
	}
	c := e.RequestContext
	if c.HTTP.Method != "GET" || c.DomainName != "registry.test" || c.Stage != "$default" || c.AccountID != "123456789012" || c.TimeEpoch == 0 {
		t.Errorf("%+v", c)
	}
	if e.Body != nil || e.IsBase64Encoded {
		t.Errorf("a body of its own: %v", e.Body)
	}
}

func TestRawPathIsDecoded(t *testing.T) {
	s, server := start(t, Options{})
	for sent, want := range map[string]string{
		"/v2/a%2Fb/tags/list": "/v2/a/b/tags/list",
		"/v2/a%3Fb/c?x=1":     "/v2/a",
		"/v2/100%25":          "/v2/100%",
		"/v2//a/../b":         "/v2//a/../b",
		"/v2/%ff":             "/v2/�",
		"/v2/a+b%20c":         "/v2/a+b c",
	} {
		raw(t, server, "GET", "GET "+sent+" HTTP/1.1\r\nHost: x\r\n\r\n")
		if e := s.got(t); e.RawPath != want || e.RequestContext.HTTP.Path != want {
			t.Errorf("%s became %q, want %q", sent, e.RawPath, want)
		}
	}
}

func TestBodies(t *testing.T) {
	for _, c := range []struct {
		kind, encoding string
		text           bool
		asText         bool
	}{
		{"application/octet-stream", "", false, false},
		{"", "", false, false},
		{"text/plain; charset=utf-8", "", false, true},
		{"application/json", "", false, true},
		{"application/json", "gzip", false, false},
		{"application/vnd.oci.image.manifest.v1+json", "", false, false},
		{"application/vnd.oci.image.manifest.v1+json", "", true, true},
	} {
		s, server := start(t, Options{Text: c.text})
		request, err := http.NewRequest("PUT", server.URL+"/", strings.NewReader(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", c.kind)
		request.Header.Set("Content-Encoding", c.encoding)
		if c.encoding == "" {
			request.Header.Del("Content-Encoding")
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		e, want := s.got(t), `{"a":1}`
		if !c.asText {
			want = base64.StdEncoding.EncodeToString([]byte(want))
		}
		if e.Body == nil || *e.Body != want || e.IsBase64Encoded == c.asText || e.Headers["content-length"] != "7" {
			t.Errorf("%+v: %v, base64 %v", c, e.Body, e.IsBase64Encoded)
		}
	}
}

func TestChunkedBodiesHaveALength(t *testing.T) {
	s, server := start(t, Options{})
	raw(t, server, "PATCH", "PATCH / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")
	e := s.got(t)
	if e.Headers["content-length"] != "5" || e.Headers["transfer-encoding"] != "" || *e.Body != base64.StdEncoding.EncodeToString([]byte("abcde")) {
		t.Errorf("%v, %s", e.Headers, *e.Body)
	}
}

func TestSizes(t *testing.T) {
	s, server := start(t, Options{})
	put := func(n int, known bool) int {
		t.Helper()
		var body io.Reader = bytes.NewReader(make([]byte, n))
		if !known {
			body = io.MultiReader(body)
		}
		response, err := http.Post(server.URL, "application/octet-stream", body)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode == 413 && string(answer) != `{"message":"Request Entity Too Large"}` {
			t.Errorf("413 with %s", answer)
		}
		return response.StatusCode
	}
	for _, c := range []struct {
		size  int
		known bool
		want  int
	}{{4 << 20, true, 200}, {4 << 20, false, 200}, {4_700_000, true, 200}, {4718592, true, 413}, {10 << 20, false, 413}} {
		if got := put(c.size, c.known); got != c.want {
			t.Errorf("%d bytes: %d, want %d", c.size, got, c.want)
		}
	}
	// Beyond 10 MB the answer comes before the body is read, and the function is not asked.
	s.event = nil
	response, answer := raw(t, server, "POST", fmt.Sprintf("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", maxPayload+1))
	if response.StatusCode != 413 || answer != `{"message":"Request Entity Too Large"}` || s.event != nil {
		t.Errorf("%d %s", response.StatusCode, answer)
	}
	head := func(n int) int {
		t.Helper()
		lead := "GET / HTTP/1.1\r\nHost: x\r\nX: "
		response, _ := raw(t, server, "GET", lead+strings.Repeat("x", n-len(lead)-2)+"\r\n\r\n")
		return response.StatusCode
	}
	if got := head(maxHead); got != 200 {
		t.Errorf("10,240 bytes of headers: %d", got)
	}
	if got := head(maxHead + 1); got != 431 {
		t.Errorf("10,241 bytes of headers: %d", got)
	}
}

func TestAnswers(t *testing.T) {
	s, server := start(t, Options{})
	get := func(method, answer string) (*http.Response, string) {
		t.Helper()
		s.answer = answer
		request, err := http.NewRequest(method, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultTransport.RoundTrip(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response, string(body)
	}
	r, body := get("GET", `{"statusCode":201,"headers":{"x-a":"1","Content-Length":"99","connection":"close"},"cookies":["a=1","b=2"],"body":"aGk=","isBase64Encoded":true}`)
	if r.StatusCode != 201 || body != "hi" || r.ContentLength != 2 || r.Header.Get("X-A") != "1" || len(r.Header.Values("Set-Cookie")) != 2 || r.Close {
		t.Errorf("%d %q %v", r.StatusCode, body, r.Header)
	}
	if r.Header.Get("Apigw-Requestid") == "" {
		t.Error("no Apigw-Requestid")
	}
	// aws.md §12.3: the length of an answer to HEAD is that of the body, which a function that knows better does not send.
	if r, _ = get("HEAD", `{"statusCode":200,"headers":{"content-length":"99"}}`); r.ContentLength != 0 {
		t.Errorf("HEAD without a body: length %d", r.ContentLength)
	}
	if r, body = get("HEAD", `{"statusCode":200,"headers":{"content-length":"99"},"body":"12345"}`); r.ContentLength != 5 || body != "" {
		t.Errorf("HEAD with a body: length %d, %q", r.ContentLength, body)
	}
	if r, body = get("GET", `{"tags":[]}`); r.StatusCode != 200 || body != `{"tags":[]}` || r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("without statusCode: %d %q", r.StatusCode, body)
	}
	if r, _ = get("GET", `{"statusCode":304,"body":"x"}`); r.StatusCode != 304 {
		t.Errorf("304: %d", r.StatusCode)
	}
	for _, bad := range []string{
		`{"statusCode":"200"}`, `{"statusCode":99}`, `{"statusCode":200,"headers":{"a":1}}`, `{"statusCode":200,"headers":{"a":"x\ny"}}`,
		`{"statusCode":200,"headers":{"a b":"x"}}`, `{"statusCode":200,"body":"%","isBase64Encoded":true}`, `{"statusCode":200,"body":{}}`,
	} {
		if r, body = get("GET", bad); r.StatusCode != 500 || body != `{"message":"Internal Server Error"}` {
			t.Errorf("%s: %d %s", bad, r.StatusCode, body)
		}
	}
}

func TestFunctionErrors(t *testing.T) {
	s, server := start(t, Options{Routes: []Route{{Key: "$default", Function: "api", Timeout: 10 * time.Millisecond}}})
	status := func() (int, string) {
		t.Helper()
		response, body := raw(t, server, "GET", "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		return response.StatusCode, body
	}
	s.fault = "Unhandled"
	if got, body := status(); got != 500 || body != `{"message":"Internal Server Error"}` {
		t.Errorf("an error: %d %s", got, body)
	}
	s.fault, s.err = "", lambda.ErrThrottled
	if got, body := status(); got != 503 || body != `{"message":"Service Unavailable"}` {
		t.Errorf("throttled: %d %s", got, body)
	}
	s.err, s.hang = nil, true
	if got, body := status(); got != 503 || body != `{"message":"Service Unavailable"}` {
		t.Errorf("late: %d %s", got, body)
	}
}

func TestThrottle(t *testing.T) {
	_, server := start(t, Options{Rate: 1, Burst: 2})
	var last int
	for range 3 {
		response, body := raw(t, server, "GET", "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		if last = response.StatusCode; last == 429 && body != `{"message":"Too Many Requests"}` {
			t.Errorf("429 with %s", body)
		}
	}
	if last != 429 {
		t.Errorf("the third of two: %d", last)
	}
	b, now := newBucket(10, 1), time.Unix(0, 0)
	if !b.take(now) || b.take(now.Add(99*time.Millisecond)) || !b.take(now.Add(200*time.Millisecond)) {
		t.Error("a token comes back every tenth of a second")
	}
}

func TestRoutes(t *testing.T) {
	s, server := start(t, Options{Routes: []Route{
		{Key: "ANY /v2/{rest+}", Function: "any"}, {Key: "GET /v2/{rest+}", Function: "get"}, {Key: "ANY /v2", Function: "exact"},
		{Key: "GET /v2/{one}/tags", Function: "one"},
	}})
	for request, want := range map[string]string{
		"GET /v2/a/b": "get", "PUT /v2/a": "any", "GET /v2": "exact", "GET /v2/a/tags": "one", "GET /v2/": "", "GET /other": "", "PROPFIND /v2/a": "",
	} {
		s.name = ""
		method, _, _ := strings.Cut(request, " ")
		response, body := raw(t, server, method, request+" HTTP/1.1\r\nHost: x\r\n\r\n")
		if s.name != want {
			t.Errorf("%s went to %q, want %q", request, s.name, want)
		}
		if want == "" && (response.StatusCode != 404 || body != `{"message":"Not Found"}`) {
			t.Errorf("%s: %d %s", request, response.StatusCode, body)
		}
	}
	for _, key := range []string{"", "GET", "FETCH /v2", "GET v2", "ANY /{a+}/b"} {
		if _, err := New(Options{Routes: []Route{{Key: key}}}, s); err == nil {
			t.Errorf("route %q is taken", key)
		}
	}
}

func TestBrokenBodiesReachNobody(t *testing.T) {
	s, server := start(t, Options{})
	for _, request := range []string{
		"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",
		"PUT / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
	} {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(conn, request)
		conn.(*net.TCPConn).CloseWrite()
		if answer, err := io.ReadAll(conn); err != nil || len(answer) > 0 {
			t.Errorf("%q was answered with %q, %v", request, answer, err)
		}
		conn.Close()
		if s.event != nil {
			t.Errorf("%q became an event", request)
		}
	}
}
