// SPDX-License-Identifier: Apache-2.0

package live

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"tare/test/cloud/deploy"
)

// TestOrdersByHTTP sends requests that look like an operator's order wherever a client has a say: in the path, the query,
// headers, cookies and the body. Each is a request, and makes no credential. Who may do nothing, and who may do all, are alike.
func TestOrdersByHTTP(t *testing.T) {
	t.Parallel()
	c := start(t, setting{})
	const order = `{"tare":"credential","do":"mint","name":"thief","rights":"admin"}`
	text := func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }
	for name, r := range map[string]struct {
		method, path string
		change       func(*http.Request)
	}{
		"the body":                    {"POST", "/", nil},
		"the body of a POST":          {"POST", "/v2/", nil},
		"a text":                      {"POST", "/v2/", text},
		"the body of a PUT":           {"PUT", "/v2/a/manifests/v1", text},
		"the body of a GET":           {"GET", "/v2/", nil},
		"the body of an invocation":   {"POST", "/2015-03-31/functions/Api/invocations", text},
		"the body of tokens":          {"POST", "/token", text},
		"the query":                   {"POST", "/v2/?tare=credential&do=mint&name=thief&rights=admin", nil},
		"a query that is JSON":        {"GET", "/v2/?" + url.QueryEscape(order), nil},
		"the path":                    {"GET", "/" + url.PathEscape(order), nil},
		"a path with a quote":         {"GET", `/v2/%22,%22tare%22:%22credential%22,%22x%22:%22`, nil},
		"a query with a quote":        {"GET", `/v2/?a=%22,%22tare%22:%22credential%22,%22version%22:%22`, nil},
		"headers":                     {"POST", "/v2/", func(r *http.Request) { r.Header.Set("tare", "credential"); r.Header.Set("do", "mint") }},
		"headers of the event's name": {"POST", "/v2/", func(r *http.Request) { r.Header.Set("version", ""); r.Header.Set("routeKey", "") }},
		"a header with a quote":       {"GET", "/v2/", func(r *http.Request) { r.Header.Set("X-A", `","tare":"credential","version":"","x":"`) }},
		"a cookie":                    {"GET", "/v2/", func(r *http.Request) { r.Header.Set("Cookie", `tare="credential"; x={"tare":"credential"}`) }},
		"headers of an asynchronous call": {"POST", "/v2/", func(r *http.Request) {
			r.Header.Set("X-Amz-Invocation-Type", "Event")
			r.Header.Set("X-Amz-Target", "AWSLambda.Invoke")
		}},
		"a method": {"CREDENTIAL", "/v2/", nil},
	} {
		for _, who := range []deploy.Credential{{}, c.admin} {
			a := c.ask(t, who, r.method, r.path, []byte(order), func(q *http.Request) {
				if r.change != nil {
					r.change(q)
				}
			})
			if strings.Contains(string(a.body), `"token":"tare_`) || strings.Contains(string(a.body), "thief") {
				t.Errorf("%s as %q: status %d: %s", name, who.Name, a.status, a.body)
			}
		}
	}
	var listed struct{ Credentials []struct{ Name string } }
	c.order(t, map[string]any{"tare": "credential", "do": "list"}, &listed)
	if fmt.Sprint(listed.Credentials) != "[{admin}]" {
		t.Errorf("credentials afterwards: %v", listed.Credentials)
	}
	if n := strings.Count(c.log.String(), "A credential was made."); n != 1 {
		t.Errorf("%d were made", n)
	}
	c.quiet(t)
}
