// SPDX-License-Identifier: Apache-2.0

package conformance

func deletes(g group) {
	// "Deleting tags": "Upon success, the registry MUST respond with a 202 Accepted code." "Once deleted, a GET to
	// /v2/<name>/manifests/<tag> will return a 404." Design: the name goes, and nothing else.
	g.test("tag", func(c *client) {
		i := c.pushImage("v1")
		c.pushManifest("v2", i.content)
		c.send("DELETE", c.manifest("v1")).want(202)
		c.wantNoManifest("v1")
		c.wantTag("v2", i.content)
		c.wantTags("v2")
		c.send("DELETE", c.manifest("v1")).wantError(404, "MANIFEST_UNKNOWN")
		c.send("DELETE", c.manifest("v2")).want(202)
		c.wantTagless(i.content)
		c.wantBlob(i.layer)
		c.send("DELETE", c.blob(i.layer.digest)).want(405)
	})
	// "Deleting Manifests": "Upon success, the registry MUST respond with a 202 Accepted code." "Once deleted, a GET to
	// /v2/<name>/manifests/<digest> and any tag pointing to that digest will return a 404."
	g.test("manifest", func(c *client) {
		i, other := c.pushImage("v1"), c.pushImage("other")
		c.pushManifest("v2", i.content)
		c.pushManifest("v3", other.content)
		c.send("DELETE", c.manifest(i.digest)).want(202)
		c.wantNoManifest(i.digest)
		c.wantNoManifest("v1")
		c.wantNoManifest("v2")
		c.wantTag("v3", other.content)
		c.wantTags("other", "v3")
		c.send("DELETE", c.manifest(i.digest)).wantError(404, "MANIFEST_UNKNOWN")
		// What was deleted can be pushed again.
		c.pushManifest("v1", i.content)
		c.wantTag("v1", i.content)
		c.wantTags("other", "v1", "v3")
		c.wantBlob(i.layer)
	})
	g.test("what is not there", func(c *client) {
		absent := newBlob(1).digest
		// "If the repository does not exist, the response MUST return 404 Not Found."
		for range 2 {
			c.send("DELETE", c.manifest(absent)).wantError(404, "MANIFEST_UNKNOWN", "NAME_UNKNOWN")
			c.send("DELETE", c.manifest("v9")).wantError(404, "MANIFEST_UNKNOWN", "NAME_UNKNOWN")
			// "Deleting Blobs": "If the blob is not found, a 404 Not Found code MUST be returned."
			c.send("DELETE", c.blob(absent)).wantError(404, "BLOB_UNKNOWN", "NAME_UNKNOWN")
			c.pushImage("v1")
		}
	})
	g.test("blob", func(c *client) {
		b, kept := newBlob(5000), newBlob(10)
		other := c.in(c.repo + "/other")
		for _, r := range []*client{c, other} {
			r.pushBlob(b)
			r.pushBlob(kept)
		}
		c.send("DELETE", c.blob(b.digest)).want(202)
		c.wantNoBlob(b.digest)
		c.wantBlob(kept)
		other.wantBlob(b)
		c.send("DELETE", c.blob(b.digest)).wantError(404, "BLOB_UNKNOWN")
		c.pushBlob(b)
		c.wantBlob(b)
		// A blob that is gone cannot be referenced.
		c.send("DELETE", c.blob(kept.digest)).want(202)
		c.refuse(newImage(b, kept))
	})
	// design: refused (405) while a manifest of the repository uses it; deletable right after its manifest.
	g.test("blob in use", func(c *client) {
		i := c.pushImage("v1")
		second := newImage(i.config)
		c.pushManifest("v2", second)
		for _, b := range []content{i.config, i.layer} {
			c.send("DELETE", c.blob(b.digest)).want(405)
			c.wantBlob(b)
		}
		c.send("DELETE", c.manifest("v1")).want(202)
		c.send("DELETE", c.blob(i.layer.digest)).want(405)
		c.send("DELETE", c.manifest(i.digest)).want(202)
		c.send("DELETE", c.blob(i.layer.digest)).want(202)
		c.wantNoBlob(i.layer.digest)
		c.send("DELETE", c.blob(i.config.digest)).want(405)
		c.send("DELETE", c.manifest(second.digest)).want(202)
		c.send("DELETE", c.blob(i.config.digest)).want(202)
		c.wantNoBlob(i.config.digest)
		c.putManifest("v1", i.content).want(400, 404)
	})
	// design: a child of a live index is refused (405); the index goes first.
	g.test("child of an index", func(c *client) {
		i, other := c.pushImage("child"), c.pushImage("other")
		index := newIndex(i.content, other.content)
		outer := newIndex(index)
		c.pushManifest("index", index)
		c.pushManifest("outer", outer)
		c.send("DELETE", c.manifest(i.digest)).want(405)
		c.send("DELETE", c.manifest(index.digest)).want(405)
		c.wantTag("child", i.content)
		c.wantTag("index", index)
		// A tag of a child may go.
		c.send("DELETE", c.manifest("child")).want(202)
		c.wantTagless(i.content)
		c.send("DELETE", c.manifest(outer.digest)).want(202)
		c.send("DELETE", c.manifest(i.digest)).want(405)
		c.send("DELETE", c.manifest(index.digest)).want(202)
		c.wantNoManifest("index")
		c.wantTag("other", other.content)
		c.send("DELETE", c.manifest(i.digest)).want(202)
		c.send("DELETE", c.blob(i.layer.digest)).want(202)
		c.wantNoManifest(i.digest)
	})
	g.test("by sha512", func(c *client) {
		i := c.pushImage("v1")
		m := i.sha512()
		c.pushManifest(m.digest, m)
		c.send("DELETE", c.manifest(m.digest)).want(202)
		c.wantNoManifest(m.digest)
		c.wantTag("v1", i.content)
	})
}
