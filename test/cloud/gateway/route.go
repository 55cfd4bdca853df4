// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// methods are those that a route's key may name, beside ANY. routes: "an HTTP method (or ANY)".
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions,
}

func checkKey(key string) error {
	if key == "$default" {
		return nil
	}
	method, path, ok := strings.Cut(key, " ")
	if !ok || method != "ANY" && !slices.Contains(methods, method) || !strings.HasPrefix(path, "/") {
		return fmt.Errorf("route key %q", key)
	}
	segments := strings.Split(path[1:], "/")
	for i, s := range segments {
		if strings.HasSuffix(s, "+}") && i != len(segments)-1 {
			return fmt.Errorf("route key %q: a greedy variable is the last segment", key)
		}
	}
	return nil
}

// rawPath is the path as the event has it. aws.md §12.5: the HTTP API decodes it and cuts it at a decoded question mark.
func rawPath(r *http.Request) string {
	raw, _, _ := strings.Cut(r.RequestURI, "?")
	if !strings.HasPrefix(raw, "/") {
		raw = r.URL.EscapedPath() // the absolute form, and the asterisk
	}
	decoded, err := url.PathUnescape(raw)
	if err != nil {
		return raw // net/http has refused such a request already
	}
	decoded, _, _ = strings.Cut(decoded, "?")
	return decoded
}

// route picks the most specific route. routes: "1. Full match for a route and method. 2. Match for a route and method with a
// greedy path variable. 3. The $default route." A method of its own goes before ANY, and a longer path before a shorter.
func (g *Gateway) route(method, path string) (Route, bool) {
	best, rank := Route{}, 0
	for _, r := range g.options.Routes {
		if n := matches(r.Key, method, path); n > rank {
			best, rank = r, n
		}
	}
	return best, rank > 0
}

// matches is 0 where the key does not match, and more the closer it does.
func matches(key, method, path string) int {
	if key == "$default" {
		return 1
	}
	of, pattern, _ := strings.Cut(key, " ")
	if of != method && of != "ANY" || !slices.Contains(methods, method) {
		return 0
	}
	want, got := strings.Split(pattern[1:], "/"), strings.Split(strings.TrimPrefix(path, "/"), "/")
	rank := 2
	if of == method {
		rank++
	}
	for i, segment := range want {
		switch {
		case strings.HasSuffix(segment, "+}"):
			if len(got) < len(want) || got[i] == "" {
				return 0
			}
			return rank + 4*i
		case i >= len(got), !strings.HasPrefix(segment, "{") && segment != got[i]:
			return 0
		}
	}
	if len(got) != len(want) {
		return 0
	}
	return rank + 4*(len(want)+1000)
}
