// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

func pushManifests(g group) {
	g.test("by tag and by digest", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		// "Pushing Manifests": "Upon a successful upload, the registry MUST return response code 201 Created, and MUST
		// have the following header: Location: <location>. The <location> is a pullable manifest URL. The
		// Docker-Content-Digest header ... MUST be equal to the client provided digest."
		for _, m := range []content{newImage(config), newImage(config).sha512(), newIndex()} {
			refs := []any{m.digest, m.digest}
			if m.digest.Algorithm() == digest.SHA256 {
				refs = append(refs, "v1", "v1", m.digest)
			}
			for _, ref := range refs {
				a := c.pushManifest(ref, m).wantHeader("Docker-Content-Digest", m.digest)
				c.send("GET", a.location()).want(200).wantBody(m.bytes)
				c.send("GET", c.manifest(ref)).want(200).wantBody(m.bytes).wantHeader("Content-Type", m.mediaType)
			}
			c.wantTagless(m)
		}
	})
	g.test("moving a tag", func(c *client) {
		first, second := c.pushBare("v1"), c.pushBare("v2")
		c.pushManifest("v1", second)
		c.wantTag("v1", second)
		c.wantTag("v2", second)
		// design: default: keep. A manifest stays when its last tag goes.
		c.send("GET", c.manifest(first.digest)).want(200).wantBody(first.bytes)
		c.pushManifest("v1", first)
		c.wantTag("v1", first)
		c.wantTag("v2", second)
	})
	// "The registry MUST store the manifest in the exact byte representation provided by the client."
	g.test("exact bytes", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		d := config.descriptor()
		object := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, d.MediaType, d.Digest, d.Size)
		for i, format := range []string{
			"{\"schemaVersion\":2,\"mediaType\":%[1]q,\"config\":%[2]s,\"layers\":[]}",
			"  {\n\t\"layers\" : [ ] ,\r\n \"config\":%[2]s, \"mediaType\":%[1]q,\"schemaVersion\":2}\n\n",
			"{\"schemaVersion\":2,\"mediaType\":%[1]q,\"config\":%[2]s,\"layers\":[],\"annotations\":{\"a\":\"\\u00e9<>&\\u2028 \u00e9 \U0001F433\"}}",
			"{\"schemaVersion\":2,\"mediaType\":%[1]q,\"config\":%[2]s,\"layers\":[],\"x\":[1e400,1.0,-0,{\"y\":null}],\"org.example\":true}",
			"{\"schemaVersion\":2,\"mediaType\":%[1]q,\"config\":%[2]s,\"layers\":[],\"annotations\":{}}",
			"{\"schemaVersion\":2,\"config\":%[2]s,\"layers\":[]}",
		} {
			m := newContent(typeManifest, fmt.Appendf(nil, format, typeManifest, object))
			tag := fmt.Sprintf("v%d", i)
			c.pushManifest(tag, m)
			c.wantTag(tag, m)
		}
	})
	// Spec main's suite pushes without a Content-Length.
	g.test("streamed", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		m := newImage(config)
		c.send("PUT", c.manifest("v1"), header("Content-Type", m.mediaType), stream(m.bytes)).want(201)
		c.wantTag("v1", m)
	})
	// "The registry SHOULD ignore parameters on the Content-Type header." "The registry SHOULD NOT include parameters".
	g.test("Content-Type", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		m := newImage(config)
		for _, t := range []string{typeManifest, typeManifest + "; charset=utf-8", typeManifest + ";a=b;c=\"d\""} {
			c.send("PUT", c.manifest("v1"), header("Content-Type", t), body(m.bytes)).want(201)
			c.send("GET", c.manifest("v1")).want(200).wantHeader("Content-Type", typeManifest)
		}
		// "If a manifest includes a mediaType field, clients MUST set the Content-Type header to the value specified by
		// the mediaType field." Design: one that differs is refused.
		for _, t := range []string{typeIndex, typeDockerManifest, "text/plain"} {
			c.send("PUT", c.manifest("v2"), header("Content-Type", t), body(m.bytes)).wantError(400, "MANIFEST_INVALID")
			c.wantNoManifest("v2")
		}
		// "Clients SHOULD set the Content-Type header": without it the manifest says what it is.
		c.send("PUT", c.manifest("v3"), body(m.bytes)).want(201)
		c.send("GET", c.manifest("v3")).want(200).wantHeader("Content-Type", typeManifest).wantBody(m.bytes)
	})
	g.test("wrong digest", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		m := newImage(config)
		// "Error Codes": "DIGEST_INVALID: provided digest did not match uploaded content".
		for _, wrong := range []digest.Digest{newBlob(1).digest, newBlob(1).sha512().digest} {
			c.putManifest(wrong, m).wantError(400, "DIGEST_INVALID")
			c.wantNoManifest(wrong)
			c.wantNoManifest(m.digest)
		}
	})
	// "Pushing": "A registry MAY reject a manifest ... with descriptors in other fields that reference a manifest or blob
	// that does not exist in the registry. When a manifest is rejected for this reason, it MUST result in one or more
	// MANIFEST_BLOB_UNKNOWN errors." Design: it is rejected.
	g.test("absent content", func(c *client) {
		config, layer := newConfig(), newBlob(50)
		c.in(c.repo + "/other").pushBlob(config)
		c.in(c.repo + "/other").pushBlob(layer)
		c.refuse(newImage(config, layer))
		c.pushBlob(config)
		c.refuse(newImage(config, layer))
		c.refuse(newImage(layer))
		c.pushBlob(layer)
		m := newImage(config, layer)
		c.pushManifest("v1", m)
		c.wantTag("v1", m)
		if c.target.Sparse {
			absent := newImage(newConfig())
			index := newIndex(m, absent, layer, absent)
			c.pushManifest("sparse", index).wantWarning(absent.digest)
			c.wantTag("sparse", index)
			c.pushManifest("whole", newIndex(m, layer)).wantNoWarning()
		} else {
			c.refuse(newIndex(m, newImage(newConfig())))
			c.refuse(newIndex(layer, newBlob(1)))
		}
		// A manifest is no blob.
		c.refuse(newImage(config, m))
	})
}

// refuse wants a manifest to be refused for what it references, and nothing of it to stay.
func (c *client) refuse(m content) {
	c.Helper()
	a := c.putManifest("refused", m).want(400, 404)
	a.wantError(a.status, "MANIFEST_BLOB_UNKNOWN")
	a = c.putManifest(m.digest, m).want(400, 404)
	a.wantError(a.status, "MANIFEST_BLOB_UNKNOWN")
	c.wantNoManifest("refused")
	c.wantNoManifest(m.digest)
}

// wantTagless wants a manifest by its digest.
func (c *client) wantTagless(m content) {
	c.Helper()
	c.send("GET", c.manifest(m.digest)).want(200).wantBody(m.bytes).
		wantHeader("Docker-Content-Digest", m.digest).wantHeader("Content-Type", m.mediaType)
}

func manifestKinds(g group) {
	// accept pushes a manifest, wants it back, and wants its blobs held by it.
	accept := func(c *client, tag string, m content) {
		c.Helper()
		c.pushManifest(tag, m)
		c.wantTag(tag, m)
		c.wantTagless(m)
	}
	g.test("Docker schema 2 and lists", func(c *client) {
		config, layer := newConfig(), newBlob(70)
		config.mediaType, layer.mediaType = typeDockerConfig, typeDockerLayer
		c.pushBlob(config)
		c.pushBlob(layer)
		m := encode(manifest{MediaType: typeDockerManifest, Config: ptr(config.descriptor()), Layers: descriptors(layer)})
		accept(c, "v1", m)
		list := encode(manifest{MediaType: typeDockerList, Manifests: descriptors(m)})
		accept(c, "list", list)
		// design: held like any other.
		c.send("DELETE", c.blob(layer.digest)).want(405)
		c.send("DELETE", c.manifest(m.digest)).want(405)
	})
	g.test("unknown media types", func(c *client) {
		const unknown = "application/vnd.example.thing.v3+json"
		config, layer := newConfig(), newBlob(70)
		c.pushBlob(config)
		c.pushBlob(layer)
		// design: config, layers, blobs, manifests and subject are read as descriptors whatever the media type.
		m := encode(manifest{MediaType: unknown, Config: ptr(config.descriptor()), Layers: descriptors(layer)})
		accept(c, "v1", m)
		c.send("DELETE", c.blob(layer.digest)).want(405)
		nothing := newContent(unknown, []byte(`{"anything":["goes",1,null]}`))
		accept(c, "v2", nothing)
		accept(c, "v3", newContent(unknown, []byte(`{}`)))
	})
	// image-spec, "Image Manifest": artifactType, with the empty descriptor as configuration.
	g.test("artifacts", func(c *client) {
		empty, layer := emptyJSON(), newBlob(70)
		layer.mediaType = "application/vnd.example.data"
		c.pushBlob(empty)
		c.pushBlob(layer)
		accept(c, "v1", encode(manifest{MediaType: typeManifest, ArtifactType: "application/vnd.example+type",
			Config: ptr(empty.descriptor()), Layers: descriptors(layer)}))
		accept(c, "v2", encode(manifest{MediaType: typeManifest, ArtifactType: "application/vnd.example+type",
			Config: ptr(empty.descriptor()), Layers: descriptors(empty)}))
		accept(c, "v3", encode(manifest{MediaType: typeIndex, ArtifactType: "application/vnd.example+type", Manifests: descriptors()}))
	})
	// image-spec, "Non-Distributable Layers": they "SHOULD NOT" be pushed; Docker's foreign layers likewise.
	g.test("foreign layers", func(c *client) {
		config, layer := newConfig(), newBlob(70)
		c.pushBlob(config)
		c.pushBlob(layer)
		for _, t := range []string{typeNondistributable, typeDockerForeign, strings.TrimSuffix(typeNondistributable, "+gzip")} {
			foreign := newBlob(10).descriptor()
			foreign.MediaType, foreign.URLs = t, []string{"https://example.com/layer"}
			m := encode(manifest{MediaType: typeManifest, Config: ptr(config.descriptor()), Layers: &[]descriptor{foreign, layer.descriptor()}})
			accept(c, "v1", m)
			c.pushManifest("v1", m).wantWarning(foreign.Digest)
			c.wantNoBlob(foreign.Digest)
			c.send("DELETE", c.manifest(m.digest)).want(202)
		}
		// urls alone make no layer foreign.
		missing := newBlob(10).descriptor()
		missing.URLs = []string{"https://example.com/layer"}
		c.refuse(encode(manifest{MediaType: typeManifest, Config: ptr(config.descriptor()), Layers: &[]descriptor{missing}}))
	})
	g.test("one blob several times", func(c *client) {
		config, layer := newConfig(), newBlob(70)
		c.pushBlob(config)
		c.pushBlob(layer)
		m := newImage(config, layer, layer, layer)
		accept(c, "v1", m)
		same := newImage(config, config)
		accept(c, "v2", same)
		accept(c, "index", newIndex(m, m, same))
		c.send("DELETE", c.blob(layer.digest)).want(405)
		c.send("DELETE", c.manifest("index")).want(202)
		c.send("DELETE", c.manifest(newIndex(m, m, same).digest)).want(202)
		c.send("DELETE", c.manifest(m.digest)).want(202)
		c.send("DELETE", c.blob(layer.digest)).want(202)
	})
	// "the list of blobs MAY be empty".
	g.test("empty lists and blobs", func(c *client) {
		config, nothing := newConfig(), newBlob(0)
		c.pushBlob(config)
		c.pushBlob(nothing)
		accept(c, "v1", newImage(config))
		accept(c, "v2", newImage(config, nothing))
		accept(c, "v3", newImage(nothing, nothing))
		accept(c, "v4", newIndex())
	})
	// BuildKit, cache/remotecache/v1/doc.go: "Main manifest is OCI image index", "Manifests array contains descriptors to the
	// cache layers and one instance of build cache config with media type application/vnd.buildkit.cacheconfig.v0". It pushes
	// them as blobs. So it is before v0.21, and after it with image-manifest=false. design: they are held as any blob is.
	g.test("indexes of blobs", func(c *client) {
		for i, types := range [][2]string{{typeIndex, typeLayer}, {typeDockerList, typeDockerLayer}} {
			layers := []content{newBlob(70), newBlob(5000)}
			config := newContent("application/vnd.buildkit.cacheconfig.v0", fmt.Appendf(nil, `{"layers":[{"blob":%q,"parent":-1}],"records":[%d]}`, layers[0].digest, i))
			entries := []descriptor{}
			for _, b := range append(layers, config) {
				c.pushBlob(b)
				d := b.descriptor()
				if b.mediaType == typeLayer {
					d.MediaType = types[1]
					d.Annotations = map[string]string{"buildkit/createdat": "2026-11-21T00:00:00Z", "containerd.io/uncompressed": string(b.digest)}
				}
				entries = append(entries, d)
			}
			cache := encode(manifest{MediaType: types[0], Manifests: &entries})
			accept(c, "cache", cache)
			c.pushManifest("cache", cache).wantNoWarning()
			for _, b := range append(layers, config) {
				c.send("DELETE", c.blob(b.digest)).wantError(405, "DENIED")
				c.wantBlob(b)
				c.wantNoManifest(b.digest)
			}
			image := c.pushBare("v1")
			mixed := newIndex(layers[0], image)
			accept(c, "mixed", mixed)
			c.send("DELETE", c.manifest(cache.digest)).want(202)
			c.send("DELETE", c.blob(layers[1].digest)).want(202)
			c.send("DELETE", c.blob(layers[0].digest)).wantError(405, "DENIED")
			c.send("DELETE", c.manifest(image.digest)).wantError(405, "DENIED")
			c.send("DELETE", c.manifest(mixed.digest)).want(202)
			c.send("DELETE", c.blob(layers[0].digest)).want(202)
			if !c.target.Sparse {
				c.refuse(cache)
			}
		}
	})
	g.test("nested indexes", func(c *client) {
		one, two := c.pushBare("one"), c.pushBare("two")
		inner := newIndex(one, two)
		accept(c, "inner", inner)
		accept(c, "outer", newIndex(inner, one))
	})
	g.test("sha512 all the way", func(c *client) {
		config, layer := newConfig().sha512(), newBlob(70).sha512()
		c.pushBlob(config)
		c.pushBlob(layer)
		m := newImage(config, layer).sha512()
		c.pushManifest(m.digest, m)
		c.wantTagless(m)
		index := newIndex(m).sha512()
		c.pushManifest(index.digest, index)
		c.wantTagless(index)
		c.wantNoManifest(digest.FromBytes(index.bytes))
		// A descriptor under the other algorithm is another descriptor.
		c.refuse(newImage(newContent(typeConfig, config.bytes)))
	})
	// image-spec, "Image Manifest" and "Descriptor": inline data and unknown fields are the client's business.
	g.test("unknown fields", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		m := newContent(typeManifest, fmt.Appendf(nil,
			`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d,"data":"e30=","newField":{"a":[1]}},"layers":[],"org.example":{"b":2}}`,
			typeManifest, typeConfig, config.digest, len(config.bytes)))
		accept(c, "v1", m)
	})
}
