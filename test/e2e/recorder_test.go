// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"testing"
)

// An exchange is a request that a client made, and the status of the answer.
type exchange struct {
	method string
	path   string
	query  url.Values
	length int64 // of the request's body; -1: it did not say
	status int
}

// isUpload says whether the exchange is about an upload: its path is the registry's choice, but not its beginning.
func (x exchange) isUpload() bool {
	return x.method == http.MethodPost || x.method == http.MethodPatch ||
		x.method == http.MethodPut && !strings.Contains(x.path, "/manifests/")
}

// A recorder stands between a client and a registry and writes down what they say.
type recorder struct {
	mu   sync.Mutex // guards said
	said []exchange
}

// record returns the endpoint of a recorder in front of the registry, which speaks plain HTTP.
func record(t *testing.T, e endpoint) (endpoint, *recorder) {
	t.Helper()
	r := new(recorder)
	registry := e.addr
	proxy := &httputil.ReverseProxy{
		Transport: e.transport,
		Rewrite: func(request *httputil.ProxyRequest) {
			request.Out.URL.Scheme, request.Out.URL.Host = "http", registry
			request.Out.Host = request.In.Host
		},
		ModifyResponse: func(response *http.Response) error {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.said = append(r.said, exchange{
				method: response.Request.Method,
				path:   response.Request.URL.Path,
				query:  response.Request.URL.Query(),
				length: response.Request.ContentLength,
				status: response.StatusCode,
			})
			return nil
		},
	}
	front := httptest.NewServer(proxy)
	t.Cleanup(front.Close)
	return endpoint{
		addr:      front.Listener.Addr().String(),
		user:      e.user,
		password:  e.password,
		transport: newTransport(t, ""),
	}, r
}

// count returns how many exchanges the condition holds for.
func (r *recorder) count(is func(exchange) bool) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := 0
	for _, x := range r.said {
		if is(x) {
			n++
		}
	}
	return n
}

// tell adds what was said to the log of a test that has failed.
func (r *recorder) tell(t *testing.T) {
	if !t.Failed() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, x := range r.said {
		t.Logf("%s %s?%s (%d bytes): %d", x.method, x.path, x.query.Encode(), x.length, x.status)
	}
}
