// SPDX-License-Identifier: Apache-2.0

// Package gateway plays an HTTP API of Amazon API Gateway in front of Lambda functions, with payload format 2.0. It is
// strict: where AWS's behaviour is not documented it does what is harder for a function or a client. Sources of its rules,
// as the comments name them:
//
//   - quotas: "Quotas for configuring and running an HTTP API in API Gateway", read in November 2026;
//   - format: "Create AWS Lambda proxy integrations for HTTP APIs in API Gateway", likewise;
//   - routes: "Create routes for HTTP APIs in API Gateway", likewise;
//   - aws.md: the project's notes of 2026-11-21, by section: what was read in sources or probed;
//   - ours: not documented, and chosen as said above. What `tare doctor` finds out about a live stack decides these.
package gateway

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"tare/test/cloud/lambda"
)

const (
	// maxPayload is the most bytes of a body. quotas: "Payload size: 10 MB"; seen (koki-develop/lgtm-generator#10): "HTTP
	// content length exceeded 10485760 bytes."
	maxPayload = 10 << 20
	// maxHead is the most bytes of request line and headers. quotas: "Total combined size of request line and header values:
	// 10240 bytes"; that names and separators count, too, is ours.
	maxHead = 10240
	// maxTimeout is how long a request may take. quotas: "Maximum integration timeout: 30 seconds".
	maxTimeout = 30 * time.Second
)

// Invoker is Lambda, as far as the gateway uses it.
type Invoker interface {
	Invoke(ctx context.Context, function string, event []byte) (lambda.Result, error)
}

// Route leads requests to a function.
type Route struct {
	Key      string // "$default", or a method or ANY and a path whose last segment may be {name+}
	Function string
	Timeout  time.Duration // 0: 30 s
}

// Options are the settings of the API.
type Options struct {
	Routes []Route
	// Rate and Burst are the throttle of all routes together, in requests a second; 0: 10,000 and 5,000, an account's default
	// quotas.
	Rate, Burst int
	// Text sends bodies of structured types (…+json) as strings instead of base64. Which of them AWS does is not documented.
	Text bool
	// Domain is the API's own name; "": the Host of each request.
	Domain  string
	Account string
}

// Gateway is the API. It is a handler for a server that speaks HTTP/1.1.
type Gateway struct {
	options Options
	invoker Invoker
	bucket  *bucket

	requests, throttled, tooLarge, failed, late atomic.Int64
}

// Counts are what the gateway answered by itself so far.
type Counts struct {
	Requests, Throttled, TooLarge, Failed, Late int64
}

// New returns an API. A route with a key that the API would not take is an error.
func New(o Options, invoker Invoker) (*Gateway, error) {
	if o.Rate == 0 {
		o.Rate = 10000
	}
	if o.Burst == 0 {
		o.Burst = 5000
	}
	for i, r := range o.Routes {
		if err := checkKey(r.Key); err != nil {
			return nil, err
		}
		if r.Timeout == 0 {
			o.Routes[i].Timeout = maxTimeout
		}
		if r.Timeout > maxTimeout {
			return nil, fmt.Errorf("route %s: a timeout of %v, more than %v", r.Key, r.Timeout, maxTimeout)
		}
	}
	return &Gateway{options: o, invoker: invoker, bucket: newBucket(o.Rate, o.Burst)}, nil
}

// Counts returns how often the gateway answered by itself.
func (g *Gateway) Counts() Counts {
	return Counts{g.requests.Load(), g.throttled.Load(), g.tooLarge.Load(), g.failed.Load(), g.late.Load()}
}

func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.requests.Add(1)
	id := requestID()
	w.Header().Set("Apigw-Requestid", id) // seen on every answer of an HTTP API
	if headSize(r) > maxHead {
		// ours: the status of RFC 6585.
		refuse(w, http.StatusRequestHeaderFieldsTooLarge, "Request Header Fields Too Large")
		return
	}
	if !g.bucket.take(time.Now()) {
		g.throttled.Add(1)
		refuse(w, http.StatusTooManyRequests, "Too Many Requests")
		return
	}
	if r.ContentLength > maxPayload {
		// ours: an answer before the body is read, as a proxy in front of a service gives it.
		g.tooLarge.Add(1)
		refuse(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPayload))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		g.tooLarge.Add(1)
		refuse(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
		return
	}
	if err != nil {
		panic(http.ErrAbortHandler) // the client is gone, or its body broke off: nobody is asked, and nothing is answered
	}
	path := rawPath(r)
	route, ok := g.route(r.Method, path)
	if !ok {
		// routes: "If no routes match a request, API Gateway returns 404 Not Found".
		refuse(w, http.StatusNotFound, "Not Found")
		return
	}
	event, err := json.Marshal(g.event(r, route, path, id, body))
	if err != nil {
		panic(err) // strings and maps of them
	}
	g.forward(w, r, route, event)
}

// forward invokes the function and answers with what it said, or in its place.
func (g *Gateway) forward(w http.ResponseWriter, r *http.Request, route Route, event []byte) {
	// The function runs on when the time is over, or the client is gone: nothing tells it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), route.Timeout)
	defer cancel()
	result, err := g.invoker.Invoke(ctx, route.Function, event)
	switch {
	case errors.Is(err, lambda.ErrTooLarge):
		// aws.md §1: the event has at most 6 MB, with the body in base64.
		g.tooLarge.Add(1)
		refuse(w, http.StatusRequestEntityTooLarge, "Request Entity Too Large")
	case errors.Is(err, context.DeadlineExceeded):
		g.late.Add(1)
		refuse(w, http.StatusServiceUnavailable, "Service Unavailable")
	case err != nil:
		// ours: a throttled function is a service that is not available.
		g.throttled.Add(1)
		refuse(w, http.StatusServiceUnavailable, "Service Unavailable")
	case result.Error != "":
		g.failed.Add(1)
		refuse(w, http.StatusInternalServerError, "Internal Server Error")
	default:
		a, err := decode(result.Payload)
		if err != nil {
			g.failed.Add(1)
			refuse(w, http.StatusInternalServerError, "Internal Server Error")
			return
		}
		a.write(w, r.Method)
	}
}

// refuse answers in the gateway's own words, which are JSON and no error of the distribution specification (aws.md §12.10).
func refuse(w http.ResponseWriter, status int, message string) {
	body := fmt.Sprintf(`{"message":%q}`, message)
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(status)
	io.WriteString(w, body)
}

// headSize is the size of the request line and the headers as they were sent in HTTP/1.1.
func headSize(r *http.Request) int {
	n := len(r.Method) + 1 + len(r.RequestURI) + len(" HTTP/1.1\r\n") + len("Host: \r\n") + len(r.Host)
	for name, values := range r.Header {
		for _, v := range values {
			n += len(name) + len(": \r\n") + len(v)
		}
	}
	return n
}

func requestID() string {
	var b [11]byte
	rand.Read(b[:])
	return base64.RawURLEncoding.EncodeToString(b[:]) + "="
}
