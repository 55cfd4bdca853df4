// SPDX-License-Identifier: Apache-2.0

package ocihttp_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"

	"tare/internal/auth"
	"tare/internal/oci"
	"tare/internal/ocihttp"
)

func TestTags(t *testing.T) {
	f := newFake()
	_, d := withImage(f)
	for _, tag := range []string{"v3", "v2", "V2", "_x"} {
		f.repo("a").tags[oci.Tag(tag)] = d
	}
	f.repo("empty")
	s := serve(t, f, ocihttp.Options{})
	for query, want := range map[string]struct{ body, link string }{
		"":                 {`["V2","_x","v1","v2","v3"]`, ""},
		"?n=5":             {`["V2","_x","v1","v2","v3"]`, ""},
		"?n=2":             {`["V2","_x"]`, `</v2/a/tags/list?last=_x&n=2>; rel="next"`},
		"?n=2&last=_x":     {`["v1","v2"]`, `</v2/a/tags/list?last=v2&n=2>; rel="next"`},
		"?last=v2&n=2":     {`["v3"]`, ""},
		"?last=v3":         {`[]`, ""},
		"?last=v25":        {`["v3"]`, ""},
		"?last=":           {`["V2","_x","v1","v2","v3"]`, ""},
		"?n=0":             {`[]`, ""},
		"?n=0&last=v1":     {`[]`, ""},
		"?n=9999999999999": {`["V2","_x","v1","v2","v3"]`, ""},
	} {
		r := s.do("GET", "/v2/a/tags/list"+query, nil).want(t, 200, "").header(t, "Link", want.link).header(t, "Content-Type", "application/json")
		if r.body != `{"name":"a","tags":`+want.body+`}` {
			t.Errorf("%s: %s", query, r.body)
		}
		s.do("HEAD", "/v2/a/tags/list"+query, nil).want(t, 200, "").header(t, "Content-Length", fmt.Sprint(len(r.body)))
	}
	if r := s.do("GET", "/v2/empty/tags/list", nil).want(t, 200, ""); r.body != `{"name":"empty","tags":[]}` {
		t.Errorf("%s", r.body)
	}
	for _, query := range []string{"?n=x", "?n=-1", "?n="} {
		s.do("GET", "/v2/a/tags/list"+query, nil).want(t, 400, oci.Unsupported)
	}
	s.do("GET", "/v2/a/tags/list?last=%20", nil).want(t, 400, oci.Unsupported)
	s.do("GET", "/v2/none/tags/list", nil).want(t, 404, oci.NameUnknown)
	s.do("GET", "/v2/none/tags/list?n=0", nil).want(t, 404, oci.NameUnknown)
}

// Whoever follows the links sees each name once, in order, and a page is never longer than the limit.
func TestFollowLinks(t *testing.T) {
	f := newFake()
	_, d := withImage(f)
	var want []string
	for i := range ocihttp.MaxPage + 3 {
		name := fmt.Sprintf("t%05d", i)
		want = append(want, name)
		f.repo("many").tags[oci.Tag(name)] = d
	}
	s := serve(t, f, ocihttp.Options{})
	for query, pages := range map[string]int{"": 2, "?n=4000": 3, "?n=1000000": 2} {
		var got []string
		path := "/v2/many/tags/list" + query
		n := 0
		for path != "" {
			r := s.do("GET", path, nil).want(t, 200, "")
			var page struct{ Tags []string }
			if err := json.Unmarshal([]byte(r.body), &page); err != nil || len(page.Tags) > ocihttp.MaxPage {
				t.Fatal(len(page.Tags), err)
			}
			got = append(got, page.Tags...)
			path = nextPage(t, r)
			n++
		}
		if n != pages || !slices.Equal(got, want) {
			t.Errorf("%q: %d tags in %d pages", query, len(got), n)
		}
	}
}

// nextPage returns the path and query of the next page, "" where there is none.
func nextPage(t *testing.T, r reply) string {
	t.Helper()
	link := r.Header.Get("Link")
	if link == "" {
		return ""
	}
	u, err := parseLink(link)
	if err != nil {
		t.Fatal(err)
	}
	return u.Path + "?" + u.RawQuery
}

func TestCatalog(t *testing.T) {
	f := newFake()
	s := serve(t, f, ocihttp.Options{})
	if r := s.do("GET", "/v2/_catalog", nil).want(t, 200, ""); r.body != `{"repositories":[]}` {
		t.Errorf("%s", r.body)
	}
	for _, name := range []oci.Repository{"c", "a", "b/x"} {
		f.repo(name)
	}
	for query, want := range map[string]struct{ body, link string }{
		"":               {`["a","b/x","c"]`, ""},
		"?n=2":           {`["a","b/x"]`, `</v2/_catalog?last=b%2Fx&n=2>; rel="next"`},
		"?n=2&last=b/x":  {`["c"]`, ""},
		"?last=b%2Fx":    {`["c"]`, ""},
		"?n=0":           {`[]`, ""},
		"?n=10000000000": {`["a","b/x","c"]`, ""},
	} {
		r := s.do("GET", "/v2/_catalog"+query, nil).want(t, 200, "").header(t, "Link", want.link)
		if r.body != `{"repositories":`+want.body+`}` {
			t.Errorf("%s: %s", query, r.body)
		}
	}
	s.do("GET", "/v2/_catalog?n=x", nil).want(t, 400, oci.Unsupported)
	s.do("GET", "/v2/_catalog?last=A", nil).want(t, 400, oci.NameInvalid)
}

func TestReferrers(t *testing.T) {
	f := newFake()
	withImage(f)
	s := serve(t, f, ocihttp.Options{})
	subject := digestOf("subject", "")
	path := "/v2/a/referrers/" + string(subject)
	empty := `{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}`
	for _, p := range []string{path, "/v2/none/referrers/" + string(subject)} {
		if r := s.do("GET", p, nil).want(t, 200, "").header(t, "Content-Type", oci.MediaTypeIndex).header(t, "OCI-Filters-Applied", ""); r.body != empty {
			t.Errorf("%s", r.body)
		}
	}
	var want []oci.Descriptor
	for i := range 5 {
		artifactType := fmt.Sprintf("application/vnd.type+%d", i%2)
		body := image("layer", fmt.Sprintf(`,"artifactType":"%s","subject":%s,"annotations":{"i":"<%d>"}`, artifactType, descriptor("subject"), i))
		s.do("PUT", fmt.Sprintf("/v2/a/manifests/r%d", i), body).want(t, 201, "").header(t, "OCI-Subject", string(subject))
		want = append(want, oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: digestOf(body, ""), Size: int64(len(body)), ArtifactType: artifactType,
			Annotations: map[string]string{"i": fmt.Sprintf("<%d>", i)}})
	}
	var filtered []oci.Descriptor
	for _, d := range want {
		if strings.HasSuffix(d.ArtifactType, "+1") {
			filtered = append(filtered, d)
		}
	}
	filter := "?artifactType=" + url.QueryEscape("application/vnd.type+1")
	for _, perPage := range []int{0, 1, 2} {
		f.perPage = perPage
		for query, c := range map[string]struct {
			want    []oci.Descriptor
			applied string
		}{"": {want, ""}, filter: {filtered, "artifactType"}, "?artifactType=": {want, ""}, "?artifactType=none": {nil, "artifactType"}} {
			var got []oci.Descriptor
			pages := 0
			for next := path + query; next != ""; pages++ {
				r := s.do("GET", next, nil).want(t, 200, "").header(t, "OCI-Filters-Applied", c.applied).header(t, "Content-Type", oci.MediaTypeIndex)
				var page struct {
					SchemaVersion int
					MediaType     string
					Manifests     []oci.Descriptor
				}
				if err := json.Unmarshal([]byte(r.body), &page); err != nil || page.SchemaVersion != 2 || page.MediaType != oci.MediaTypeIndex {
					t.Fatalf("%s: %v", r.body, err)
				}
				got = append(got, page.Manifests...)
				next = nextPage(t, r)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("%q by %d: %+v", query, perPage, got)
			}
			if perPage > 0 && pages != max((len(c.want)+perPage-1)/perPage, 1) {
				t.Errorf("%q by %d: %d pages", query, perPage, pages)
			}
		}
	}
	s.do("GET", "/v2/a/referrers/x", nil).want(t, 400, oci.DigestInvalid)
	s.do("GET", "/v2/a/referrers/sha256:x", nil).want(t, 400, oci.DigestInvalid)
	s.do("GET", path+"?artifactType="+strings.Repeat("x", 9000), nil).want(t, 414, oci.SizeInvalid)
}

var _ ocihttp.Access = (*auth.Guard)(nil)

// access lets callers do what a test says.
type access struct {
	caller auth.Caller
	err    error
	needs  chan []auth.Need
}

func (a access) Authorize(_ *http.Request, needs ...auth.Need) (auth.Caller, error) {
	a.needs <- needs
	return a.caller, a.err
}

func (access) Challenge(r *http.Request) string { return `Basic realm="of ` + r.URL.Path + `"` }

func TestAccess(t *testing.T) {
	f := newFake()
	withImage(f)
	needs := make(chan []auth.Need, 1)
	layer := string(digestOf("layer", ""))
	need := func(a auth.Action, repo oci.Repository) []auth.Need {
		return []auth.Need{{Action: a, Repository: repo}}
	}
	requests := []struct {
		method, path string
		needs        []auth.Need
	}{
		{"GET", "/v2/", nil},
		{"HEAD", "/v2/", nil},
		{"GET", "/v2/_catalog", need(auth.Pull, "")},
		{"GET", "/v2/a/tags/list", need(auth.Pull, "a")},
		{"GET", "/v2/a/referrers/" + layer, need(auth.Pull, "a")},
		{"GET", "/v2/a/manifests/v1", need(auth.Pull, "a")},
		{"HEAD", "/v2/a/manifests/v1", need(auth.Pull, "a")},
		{"PUT", "/v2/a/manifests/v1", need(auth.Push, "a")},
		{"DELETE", "/v2/a/manifests/v1", need(auth.Delete, "a")},
		{"GET", "/v2/a/blobs/" + layer, need(auth.Pull, "a")},
		{"HEAD", "/v2/a/blobs/" + layer, need(auth.Pull, "a")},
		{"DELETE", "/v2/a/blobs/" + layer, need(auth.Delete, "a")},
		{"POST", "/v2/a/b/blobs/uploads/", need(auth.Push, "a/b")},
		{"GET", "/v2/a/blobs/uploads/x", need(auth.Push, "a")},
		{"PATCH", "/v2/a/blobs/uploads/x", need(auth.Push, "a")},
		{"PUT", "/v2/a/blobs/uploads/x?digest=" + layer, need(auth.Push, "a")},
		{"DELETE", "/v2/a/blobs/uploads/x", need(auth.Push, "a")},
	}
	for code, status := range map[oci.Code]int{oci.Unauthorized: 401, oci.Denied: 403, oci.TooManyRequests: 429} {
		a := access{err: oci.Errorf(code, "no"), needs: needs}
		f.before = func(_ context.Context, call string) { t.Errorf("%s was called", call) }
		s := serve(t, f, ocihttp.Options{Access: a})
		for _, req := range requests {
			r := s.do(req.method, req.path, nil)
			if got := <-needs; !slices.Equal(got, req.needs) {
				t.Errorf("%s %s: needs %v", req.method, req.path, got)
			}
			if req.method == "HEAD" {
				r.want(t, status, "")
			} else {
				r.want(t, status, code)
			}
			path, _, _ := strings.Cut(req.path, "?")
			challenge := map[bool]string{true: `Basic realm="of ` + path + `"`}[status == 401]
			r.header(t, "WWW-Authenticate", challenge).header(t, "Retry-After", map[bool]string{true: "1"}[status == 429])
		}
		// What is nothing at all is told to everybody.
		s.do("GET", "/v2/nothing", nil).want(t, 404, oci.NameUnknown)
		s.do("PATCH", "/v2/", nil).want(t, 405, oci.Unsupported)
		s.do("GET", "/v2/A/tags/list", nil).want(t, 400, oci.NameInvalid)
	}
}

// A caller who may not read the other repository gets an upload, and a catalog of what they may read.
func TestAccessToOthers(t *testing.T) {
	f := newFake()
	withImage(f)
	guard, err := auth.New(auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	all, err := guard.Authorize(nil)
	if err != nil {
		t.Fatal(err)
	}
	needs := make(chan []auth.Need, 10)
	mount := "/v2/b/blobs/uploads/?from=a&mount=" + string(digestOf("layer", ""))
	s := serve(t, f, ocihttp.Options{Access: access{needs: needs}})
	s.do("POST", mount, nil).want(t, 202, "")
	if r := s.do("GET", "/v2/_catalog", nil).want(t, 200, ""); r.body != `{"repositories":[]}` {
		t.Errorf("%s", r.body)
	}
	s = serve(t, f, ocihttp.Options{Access: access{caller: all, needs: needs}})
	s.do("POST", mount, nil).want(t, 201, "")
	if r := s.do("GET", "/v2/_catalog", nil).want(t, 200, ""); r.body != `{"repositories":["a","b"]}` {
		t.Errorf("%s", r.body)
	}
}
