// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"

	"tare/functions/internal/cloud"
	"tare/internal/clock"
	"tare/internal/refcount"
	"tare/internal/store/memstore"
)

// maxEvent is the largest event that Lambda takes and gives (Lambda quotas, 2026-11).
const maxEvent = 6 << 20

// world is the function on stores in memory.
type world struct {
	*door
	t      testing.TB
	store  *memstore.Store
	ledger *refcount.Ledger
	log    *strings.Builder
}

func newWorld(t testing.TB, c clock.Clock, anonymousPull bool) *world {
	t.Helper()
	s := memstore.New(c, memstore.Options{})
	return newWorldOn(t, c, s, cloud.Stores{Table: s, Objects: s, Parts: s}, anonymousPull)
}

func newWorldOn(t testing.TB, c clock.Clock, s *memstore.Store, stores cloud.Stores, anonymousPull bool) *world {
	t.Helper()
	ledger, err := cloud.Ledger(stores, c, 0)
	if err != nil {
		t.Fatal(err)
	}
	log := new(strings.Builder)
	d, err := assemble(stores, ledger, c, slog.New(slog.NewJSONHandler(log, nil)), settings{anonymousPull: anonymousPull})
	if err != nil {
		t.Fatal(err)
	}
	return &world{door: d, t: t, store: s, ledger: ledger, log: log}
}

// order sends an operator's order.
func (w *world) order(payload string) report {
	w.t.Helper()
	out, err := w.Invoke(w.t.Context(), []byte(payload))
	if err != nil {
		w.t.Fatal(err)
	}
	var r report
	if err := json.Unmarshal(out, &r); err != nil {
		w.t.Fatal(err)
	}
	return r
}

// invoke sends an event and returns the answer, which must be one that the gateway takes.
func (w *world) invoke(e events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, []byte) {
	w.t.Helper()
	payload, err := json.Marshal(e)
	if err != nil {
		w.t.Fatal(err)
	}
	return answer(w.t, w.door, payload)
}

func answer(t testing.TB, d *door, payload []byte) (events.APIGatewayV2HTTPResponse, []byte) {
	t.Helper()
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "8476a536-e9f4-11e8-9739-2dfe598c3fcd"})
	out, err := d.Invoke(ctx, payload)
	if err != nil {
		t.Fatalf("the function failed: %v", err)
	}
	var a events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(out, &a); err != nil {
		t.Fatalf("%s: %v", out, err)
	}
	body := []byte(a.Body)
	if a.IsBase64Encoded {
		if body, err = base64.StdEncoding.DecodeString(a.Body); err != nil {
			t.Fatal(err)
		}
	} else if a.Body != "" {
		t.Errorf("a body of %d bytes is not in base64", len(a.Body))
	}
	if a.StatusCode < 200 || a.StatusCode > 599 || len(out) > maxEvent {
		t.Errorf("status %d in an event of %d bytes", a.StatusCode, len(out))
	}
	return a, body
}

// front is an HTTP API before the function, as hostile to it as AWS leaves room for: paths are decoded and cut, header
// fields are joined, and the length of an answer to HEAD is that of the event's body (aws.md §12).
func front(t *testing.T, d *door) *httptest.Server {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ContentLength > 10<<20 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) // only whole bodies become events
		}
		payload, err := json.Marshal(eventOf(r, body))
		if err != nil || len(payload) > maxEvent {
			t.Errorf("an event of %d bytes: %v", len(payload), err)
			w.WriteHeader(http.StatusRequestEntityTooLarge)
			return
		}
		a, sent := answer(t, d, payload)
		for name, value := range a.Headers {
			w.Header().Set(name, value)
		}
		if a.StatusCode != http.StatusNoContent && a.StatusCode != http.StatusNotModified {
			w.Header().Set("Content-Length", strconv.Itoa(len(sent)))
		}
		w.WriteHeader(a.StatusCode)
		if r.Method != http.MethodHead {
			_, _ = w.Write(sent)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func eventOf(r *http.Request, body []byte) events.APIGatewayV2HTTPRequest {
	var e events.APIGatewayV2HTTPRequest
	e.Version, e.RouteKey = "2.0", "$default"
	path, _ := url.PathUnescape(r.URL.EscapedPath())
	e.RawPath, _, _ = strings.Cut(path, "?")
	e.RawQueryString = r.URL.RawQuery
	e.Headers = map[string]string{"host": r.Host, "x-forwarded-proto": "http"}
	for name, values := range r.Header {
		e.Headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	if r.ContentLength >= 0 {
		e.Headers["content-length"] = strconv.FormatInt(r.ContentLength, 10)
	}
	e.RequestContext.DomainName = r.Host
	e.RequestContext.HTTP.Method = r.Method
	e.RequestContext.HTTP.Path = e.RawPath
	e.RequestContext.HTTP.SourceIP, _, _ = net.SplitHostPort(r.RemoteAddr)
	mediaType, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if text := strings.HasPrefix(mediaType, "text/") || strings.HasSuffix(mediaType, "json"); text && utf8.Valid(body) {
		e.Body = string(body)
	} else if len(body) > 0 {
		e.Body, e.IsBase64Encoded = base64.StdEncoding.EncodeToString(body), true
	}
	return e
}

func itoa(n int) string { return strconv.Itoa(n) }
