// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"io"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"

	"tare/internal/oci"
	"tare/internal/upload"
)

// What Lambda and the HTTP API take (Lambda quotas and HTTP API quotas, read 2026-11).
const (
	// maxBody is the most bytes of a body. In base64 they leave 24 KB of an event of 6 MiB to the rest of it, which is 10,240 bytes of
	// path, query and headers, some of them twice. A body that is a little larger may come through, and is told what to do
	// instead; the others are refused by the gateway, in words of its own.
	maxBody = 4_700_000
	// maxAnswer is the most bytes of an answer's body: in base64, with 12 KiB for its headers, they make an event of 6 MiB.
	maxAnswer = (6<<20 - 12<<10) * 3 / 4
	// patience ends a request before the gateway gives it up, which it does after 30 s, and with it all that goes on after
	// the deadline of its context.
	patience = 28*time.Second - upload.Overtime
	// retryAfter is when the client of a request that took too long is asked to come back.
	retryAfter = "2"
)

// gateway answers the events of an HTTP API (payload format 2.0) by an http.Handler. The adapter below it, whose upstream
// is archived, misreads some events and turns some requests into errors of the function; what the gateway here gives it is
// what it reads right, and what it made of that is mended in mend.
//
// It never fails: what cannot be a request is answered 400. A request is served in the goroutine that brings its event, so
// that none outlives its answer: the process is frozen then.
type gateway struct {
	adapter *httpadapter.HandlerAdapterV2
	log     *slog.Logger
}

func newGateway(h http.Handler, log *slog.Logger) *gateway {
	return &gateway{adapter: httpadapter.NewV2(mend(h)), log: log}
}

// passage is one event on its way through the adapter.
type passage struct {
	event   *events.APIGatewayV2HTTPRequest
	body    []byte
	request string // the id that Lambda gave the call
}

type passageKey struct{}

// serve answers an event.
func (g *gateway) serve(ctx context.Context, e *events.APIGatewayV2HTTPRequest) (answer events.APIGatewayV2HTTPResponse) {
	p := &passage{event: e, request: requestID(ctx)}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	defer func() {
		if v := recover(); v != nil {
			answer = g.broken(ctx, p, v)
		}
	}()
	var refused *events.APIGatewayV2HTTPResponse
	if p.body, refused = bodyOf(e); refused != nil {
		return *refused
	}
	answer, err := g.adapter.ProxyWithContext(context.WithValue(ctx, passageKey{}, p), plain(e))
	if err != nil {
		return refusal(http.StatusBadRequest, oci.Unsupported, "this is no request that a registry knows")
	}
	return p.finish(answer)
}

// broken answers where the handler panicked. Nothing of its answer was sent, so that one that was cut off is answered by
// its reason.
func (g *gateway) broken(ctx context.Context, p *passage, v any) events.APIGatewayV2HTTPResponse {
	if ctx.Err() != nil {
		a := refusal(http.StatusServiceUnavailable, oci.Unavailable, "this took too long; try again")
		a.Headers["Retry-After"] = retryAfter
		return a
	}
	if v != http.ErrAbortHandler { // whoever aborts has said why
		g.log.Error("A request broke the function.", "request", p.request, "panic", v, "stack", string(debug.Stack()))
	}
	return refusal(http.StatusInternalServerError, oci.Internal, "internal error; the registry's log has more under the request id "+p.request)
}

// requestID is the id of the call, by which Lambda's own lines in the log can be found, too.
func requestID(ctx context.Context) string {
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		return lc.AwsRequestID
	}
	return ""
}

// bodyOf returns the body of a request, or its refusal. The length that the client announced is compared with the body's:
// what a gateway cut off, or recoded because it took it for text, must not be taken for what was sent.
func bodyOf(e *events.APIGatewayV2HTTPRequest) ([]byte, *events.APIGatewayV2HTTPResponse) {
	refuse := func(status int, message string) ([]byte, *events.APIGatewayV2HTTPResponse) {
		a := refusal(status, oci.SizeInvalid, message)
		return nil, &a
	}
	body := []byte(e.Body)
	if e.IsBase64Encoded {
		var err error
		if body, err = base64.StdEncoding.DecodeString(e.Body); err != nil {
			return refuse(http.StatusBadRequest, "the body did not come whole")
		}
	}
	length, announced := int64(len(body)), false
	switch e.RequestContext.HTTP.Method {
	case http.MethodPut, http.MethodPatch, http.MethodPost:
		if n, err := strconv.ParseInt(header(e, "Content-Length"), 10, 64); err == nil {
			length, announced = n, true
		}
	}
	switch {
	case max(length, int64(len(body))) > maxBody:
		return refuse(http.StatusRequestEntityTooLarge, "one request brings at most "+strconv.Itoa(maxBody)+
			" bytes through this registry's gateway: send larger layers in chunks, or with a client of its direct uploads (docs/http.md)")
	case announced && length != int64(len(body)):
		return refuse(http.StatusBadRequest, "the body has "+strconv.Itoa(len(body))+" bytes, and Content-Length is "+strconv.FormatInt(length, 10))
	}
	return body, nil
}

// header is a header of the event, "" where it is not there. The gateway writes names in lower case; others may not.
func header(e *events.APIGatewayV2HTTPRequest, name string) string {
	if v, ok := e.Headers[strings.ToLower(name)]; ok {
		return v
	}
	for k, v := range e.Headers {
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

// plain is what of an event the adapter reads right: method and URL. Headers and body are put in by mend.
func plain(e *events.APIGatewayV2HTTPRequest) events.APIGatewayV2HTTPRequest {
	path := e.RawPath
	if path == "" {
		path = e.RequestContext.HTTP.Path
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	var out events.APIGatewayV2HTTPRequest
	out.RawPath, out.RawQueryString = escapePath(path), escapeQuery(e.RawQueryString)
	out.RequestContext.HTTP.Method = http.MethodGet // the adapter writes methods in upper case, and they are not all the same
	out.RequestContext.DomainName = "registry"
	return out
}

// escapePath escapes what cannot be in a path as it is. The gateway decodes paths, so that a "%" is one that was escaped;
// should it not, the one escape that clients write is the colon of a digest.
func escapePath(path string) string {
	return escape(path, pathBytes, func(rest string) bool { return len(rest) >= 3 && strings.EqualFold(rest[:3], "%3A") })
}

// escapeQuery escapes what cannot be in a query, which the gateway leaves as it was.
func escapeQuery(query string) string {
	return escape(query, pathBytes+"?%", func(string) bool { return false })
}

// pathBytes may stand in a path (RFC 3986, "Path"), beside letters and digits.
const pathBytes = "-_.~/:@!$&'()*+,;="

// escape escapes each byte that is no letter, no digit and not in plain, and does not begin an escape.
func escape(s, plain string, begins func(rest string) bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte(plain, c) >= 0 || begins(s[i:]) {
			b.WriteByte(c)
			continue
		}
		const digits = "0123456789ABCDEF"
		b.Write([]byte{'%', digits[c>>4], digits[c&15]})
	}
	return b.String()
}

// mend gives h the request of the event, where the adapter made something else of it, and an answer that the adapter takes:
// one with a status.
func mend(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := r.Context().Value(passageKey{}).(*passage)
		e := p.event
		r.Method = e.RequestContext.HTTP.Method
		r.Header = headers(e)
		if p.request != "" {
			r.Header.Set("X-Request-Id", p.request)
		}
		r.Host = e.RequestContext.DomainName
		if r.Host == "" {
			r.Host = header(e, "Host")
		}
		r.URL.Scheme, r.URL.Host = "", ""
		r.RequestURI = r.URL.RequestURI()
		r.RemoteAddr = net.JoinHostPort(e.RequestContext.HTTP.SourceIP, "0")
		r.Proto, r.ProtoMajor, r.ProtoMinor = "HTTP/1.1", 1, 1
		r.ContentLength = int64(len(p.body))
		r.Body = http.NoBody
		if len(p.body) > 0 {
			r.Body = io.NopCloser(bytes.NewReader(p.body))
		}
		m := &mended{ResponseWriter: w}
		h.ServeHTTP(m, r)
		if m.status == 0 {
			m.WriteHeader(http.StatusOK)
		}
	})
}

// headers are those of the event, but for what is between the client and the gateway. A field that came several times is
// one with commas. An HTTP API has no door without TLS.
func headers(e *events.APIGatewayV2HTTPRequest) http.Header {
	h := make(http.Header, len(e.Headers)+2)
	for name, value := range e.Headers {
		h.Set(name, value)
	}
	for _, name := range []string{"Host", "Connection", "Transfer-Encoding", "Expect", "Content-Length"} {
		h.Del(name)
	}
	if len(e.Cookies) > 0 {
		h.Set("Cookie", strings.Join(e.Cookies, "; "))
	}
	if h.Get("X-Forwarded-Proto") == "" {
		h.Set("X-Forwarded-Proto", "https")
	}
	return h
}

// mended is the adapter's writer as net/http's is: the first status counts, informational ones aside, and there is an end to
// what it takes, since it is held in memory and no larger answer passes the gateway.
type mended struct {
	http.ResponseWriter
	status int
	size   int
}

// WriteHeader sets the status, once.
func (m *mended) WriteHeader(status int) {
	if m.status == 0 && status >= http.StatusOK {
		m.status = status
		m.ResponseWriter.WriteHeader(status)
	}
}

// Write takes a part of the body. The error is that the answer is too large for the gateway.
func (m *mended) Write(p []byte) (int, error) {
	m.WriteHeader(http.StatusOK)
	if m.size += len(p); m.size > maxAnswer {
		return 0, oci.Errorf(oci.Internal, "the answer has more than the %d bytes that pass the gateway", maxAnswer)
	}
	return m.ResponseWriter.Write(p)
}

// finish makes of the adapter's answer one that the gateway gives on as it was meant: a body in base64, which JSON does not
// blow up; field values without line breaks; and, for HEAD, as many bytes as a GET would bring. The gateway drops them, but
// whether it tells the length by the header or by the body nobody says.
func (p *passage) finish(a events.APIGatewayV2HTTPResponse) events.APIGatewayV2HTTPResponse {
	for name, value := range a.Headers {
		a.Headers[name] = strings.NewReplacer("\r", " ", "\n", " ").Replace(value)
	}
	if p.event.RequestContext.HTTP.Method == http.MethodHead {
		a.Body, a.IsBase64Encoded = "", false
		if n, err := strconv.Atoi(a.Headers["Content-Length"]); err == nil && 0 < n && n <= maxAnswer {
			a.Body = strings.Repeat(" ", n)
		}
	}
	if a.StatusCode == http.StatusNoContent || a.StatusCode == http.StatusNotModified {
		a.Body, a.IsBase64Encoded = "", false
	}
	if a.Body != "" && !a.IsBase64Encoded {
		a.Body, a.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte(a.Body)), true
	}
	return a
}
