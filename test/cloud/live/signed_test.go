// SPDX-License-Identifier: Apache-2.0

package live

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tare/internal/clock"
)

// signed is a request that the registry signed, and upload a direct upload.
type signed struct {
	Method  string
	URL     string
	Headers map[string]string
}

type upload struct {
	ID  string
	Put *signed
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// give sends a signed request, changed.
func give(t *testing.T, s signed, body []byte, change func(*http.Request)) answer {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), s.Method, s.URL, bytes.NewReader(body))
	must(t, err)
	for name, v := range s.Headers {
		if !strings.EqualFold(name, "Content-Length") {
			r.Header.Set(name, v)
		}
	}
	if change != nil {
		change(r)
	}
	return send(t, r)
}

// query changes the query of a request.
func query(change func(url.Values)) func(*http.Request) {
	return func(r *http.Request) {
		q := r.URL.Query()
		change(q)
		r.URL.RawQuery = q.Encode()
	}
}

func with(name, value string) func(*http.Request) {
	return query(func(q url.Values) { q.Set(name, value) })
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

// openPut opens a direct upload of one PUT.
func (c *cloud) openPut(t *testing.T, content []byte) upload {
	t.Helper()
	var up upload
	a := c.ask(t, c.admin, "POST", "/v2/a/_tare/v1/uploads", map[string]any{"digest": digestOf(content), "size": len(content)})
	a.into(t, &up)
	if a.status != 201 || up.Put == nil {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	return up
}

// TestSignedRequests tries what else a signed request could be good for: another object, method, content or length, what S3
// does by queries and headers, and a longer life. It gives one PUT of one content to one object, for fifteen minutes.
func TestSignedRequests(t *testing.T) {
	t.Parallel()
	ahead := new(atomic.Int64)
	c := start(t, setting{now: func() time.Time { return clock.System{}.Now().Add(time.Duration(ahead.Load())) }})
	content, other := bytes.Repeat([]byte("c"), 1000), bytes.Repeat([]byte("o"), 1000)
	up, elsewhere := c.openPut(t, content), c.openPut(t, other)
	at, err := url.Parse(up.Put.URL)
	must(t, err)
	q := at.Query()
	if life, err := strconv.Atoi(q.Get("X-Amz-Expires")); err != nil || life < 60 || life > 900 {
		t.Errorf("it lives %d seconds, %v", life, err)
	}
	for _, name := range []string{"host", "content-length", "x-amz-checksum-sha256"} {
		if !slices.Contains(strings.Split(q.Get("X-Amz-SignedHeaders"), ";"), name) {
			t.Errorf("%s is not signed: %s", name, q.Get("X-Amz-SignedHeaders"))
		}
	}
	there, err := url.Parse(elsewhere.Put.URL)
	must(t, err)
	method := func(m string) func(*http.Request) { return func(r *http.Request) { r.Method = m } }
	path := func(p string) func(*http.Request) { return func(r *http.Request) { r.URL.Path = p } }
	bucket := at.Path[:strings.LastIndexByte(at.Path, '/')]
	for name, change := range map[string]func(*http.Request){
		"GET": method("GET"), "HEAD": method("HEAD"), "DELETE": method("DELETE"), "POST": method("POST"),
		"another upload's object": path(there.Path), "a new object": path(bucket + "/onew"), "the bucket": path(bucket), "the bucket's root": path(bucket + "/"),
		"acl": with("acl", ""), "tagging": with("tagging", ""), "retention": with("retention", ""), "a version": with("versionId", "1"), "the client's digest": with("digest", digestOf(content)),
		"a part": query(func(q url.Values) { q.Set("partNumber", "1"); q.Set("uploadId", "x") }),
		"a copy": header("X-Amz-Copy-Source", there.Path), "an acl": header("X-Amz-Acl", "public-read"), "a tag": header("X-Amz-Tagging", "a=b"),
		"metadata": header("X-Amz-Meta-A", "b"), "a storage class": header("X-Amz-Storage-Class", "GLACIER"),
		"a redirect": header("X-Amz-Website-Redirect-Location", "http://elsewhere.example/"), "a key of its own": header("X-Amz-Server-Side-Encryption-Customer-Algorithm", "AES256"),
		"another checksum": header("X-Amz-Checksum-Sha256", "LCa0a2j/xo/5m0U8HTBBNBNCLXBkg7+g+YpeiGJm564="),
		"no checksum":      func(r *http.Request) { r.Header.Del("X-Amz-Checksum-Sha256") },
		"a longer life":    with("X-Amz-Expires", "604800"), "a later date": with("X-Amz-Date", time.Now().UTC().Add(time.Hour).Format("20060102T150405Z")),
		"fewer signed headers": with("X-Amz-SignedHeaders", "host"), "no signature": with("X-Amz-Signature", ""),
		"no token": query(func(q url.Values) { q.Del("X-Amz-Security-Token") }),
		"no query": func(r *http.Request) { r.URL.RawQuery = "" },
	} {
		if a := give(t, *up.Put, content, change); a.status < 400 || a.status > 499 {
			t.Errorf("%s: status %d: %s", name, a.status, a.body)
		}
	}
	for name, body := range map[string][]byte{"another content": other, "a shorter one": content[1:], "a longer one": append(slices.Clone(content), 'c'), "nothing": nil} {
		if a := give(t, *up.Put, body, nil); a.status < 400 || a.status > 499 {
			t.Errorf("%s: status %d: %s", name, a.status, a.body)
		}
	}
	ahead.Store(int64(16 * time.Minute))
	if a := give(t, *up.Put, content, nil); a.status != 403 || !bytes.Contains(a.body, []byte("expired")) {
		t.Errorf("after its end: status %d: %s", a.status, a.body)
	}
	ahead.Store(0)
	if a := c.ask(t, c.admin, "POST", "/v2/a/_tare/v1/uploads/"+up.ID+"/complete", nil); a.status != 400 {
		t.Errorf("complete, after nothing came: status %d: %s", a.status, a.body)
	}
	if a := give(t, *up.Put, content, nil); a.status != 200 {
		t.Fatalf("as it was signed: status %d: %s", a.status, a.body)
	}
	if a := give(t, *up.Put, other, nil); a.status < 400 || a.status > 499 {
		t.Errorf("another content over it: status %d: %s", a.status, a.body)
	}
	if a := c.ask(t, c.admin, "POST", "/v2/a/_tare/v1/uploads/"+up.ID+"/complete", nil); a.status != 201 {
		t.Fatalf("complete: status %d: %s", a.status, a.body)
	}
	c.pulls(t, content)
	c.elsewhere(t, elsewhere)
	c.quiet(t, q.Get("X-Amz-Signature"), up.ID)
}

// pulls tries what the address of a blob is good for.
func (c *cloud) pulls(t *testing.T, content []byte) {
	t.Helper()
	large := bytes.Repeat([]byte("l"), 100<<10)
	up := c.openPut(t, large)
	if a := give(t, *up.Put, large, nil); a.status != 200 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	if a := c.ask(t, c.admin, "POST", "/v2/a/_tare/v1/uploads/"+up.ID+"/complete", nil); a.status != 201 {
		t.Fatalf("status %d: %s", a.status, a.body)
	}
	a := c.ask(t, c.admin, "GET", "/v2/a/blobs/"+digestOf(large), nil)
	get := signed{Method: "GET", URL: a.header.Get("Location")}
	at, err := url.Parse(get.URL)
	must(t, err)
	if a.status != 307 || at.Host == "" {
		t.Fatalf("status %d: %q", a.status, get.URL)
	}
	put, err := url.Parse(up.Put.URL)
	must(t, err)
	for name, change := range map[string]func(*http.Request){
		"PUT": func(r *http.Request) { r.Method = "PUT" }, "DELETE": func(r *http.Request) { r.Method = "DELETE" },
		"acl": with("acl", ""), "parts": with("uploads", ""), "a list": func(r *http.Request) { r.URL.Path = put.Path[:strings.LastIndexByte(put.Path, '/')+1] },
		"another object": func(r *http.Request) { r.URL.Path += "x" }, "a longer life": with("X-Amz-Expires", "604800"),
	} {
		if a := give(t, get, content, change); a.status < 400 || a.status > 499 {
			t.Errorf("a pull, %s: status %d: %s", name, a.status, a.body)
		}
	}
	if a := give(t, get, nil, nil); a.status != 200 || !bytes.Equal(a.body, large) {
		t.Errorf("a pull as it was signed: status %d with %d bytes", a.status, len(a.body))
	}
}

// elsewhere uses the id of an upload in another repository, and the id of an ordinary one.
func (c *cloud) elsewhere(t *testing.T, up upload) {
	t.Helper()
	for _, r := range []struct{ method, path string }{
		{"GET", ""}, {"POST", "/urls"}, {"GET", "/parts"}, {"POST", "/complete"}, {"DELETE", ""},
	} {
		for _, at := range []string{"/v2/b/_tare/v1/uploads/" + up.ID, "/v2/a/_tare/v1/uploads/" + up.ID[:len(up.ID)-2] + "AA"} {
			if a := c.ask(t, c.admin, r.method, at+r.path, map[string]any{}); a.status != 404 {
				t.Errorf("%s %s: status %d: %s", r.method, r.path, a.status, a.body)
			}
		}
	}
	a := c.ask(t, c.admin, "POST", "/v2/a/blobs/uploads/", nil)
	location := a.header.Get("Location")
	for _, at := range []string{strings.Replace(location, "/v2/a/", "/v2/b/", 1), "/v2/a/blobs/uploads/" + up.ID} {
		if got := c.ask(t, c.admin, "PATCH", at, []byte("x")); a.status != 202 || got.status != 404 {
			t.Errorf("PATCH %s: status %d: %s", at, got.status, got.body)
		}
	}
	if a := c.ask(t, c.admin, "GET", "/v2/a/_tare/v1/uploads/"+up.ID, nil); a.status != 200 {
		t.Errorf("the upload itself: status %d: %s", a.status, a.body)
	}
}
