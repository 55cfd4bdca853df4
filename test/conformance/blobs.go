// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/opencontainers/go-digest"
)

// pushing is a way to bring a blob in. It returns the last answer.
type pushing struct {
	name string
	push func(c *client, b content) *answer
}

func ways() []pushing {
	return []pushing{
		// "Single POST": "/v2/<name>/blobs/uploads/?digest=<digest>"
		{"POST", func(c *client, b content) *answer {
			return c.send("POST", with(c.uploads(), "digest", b.digest), header("Content-Type", typeBytes), body(b.bytes))
		}},
		{"streamed POST", func(c *client, b content) *answer {
			return c.send("POST", with(c.uploads(), "digest", b.digest), header("Content-Type", typeBytes), stream(b.bytes))
		}},
		// "POST then PUT": "<location>?digest=<digest>"
		{"PUT", func(c *client, b content) *answer {
			return c.startUpload().finish(b.digest, b.bytes)
		}},
		{"streamed PUT", func(c *client, b content) *answer {
			u := c.startUpload()
			return c.send("PUT", with(u.location, "digest", b.digest), stream(b.bytes))
		}},
		// What docker, podman and crane send: one PATCH without a range, then an empty PUT.
		{"PATCH", func(c *client, b content) *answer {
			u := c.startUpload()
			u.accepted(c.send("PATCH", u.location, header("Content-Type", typeBytes), body(b.bytes)), len(b.bytes))
			return u.finish(b.digest, nil)
		}},
		{"streamed PATCH", func(c *client, b content) *answer {
			u := c.startUpload()
			u.accepted(c.send("PATCH", u.location, header("Content-Type", typeBytes), stream(b.bytes)), len(b.bytes))
			return u.finish(b.digest, nil)
		}},
	}
}

func pushBlobs(g group) {
	sizes := []int{0, 1, 4096, 4097, 100_000, 3 << 20}
	for _, way := range ways() {
		g.test(way.name, func(c *client) {
			for _, n := range sizes {
				b := newBlob(n)
				c.created(way.push(c, b), b)
			}
		})
		// image-spec, "Digests": "Implementations MAY implement SHA-512 digest verification"; design: they do, and learn
		// the algorithm as late as in the closing request.
		g.test(way.name+" by sha512", func(c *client) {
			for _, n := range sizes {
				b := newBlob(n).sha512()
				c.created(way.push(c, b), b)
			}
		})
		g.test(way.name+" again", func(c *client) {
			b := newBlob(5000)
			c.created(way.push(c, b), b)
			c.created(way.push(c, b), b)
		})
		// "Error Codes": "DIGEST_INVALID: provided digest did not match uploaded content". Spec main, "Pushing blobs":
		// "if the client provided digest is invalid ... the registry SHOULD respond with ... 400 Bad Request".
		g.test(way.name+" with a wrong digest", func(c *client) {
			for _, n := range []int{10, 5000, 200_000} {
				b, other := newBlob(n), newBlob(100)
				b.digest, other.digest = other.digest, b.digest
				way.push(c, b).wantError(400, "DIGEST_INVALID")
				c.wantNoBlob(b.digest)
				c.wantNoBlob(other.digest)
			}
			// Nothing at all: of an upload without bytes nobody can know whether it was one.
			nothing := newBlob(0)
			nothing.digest = newBlob(100).digest
			way.push(c, nothing).want(400, 404)
			c.wantNoBlob(nothing.digest)
		})
	}
	g.test("the same bytes under two digests", func(c *client) {
		b := newBlob(3000)
		c.pushBlob(b)
		c.pushBlob(b.sha512())
		c.wantBlob(b)
		c.wantBlob(b.sha512())
		c.send("DELETE", c.blob(b.digest)).want(202)
		c.wantNoBlob(b.digest)
		c.wantBlob(b.sha512())
	})
	g.test("invalid digests", func(c *client) {
		b := newBlob(100)
		for _, d := range malformedDigests(b.digest) {
			c.send("POST", with(c.uploads(), "digest", d), body(b.bytes)).wantError(400, "DIGEST_INVALID")
			u := c.startUpload()
			u.finish(digest.Digest(d), b.bytes).wantError(400, "DIGEST_INVALID")
		}
		// "Pushing a blob in chunks": "The closing PUT request MUST include the <digest> of the whole blob".
		u := c.startUpload()
		u.accepted(u.chunk(0, b.bytes), 100)
		c.send("PUT", u.location, body(nil)).wantError(400, "DIGEST_INVALID")
		c.send("PUT", with(u.location, "digest", ""), body(nil)).wantError(400, "DIGEST_INVALID")
		c.wantNoBlob(b.digest)
		c.created(u.finish(b.digest, nil), b)
	})
	// Spec main, "Pushing a blob in chunks": "the post request SHOULD include the digest-algorithm parameter".
	g.test("digest-algorithm", func(c *client) {
		b := newBlob(5000).sha512()
		u := &upload{client: c, location: c.send("POST", with(c.uploads(), "digest-algorithm", "sha512")).want(202).location()}
		u.accepted(u.chunk(0, b.bytes), len(b.bytes))
		c.created(u.finish(b.digest, nil), b)
		c.send("POST", with(c.uploads(), "digest-algorithm", "md5")).want(202, 400)
	})
	// design: the session's URL is relative, so that it works behind any proxy; "POST then PUT": "it MAY be relative".
	g.test("relative locations", func(c *client) {
		b := newBlob(10)
		start := c.send("POST", c.uploads()).want(202)
		u := &upload{client: c, location: start.location()}
		chunk := u.chunk(0, b.bytes).want(202)
		u.location = chunk.location()
		status := c.send("GET", u.location).want(204)
		finish := u.finish(b.digest, nil).want(201)
		m := c.pushManifest("v1", encode(manifest{MediaType: typeManifest, Config: ptr(b.descriptor()), Layers: descriptors()}))
		for _, a := range []*answer{start, chunk, status, finish, m} {
			if l := a.header.Get("Location"); !strings.HasPrefix(l, "/") || strings.HasPrefix(l, "//") {
				c.Errorf("%s: Location %q is not a path", a.what, l)
			}
		}
		if want := c.blob(b.digest); finish.header.Get("Location") != want {
			c.Errorf("Location %q, want %q", finish.header.Get("Location"), want)
		}
	})
	// clients.md: containerd and oras sort the query and add parameters; others append.
	g.test("foreign query parameters", func(c *client) {
		b := newBlob(5000)
		u := c.startUpload()
		c.created(c.send("PUT", with(with(with(u.location, "ns", "example.com"), "digest", b.digest), "zz", 1), body(b.bytes)), b)
	})
	// RFC 9110, "Expect": "100-continue".
	g.test("Expect: 100-continue", func(c *client) {
		b := newBlob(5000)
		u := c.startUpload()
		a := c.send("PUT", with(u.location, "digest", b.digest), header("Expect", "100-continue"), body(b.bytes))
		c.created(a, b)
	})
	g.test("Content-Type does not matter", func(c *client) {
		for _, t := range []string{"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", typeManifest} {
			b := newBlob(50)
			u := c.startUpload()
			a := c.send("PUT", with(u.location, "digest", b.digest), func(r *http.Request) {
				r.Header.Set("Content-Type", t)
			}, body(b.bytes))
			if strings.HasPrefix(t, "text/") && c.target.Gateway {
				// A gateway may take it for text, which noise does not outlive. That is noticed.
				if a.want(201, 400).status == 400 {
					continue
				}
			}
			c.created(a, b)
		}
	})
}

// malformedDigests are strings that are no sha256 or sha512 digests, made from one that is.
func malformedDigests(d digest.Digest) []string {
	encoded := d.Encoded()
	return []string{
		"sha256:", "sha256:xyz", "sha256:" + encoded[:63], "sha256:" + encoded + "0", "sha256:" + strings.Repeat("G", 64),
		"sha256:" + strings.Repeat("A", 64), "SHA256:" + encoded, "sha512:" + encoded, "sha256-" + encoded, encoded,
		"sha384:" + encoded + encoded[:32], "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:" + encoded + "\x00",
		"sha256: " + encoded[1:], fmt.Sprintf("%s,%s", d, d), strings.Repeat("sha256:", 2) + encoded,
	}
}

func ptr[T any](v T) *T { return &v }
