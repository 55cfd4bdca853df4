// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

func support(g group) {
	// "Determining Support": "If the response is 200 OK, then the registry implements this specification."
	g.test("GET /v2/", func(c *client) {
		c.send("GET", "/v2/").want(200)
		c.send("HEAD", "/v2/").want(200)
	})
	// "Determining Support": "This endpoint MAY be used for authentication/authorization purposes"; RFC 9110, 401:
	// "MUST send a WWW-Authenticate header field".
	g.test("credentials", func(c *client) {
		if c.target.Username == "" {
			c.send("GET", "/v2/").want(200)
			return
		}
		for _, path := range []string{"/v2/", c.manifest("latest"), c.tags()} {
			a := c.send("GET", path, func(r *http.Request) { r.Header.Del("Authorization") }).wantError(401, "UNAUTHORIZED")
			if a.header.Get("WWW-Authenticate") == "" {
				c.Errorf("GET %s: 401 without WWW-Authenticate", path)
			}
			c.send("GET", path, func(r *http.Request) {
				r.SetBasicAuth(c.target.Username, c.target.Password+"x")
			}).wantError(401, "UNAUTHORIZED")
		}
	})
}

func pullManifests(g group) {
	g.test("by tag and digest", func(c *client) {
		i := c.pushImage("v1")
		for _, ref := range []any{"v1", i.digest} {
			// "Pulling manifests": "A GET request to an existing manifest URL MUST provide the expected manifest, with
			// a response code that MUST be 200 OK. A successful response SHOULD contain the digest of the uploaded
			// blob in the header Docker-Content-Digest." "The Content-Type header SHOULD match what the client pushed"
			c.send("GET", c.manifest(ref), header("Accept", typeManifest)).want(200).wantBody(i.bytes).
				wantHeader("Content-Type", typeManifest).wantHeader("Docker-Content-Digest", i.digest)
			// "Checking if content exists in the registry": "A HEAD request to an existing blob or manifest URL MUST
			// return 200 OK", with digest and "the size in bytes of the uploaded blob in the header Content-Length".
			a := c.send("HEAD", c.manifest(ref)).want(200).wantHeader("Docker-Content-Digest", i.digest).
				wantHeader("Content-Type", typeManifest)
			if a.length != int64(len(i.bytes)) || len(a.body) != 0 {
				c.Errorf("HEAD %v: Content-Length %d and a body of %d, want %d and none", ref, a.length, len(a.body), len(i.bytes))
			}
		}
	})
	g.test("absent", func(c *client) {
		absent := newBlob(8).digest
		// "Pulling manifests": "If the manifest is not found in the repository, the response code MUST be 404".
		// "Pushing Manifests": "An attempt to pull a nonexistent repository MUST return response code 404".
		c.wantNoManifest("latest")
		c.wantNoManifest(absent)
		i := c.pushImage("v1")
		c.wantNoManifest("v2")
		c.wantNoManifest("V1")
		c.wantNoManifest(absent)
		// design: what one repository has, no other one shows.
		c.in(c.repo + "/other").wantNoManifest(i.digest)
	})
	// "Content Negotiation" asks the client to take what it gets; design: a registry never converts and never answers 406.
	g.test("Accept does not convert", func(c *client) {
		i := c.pushImage("v1")
		for _, accept := range []string{typeIndex, typeDockerManifest, "text/html", "*/*", "application/vnd.oci.*+json", "", ";;"} {
			c.send("GET", c.manifest("v1"), header("Accept", accept)).want(200).
				wantHeader("Content-Type", typeManifest).wantBody(i.bytes)
		}
		c.send("GET", c.manifest("v1"), header("Accept", typeIndex), header("Accept", typeManifest)).want(200).wantBody(i.bytes)
	})
	g.test("ETag", func(c *client) {
		i := c.pushImage("v1")
		other := c.pushBare("v2")
		etags(c, c.manifest("v1"), i.content, other)
		etags(c, c.manifest(i.digest), i.content, other)
		c.pushManifest("v1", other)
		c.send("GET", c.manifest("v1"), header("If-None-Match", `"`+i.digest.String()+`"`)).want(200).wantBody(other.bytes)
	})
	// RFC 9110, "GET": "content received in a GET request has no generally defined semantics".
	g.test("a request body is ignored", func(c *client) {
		i := c.pushImage("v1")
		c.send("GET", c.manifest("v1"), header("Content-Type", typeManifest), body([]byte("blablabla"))).want(200).wantBody(i.bytes)
		c.send("GET", c.manifest("v1")).want(200).wantBody(i.bytes)
	})
	// "API": clients of a proxy add "ns"; RFC 9110 leaves unknown query parameters to the server. Design: ignored.
	g.test("unknown query parameters", func(c *client) {
		i := c.pushImage("v1")
		c.send("GET", c.manifest("v1")+"?ns=registry.example&x=%zz;y").want(200, 400)
		c.send("GET", c.manifest("v1")+"?ns=registry.example").want(200).wantBody(i.bytes)
		c.send("GET", c.blob(i.layer.digest)+"?ns=registry.example").want(200).wantBody(i.layer.bytes)
	})
}

func pullBlobs(g group) {
	g.test("whole", func(c *client) {
		for _, n := range []int{0, 1, 4095, 4096, 4097, 65537, 1<<20 + 1} {
			b := newBlob(n)
			c.pushBlob(b)
			// "Pulling blobs": "A GET request to an existing blob URL MUST provide the expected blob, with a response
			// code that MUST be 200 OK. A successful response SHOULD contain the digest of the uploaded blob in the
			// header Docker-Content-Digest."
			c.send("GET", c.blob(b.digest)).want(200).wantBody(b.bytes).wantHeader("Docker-Content-Digest", b.digest)
			// "Checking if content exists in the registry": size and digest.
			a := c.send("HEAD", c.blob(b.digest)).want(200).wantHeader("Docker-Content-Digest", b.digest)
			if a.length != int64(n) || len(a.body) != 0 {
				c.Errorf("HEAD of %d bytes: Content-Length %d and a body of %d", n, a.length, len(a.body))
			}
		}
	})
	g.test("absent", func(c *client) {
		// "Pulling blobs": "If the blob is not found in the repository, the response code MUST be 404 Not Found."
		b := newBlob(100)
		c.wantNoBlob(b.digest)
		c.pushBlob(b)
		c.wantNoBlob(b.sha512().digest)
		c.wantNoBlob(newBlob(1).digest)
		// design: a blob is visible in a repository only through its link there, whoever else has the bytes.
		c.in(c.repo + "/other").wantNoBlob(b.digest)
	})
	// "Pulling blobs": "A registry SHOULD support the Range request header in accordance with RFC 9110."
	g.test("ranges", func(c *client) {
		for _, n := range []int{2048, 300_000} {
			b := newBlob(n)
			c.pushBlob(b)
			c.send("GET", c.blob(b.digest)).want(200).wantHeader("Accept-Ranges", "bytes")
			for _, r := range []struct {
				header     string
				begin, end int
			}{
				{"bytes=500-1499", 500, 1500},
				{"bytes=0-0", 0, 1},
				{"bytes=500-", 500, n},
				{"bytes=-500", n - 500, n},
				{fmt.Sprintf("bytes=-%d", n+10), 0, n},
				{fmt.Sprintf("bytes=2000-%d", n+5), 2000, n},
				{fmt.Sprintf("bytes=%d-%d", n-1, n-1), n - 1, n},
			} {
				c.send("GET", c.blob(b.digest), header("Range", r.header)).want(206).wantBody(b.bytes[r.begin:r.end]).
					wantHeader("Content-Range", fmt.Sprintf("bytes %d-%d/%d", r.begin, r.end-1, n))
			}
			// RFC 9110, "If-Range": "if the validator matches, the Range header field is evaluated; otherwise, the server SHOULD
			// ignore the Range header field". Where the bytes are, the tag is another one, and not every store reads If-Range. A
			// blob never changes: part of it or all of it is what was asked for.
			for tag, status := range map[string]int{b.digest.String(): 206, "other": 200} {
				a := c.send("GET", c.blob(b.digest), header("Range", "bytes=500-"), header("If-Range", `"`+tag+`"`))
				switch elsewhere := a.url.Host != c.base.Host; {
				case a.status == 206 && (status == 206 || elsewhere):
					a.wantBody(b.bytes[500:])
				case a.status == 200 && (status == 200 || elsewhere):
					a.wantBody(b.bytes)
				default:
					c.Errorf("If-Range %q: status %d", tag, a.status)
				}
			}
		}
	})
	// design, docs/http.md, "Redirects": where the bytes are elsewhere, the address is for that method alone, needs no credentials
	// and is not kept.
	g.test("redirects", func(c *client) {
		b := newBlob(300_000)
		c.pushBlob(b)
		stay := *c.http
		stay.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
		first := *c
		first.http = &stay
		for _, method := range []string{"GET", "HEAD"} {
			a := first.send(method, c.blob(b.digest)).want(200, 307)
			if a.status == 200 {
				a.wantHeader("Content-Length", len(b.bytes))
				continue
			}
			a.wantHeader("Docker-Content-Digest", b.digest).wantHeader("Cache-Control", "no-store").wantHeader("Content-Length", 0)
			to, err := url.Parse(a.location())
			if err != nil || to.Host == c.base.Host || strings.HasSuffix(to.Hostname(), "."+c.base.Hostname()) {
				c.Fatalf("%s leads to %s, %v", method, to.Host, err)
			}
			for _, m := range []string{"GET", "HEAD", "PUT", "DELETE"} {
				if status, err := c.bring(signed{Method: m, URL: to.String()}, nil); err != nil || (status == 200) != (m == method) {
					c.Errorf("the address of %s is answered %d to %s, %v", method, status, m, err)
				}
			}
			if again := first.send(method, c.blob(b.digest), header("If-None-Match", `"`+b.digest.String()+`"`)).want(304); again.header.Get("Location") != "" {
				c.Errorf("%s: a 304 with an address", method)
			}
			first.in(c.repo+"/other").send(method, first.in(c.repo+"/other").blob(b.digest)).want(404)
		}
		c.send("DELETE", c.blob(b.digest)).want(202)
		first.send("GET", c.blob(b.digest)).want(404)
		empty := newBlob(0)
		c.pushBlob(empty)
		for _, method := range []string{"GET", "HEAD"} {
			first.send(method, c.blob(empty.digest)).want(200, 307)
		}
	})
	// RFC 9110, "416": "the set of ranges requested has been rejected due to invalid ranges or an excessive request of
	// small or overlapping ranges"; a range of another unit or out of grammar "MAY" be ignored.
	g.test("unsatisfiable ranges", func(c *client) {
		b := newBlob(1000)
		c.pushBlob(b)
		for _, r := range []string{"bytes=1000-", "bytes=5000-10000", "bytes=1000-1000"} {
			c.send("GET", c.blob(b.digest), header("Range", r)).want(416).wantHeader("Content-Range", "bytes */1000")
		}
		for _, r := range []string{
			"bytes=", "bytes=a-b", "bytes=5-1", "bytes=--1", "bytes=-", "octets=0-1", "0-1", "bytes=1-2-3",
			"bytes=99999999999999999999-", "bytes=0-99999999999999999999",
		} {
			a := c.send("GET", c.blob(b.digest), header("Range", r)).want(200, 206, 416)
			if a.status != 416 && len(a.body) != 1000 {
				c.Errorf("Range %q: status %d with %d bytes", r, a.status, len(a.body))
			}
		}
		// RFC 9110, "Range": "A server that supports range requests MAY ignore or reject a Range header field that
		// contains ... a set of many small ranges"; design: an answer is never much larger than the blob.
		many := "bytes=0-" + strings.Repeat(",0-", 200)
		if a := c.send("GET", c.blob(b.digest), header("Range", many)).want(200, 206, 416); len(a.body) > 100_000 {
			c.Errorf("200 overlapping ranges of 1000 bytes brought %d bytes", len(a.body))
		}
	})
	g.test("ranges of nothing", func(c *client) {
		b := newBlob(0)
		c.pushBlob(b)
		// RFC 9110, "416": "a range request for a selected representation of length zero" is not satisfiable; to
		// ignore the header is allowed.
		c.send("GET", c.blob(b.digest), header("Range", "bytes=0-")).want(200, 416)
	})
	g.test("ETag", func(c *client) {
		b, other := newBlob(5000), newBlob(5000)
		c.pushBlob(b)
		etags(c, c.blob(b.digest), b, other)
	})
}

// etags checks RFC 9110, "If-None-Match": "the origin server MUST NOT perform the requested method ... if the condition
// evaluates to false; instead ... respond with ... the 304 (Not Modified) status code". Design: the tag is the digest.
func etags(c *client, ref string, have, other content) {
	c.Helper()
	etag := `"` + have.digest.String() + `"`
	c.send("GET", ref).want(200).wantHeader("ETag", etag)
	c.send("HEAD", ref).want(200).wantHeader("ETag", etag)
	for _, match := range []string{etag, "W/" + etag, `"` + other.digest.String() + `", ` + etag, "*"} {
		for _, method := range []string{"GET", "HEAD"} {
			a := c.send(method, ref, header("If-None-Match", match)).want(304).wantHeader("ETag", etag)
			if len(a.body) != 0 {
				c.Errorf("%s with If-None-Match %s: a body of %d bytes", method, match, len(a.body))
			}
		}
	}
	for _, match := range []string{`"` + other.digest.String() + `"`, `""`, have.digest.String()[:20]} {
		c.send("GET", ref, header("If-None-Match", match)).want(200).wantBody(have.bytes)
	}
}
