// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"strings"
)

func invalidManifests(g group) {
	// "Error Codes": "MANIFEST_INVALID: manifest invalid".
	g.test("not a manifest", func(c *client) {
		for name, b := range map[string]string{
			"nothing":           "",
			"blank":             " \n",
			"text":              "blablabla",
			"cut short":         `{"schemaVersion":2,"config":{`,
			"null":              "null",
			"a string":          `"manifest"`,
			"a number":          "2",
			"a list":            "[]",
			"a list of objects": `[{"schemaVersion":2}]`,
			"two objects":       `{"schemaVersion":2} {"schemaVersion":2}`,
			"trailing text":     `{"schemaVersion":2,"layers":[]}x`,
			"binary":            "\x1f\x8b\x08\x00\x00\x00\x00\x00",
			"deep lists":        strings.Repeat("[", 100_000),
			"deep objects":      `{"a":` + strings.Repeat(`{"a":`, 100_000),
			"deep and closed":   `{"a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + "}",
			"deep in a config":  `{"config":` + strings.Repeat(`{"config":`, 5000) + "1" + strings.Repeat("}", 5001),
		} {
			c.reject(name, newContent(typeManifest, []byte(b)))
		}
	})
	g.test("wrong types", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		d := fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, typeConfig, config.digest, len(config.bytes))
		c.pushManifest("good", newContent(typeManifest, fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":[]}`, typeManifest, d)))
		for _, fields := range []string{
			`"config":[]`, `"config":"x"`, `"config":7`, `"config":{"digest":5}`, `"config":{"mediaType":[],"digest":"x"}`,
			`"config":` + d + `,"layers":{}`, `"config":` + d + `,"layers":"x"`, `"config":` + d + `,"layers":[1]`,
			`"config":` + d + `,"layers":[[]]`, `"config":` + d + `,"layers":["sha256:x"]`,
			`"config":` + d + `,"layers":[],"subject":[]`, `"config":` + d + `,"layers":[],"subject":"x"`,
			`"config":` + d + `,"layers":[],"annotations":[]`, `"config":` + d + `,"layers":[],"annotations":{"a":1}`,
			`"config":` + d + `,"layers":[],"artifactType":{}`, `"config":` + d + `,"layers":[],"mediaType":3`,
		} {
			c.reject(fields, newContent(typeManifest, []byte(`{"schemaVersion":2,`+fields+`}`)))
		}
		c.reject("manifests", newContent(typeIndex, []byte(`{"schemaVersion":2,"manifests":{}}`)))
		c.reject("a child", newContent(typeIndex, []byte(`{"schemaVersion":2,"manifests":[true]}`)))
	})
	// image-spec, "Digests": "encoded MUST match /[a-f0-9]{64}/"; "Descriptor": "size ... REQUIRED ... int64".
	g.test("bad descriptors", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		for _, bad := range malformedDigests(config.digest) {
			c.reject(bad, newContent(typeManifest, fmt.Appendf(nil,
				`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":2},"layers":[]}`,
				typeManifest, typeConfig, strings.ReplaceAll(bad, "\x00", "0"))))
		}
		for _, bad := range []string{`""`, `null`, `"../../etc/passwd"`, `"sha256:../../../../../../etc/passwd"`} {
			c.reject(bad, newContent(typeManifest, fmt.Appendf(nil,
				`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%s,"size":2},"layers":[]}`,
				typeManifest, typeConfig, bad)))
			c.reject("subject "+bad, newContent(typeIndex, fmt.Appendf(nil,
				`{"schemaVersion":2,"mediaType":%q,"manifests":[],"subject":{"mediaType":%q,"digest":%s,"size":2}}`,
				typeIndex, typeManifest, bad)))
		}
		for _, size := range []string{"-1", "1.5", `"2"`, "99999999999999999999"} {
			c.reject("size "+size, newContent(typeManifest, fmt.Appendf(nil,
				`{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%s},"layers":[]}`,
				typeManifest, typeConfig, config.digest, size)))
		}
	})
	g.test("bad media types", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		long := "application/" + strings.Repeat("x", 400)
		b := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":%q,"size":%d},"layers":[]}`,
			long, typeConfig, config.digest, len(config.bytes))
		c.reject("a long media type", newContent(long, b))
		c.send("PUT", c.manifest("v1"), header("Content-Type", "nonsense"), body([]byte(`{"a":1}`))).want(400)
		c.wantNoManifest("v1")
	})
}

// reject wants a manifest to be refused as no manifest, and nothing of it to stay.
func (c *client) reject(name string, m content) {
	c.Helper()
	for _, ref := range []any{"rejected", m.digest} {
		a := c.putManifest(ref, m)
		codes, err := a.errors()
		if a.status != 400 || err != nil || codes[0] != "MANIFEST_INVALID" && codes[0] != "DIGEST_INVALID" {
			c.Errorf("%s: %s: status %d, want 400 MANIFEST_INVALID: %s", clip([]byte(name)), ref, a.status, clip(a.body))
		}
		c.wantNoManifest(ref)
	}
}
