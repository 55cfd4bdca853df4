// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// event is a request in payload format 2.0. format: "Payload format structure".
type event struct {
	Version         string            `json:"version"`
	RouteKey        string            `json:"routeKey"`
	RawPath         string            `json:"rawPath"`
	RawQueryString  string            `json:"rawQueryString"`
	Cookies         []string          `json:"cookies,omitempty"`
	Headers         map[string]string `json:"headers"`
	Query           map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext  requestContext    `json:"requestContext"`
	PathParameters  map[string]string `json:"pathParameters,omitempty"`
	Body            *string           `json:"body,omitempty"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

type requestContext struct {
	AccountID    string      `json:"accountId"`
	APIID        string      `json:"apiId"`
	DomainName   string      `json:"domainName"`
	DomainPrefix string      `json:"domainPrefix"`
	HTTP         httpContext `json:"http"`
	RequestID    string      `json:"requestId"`
	RouteKey     string      `json:"routeKey"`
	Stage        string      `json:"stage"`
	Time         string      `json:"time"`
	TimeEpoch    int64       `json:"timeEpoch"`
}

type httpContext struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

// hopByHop are headers that end at the gateway (RFC 9110, 7.6.1), and Expect, which it answers itself.
var hopByHop = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Authenticate": true, "Proxy-Authorization": true, "Proxy-Connection": true,
	"Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true, "Expect": true,
}

// event encodes a request.
func (g *Gateway) event(r *http.Request, route Route, path, id string, body []byte) event {
	now, domain := time.Now().UTC(), g.options.Domain
	if domain == "" {
		domain = r.Host
	}
	prefix, _, _ := strings.Cut(domain, ".")
	source, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		source = r.RemoteAddr
	}
	e := event{
		Version:        "2.0",
		RouteKey:       route.Key,
		RawPath:        path,
		RawQueryString: r.URL.RawQuery,
		Headers:        headers(r, source, len(body)),
		Query:          query(r.URL.RawQuery),
		RequestContext: requestContext{
			AccountID: g.options.Account, APIID: prefix, DomainName: domain, DomainPrefix: prefix, RequestID: id, RouteKey: route.Key,
			Stage: "$default", Time: now.Format("02/Jan/2006:15:04:05 -0700"), TimeEpoch: now.UnixMilli(),
			HTTP: httpContext{r.Method, path, r.Proto, source, r.UserAgent()},
		},
	}
	// format: "All cookie headers in the request are combined with commas and added to the cookies field."
	for _, line := range r.Header.Values("Cookie") {
		for cookie := range strings.SplitSeq(line, ";") {
			e.Cookies = append(e.Cookies, strings.TrimSpace(cookie))
		}
	}
	if len(body) > 0 {
		text := string(body)
		if e.IsBase64Encoded = !g.isText(r.Header); e.IsBase64Encoded {
			text = base64.StdEncoding.EncodeToString(body)
		}
		e.Body = &text
	}
	return e
}

// headers are those of the event. format: names "are in lower case", "Duplicate headers are combined with commas". The
// gateway adds who asked, and how; x-forwarded-proto is https on AWS, and here whatever the client spoke.
func headers(r *http.Request, source string, length int) map[string]string {
	h := map[string]string{"host": r.Host}
	for name, values := range r.Header {
		if !hopByHop[name] && name != "Cookie" {
			h[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	proto, port := "http", "80"
	if r.TLS != nil {
		proto, port = "https", "443"
	}
	if _, p, err := net.SplitHostPort(r.Host); err == nil {
		port = p
	}
	if before := h["x-forwarded-for"]; before != "" {
		source = before + ", " + source
	}
	h["x-forwarded-for"], h["x-forwarded-proto"], h["x-forwarded-port"] = source, proto, port
	var b [16]byte
	rand.Read(b[:])
	h["x-amzn-trace-id"] = fmt.Sprintf("Root=1-%x-%x", b[:4], b[4:])
	// The gateway has the whole body before it asks, and says its length, whatever the client said.
	h["content-length"] = fmt.Sprint(length)
	return h
}

// query are the parameters, decoded. format: "Duplicate query strings are combined with commas".
func query(raw string) map[string]string {
	values, err := url.ParseQuery(raw)
	if err != nil && len(values) == 0 {
		return nil
	}
	all := map[string]string{}
	for name, list := range values {
		all[name] = strings.Join(list, ",")
	}
	return all
}

// isText says whether a body is sent as a string. format says only that a binary one is base64; the types that count as
// text are ours, and a manifest's is none of them unless the options say so. A string can be larger than base64: every
// quotation mark takes two bytes (aws.md §12.4).
func (g *Gateway) isText(h http.Header) bool {
	if h.Get("Content-Encoding") != "" {
		return false
	}
	kind, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return false
	}
	switch kind {
	case "application/json", "application/xml", "application/javascript":
		return true
	}
	return strings.HasPrefix(kind, "text/") || g.options.Text && (strings.HasSuffix(kind, "+json") || strings.HasSuffix(kind, "+xml"))
}
