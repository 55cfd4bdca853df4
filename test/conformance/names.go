// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"net/url"
	"strings"
)

func names(g group) {
	// "Pulling manifests": "<name> MUST match the following regular expression:
	// [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*".
	g.test("valid repositories", func(c *client) {
		for _, suffix := range []string{
			"", "/a", "/a.b", "/a_b", "/a__b", "/a-b", "/a---b", "/0", "/a.b-c__d_e/f0", "/a/b/c/d/e/f/g/h/i/j/k",
			"/" + strings.Repeat("x", 200-len(c.repo)),
			// The words of the API are names like any other.
			"/manifests", "/manifests/x", "/blobs", "/blobs/uploads", "/blobs/uploads/x", "/tags", "/tags/list", "/referrers/x", "/v2", "/uploads",
		} {
			r := c.in(c.repo + suffix)
			i := r.pushImage("latest")
			r.wantTag("latest", i.content)
			r.wantBlob(i.layer)
			r.wantTags("latest")
			r.wantReferrers(r.referrersOf(i.digest))
			b := newBlob(50)
			u := r.startUpload()
			u.accepted(u.chunk(0, b.bytes), 50)
			u.wantStatus(50)
			r.created(u.finish(b.digest, nil), b)
			r.send("DELETE", r.manifest(i.digest)).want(202)
			r.wantTags()
		}
	})
	g.test("invalid repositories", func(c *client) {
		i := c.pushImage("v1")
		for _, name := range []string{
			"Upper", c.repo + "/Upper", "_a", "a_", "-a", "a-", ".a", "a.", "a..b", "a___b", "a_-b", "a.-b", "a/_b", "_catalog", "a b", "a+b",
			"a:b", "a@b", "a~b", "ä", "a\\b", "a*", "a\tb", "a\nb", "a\x00b", "a'b", `a"b`, "a;b", "a%b", "a?b", "a#b", "%2e%2e",
			strings.Repeat("x", 256), strings.Repeat("x/", 300) + "x", strings.Repeat("x", 5000),
		} {
			r := c.in(strings.ReplaceAll(url.PathEscape(name), "%2F", "/"))
			r.send("GET", r.manifest("latest")).want(400, 404)
			r.send("GET", r.tags()).want(400, 404)
			r.send("GET", r.blob(i.layer.digest)).want(400, 404)
			r.send("POST", r.uploads(), body(nil)).want(400, 404)
			r.send("PUT", r.manifest("latest"), header("Content-Type", typeManifest), body(i.bytes)).want(400, 404)
			r.send("DELETE", r.manifest(i.digest)).want(400, 404)
			// A name with the grammar's mistakes alone has an answer of its own.
			if name == "Upper" || name == "a..b" || name == "_a" {
				r.send("POST", r.uploads(), body(nil)).wantError(400, "NAME_INVALID")
			}
		}
	})
	// "<reference> as a tag MUST be at most 128 characters in length and MUST match the following regular expression:
	// [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}".
	g.test("tags", func(c *client) {
		m := c.pushBare("first")
		for _, tag := range []string{"a", "_", "0", "A.b-C_d", "...."[:0] + "_...", "list", "sha256-" + m.digest.Encoded(), strings.Repeat("t", 128)} {
			c.pushManifest(tag, m)
			c.wantTag(tag, m)
		}
		for _, tag := range []string{
			".a", "-a", "a+b", "a b", "ä", "a~", "a@b", "a\\b", "a\nb", "a\x00", "a*", "%41", "a,b", strings.Repeat("t", 129), strings.Repeat("t", 5000),
		} {
			ref := url.PathEscape(tag)
			c.send("PUT", c.manifest(ref), header("Content-Type", m.mediaType), body(m.bytes)).want(400, 404)
			// The specification's own suite, release 1.1.1: a tag that cannot be is a tag that is not there.
			c.send("GET", c.manifest(ref)).want(404)
			c.send("HEAD", c.manifest(ref)).want(404)
			c.send("DELETE", c.manifest(ref)).want(400, 404)
		}
		// Case matters.
		c.pushManifest("Case", m)
		c.wantNoManifest("case")
	})
	g.test("digests", func(c *client) {
		i := c.pushImage("v1")
		for _, d := range malformedDigests(i.layer.digest) {
			bad := url.PathEscape(d)
			for _, method := range []string{"GET", "HEAD", "DELETE"} {
				c.send(method, c.blob(bad)).want(400, 404)
				c.send(method, c.manifest(bad)).want(400, 404)
			}
			if !strings.Contains(d, ":") {
				continue
			}
			c.send("PUT", c.manifest(bad), header("Content-Type", typeManifest), body(i.bytes)).wantError(400, "DIGEST_INVALID")
		}
		c.send("GET", c.blob("sha256:x")).wantError(400, "DIGEST_INVALID")
		c.wantTags("v1")
		c.wantBlob(i.layer)
		// RFC 3986: a colon needs no escape and may have one.
		escaped := strings.Replace(i.layer.digest.String(), ":", "%3A", 1)
		c.send("GET", c.blob(escaped)).want(200).wantBody(i.layer.bytes)
		c.send("GET", c.manifest(strings.Replace(i.digest.String(), ":", "%3a", 1))).want(200).wantBody(i.bytes)
	})
}

func paths(g group) {
	// design: every answer under /v2/ is OCI JSON, 404 included (anchors, pain 8: clients abort on an HTML 404).
	g.test("unknown", func(c *client) {
		c.pushImage("v1")
		for _, path := range []string{
			"/v2/x", "/v2/" + c.repo, "/v2/" + c.repo + "/", "/v2/" + c.repo + "/manifests", "/v2/" + c.repo + "/manifests/", "/v2/" + c.repo + "/blobs/",
			"/v2/" + c.repo + "/blobs", "/v2/" + c.repo + "/tags", "/v2/" + c.repo + "/tags/", "/v2/" + c.repo + "/tags/other", c.tags() + "/",
			"/v2/" + c.repo + "/referrers", "/v2/" + c.repo + "/referrers/", c.manifest("v1") + "/", c.manifest("v1") + "/x", "/v2/manifests/v1",
			"/v2//manifests/v1", "/v2/_catalog/", "/v2/_other", "/v2/blobs/uploads/", "/v2/tags/list", "/v2/index.html", "/v2/favicon.ico",
		} {
			if decoded := strings.HasSuffix(path, "anifests%2Fv1"); decoded && c.target.Gateway {
				continue
			}
			c.send("GET", path).want(400, 404)
		}
		c.send("GET", "/v1/_ping").want(404)
	})
	// RFC 9110, "405": "The origin server MUST generate an Allow header field in a 405 response".
	g.test("methods", func(c *client) {
		i := c.pushImage("v1")
		for _, r := range []struct{ method, path string }{
			{"POST", "/v2/"}, {"DELETE", "/v2/"}, {"POST", c.manifest("v1")}, {"PATCH", c.manifest("v1")}, {"PUT", c.blob(i.layer.digest)},
			{"POST", c.blob(i.layer.digest)}, {"PATCH", c.blob(i.layer.digest)}, {"POST", c.tags()}, {"DELETE", c.tags()}, {"PUT", c.tags()},
			{"POST", c.referrersOf(i.digest)}, {"DELETE", c.referrersOf(i.digest)}, {"POST", "/v2/_catalog"}, {"BREW", c.manifest("v1")},
			{"DELETE", c.uploads()}, {"PATCH", c.uploads()},
		} {
			a := c.send(r.method, r.path, body(nil)).want(404, 405)
			if a.status == 405 && a.header.Get("Allow") == "" {
				c.Errorf("%s %s: 405 without Allow", r.method, r.path)
			}
		}
		c.wantTag("v1", i.content)
		c.wantBlob(i.layer)
	})
	// design: a path is taken as it is. It is neither cleaned nor redirected, and never leaves the repository.
	g.test("tricks", func(c *client) {
		i := c.pushImage("v1")
		deep := c.repo + "/x/y"
		for _, path := range []string{
			"/v2/" + deep + "/../../manifests/v1", "/v2/" + deep + "/%2e%2e/%2e%2e/manifests/v1", "/v2/" + deep + "/.%2e/%2E./manifests/v1",
			"/v2/../v2/" + c.repo + "/manifests/v1", "/v2/./" + c.repo + "/manifests/v1", "/v2/" + c.repo + "/./manifests/v1",
			"/v2//" + c.repo + "/manifests/v1", "/v2/" + c.repo + "//manifests/v1", "/v2/" + c.repo + "/manifests//v1", "/v2/" + c.repo + "/manifests/./v1",
			"/v2/" + c.repo + "/manifests/x/../v1", "/v2/" + c.repo + "/manifests/%2e%2e/manifests/v1", "/v2/" + c.repo + "/manifests%2Fv1",
			"/v2/" + c.repo + "/manifests/v1%2F..%2Fv1", "/v2/" + c.repo + "/manifests/..%2f..%2f..%2f..%2fetc%2fpasswd",
			"/v2/" + c.repo + "/blobs/" + i.layer.digest.String() + "/..", "/v2/" + c.repo + "/blobs/..", "/v2/" + c.repo + "/blobs/../manifests/v1",
			"/v2/" + c.repo + "/blobs/sha256:..%2f..%2f..%2fetc%2fpasswd", "/v2/" + c.repo + "/manifests/v1%00", "/v2/" + c.repo + "%00/manifests/v1",
			"/v2/" + c.repo + "/manifests/v1%20", "/v2/%2e%2e/manifests/v1", "/v2/../../../../etc/passwd", "/v2/..%2f..%2fetc%2fpasswd",
			"/v2/" + c.repo + "/manifests/v1;x=y", "/v2/" + c.repo + ";x=y/manifests/v1", "/v2/" + c.repo + "\\manifests\\v1",
			"/v2/%2f" + c.repo + "/manifests/v1", "/v2/" + c.repo + "/%6danifests%2Fv1",
		} {
			if decoded := strings.HasSuffix(path, "anifests%2Fv1"); decoded && c.target.Gateway {
				continue
			}
			c.send("GET", path).want(400, 404)
			c.send("PUT", path, header("Content-Type", i.mediaType), body(i.bytes)).want(400, 404, 405)
			c.send("DELETE", path).want(400, 404, 405)
		}
		for _, path := range []string{"//v2/" + c.repo + "/manifests/v1", "/x/../v2/" + c.repo + "/manifests/v1", "/V2/" + c.repo + "/manifests/v1"} {
			if a := c.send("GET", path); a.status < 300 {
				c.Errorf("GET %s: status %d", path, a.status)
			}
		}
		c.wantTag("v1", i.content)
		c.wantTags("v1")
		c.wantBlob(i.layer)
	})
	// design: an escaped slash is no separator of names.
	g.test("escaped slashes", func(c *client) {
		if c.target.Gateway {
			return
		}
		r := c.in(c.repo + "/below")
		r.pushBare("v1")
		escaped := c.in(strings.ReplaceAll(r.repo, "/", "%2F"))
		escaped.send("GET", escaped.manifest("v1")).want(400, 404)
		escaped.send("GET", escaped.tags()).want(400, 404)
		escaped.send("DELETE", escaped.manifest("v1")).want(400, 404)
		r.wantTags("v1")
	})
	g.test("long", func(c *client) {
		c.pushBare("v1")
		most := 10_000
		if c.target.Gateway {
			most = 9000 // a gateway has a limit for heads, and its own words for it
		}
		for _, n := range []int{1000, most} {
			long := strings.Repeat("x", n)
			for _, path := range []string{
				"/v2/" + long, c.manifest(long), c.blob("sha256:" + long), c.uploads() + long, c.referrersOf("sha256:" + long),
				"/v2/" + strings.Repeat("x/", n/2) + "manifests/v1",
			} {
				c.send("GET", path).want(400, 404, 414)
			}
			c.send("GET", with(c.tags(), "last", long)).want(200, 400, 413, 414)
			c.send("GET", with(c.manifest("v1"), "ns", long)).want(200, 400, 413, 414)
		}
	})
}
