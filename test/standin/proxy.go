// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// Request is a request that reached a [Proxy].
type Request struct {
	N         int    // counted from 1 in the order in which they came
	Operation string // DynamoDB: "TransactWriteItems", "Query", …; S3: the method and the subresource, as "PUT", "POST ?uploads"
	Index     string // DynamoDB: the index that a Query reads; "" for the table
	Path      string
	Query     url.Values
	Header    http.Header
	Body      []byte // DynamoDB only
}

// Plan decides what happens to a request before it does. It is called by many goroutines at once, and may block, which
// holds the request back.
type Plan func(Request) Fault

// Proxy stands between clients and a stand-in (or another handler before one) and lets requests fail by a [Plan]. It
// leaves the Host header as it is, so that signatures stay good. It is safe for concurrent use.
type Proxy struct {
	URL string

	server  *httptest.Server
	forward *httputil.ReverseProxy

	mu    sync.Mutex // guards what follows
	plan  Plan
	count int
	seen  map[string]int
	late  []func() error
	hurt  int
}

// NewProxy starts a proxy in front of target, a URL without a path, for a test. It lets everything pass until
// [Proxy.Use].
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	p, err := StartProxy(target)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// StartProxy starts a proxy in front of target. [Proxy.Close] ends it.
func StartProxy(target string) (*Proxy, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	p := &Proxy{seen: make(map[string]int)}
	p.forward = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			r.Out.URL.RawQuery = r.In.URL.RawQuery
		},
		Transport: &http.Transport{
			MaxIdleConnsPerHost: 256,
			DisableCompression:  true,
		},
		FlushInterval: -1,
		// The engine has not answered: neither does the proxy, as a network would not.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	p.server = httptest.NewServer(p)
	p.URL = p.server.URL
	return p, nil
}

// Close ends the proxy and its connections.
func (p *Proxy) Close() {
	p.server.CloseClientConnections()
	p.server.Close()
	if t, ok := p.forward.Transport.(*http.Transport); ok {
		t.CloseIdleConnections()
	}
}

// Use makes the proxy ask plan about the requests from now on; nil lets all of them pass.
func (p *Proxy) Use(plan Plan) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.plan = plan
}

// Seen tells how many requests of each operation came.
func (p *Proxy) Seen() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	seen := make(map[string]int, len(p.seen))
	for op, n := range p.seen {
		seen[op] = n
	}
	return seen
}

// Hurt tells how many requests did not get the answer that the engine alone would have given.
func (p *Proxy) Hurt() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hurt
}

// Land sends the oldest request on that was made [Late], and tells whether there was one. Its answer goes nowhere.
func (p *Proxy) Land() (landed bool, err error) {
	p.mu.Lock()
	if len(p.late) == 0 {
		p.mu.Unlock()
		return false, nil
	}
	send := p.late[0]
	p.late = slices.Delete(p.late, 0, 1)
	p.mu.Unlock()
	return true, send()
}

// ServeHTTP implements [http.Handler].
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	req := Request{Path: r.URL.Path, Query: r.URL.Query(), Header: r.Header}
	if _, op, dynamo := strings.Cut(r.Header.Get("X-Amz-Target"), "."); dynamo {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // the client has gone before it had sent all
		}
		var named struct{ IndexName string }
		_ = json.Unmarshal(body, &named) // what is no JSON names no index, and the engine says so
		req.Operation, req.Index, req.Body = op, named.IndexName, body
		replace(r, body)
	} else {
		req.Operation = r.Method
		for _, sub := range []string{"uploads", "partNumber", "uploadId", "list-type", "delete"} {
			if r.URL.Query().Has(sub) {
				req.Operation += " ?" + sub
				break
			}
		}
	}
	fault := p.ask(&req)
	if fault == nil {
		p.forward.ServeHTTP(w, r)
		return
	}
	fault(&exchange{p: p, request: req, w: w, r: r})
}

// ask counts the request and asks the plan about it.
func (p *Proxy) ask(req *Request) Fault {
	p.mu.Lock()
	p.count++
	req.N = p.count
	p.seen[req.Operation]++
	plan := p.plan
	p.mu.Unlock()
	if plan == nil {
		return nil
	}
	return plan(*req)
}

// hurts counts a request that does not get the engine's answer.
func (p *Proxy) hurts() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hurt++
}

// replace gives a request another body.
func replace(r *http.Request, body []byte) {
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	r.Header.Del("Content-Length") // by ContentLength
}

// exchange is a request on its way through the proxy.
type exchange struct {
	p       *Proxy
	request Request
	w       http.ResponseWriter
	r       *http.Request
}

// cut ends the connection without an answer.
func (x *exchange) cut() {
	x.p.hurts()
	panic(http.ErrAbortHandler)
}

// receive reads what is left of the body, as an engine would that dies afterwards.
func (x *exchange) receive() []byte {
	body, err := io.ReadAll(x.r.Body)
	if err != nil {
		x.cut()
	}
	return body
}

// send lets the engine answer and returns what it says, however long.
func (x *exchange) send(r *http.Request) *httptest.ResponseRecorder {
	answer := httptest.NewRecorder()
	x.p.forward.ServeHTTP(answer, r)
	return answer
}

// answer sends a whole answer.
func (x *exchange) answer(status int, header http.Header, body []byte) {
	x.p.hurts()
	for name, values := range header {
		x.w.Header()[name] = values
	}
	x.w.Header().Del("X-Amz-Crc32") // of the body that the engine sent
	x.w.Header().Del("Content-Length")
	x.w.WriteHeader(status)
	_, _ = x.w.Write(body) // a client that has gone does not matter
}

// pass lets the request pass.
func (x *exchange) pass() { x.p.forward.ServeHTTP(x.w, x.r) }

// putOff keeps the request for Land.
func (x *exchange) putOff() {
	body := x.receive()
	r := x.r.Clone(context.WithoutCancel(x.r.Context()))
	send := func() (err error) {
		defer func() {
			if recover() != nil {
				err = errors.New("the engine did not answer a late request")
			}
		}()
		replace(r, body)
		x.send(r)
		return nil
	}
	x.p.mu.Lock()
	defer x.p.mu.Unlock()
	x.p.late = append(x.p.late, send)
}

// reset ends the connection as a machine does that has forgotten it: by RST.
func (x *exchange) reset() {
	if h, ok := x.w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0)
			}
			x.p.hurts() // before the client can know
			_ = conn.Close()
			return
		}
	}
	x.cut()
}
