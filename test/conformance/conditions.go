// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"
)

func multipleTags(g group) {
	// acceptedTags are the tags that OCI-Tag lists.
	acceptedTags := func(a *answer) map[string]bool {
		tags := map[string]bool{}
		for _, value := range a.header.Values("OCI-Tag") {
			for tag := range strings.SplitSeq(value, ",") {
				tags[strings.TrimSpace(tag)] = true
			}
		}
		return tags
	}
	// Spec main, "Pushing Manifests": "When pushing a manifest by digest, the registry MAY support the pushing of tags
	// specified by addition of tag query parameters. If a registry supports this, it: SHOULD support pushing at least 10
	// tags per request. ... MUST include an OCI-Tag response header ... for each accepted tag."
	g.test("with a digest", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		for _, m := range []content{newImage(config), newImage(config).sha512()} {
			ref := c.manifest(m.digest)
			for i := range 10 {
				ref = with(ref, "tag", fmt.Sprintf("v%d", i))
			}
			a := c.send("PUT", ref, header("Content-Type", m.mediaType), body(m.bytes)).want(201).
				wantHeader("Docker-Content-Digest", m.digest)
			tags := acceptedTags(a)
			for i := range 10 {
				tag := fmt.Sprintf("v%d", i)
				if !tags[tag] {
					c.Errorf("OCI-Tag %q lacks %s", a.header.Values("OCI-Tag"), tag)
				}
				c.wantTag(tag, m)
			}
			if len(tags) != 10 {
				c.Errorf("OCI-Tag has %d tags, want 10", len(tags))
			}
		}
	})
	g.test("repeated and none", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		m := newImage(config)
		a := c.send("PUT", with(with(c.manifest(m.digest), "tag", "a"), "tag", "a"), header("Content-Type", m.mediaType), body(m.bytes)).want(201)
		if tags := acceptedTags(a); len(tags) != 1 || !tags["a"] {
			c.Errorf("OCI-Tag is %q, want a", a.header.Values("OCI-Tag"))
		}
		if a := c.pushManifest(m.digest, m); a.header.Get("OCI-Tag") != "" {
			c.Errorf("OCI-Tag %q without a tag", a.header.Get("OCI-Tag"))
		}
	})
	g.test("invalid", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		m := newImage(config)
		for _, tag := range []string{"", ".x", "a b", "a,b", strings.Repeat("a", 129), "sha256:" + m.digest.Encoded()} {
			c.send("PUT", with(with(c.manifest(m.digest), "tag", "good"), "tag", tag), header("Content-Type", m.mediaType), body(m.bytes)).want(400)
			// All or nothing.
			c.wantNoManifest("good")
			c.wantNoManifest(m.digest)
		}
	})
	// Spec main, "Pushing Manifests": "MAY return a 414 Request-URI Too Long status if too many tags are included in the
	// request."
	g.test("too many", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		m := newImage(config)
		ref := c.manifest(m.digest)
		for i := range 300 {
			ref = with(ref, "tag", fmt.Sprintf("v%d", i))
		}
		if a := c.send("PUT", ref, header("Content-Type", m.mediaType), body(m.bytes)).want(201, 414); a.status == 414 {
			a.wantError(414, "SIZE_INVALID", "UNSUPPORTED")
			c.wantNoManifest(m.digest)
		}
	})
}

// etag is the entity tag of a digest.
func etag(d digest.Digest) string { return `"` + d.String() + `"` }

func conditions(g group) {
	// RFC 9110, "If-None-Match": "If the field value is *, the condition is false if the origin server has a current
	// representation for the target resource"; "412 (Precondition Failed) ... for all other request methods".
	g.test("If-None-Match: *", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		first, second := newImage(config), newImage(config, config)
		c.putManifest("v1", first, header("If-None-Match", "*")).want(201)
		c.putManifest("v1", second, header("If-None-Match", "*")).wantError(412, "DENIED")
		c.wantTag("v1", first)
		c.wantNoManifest(second.digest)
		// The tag is what the condition is on, not the manifest.
		c.putManifest("v1", first, header("If-None-Match", "*")).want(412)
		c.putManifest("v2", first, header("If-None-Match", "*")).want(201)
		c.send("DELETE", c.manifest("v1")).want(202)
		c.putManifest("v1", second, header("If-None-Match", "*")).want(201)
		c.wantTag("v1", second)
	})
	// RFC 9110, "If-Match": "the condition is false" where no listed tag matches; "MUST NOT perform the requested method".
	g.test("If-Match", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		first, second, third := newImage(config), newImage(config, config), newIndex()
		c.putManifest("v1", second, header("If-Match", etag(first.digest))).wantError(412, "DENIED")
		c.wantNoManifest("v1")
		c.pushManifest("v1", first)
		c.putManifest("v1", second, header("If-Match", etag(first.digest))).want(201)
		c.wantTag("v1", second)
		c.putManifest("v1", third, header("If-Match", etag(first.digest))).want(412)
		c.wantTag("v1", second)
		c.wantNoManifest(third.digest)
		c.putManifest("v1", second, header("If-Match", etag(second.digest))).want(201)
		c.wantTag("v1", second)
	})
	g.test("malformed", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		first, second := newImage(config), newImage(config, config)
		c.pushManifest("v1", first)
		for _, match := range []string{first.digest.String(), `"`, `"latest"`, `"sha256:xyz"`, "W/" + etag(first.digest), "''"} {
			// RFC 9110: If-Match compares strongly, so a weak tag never matches.
			c.putManifest("v1", second, header("If-Match", match)).want(400, 412)
			c.wantTag("v1", first)
		}
	})
	// design: atomically, under any number of writers.
	g.test("one winner", func(c *client) {
		const writers = 16
		config := newConfig()
		c.pushBlob(config)
		for round := range 5 {
			tag := fmt.Sprintf("v%d", round)
			won := make([]bool, writers)
			manifests := make([]content, writers)
			parallel(writers, func(i int) {
				manifests[i] = numbered(config, fmt.Sprintf("%d.%d", round, i))
				a, err := c.try("PUT", c.manifest(tag), header("If-None-Match", "*"), header("Content-Type", typeManifest), body(manifests[i].bytes))
				if err != nil {
					c.Error(err)
					return
				}
				if won[i] = a.status == 201; !won[i] && a.status != 412 {
					c.Errorf("status %d, want 201 or 412: %s", a.status, clip(a.body))
				}
			})
			winners := 0
			for i := range won {
				if won[i] {
					winners++
					c.wantTag(tag, manifests[i])
				}
			}
			if winners != 1 {
				c.Errorf("%d of %d writers created one tag", winners, writers)
			}
		}
	})
	g.test("no lost update", func(c *client) {
		const writers, rounds = 6, 6
		config := newConfig()
		c.pushBlob(config)
		start := numbered(config, "0")
		c.pushManifest("v1", start)
		var mutex sync.Mutex
		follows := map[digest.Digest]digest.Digest{} // what a 201 replaced → by what
		var number atomic.Int64
		parallel(writers, func(i int) {
			for range rounds {
				for {
					a, err := c.try("HEAD", c.manifest("v1"))
					if err != nil || a.status != 200 {
						c.Errorf("HEAD: %v, %+v", err, a)
						return
					}
					old := digest.Digest(strings.Trim(a.header.Get("ETag"), `"`))
					m := numbered(config, fmt.Sprint(number.Add(1)))
					a, err = c.try("PUT", c.manifest("v1"), header("If-Match", etag(old)), header("Content-Type", typeManifest), body(m.bytes))
					if err != nil {
						c.Error(err)
						return
					}
					if a.status == 412 {
						continue
					}
					if a.status != 201 {
						c.Errorf("status %d, want 201 or 412: %s", a.status, clip(a.body))
						return
					}
					mutex.Lock()
					if other, twice := follows[old]; twice {
						c.Errorf("%s was replaced by %s and by %s", old, other, m.digest)
					}
					follows[old] = m.digest
					mutex.Unlock()
					break
				}
			}
		})
		at := start.digest
		for range writers * rounds {
			at = follows[at]
		}
		c.send("GET", c.manifest("v1")).want(200).wantHeader("Docker-Content-Digest", at)
	})
}

// numbered is an image manifest that differs from others by an annotation.
func numbered(config content, number string) content {
	return encode(manifest{MediaType: typeManifest, Config: ptr(config.descriptor()), Layers: descriptors(),
		Annotations: map[string]string{"org.example.number": number}})
}

// parallel calls f with 0 to n-1, all at once, and waits.
func parallel(n int, f func(i int)) {
	var group sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-start
			f(i)
		})
	}
	close(start)
	group.Wait()
}
