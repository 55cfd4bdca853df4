// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"fmt"
	"sync/atomic"
)

// races are the promises that must hold while others write.
func races(g group) {
	// "Layer Upload De-duplication": "If process A and B upload the same layer at the same time, both operations will
	// proceed and the first to complete will be stored in the registry." Design: each 201 is readable at once.
	g.test("one blob by many", func(c *client) {
		for _, n := range []int{0, 2000, 500_000} {
			for round := range 4 {
				b := newBlob(n)
				parallel(8, func(i int) {
					r := c
					if round%2 == 1 {
						r = c.in(fmt.Sprintf("%s/%d", c.repo, i%3))
					}
					if err := r.uploadAndRead(b, i); err != nil {
						c.Error(err)
					}
				})
			}
		}
	})
	g.test("one mount by many", func(c *client) {
		for range 4 {
			b := newBlob(3000)
			c.pushBlob(b)
			target := c.in(c.repo + "/target")
			parallel(8, func(int) {
				a, err := target.try("POST", with(with(target.uploads(), "mount", b.digest), "from", c.repo))
				if err == nil && a.status != 201 {
					err = fmt.Errorf("mount: status %d", a.status)
				}
				if err == nil {
					err = target.read(target.blob(b.digest), b)
				}
				if err != nil {
					c.Error(err)
				}
			})
		}
	})
	g.test("one manifest by many", func(c *client) {
		for round := range 5 {
			config, layer := newConfig(), newBlob(100)
			c.pushBlob(config)
			c.pushBlob(layer)
			m := newImage(config, layer)
			parallel(8, func(i int) {
				ref := c.manifest(fmt.Sprintf("v%d.%d", round, i%3))
				a, err := c.try("PUT", ref, header("Content-Type", m.mediaType), body(m.bytes))
				if err == nil && a.status != 201 {
					err = fmt.Errorf("PUT: status %d: %s", a.status, clip(a.body))
				}
				if err == nil {
					err = c.read(ref, m)
				}
				if err != nil {
					c.Error(err)
				}
			})
			c.send("DELETE", c.manifest(m.digest)).want(202)
			c.send("DELETE", c.blob(layer.digest)).want(202)
		}
	})
	// anchors, pain 9: a 201 whose tag silently did not move. Every writer's manifest was the tag's at some moment, and
	// readers see one of them, whole.
	g.test("one tag by many", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		const writers, rounds = 6, 8
		all := map[string][]byte{}
		manifests := make([][]content, writers)
		for i := range writers {
			for j := range rounds {
				m := numbered(config, fmt.Sprintf("%d.%d", i, j))
				manifests[i] = append(manifests[i], m)
				all[m.digest.String()] = m.bytes
			}
		}
		c.pushManifest("v1", manifests[0][0])
		var writing atomic.Int64
		writing.Store(writers)
		parallel(writers+2, func(i int) {
			if i >= writers {
				for writing.Load() > 0 {
					a, err := c.try("GET", c.manifest("v1"))
					if err != nil {
						c.Error(err)
						return
					}
					if a.status != 200 || !bytes.Equal(all[a.header.Get("Docker-Content-Digest")], a.body) {
						c.Errorf("status %d, digest %s: %s", a.status, a.header.Get("Docker-Content-Digest"), clip(a.body))
						return
					}
				}
				return
			}
			defer writing.Add(-1)
			for _, m := range manifests[i] {
				a, err := c.try("PUT", c.manifest("v1"), header("Content-Type", m.mediaType), body(m.bytes))
				if err != nil || a.status != 201 {
					c.Errorf("PUT: %v, %+v", err, a)
					return
				}
			}
		})
		// The last word is one writer's last word.
		last := c.send("GET", c.manifest("v1")).want(200).header.Get("Docker-Content-Digest")
		found := false
		for i := range writers {
			found = found || manifests[i][rounds-1].digest.String() == last
		}
		if !found {
			c.Errorf("the tag ends at %s, which is nobody's last", last)
		}
	})
	// peers.md, "race_blob_delete": a manifest answered 201 has its blobs.
	g.test("blob delete against push", func(c *client) {
		for round := range 20 {
			config, layer := newConfig(), newBlob(100)
			c.pushBlob(config)
			c.pushBlob(layer)
			m := newImage(config, layer)
			pushed, deleted := 0, 0
			parallel(2, func(i int) {
				if i == 0 {
					if a, err := c.try("DELETE", c.blob(layer.digest)); err != nil {
						c.Error(err)
					} else {
						deleted = a.status
					}
					return
				}
				if a, err := c.try("PUT", c.manifest("v1"), header("Content-Type", m.mediaType), body(m.bytes)); err != nil {
					c.Error(err)
				} else {
					pushed = a.status
				}
			})
			switch {
			case pushed == 201 && deleted == 405:
				c.wantBlob(layer)
				c.wantTag("v1", m)
			case (pushed == 404 || pushed == 400) && deleted == 202:
				c.wantNoBlob(layer.digest)
				c.wantNoManifest(m.digest)
			default:
				c.Errorf("round %d: PUT %d, DELETE %d", round, pushed, deleted)
			}
		}
	})
	g.test("manifest delete against push", func(c *client) {
		config, layer := newConfig(), newBlob(100)
		c.pushBlob(config)
		c.pushBlob(layer)
		m := newImage(config, layer)
		for round := range 15 {
			c.pushManifest("v1", m)
			parallel(3, func(i int) {
				if i == 0 {
					if a, err := c.try("DELETE", c.manifest(m.digest)); err != nil || a.status != 202 && a.status != 404 {
						c.Errorf("round %d: DELETE: %v, %+v", round, err, a)
					}
					return
				}
				a, err := c.try("PUT", c.manifest(fmt.Sprintf("v%d", i)), header("Content-Type", m.mediaType), body(m.bytes))
				if err != nil || a.status != 201 {
					c.Errorf("round %d: PUT: %v, %+v", round, err, a)
				}
			})
			// Whatever came last: a tag that is there leads somewhere, and to all of it.
			for _, tag := range c.list(c.tags(), "tags").names {
				c.wantTag(tag, m)
				c.wantTagless(m)
				c.wantBlob(layer)
			}
		}
	})
	// protocol §3.1: of two PATCHes of one offset one loses before it writes.
	g.test("one chunk twice", func(c *client) {
		for range 10 {
			b := newBlob(100_000)
			u := c.startUpload()
			var accepted atomic.Int64
			parallel(2, func(int) {
				a, err := c.try("PATCH", u.location, header("Content-Range", "0-99999"), body(b.bytes))
				if err != nil {
					c.Error(err)
					return
				}
				if a.status == 202 {
					accepted.Add(1)
				} else if a.status != 416 && a.status != 400 {
					c.Errorf("PATCH: status %d: %s", a.status, clip(a.body))
				}
			})
			if accepted.Load() != 1 {
				c.Errorf("%d of 2 PATCHes of one offset were accepted", accepted.Load())
			}
			u.wantStatus(len(b.bytes))
			c.created(u.finish(b.digest, nil), b)
		}
	})
	g.test("finish twice at once", func(c *client) {
		for range 10 {
			b := newBlob(10_000)
			u := c.startUpload()
			u.accepted(u.chunk(0, b.bytes), len(b.bytes))
			parallel(2, func(int) {
				if a, err := c.try("PUT", with(u.location, "digest", b.digest), body(nil)); err != nil || a.status != 201 {
					c.Errorf("PUT: %v, %+v", err, a)
				}
			})
			c.wantBlob(b)
		}
	})
}

// uploadAndRead uploads a blob in the i-th of the ways that clients use, and reads it as soon as it is answered.
func (c *client) uploadAndRead(b content, i int) error {
	if i%3 == 0 {
		if _, err := c.step(201, "POST", with(c.uploads(), "digest", b.digest), body(b.bytes)); err != nil {
			return err
		}
		return c.read(c.blob(b.digest), b)
	}
	location, err := c.step(202, "POST", c.uploads(), body(nil))
	if err != nil {
		return err
	}
	rest := b.bytes
	if i%3 == 1 {
		if location, err = c.step(202, "PATCH", location, stream(b.bytes)); err != nil {
			return err
		}
		rest = nil
	}
	if _, err := c.step(201, "PUT", with(location, "digest", b.digest), body(rest)); err != nil {
		return err
	}
	return c.read(c.blob(b.digest), b)
}

// step sends a request, wants a status and returns the location.
func (c *client) step(status int, method, ref string, options ...option) (string, error) {
	a, err := c.try(method, ref, options...)
	if err != nil {
		return "", err
	}
	if a.status != status {
		return "", fmt.Errorf("%s: status %d, want %d: %s", a.what, a.status, status, clip(a.body))
	}
	return a.resolve()
}

// read wants content at once, by HEAD and by GET.
func (c *client) read(ref string, b content) error {
	for _, method := range []string{"HEAD", "GET"} {
		a, err := c.try(method, ref)
		if err != nil {
			return err
		}
		if a.status != 200 || a.length != int64(len(b.bytes)) {
			return fmt.Errorf("%s after 201: status %d, Content-Length %d, want %d", a.what, a.status, a.length, len(b.bytes))
		}
		if method == "GET" && !bytes.Equal(a.body, b.bytes) {
			return fmt.Errorf("%s after 201: other bytes", a.what)
		}
	}
	return nil
}
