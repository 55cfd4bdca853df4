// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

// FuzzRequestIsNoOrder puts whatever a client has a say in into the event of a request. None is taken for an order: the door
// here has no operator, and would panic.
func FuzzRequestIsNoOrder(f *testing.F) {
	const order = `{"tare":"credential","do":"mint","name":"a","rights":"admin"}`
	f.Add("POST", "/v2/", "tare=credential", "tare", "credential", order)
	f.Add("", "/", order, "version", "", order)
	f.Add("GET", `","tare":"credential","version":"`, `","tare":"credential`, `","tare":"credential","x":"`, `"},"tare":"credential","version":"","routeKey":"","requestContext":{"http":{"method":""}},"x":{"y":"`, `"tare":"rotate"`)
	f.Fuzz(func(t *testing.T, method, path, query, name, value, body string) {
		served := false
		log := slog.New(slog.DiscardHandler)
		d := &door{log: log, gateway: newGateway(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true }), log)}
		var e events.APIGatewayV2HTTPRequest
		e.Version, e.RouteKey, e.RawPath, e.RawQueryString, e.Body = "2.0", "$default", path, query, body
		e.Headers, e.QueryStringParameters, e.PathParameters = map[string]string{name: value}, map[string]string{name: value}, map[string]string{name: value}
		e.Cookies = []string{name + "=" + value, body}
		e.RequestContext.DomainName, e.RequestContext.HTTP.Path, e.RequestContext.HTTP.UserAgent = value, path, value
		e.RequestContext.HTTP.Method, e.RequestContext.HTTP.SourceIP = method, "192.0.2.1"
		payload, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		out, err := d.Invoke(t.Context(), payload)
		var a struct {
			StatusCode int
			Token      string
		}
		if err != nil || json.Unmarshal(out, &a) != nil || a.Token != "" || a.StatusCode < 200 || served != (a.StatusCode == 200) {
			t.Errorf("served %v: %v, %s", served, err, out)
		}
	})
}
