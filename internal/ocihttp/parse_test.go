// SPDX-License-Identifier: Apache-2.0

package ocihttp_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"tare/internal/oci"
	"tare/internal/ocihttp"
)

const someDigest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestParsePath(t *testing.T) {
	for path, want := range map[string][3]string{
		"/v2/":                                {"base"},
		"/v2":                                 {"unknown"},
		"/":                                   {"unknown"},
		"":                                    {"unknown"},
		"/v1/":                                {"unknown"},
		"/v2/_catalog":                        {"catalog"},
		"/v2/_catalog/":                       {"unknown"},
		"/v2/manifests/latest":                {"unknown"},
		"/v2/a/manifests/latest":              {"manifest", "a", "latest"},
		"/v2/a/b-c/d/manifests/" + someDigest: {"manifest", "a/b-c/d", someDigest},
		"/v2/a/manifests/":                    {"manifest", "a", ""},
		"/v2/a/manifests/latest/":             {"unknown"},
		"/v2//manifests/latest":               {"manifest", "", "latest"},
		"/v2/a//manifests/latest":             {"manifest", "a/", "latest"},
		"/v2/../a/manifests/latest":           {"manifest", "../a", "latest"},
		"/v2/a/manifests/..":                  {"manifest", "a", ".."},
		"/v2/a%2Fb/manifests/latest":          {"manifest", "a%2Fb", "latest"},
		"/v2/a/manifests/b%2Fc":               {"manifest", "a", "b/c"},
		"/v2/a/blobs/sha256%3Aabc":            {"blob", "a", "sha256:abc"},
		"/v2/a/blobs%2Fuploads%2Fx":           {"unknown"},
		"/v2/%61/manifests/x":                 {"manifest", "%61", "x"},
		"/v2/a b/manifests/x":                 {"manifest", "a b", "x"},
		"/v2/a/blobs/" + someDigest:           {"blob", "a", someDigest},
		"/v2/a/blobs/uploads/":                {"uploads", "a", ""},
		"/v2/a/blobs/uploads":                 {"uploads", "a", ""},
		"/v2/a/blobs/uploads/id_1-2.3~=":      {"upload", "a", "id_1-2.3~="},
		"/v2/a/blobs/uploads/id/":             {"unknown"},
		"/v2/a/uploads/id":                    {"unknown"},
		"/v2/blobs/uploads/":                  {"unknown"},
		"/v2/a/tags/list":                     {"tags", "a", ""},
		"/v2/a/tags/list/":                    {"unknown"},
		"/v2/a/tags/other":                    {"unknown"},
		"/v2/a/referrers/" + someDigest:       {"referrers", "a", someDigest},
		"/v2/a/blobs/uploads/manifests/x":     {"manifest", "a/blobs/uploads", "x"},
		"/v2/a/manifests/b/tags/list":         {"tags", "a/manifests/b", ""},
		"/v2/tags/list/tags/list":             {"tags", "tags/list", ""},
		"/v2/_oci/ext/discover":               {"discover"},
		"/v2/a/_oci/ext/discover":             {"discover in", "a", ""},
		"/v2/a/_oci/ext/other":                {"unknown"},
		"/v2/a/b/_tare/v1/have":               {"have", "a/b", ""},
		"/v2/_tare/v1/have":                   {"unknown"},
		"/v2/a/_tare/v2/have":                 {"unknown"},
		"/v2/a/_tare/v1/have/":                {"unknown"},
		"/v2/a/_tare/v1/uploads":              {"direct uploads", "a", ""},
		"/v2/a/_tare/v1/uploads/":             {"unknown"},
		"/v2/a/_tare/v1/uploads/x":            {"direct upload", "a", "x"},
		"/v2/a/_tare/v1/uploads/x/urls":       {"direct urls", "a", "x"},
		"/v2/a/_tare/v1/uploads/x/parts":      {"direct parts", "a", "x"},
		"/v2/a/_tare/v1/uploads/x/complete":   {"direct complete", "a", "x"},
		"/v2/a/_tare/v1/uploads/x/other":      {"unknown"},
		"/v2/a/_tare/v1/uploads/x/urls/":      {"unknown"},
		"/v2/a/_tare/v1/uploads//urls":        {"unknown"},
		"/v2/a/_tare/v1/manifests/x":          {"unknown"},
		"/v2/a/manifests/_tare":               {"manifest", "a", "_tare"},
	} {
		u, err := url.ParseRequestURI(strings.ReplaceAll(path, " ", "%20"))
		if path == "" {
			u, err = &url.URL{}, nil
		}
		if err != nil {
			t.Fatal(err)
		}
		route, name, ref := ocihttp.ParsePath(u)
		if got := [3]string{route, name, ref}; got != want {
			t.Errorf("%s: got %q, want %q", path, got, want)
		}
	}
}

// What is formatted parses to the same; what parses to valid parts formats to a path that parses to them again.
func FuzzPath(f *testing.F) {
	for _, p := range []string{"/v2/", "/v2/_catalog", "/v2/a/b/manifests/x", "/v2/a/blobs/" + someDigest, "/v2/a/blobs/uploads/", "/v2/a/blobs/uploads/x",
		"/v2/a/tags/list", "/v2/a/referrers/" + someDigest, "/v2/a%2Fb/manifests/x", "/v2/a/blobs/sha256%3Ax", "/v2/a/manifests/%zz", "//v2//a//", "/v2/../.."} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, path string) {
		u, err := url.ParseRequestURI(path)
		if err != nil {
			return
		}
		route, name, ref := ocihttp.ParsePath(u)
		if _, err := oci.ParseRepository(name); name != "" && err != nil {
			return
		}
		if _, err := oci.ParseReference(ref); ref != "" && err != nil {
			return
		}
		formatted := ocihttp.FormatPath(route, name, ref)
		if route == "unknown" {
			if name != "" || ref != "" || formatted != "" {
				t.Fatalf("%q: unknown, but %q %q", path, name, ref)
			}
			return
		}
		u, err = url.ParseRequestURI(formatted)
		if err != nil {
			t.Fatalf("%q: formatted as %q: %v", path, formatted, err)
		}
		if route2, name2, ref2 := ocihttp.ParsePath(u); route2 != route || name2 != name || ref2 != ref {
			t.Fatalf("%q: %q %q %q, formatted as %q: %q %q %q", path, route, name, ref, formatted, route2, name2, ref2)
		}
	})
}

func TestParseRange(t *testing.T) {
	type want struct {
		offset, length int64
		part, invalid  bool
	}
	for header, w := range map[string]want{
		"":                                {0, 100, false, false},
		"bytes=0-":                        {0, 100, true, false},
		"bytes=0-0":                       {0, 1, true, false},
		"bytes=10-19":                     {10, 10, true, false},
		"bytes=90-":                       {90, 10, true, false},
		"bytes=90-1000":                   {90, 10, true, false},
		"bytes=99-99":                     {99, 1, true, false},
		"bytes=-10":                       {90, 10, true, false},
		"bytes=-100":                      {0, 100, true, false},
		"bytes=-1000":                     {0, 100, true, false},
		"bytes=100-":                      {0, 0, false, true},
		"bytes=5000-10000":                {0, 0, false, true},
		"bytes=50-0":                      {0, 0, false, true},
		"bytes=-0":                        {0, 0, false, true},
		"bytes=-":                         {0, 0, false, true},
		"bytes=":                          {0, 0, false, true},
		"bytes=x-y":                       {0, 0, false, true},
		"bytes=+1-2":                      {0, 0, false, true},
		"bytes=1":                         {0, 0, false, true},
		"bytes=0-9,20-29":                 {0, 100, false, false},
		"items=0-9":                       {0, 100, false, false},
		"Bytes=0-9":                       {0, 100, false, false},
		"bytes 0-9":                       {0, 100, false, false},
		"bytes=10-9999999999999999999999": {10, 90, true, false},
		"bytes=9999999999999999999999-":   {0, 0, false, true},
		"bytes=-9999999999999999999999":   {0, 100, true, false},
	} {
		offset, length, part, err := ocihttp.ParseRange(header, 100)
		if got := (want{offset, length, part, err != nil}); got != w {
			t.Errorf("%q: got %+v, want %+v", header, got, w)
		}
		if err != nil && oci.CodeOf(err) != oci.RangeInvalid {
			t.Errorf("%q: %v", header, err)
		}
	}
	if _, _, part, err := ocihttp.ParseRange("bytes=0-", 0); part || err != nil {
		t.Errorf("a range of empty content: %v %v", part, err)
	}
}

// Where one range is asked for, net/http's own file server gives the same answer.
func FuzzRange(f *testing.F) {
	for _, h := range []string{"bytes=0-", "bytes=-1", "bytes=1-2", "bytes=5-1", "bytes=99-", "bytes=-0", "bytes=", "bytes=1-99999999999999999999", "x"} {
		f.Add(h, int64(10))
	}
	f.Fuzz(func(t *testing.T, header string, size int64) {
		if size < 0 || size > 1<<12 {
			return
		}
		offset, length, part, err := ocihttp.ParseRange(header, size)
		if err == nil && (offset < 0 || length < 0 || offset+length > size || part && length == 0 || !part && (offset != 0 || length != size)) {
			t.Fatalf("%q of %d: %d+%d %v", header, size, offset, length, part)
		}
		// net/http ignores a range of nothing, and a suffix of no bytes is an empty part to it.
		spec, ok := strings.CutPrefix(header, "bytes=")
		if !ok || strings.Trim(spec, "-0") == "" || strings.Contains(spec, ",") || size == 0 || strings.ContainsAny(spec, " \t\r\n+") || len(spec) > 30 {
			return
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Range"] = []string{header}
		w := httptest.NewRecorder()
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader(strings.Repeat("x", int(size))))
		switch {
		case err != nil && w.Code != http.StatusRequestedRangeNotSatisfiable:
			t.Fatalf("%q of %d: %v, net/http %d", header, size, err, w.Code)
		case part && w.Code == http.StatusPartialContent && w.Header().Get("Content-Range") != ocihttp.FormatContentRange(offset, length, size):
			t.Fatalf("%q of %d: %d+%d, net/http %s", header, size, offset, length, w.Header().Get("Content-Range"))
		}
	})
}

func TestParseContentRange(t *testing.T) {
	type want struct {
		offset, length int64
		ok             bool
	}
	for header, w := range map[string]want{
		"0-0":   {0, 1, true},
		"0-9":   {0, 10, true},
		"10-19": {10, 10, true},
		"9-8":   {}, "": {}, "-": {}, "5": {}, "5-": {}, "-5": {}, "a-b": {}, "0--1": {}, "+0-1": {}, " 0-1": {}, "0-1/2": {}, "bytes 0-1/2": {}, "0-1-2": {},
		"0-9223372036854775807": {}, "1-9223372036854775807": {1, 9223372036854775807, true},
	} {
		offset, length, ok := ocihttp.ParseContentRange(header)
		if got := (want{offset, length, ok}); got != w {
			t.Errorf("%q: got %+v, want %+v", header, got, w)
		}
	}
}

func FuzzContentRange(f *testing.F) {
	for _, h := range []string{"0-0", "5-9", "9-5", "0-9223372036854775807", "007-8"} {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, header string) {
		offset, length, ok := ocihttp.ParseContentRange(header)
		if !ok {
			return
		}
		if offset < 0 || length < 1 || offset+length-1 < offset {
			t.Fatalf("%q: %d+%d", header, offset, length)
		}
		again := fmt.Sprintf("%d-%d", offset, offset+length-1)
		if o, l, ok := ocihttp.ParseContentRange(again); o != offset || l != length || !ok {
			t.Fatalf("%q: %d+%d, formatted as %q: %d+%d", header, offset, length, again, o, l)
		}
		if got := ocihttp.UploadRange(offset + length); offset+length > 0 && got != fmt.Sprintf("0-%d", offset+length-1) {
			t.Fatalf("%d bytes are %q", offset+length, got)
		}
	})
}

func TestUploadRange(t *testing.T) {
	for offset, want := range map[int64]string{0: "0-0", 1: "0-0", 2: "0-1", 1 << 40: "0-1099511627775"} {
		if got := ocihttp.UploadRange(offset); got != want {
			t.Errorf("%d: %q, want %q", offset, got, want)
		}
	}
}

func TestPageSize(t *testing.T) {
	for query, want := range map[string]int{"": ocihttp.MaxPage, "n=0": 0, "n=1": 1, "n=007": 7, "n=10000": 10000, "n=10001": ocihttp.MaxPage,
		"n=99999999999999999999999": ocihttp.MaxPage, "n=": -1, "n=-1": -1, "n=%2B1": -1, "n=x": -1, "n=1.5": -1, "n=1e3": -1, "n=5&n=x": 5} {
		q, err := url.ParseQuery(query)
		if err != nil {
			t.Fatal(err)
		}
		n, err := ocihttp.PageSize(q)
		if want < 0 && oci.CodeOf(err) != oci.PaginationInvalid || want >= 0 && (err != nil || n != want) {
			t.Errorf("%q: %d, %v", query, n, err)
		}
	}
}

func FuzzPageSize(f *testing.F) {
	f.Add("1")
	f.Add("-1")
	f.Add("99999999999999999999")
	f.Fuzz(func(t *testing.T, n string) {
		got, err := ocihttp.PageSize(url.Values{"n": {n}})
		if err == nil && (got < 0 || got > ocihttp.MaxPage) {
			t.Fatalf("%q: %d", n, got)
		}
		if want, e := strconv.ParseUint(n, 10, 63); (e == nil) && (err != nil || uint64(got) != min(want, ocihttp.MaxPage)) {
			t.Fatalf("%q: %d, %v", n, got, err)
		}
	})
}

// parseLink reads a Link header of one link, as a client does.
func parseLink(link string) (*url.URL, error) {
	target, ok := strings.CutSuffix(link, `>; rel="next"`)
	if !ok || !strings.HasPrefix(target, "<") || strings.ContainsAny(target[1:], "<> \"") {
		return nil, fmt.Errorf("%q is no link to a next page", link)
	}
	return url.ParseRequestURI(target[1:])
}

func FuzzLink(f *testing.F) {
	f.Add("a/b", 10, "latest")
	f.Add("a", 0, "a&b=c>; x <y\" +%20")
	f.Fuzz(func(t *testing.T, name string, n int, last string) {
		if _, err := oci.ParseRepository(name); err != nil || n < 0 {
			return
		}
		u, err := parseLink(ocihttp.LinkNext(name, n, last))
		if err != nil {
			t.Fatal(err)
		}
		if route, gotName, _ := ocihttp.ParsePath(u); route != "tags" || gotName != name {
			t.Fatalf("%s: %s %q", u, route, gotName)
		}
		q, err := url.ParseQuery(u.RawQuery)
		if err != nil || q.Get("last") != last || q.Get("n") != strconv.Itoa(n) || len(q) != 2 {
			t.Fatalf("%s: %v, %v", u, q, err)
		}
	})
}
