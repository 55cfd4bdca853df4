// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"net/url"
)

func (c *client) mount(d, from string) *answer {
	c.Helper()
	ref := with(c.uploads(), "mount", d)
	if from != "" {
		ref = with(ref, "from", from)
	}
	return c.send("POST", ref, body(nil))
}

func mount(g group) {
	g.test("from a repository that has it", func(c *client) {
		target := c.in(c.repo + "/target")
		for _, b := range []content{newBlob(0), newBlob(100), newBlob(100_000), newBlob(100).sha512()} {
			c.pushBlob(b)
			target.wantNoBlob(b.digest)
			// "Mounting a blob from another repository": "The response to a successful mount MUST be 201 Created, and
			// MUST contain the following header: Location: <blob-location>".
			a := target.mount(b.digest.String(), c.repo)
			target.created(a, b)
			location, err := url.Parse(a.location())
			if err != nil || location.Path != target.blob(b.digest) {
				c.Errorf("Location leads to %v, want %s", location, target.blob(b.digest))
			}
			// Again, and where it already is.
			target.created(target.mount(b.digest.String(), c.repo), b)
			target.created(target.mount(b.digest.String(), target.repo), b)
			c.in(c.repo + "/third").wantNoBlob(b.digest)
		}
	})
	g.test("outlives its source", func(c *client) {
		b := newBlob(5000)
		c.pushBlob(b)
		target := c.in(c.repo + "/target")
		target.mount(b.digest.String(), c.repo).want(201)
		c.send("DELETE", c.blob(b.digest)).want(202)
		c.wantNoBlob(b.digest)
		target.wantBlob(b)
	})
	// "Alternatively, if a registry ... is unable to mount the requested blob, it SHOULD return a 202. This indicates
	// that the upload session has begun and that the client MAY proceed with the upload."
	g.test("falls back to an upload", func(c *client) {
		held := newBlob(500)
		c.in(c.repo + "/source").pushBlob(held)
		for _, m := range []struct {
			name, from string
			blob       content
		}{
			{"a repository that does not have it", c.repo + "/source", newBlob(500)},
			{"a repository that does not exist", c.repo + "/none", newBlob(500)},
			{"nowhere", "", newBlob(500)},
			// design: without from a blob is never looked for elsewhere; that would tell who has what.
			{"nowhere, though another repository has it", "", held},
		} {
			u := &upload{client: c}
			a := c.mount(m.blob.digest.String(), m.from)
			if a.status != 202 {
				c.Errorf("mount from %s: status %d, want 202", m.name, a.status)
				continue
			}
			u.location = a.location()
			c.wantNoBlob(m.blob.digest)
			u.wantStatus(0)
			c.created(u.finish(m.blob.digest, m.blob.bytes), m.blob)
		}
		// clients.md: podman and skopeo cancel the upload that they did not ask for.
		stray := c.mount(newBlob(1).digest.String(), c.repo+"/source").want(202).location()
		c.send("DELETE", stray).want(204)
	})
	g.test("invalid", func(c *client) {
		b := newBlob(10)
		c.pushBlob(b)
		target := c.in(c.repo + "/target")
		for _, d := range malformedDigests(b.digest) {
			target.mount(d, c.repo).wantError(400, "DIGEST_INVALID")
		}
		for _, from := range []string{"UPPER", "../" + c.repo, c.repo + "/", "a//b", "%"} {
			target.mount(b.digest.String(), from).want(202, 400)
			target.wantNoBlob(b.digest)
		}
	})
}
