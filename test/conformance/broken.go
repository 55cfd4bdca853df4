// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// brokenBodies are requests whose bodies are not what their heads say.
func brokenBodies(g group) {
	whole := func(part []byte) string { return string(part) }
	length := func(size int) string { return "Content-Length: " + strconv.Itoa(size) }
	// "Resumable Push": "The registry notifies the build server that the upload has already been partially attempted. The
	// build server responds by only sending the remaining data to complete the blob transfer." Design: the session
	// survives, and what came is kept for a resume.
	for _, b := range []struct {
		name   string
		fields func(size int) string
		body   func(part []byte) string
	}{
		{"PATCH", length, whole},
		{"PATCH with a range", func(size int) string { return fields(length(size), fmt.Sprintf("Content-Range: 0-%d", size-1)) }, whole},
		{"streamed PATCH", func(int) string { return "Transfer-Encoding: chunked" }, chunked},
	} {
		g.test("resume after a broken "+b.name, func(c *client) {
			if c.target.Gateway {
				return
			}
			for _, n := range []int{1000, 300_000} {
				blob := newBlob(n)
				part := blob.bytes[:n*2/5]
				u := c.startUpload()
				w := c.dial()
				w.request("PATCH", u.location, b.fields(n), b.body(part))
				if a := w.hangUp(); a != nil && a.status < 300 {
					c.Errorf("half a body was answered with %d", a.status)
				}
				c.wantNoBlob(blob.digest)
				u.wantStatus(len(part))
				u.accepted(u.chunk(len(part), blob.bytes[len(part):]), n)
				c.created(u.finish(blob.digest, nil), blob)
			}
		})
	}
	// clients.md: containerd repeats a broken PUT from its first byte, at the same location. What a PUT brought must not
	// be in its way.
	for _, b := range []struct {
		name   string
		fields func(size int) string
		body   func(part []byte) string
	}{
		{"PUT", length, whole},
		{"streamed PUT", func(int) string { return "Transfer-Encoding: chunked" }, chunked},
	} {
		g.test("repeat a broken "+b.name, func(c *client) {
			for _, n := range []int{1000, 300_000} {
				for _, head := range []int{0, 100} {
					blob := newBlob(n)
					u := c.startUpload()
					if head > 0 {
						u.accepted(u.chunk(0, blob.bytes[:head]), head)
					}
					w := c.dial()
					w.request("PUT", with(u.location, "digest", blob.digest), b.fields(n-head), b.body(blob.bytes[head:n/2]))
					if a := w.hangUp(); a != nil && a.status < 300 {
						c.Errorf("half a body was answered with %d", a.status)
					}
					c.wantNoBlob(blob.digest)
					u.wantStatus(head)
					c.created(u.finish(blob.digest, blob.bytes[head:]), blob)
				}
			}
		})
	}
	g.test("resume after a broken chunk", func(c *client) {
		if c.target.Gateway {
			return
		}
		size := c.chunkSize(1000)
		blob := newBlob(3 * size)
		u := c.startUpload()
		u.accepted(u.chunk(0, blob.bytes[:size]), size)
		w := c.dial()
		w.request("PATCH", u.location, fields(fmt.Sprintf("Content-Range: %d-%d", size, 2*size-1), "Content-Length: "+strconv.Itoa(size)),
			string(blob.bytes[size:size+size/2]))
		w.hangUp()
		u.wantStatus(size + size/2)
		c.created(u.finish(blob.digest, blob.bytes[size+size/2:]), blob)
	})
	// A connection that dies without a word: when the server notices is its affair, so the client asks until it may go on.
	g.test("resume after a reset", func(c *client) {
		blob := newBlob(2_000_000)
		u := c.startUpload()
		w := c.dial()
		w.request("PATCH", u.location, "Content-Length: 2000000", string(blob.bytes[:1_000_000]))
		w.reset()
		for deadline := time.Now().Add(20 * time.Second); ; {
			if time.Now().After(deadline) {
				c.Fatal("the upload cannot be resumed")
			}
			a := c.send("GET", u.location).want(204)
			last, err := strconv.Atoi(strings.TrimPrefix(a.header.Get("Range"), "0-"))
			if err != nil || last >= 1_000_000 {
				c.Fatalf("Range is %q after at most 1,000,000 bytes", a.header.Get("Range"))
			}
			offset := last + 1
			if last == 0 {
				offset = 0
			}
			u.location = a.location()
			// 400 while the dead request records what it brought, between the question and the chunk.
			a = u.chunk(offset, blob.bytes[offset:]).want(202, 400, 416)
			if a.status == 202 {
				u.accepted(a, len(blob.bytes))
				break
			}
		}
		c.created(u.finish(blob.digest, nil), blob)
	})
	// "Single POST": "The Content-Length header MUST match the blob's actual content length."
	g.test("broken POST", func(c *client) {
		blob := newBlob(1000)
		for _, send := range []struct{ fields, body string }{
			{"Content-Length: 1000", string(blob.bytes[:400])},
			{"Transfer-Encoding: chunked", chunked(blob.bytes[:400])},
			// The whole blob, and no end: nobody can know that it was all.
			{"Content-Length: 1001", string(blob.bytes)},
			{"Transfer-Encoding: chunked", chunked(blob.bytes)},
		} {
			w := c.dial()
			w.request("POST", c.target.BaseURL+with(c.uploads(), "digest", blob.digest), send.fields, send.body)
			if a := w.hangUp(); a != nil && a.status < 300 {
				c.Errorf("%s: half a body was answered with %d", send.fields, a.status)
			}
			c.wantNoBlob(blob.digest)
		}
	})
	g.test("Content-Length too small", func(c *client) {
		blob := newBlob(1000)
		w := c.dial()
		w.request("POST", c.target.BaseURL+with(c.uploads(), "digest", blob.digest), fields("Content-Length: 400", "Connection: close"), string(blob.bytes))
		if a := w.answer(); a != nil {
			a.want(400)
		}
		c.wantNoBlob(blob.digest)
	})
	g.test("broken manifest", func(c *client) {
		config := newConfig()
		c.pushBlob(config)
		m := newImage(config)
		for _, send := range []struct{ fields, body string }{
			{"Content-Length: " + strconv.Itoa(len(m.bytes)), string(m.bytes[:len(m.bytes)-10])},
			{"Content-Length: " + strconv.Itoa(len(m.bytes)+1), string(m.bytes)},
			{"Transfer-Encoding: chunked", chunked(m.bytes)},
		} {
			w := c.dial()
			w.request("PUT", c.target.BaseURL+c.manifest("v1"), fields("Content-Type: "+typeManifest, send.fields), send.body)
			if a := w.hangUp(); a != nil && a.status < 400 {
				c.Errorf("%s: half a manifest was answered with %d", send.fields, a.status)
			}
			c.wantNoManifest("v1")
			c.wantNoManifest(m.digest)
		}
	})
	// "Pushing Manifests": 413. Design: by the head alone, before the body is sent.
	g.test("huge manifest", func(c *client) {
		w := c.dial()
		w.request("PUT", c.target.BaseURL+c.manifest("v1"), fields("Content-Type: "+typeManifest, "Content-Length: 10000000000", "Expect: 100-continue"), "")
		a := w.answer()
		if a == nil {
			c.Fatal("no answer to a manifest of 10 GB")
		}
		if a.want(413); !c.target.Gateway {
			a.wantError(413, "SIZE_INVALID", "MANIFEST_INVALID")
		}
	})
	// RFC 9112, "Message Body Length": such heads "ought to be handled as an error".
	g.test("two lengths", func(c *client) {
		blob := newBlob(100)
		for _, f := range []string{
			fields("Content-Length: 100", "Content-Length: 50"), "Content-Length: -1", "Content-Length: 1e2", "Content-Length: 99999999999999999999",
			"Transfer-Encoding: gzip", fields("Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
		} {
			w := c.dial()
			w.request("POST", c.target.BaseURL+with(c.uploads(), "digest", blob.digest), f, string(blob.bytes))
			if a := w.hangUp(); a != nil && (a.status < 400 || a.status == 500) {
				c.Errorf("%q was answered with %d", f, a.status)
			}
			c.wantNoBlob(blob.digest)
		}
	})
	// RFC 9112, "Pipelining": "A server ... MUST send the corresponding responses in the same order".
	g.test("pipelined", func(c *client) {
		first, second := c.pushBare("v1"), c.pushBare("v2")
		w := c.dial()
		w.request("GET", c.target.BaseURL+c.manifest("v1"), "Accept: "+typeManifest, "")
		w.request("GET", c.target.BaseURL+c.manifest("v2"), "Accept: "+typeManifest, "")
		for _, m := range []content{first, second} {
			a := w.answer()
			if a == nil {
				c.Fatal("no answer")
			}
			a.want(200).wantBody(m.bytes)
		}
	})
}
