// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"tare/functions/internal/cloud"
	"tare/internal/clock"
	"tare/internal/store/faultstore"
	"tare/internal/store/memstore"
)

func start() *clock.Manual {
	return clock.NewManual(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
}

// as sends credentials with a request.
func as(name, password string) func(*events.APIGatewayV2HTTPRequest) {
	return func(e *events.APIGatewayV2HTTPRequest) {
		r := http.Request{Header: http.Header{}}
		r.SetBasicAuth(name, password)
		e.Headers["authorization"] = r.Header.Get("Authorization")
	}
}

// Nobody gets in until a credential is minted, and it can be what its rights say until it is revoked.
func TestFirstCredential(t *testing.T) {
	c := start()
	w := newWorld(t, c, false)
	status := func(e events.APIGatewayV2HTTPRequest) int {
		a, _ := w.invoke(e)
		return a.StatusCode
	}
	if a, _ := w.invoke(httpEvent("GET", "/v2/")); a.StatusCode != 401 || a.Headers["Www-Authenticate"] != `Basic realm="tare"` {
		t.Fatalf("before any: %d, %q", a.StatusCode, a.Headers)
	}
	if r := w.order(`{"tare":"credential","do":"list"}`); r.Error != "" || len(r.Credentials) > 0 || r.Note == "" {
		t.Errorf("the list of none: %+v", r)
	}
	r := w.order(`{"tare":"credential","do":"mint","name":"ci","rights":"push"}`)
	if r.Error != "" || !strings.HasPrefix(r.Token, "tare_") || len(r.Token) != len("tare_")+43 {
		t.Fatalf("minted: %+v", r)
	}
	if strings.Contains(w.log.String(), r.Token) {
		t.Error("the log has the token")
	}
	for _, tt := range []struct {
		method, path, name, token string
		want                      int
	}{
		{"GET", "/v2/", "ci", r.Token, 200},
		{"POST", "/v2/a/blobs/uploads/", "ci", r.Token, 202},
		{"DELETE", "/v2/a/manifests/v1", "ci", r.Token, 403},
		{"GET", "/v2/", "ci", r.Token + "x", 401},
		{"GET", "/v2/", "CI", r.Token, 401},
		{"GET", "/v2/", "nobody", r.Token, 401},
	} {
		if got := status(httpEvent(tt.method, tt.path, as(tt.name, tt.token))); got != tt.want {
			t.Errorf("%s %s as %s: %d, want %d", tt.method, tt.path, tt.name, got, tt.want)
		}
	}
	if again := w.order(`{"tare":"credential","do":"mint","name":"ci","rights":"push"}`); !strings.Contains(again.Error, "replace") || again.Token != "" {
		t.Errorf("minted again: %+v", again)
	}
	next := w.order(`{"tare":"credential","do":"mint","name":"ci","rights":"admin","replace":true}`)
	if got := status(httpEvent("DELETE", "/v2/a/manifests/v1", as("ci", next.Token))); got != 404 {
		t.Errorf("the replacement at once: %d", got)
	}
	if list := w.order(`{"tare":"credential","do":"list"}`); len(list.Credentials) != 1 || list.Credentials[0].Name != "ci" || list.Credentials[0].Rights != "admin" {
		t.Errorf("listed: %+v", list)
	}
	if r := w.order(`{"tare":"credential","do":"revoke","name":"ci"}`); r.Error != "" {
		t.Errorf("revoked: %+v", r)
	}
	c.Advance(30 * time.Second)
	if got := status(httpEvent("GET", "/v2/", as("ci", next.Token))); got != 401 {
		t.Errorf("revoked half a minute ago: %d", got)
	}
}

// Anonymous pulls are offered by Bearer (decision 0004), at the address that the gateway tells.
func TestAnonymousPull(t *testing.T) {
	w := newWorld(t, start(), true)
	a, _ := w.invoke(httpEvent("GET", "/v2/"))
	if want := `Bearer realm="https://registry.example/token",service="tare"`; a.StatusCode != 401 || a.Headers["Www-Authenticate"] != want {
		t.Fatalf("%d, %q", a.StatusCode, a.Headers["Www-Authenticate"])
	}
	_, body := w.invoke(httpEvent("GET", "/token", func(e *events.APIGatewayV2HTTPRequest) {
		e.RawQueryString = "service=tare&scope=repository:a:pull"
	}))
	var token struct{ Token string }
	if err := json.Unmarshal(body, &token); err != nil || token.Token == "" {
		t.Fatalf("%s: %v", body, err)
	}
	bearer := func(e *events.APIGatewayV2HTTPRequest) { e.Headers["authorization"] = "Bearer " + token.Token }
	for method, want := range map[string]int{"HEAD": 404, "PUT": 401} {
		if a, _ := w.invoke(httpEvent(method, "/v2/a/manifests/v1", bearer)); a.StatusCode != want {
			t.Errorf("%s: %d, want %d", method, a.StatusCode, want)
		}
	}
	// A rotation leaves the token good, and to forget the secret does not.
	if r := w.order(`{"tare":"rotate","secret":"token"}`); r.Error != "" {
		t.Fatal(r.Error)
	}
	if r := w.order(`{"tare":"rotate","secret":"token"}`); !strings.Contains(r.Error, "forget") {
		t.Errorf("rotated twice: %+v", r)
	}
	if a, _ := w.invoke(httpEvent("HEAD", "/v2/a/manifests/v1", bearer)); a.StatusCode != 404 {
		t.Errorf("after a rotation: %d", a.StatusCode)
	}
	if r := w.order(`{"tare":"rotate","secret":"token","forget":true}`); r.Error != "" {
		t.Fatal(r.Error)
	}
	w = newWorldOn(t, start(), w.store, cloud.Stores{Table: w.store, Objects: w.store, Parts: w.store}, true) // another process
	if a, _ := w.invoke(httpEvent("HEAD", "/v2/a/manifests/v1", bearer)); a.StatusCode != 401 {
		t.Errorf("after the secret was forgotten: %d", a.StatusCode)
	}
}

// An upload that began before a rotation of the secret that signs its id goes on after it.
func TestUploadThroughRotation(t *testing.T) {
	c := start()
	w := newWorld(t, c, false)
	r := w.order(`{"tare":"credential","do":"mint","name":"ci","rights":"push"}`)
	a, _ := w.invoke(httpEvent("POST", "/v2/a/blobs/uploads/", as("ci", r.Token)))
	if r := w.order(`{"tare":"rotate","secret":"upload"}`); r.Error != "" {
		t.Fatal(r.Error)
	}
	for _, wait := range []time.Duration{0, time.Minute, 10 * time.Minute, 23 * time.Hour} {
		c.Advance(wait)
		if got, _ := w.invoke(httpEvent("GET", a.Headers["Location"], as("ci", r.Token))); got.StatusCode != 204 {
			t.Errorf("%v later: %d", wait, got.StatusCode)
		}
	}
}

// To forget the secret of uploads ends those under way, within a minute in every process.
func TestForgetUploads(t *testing.T) {
	c := start()
	w := newWorld(t, c, false)
	other := newWorldOn(t, c, w.store, cloud.Stores{Table: w.store, Objects: w.store, Parts: w.store}, false)
	r := w.order(`{"tare":"credential","do":"mint","name":"ci","rights":"push"}`)
	a, _ := w.invoke(httpEvent("POST", "/v2/a/blobs/uploads/", as("ci", r.Token)))
	if got, _ := other.invoke(httpEvent("GET", a.Headers["Location"], as("ci", r.Token))); got.StatusCode != 204 {
		t.Fatalf("in another process: %d", got.StatusCode)
	}
	if r := w.order(`{"tare":"rotate","secret":"upload","forget":true}`); r.Error != "" {
		t.Fatal(r.Error)
	}
	c.Advance(time.Minute)
	for _, w := range []*world{w, other} {
		if got, body := w.invoke(httpEvent("GET", a.Headers["Location"], as("ci", r.Token))); got.StatusCode != 404 || !strings.Contains(string(body), "BLOB_UPLOAD_UNKNOWN") {
			t.Errorf("after the secret was forgotten: %d %s", got.StatusCode, body)
		}
	}
}

func TestOrdersThatCannotBeDone(t *testing.T) {
	w := newWorld(t, start(), false)
	for _, payload := range []string{
		`{"tare":"credential"}`, `{"tare":"credential","do":"mint"}`, `{"tare":"credential","do":"mint","name":"a"}`, `{"tare":"credential","do":"mint","name":"a","rights":"root"}`,
		`{"tare":"credential","do":"mint","name":"","rights":"push"}`, `{"tare":"credential","do":"mint","name":"a:b","rights":"push"}`,
		`{"tare":"credential","do":"mint","name":"a","right":"push"}`, `{"tare":"credential","do":"revoke","name":"nobody"}`, `{"tare":"credential","do":"drop"}`,
		`{"tare":"rotate"}`, `{"tare":"rotate","secret":"other"}`, `{"tare":"rotate","do":"mint","secret":"token"}`, `{"tare":"settle","upload":"x"}`,
		`{"tare":"credential","do":"mint","name":"a","rights":"push","last":"` + strings.Repeat("x", maxOrder) + `"}`,
	} {
		if r := w.order(payload); r.Error == "" || r.Token != "" {
			t.Errorf("%.80s: %+v", payload, r)
		}
	}
	if r := w.order(`{"tare":"credential","do":"list"}`); len(r.Credentials) > 0 {
		t.Errorf("something was made: %+v", r)
	}
}

// No request can be an order, whatever it says.
func TestRequestIsNoOrder(t *testing.T) {
	w := newWorld(t, start(), false)
	payload := `{"tare":"credential","do":"mint","name":"a","rights":"admin","version":"2.0","routeKey":"$default","rawPath":"/v2/","requestContext":{"http":{"method":"GET"}}}`
	if a, body := answer(t, w.door, []byte(payload)); a.StatusCode != 401 || strings.Contains(string(body), "tare_") {
		t.Errorf("%d: %s", a.StatusCode, body)
	}
}

// Where the table or the bucket cannot do it now, clients are asked to come back, and an operator is told to look.
func TestThrottled(t *testing.T) {
	c := start()
	s := memstore.New(c, memstore.Options{})
	refuse := false
	p := faultstore.New(faultstore.Options{Plan: func(faultstore.Call) faultstore.Action {
		if refuse {
			return faultstore.Unavailable
		}
		return faultstore.Pass
	}})
	w := newWorldOn(t, c, s, cloud.Stores{Table: p.Table(s), Objects: p.Objects(s), Parts: p.Multipart(s)}, true)
	minted := w.order(`{"tare":"credential","do":"mint","name":"ci","rights":"admin"}`)
	w.invoke(httpEvent("GET", "/v2/", as("ci", minted.Token)))
	refuse = true
	for _, e := range []events.APIGatewayV2HTTPRequest{
		httpEvent("GET", "/v2/", as("ci", "another")),
		httpEvent("HEAD", "/v2/a/manifests/v1", as("ci", minted.Token)),
		httpEvent("DELETE", "/v2/a/manifests/v1", as("ci", minted.Token)),
		httpEvent("POST", "/v2/a/blobs/uploads/", as("ci", minted.Token)),
		httpEvent("GET", "/token"),
		httpEvent("GET", "/token", as("ci", "another")),
		httpEvent("PUT", "/v2/a/manifests/v1", as("ci", minted.Token), func(e *events.APIGatewayV2HTTPRequest) {
			e.Body = `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
		}),
	} {
		a, body := w.invoke(e)
		if a.StatusCode != 503 || a.Headers["Retry-After"] == "" || !strings.Contains(string(body)+"UNAVAILABLE", "UNAVAILABLE") {
			t.Errorf("%s %s: %d, Retry-After %q, %s", e.RequestContext.HTTP.Method, e.RawPath, a.StatusCode, a.Headers["Retry-After"], body)
		}
	}
	if r := w.order(`{"tare":"credential","do":"list"}`); !strings.Contains(r.Error, "repeat") {
		t.Errorf("an order: %+v", r)
	}
}
