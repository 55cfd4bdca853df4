// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

func largeManifests(g group) {
	// padded is an image manifest of exactly n bytes.
	padded := func(c *client, config content, n int) content {
		c.Helper()
		m := newImage(config)
		padding := n - len(m.bytes) - len(`,"padding":""`)
		b := bytes.TrimSuffix(m.bytes, []byte("}"))
		b = fmt.Appendf(b, `,"padding":"%s"}`, strings.Repeat("x", padding))
		if len(b) != n {
			c.Fatalf("the manifest has %d bytes, want %d", len(b), n)
		}
		return newContent(typeManifest, b)
	}
	// "Pushing Manifests": "Client and registry implementations SHOULD expect to be able to support manifest pushes of at
	// least 4 megabytes."
	g.test("up to the limit", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		for i, n := range []int{32 << 10, 32<<10 + 1, 1 << 20, c.target.MaxManifest} {
			m := padded(c, config, n)
			tag := fmt.Sprintf("v%d", i)
			c.pushManifest(tag, m)
			c.wantTag(tag, m)
			a := c.send("HEAD", c.manifest(m.digest)).want(200)
			if a.length != int64(n) {
				c.Errorf("HEAD: Content-Length %d, want %d", a.length, n)
			}
			c.send("DELETE", c.manifest(m.digest)).want(202)
			c.wantNoManifest(tag)
			c.wantNoManifest(m.digest)
		}
		m := padded(c, config, c.target.MaxManifest-1).sha512()
		c.pushManifest(m.digest, m)
		c.wantTagless(m)
	})
	// "A registry that enforces this limit SHOULD respond to a request to push a manifest over this limit with a response
	// code 413 Payload Too Large." Design: the body names the limit.
	g.test("beyond the limit", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		m := padded(c, config, c.target.MaxManifest+1)
		for _, send := range []option{body(m.bytes), stream(m.bytes)} {
			a := c.send("PUT", c.manifest("v1"), header("Content-Type", m.mediaType), send).want(413)
			if limit := strconv.Itoa(c.target.MaxManifest); !bytes.Contains(a.body, []byte(limit)) {
				c.Errorf("413 does not name the limit %s: %s", limit, clip(a.body))
			}
		}
		c.wantNoManifest("v1")
		c.wantNoManifest(m.digest)
	})
	// design: a manifest with more references than a transaction holds is staged, and visible all at once.
	g.test("hundreds of layers", func(c *client) {
		layers := make([]content, 260)
		for i := range layers {
			layers[i] = newBlob(20 + i)
			if i%7 == 0 {
				layers[i] = layers[i].sha512()
			}
			c.send("POST", with(c.uploads(), "digest", layers[i].digest), body(layers[i].bytes)).want(201)
		}
		config := newConfig()
		c.pushBlob(config)
		absent := newBlob(9)
		c.refuse(newImage(config, append(layers[:250:250], absent)...))
		m := newImage(config, append(layers, layers[:40]...)...)
		c.pushManifest("v1", m)
		c.pushManifest("v2", m)
		c.pushManifest(m.digest, m)
		c.wantTag("v1", m)
		c.send("DELETE", c.blob(layers[137].digest)).want(405)
		c.pushManifest("v1", newImage(config, layers[:120]...))
		c.wantTag("v2", m)
		c.send("DELETE", c.manifest(m.digest)).want(202)
		c.wantNoManifest("v2")
		c.wantNoManifest(m.digest)
		c.wantTag("v1", newImage(config, layers[:120]...))
		c.pushManifest("v2", m)
		c.wantTag("v2", m)
		for _, l := range layers {
			c.send("HEAD", c.blob(l.digest)).want(200)
		}
	})
	g.test("hundreds of children", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		children := make([]content, 300)
		for i := range children {
			children[i] = encode(manifest{MediaType: typeManifest, Config: ptr(config.descriptor()), Layers: descriptors(),
				Annotations: map[string]string{"org.example.number": strconv.Itoa(i)}})
			c.pushManifest(children[i].digest, children[i])
		}
		index := newIndex(children...)
		c.pushManifest("v1", index)
		c.wantTag("v1", index)
		for _, i := range []int{0, 99, 100, 299} {
			c.send("DELETE", c.manifest(children[i].digest)).want(405)
			c.wantTagless(children[i])
		}
		c.send("DELETE", c.manifest(index.digest)).want(202)
		c.wantNoManifest("v1")
		c.wantNoManifest(index.digest)
		c.wantTagless(children[299])
		c.pushManifest("v1", index)
		c.wantTag("v1", index)
	})
}
