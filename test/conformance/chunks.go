// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"
)

// chunkSize is the smallest chunk that the registry wants, or n where it has no wish.
//
// "Pushing a blob in chunks": "If the registry has a minimum chunk size, the POST response SHOULD include the following
// header, where <size> is the size in bytes: OCI-Chunk-Min-Length: <size>".
func (c *client) chunkSize(n int) int {
	c.Helper()
	value := c.send("POST", c.uploads(), body(nil)).want(202).header.Get("OCI-Chunk-Min-Length")
	if value == "" {
		return n
	}
	least, err := strconv.Atoi(value)
	if err != nil || least < 0 {
		c.Fatalf("OCI-Chunk-Min-Length is %q", value)
	}
	return max(n, least)
}

func pushChunks(g group) {
	for _, algorithm := range []digest.Algorithm{digest.SHA256, digest.SHA512} {
		g.test("in order by "+algorithm.String(), func(c *client) {
			size := c.chunkSize(1000)
			for _, lastByPut := range []bool{false, true} {
				b := newBlob(3*size + 7)
				b.digest = algorithm.FromBytes(b.bytes)
				u := c.startUpload()
				offset := 0
				for ; offset+size < len(b.bytes); offset += size {
					u.accepted(u.chunk(offset, b.bytes[offset:offset+size]), offset+size)
					u.wantStatus(offset + size)
				}
				// "The final chunk MAY be uploaded using a PATCH request or it MAY be uploaded in the closing PUT
				// request." "The final chunk MAY have any length."
				last := b.bytes[offset:]
				if !lastByPut {
					u.accepted(u.chunk(offset, last), len(b.bytes))
					c.created(u.finish(b.digest, nil), b)
					continue
				}
				c.created(u.send("PUT", with(u.location, "digest", b.digest), header("Content-Type", typeBytes),
					header("Content-Range", strconv.Itoa(offset)+"-"+strconv.Itoa(len(b.bytes)-1)), body(last)), b)
			}
		})
	}
	// clients.md: regclient falls back to chunks; many small ones must give the same blob.
	g.test("many", func(c *client) {
		size := c.chunkSize(777)
		b := newBlob(100 * size)
		u := c.startUpload()
		for offset := 0; offset < len(b.bytes); offset += size {
			u.accepted(u.chunk(offset, b.bytes[offset:offset+size]), offset+size)
		}
		c.created(u.finish(b.digest, nil), b)
	})
	g.test("without ranges", func(c *client) {
		size := c.chunkSize(5000)
		b := newBlob(3 * size)
		u := c.startUpload()
		for offset := 0; offset < len(b.bytes); offset += size {
			part := b.bytes[offset : offset+size]
			send := body(part)
			if offset == size {
				send = stream(part)
			}
			u.accepted(u.send("PATCH", u.location, send), offset+size)
		}
		c.created(u.finish(b.digest, nil), b)
	})
	// "Chunks MUST be uploaded in order ... If a chunk is uploaded out of order, the registry MUST respond with a 416
	// Requested Range Not Satisfiable code. A GET request may be used to retrieve the current valid offset and upload
	// location."
	g.test("out of order", func(c *client) {
		size := c.chunkSize(1000)
		b := newBlob(3 * size)
		u := c.startUpload()
		for offset := 0; offset < len(b.bytes); offset += size {
			for _, wrong := range []int{0, offset - 1, offset + 1, offset + size, len(b.bytes) + size} {
				if wrong == offset || wrong < 0 {
					continue
				}
				u.chunk(wrong, b.bytes[:size]).want(416)
				u.wantStatus(offset)
				// "If the final chunk is uploaded out of order, the registry MUST respond with a 416" (spec main).
				u.send("PUT", with(u.location, "digest", b.digest), body(b.bytes[:size]),
					header("Content-Range", strconv.Itoa(wrong)+"-"+strconv.Itoa(wrong+size-1))).want(416)
				u.send("GET", with(u.location, "digest", b.digest)).want(204).wantHeader("Range", rangeOf(offset))
			}
			u.accepted(u.chunk(offset, b.bytes[offset:offset+size]), offset+size)
		}
		c.created(u.finish(b.digest, nil), b)
	})
	// "The <location> refers to the URL obtained from any preceding POST or PATCH request."
	g.test("at an earlier location", func(c *client) {
		size := c.chunkSize(1000)
		b := newBlob(2 * size)
		u := c.startUpload()
		first := *u
		u.accepted(u.chunk(0, b.bytes[:size]), size)
		first.chunk(0, b.bytes[:size]).want(416)
		first.wantStatus(size)
		u.accepted(u.chunk(size, b.bytes[size:]), 2*size)
		c.created(u.finish(b.digest, nil), b)
	})
	// "The <range> refers to the byte range of the chunk, and MUST be inclusive on both ends. ... It MUST match the
	// following regular expression: ^[0-9]+-[0-9]+$".
	g.test("malformed ranges", func(c *client) {
		size := c.chunkSize(100)
		b := newBlob(2 * size)
		u := c.startUpload()
		u.accepted(u.chunk(0, b.bytes[:size]), size)
		begin, end := strconv.Itoa(size), strconv.Itoa(2*size-1)
		for _, r := range []string{
			"-", begin + "-", "-" + end, end + "-" + begin, "a-b", "0x64-0xc7", begin + "-" + end + ",300-400",
			"bytes " + begin + "-" + end + "/*", "bytes=" + begin + "-" + end, begin + "--" + end, "+" + begin + "-" + end,
			begin + "-99999999999999999999", "99999999999999999999-99999999999999999999", "-1-" + end,
			begin + "-" + end + "\t1", begin,
		} {
			u.patch(r, b.bytes[size:]).want(400, 416)
			u.wantStatus(size)
		}
		// Two ranges are no range.
		u.send("PATCH", u.location, header("Content-Range", begin+"-"+end), header("Content-Range", "0-1"), body(b.bytes[size:])).
			want(400, 416)
		u.wantStatus(size)
		u.accepted(u.chunk(size, b.bytes[size:]), 2*size)
		c.created(u.finish(b.digest, nil), b)
	})
	// "The <length> is the content-length, in bytes, of the current chunk." "Error Codes": "SIZE_INVALID: provided length
	// did not match content length".
	g.test("ranges of another length", func(c *client) {
		size := c.chunkSize(100)
		b := newBlob(2 * size)
		u := c.startUpload()
		u.accepted(u.chunk(0, b.bytes[:size]), size)
		for _, end := range []int{size, 2*size - 2, 2 * size, 10 * size} {
			u.patch(strconv.Itoa(size)+"-"+strconv.Itoa(end), b.bytes[size:]).want(400, 416)
			u.wantStatus(size)
		}
		u.accepted(u.chunk(size, b.bytes[size:]), 2*size)
		c.created(u.finish(b.digest, nil), b)
	})
	g.test("wrong digest at the end", func(c *client) {
		size := c.chunkSize(1000)
		b := newBlob(2 * size)
		u := c.startUpload()
		u.accepted(u.chunk(0, b.bytes[:size]), size)
		u.accepted(u.chunk(size, b.bytes[size:]), 2*size)
		wrong := newBlob(1).digest
		u.finish(wrong, nil).wantError(400, "DIGEST_INVALID")
		c.wantNoBlob(wrong)
		c.wantNoBlob(b.digest)
		// design: nothing of an upload that ended with a wrong digest is kept.
		if a := u.finish(b.digest, nil); a.status == 201 {
			c.Errorf("the bytes were kept after a wrong digest")
		}
	})
}

func uploads(g group) {
	g.test("status", func(c *client) {
		u := c.startUpload()
		u.wantStatus(0)
		b := newBlob(c.chunkSize(10))
		u.accepted(u.chunk(0, b.bytes), len(b.bytes))
		u.wantStatus(len(b.bytes))
		c.send("HEAD", u.location).want(204, 405)
	})
	// Spec main, "Cancel a blob upload": "During a blob upload, the session may be canceled with a DELETE request ... If
	// successful, the response SHOULD be a 204 No Content response code."
	g.test("cancel", func(c *client) {
		never := c.startUpload()
		c.send("DELETE", never.location).want(204)
		c.send("GET", never.location).wantError(404, "BLOB_UPLOAD_UNKNOWN")
		b := newBlob(c.chunkSize(1000))
		u := c.startUpload()
		u.accepted(u.chunk(0, b.bytes), len(b.bytes))
		c.send("DELETE", u.location).want(204)
		// "Endpoints", end-13: 404. Design (decision 0003): a canceled upload stays closed until its id ends.
		for range 2 {
			c.send("GET", u.location).wantError(404, "BLOB_UPLOAD_UNKNOWN")
			u.chunk(0, b.bytes).wantError(404, "BLOB_UPLOAD_UNKNOWN")
			u.finish(b.digest, nil).wantError(404, "BLOB_UPLOAD_UNKNOWN")
			u.finish(b.digest, b.bytes).wantError(404, "BLOB_UPLOAD_UNKNOWN")
			c.send("DELETE", u.location).want(204, 404)
		}
		c.wantNoBlob(b.digest)
	})
	// protocol §3.1: a client that repeats its last PUT gets the answer of the first.
	g.test("finish twice", func(c *client) {
		for _, last := range []int{0, 300} {
			b := newBlob(1000)
			head := b.bytes[:len(b.bytes)-last]
			u := c.startUpload()
			u.accepted(u.chunk(0, head), len(head))
			for range 2 {
				options := []option{body(b.bytes[len(head):])}
				if last > 0 {
					options = append(options, header("Content-Range", strconv.Itoa(len(head))+"-999"))
				}
				c.created(c.send("PUT", with(u.location, "digest", b.digest), options...), b)
			}
		}
		b := newBlob(1000)
		u := c.startUpload()
		c.created(u.finish(b.digest, b.bytes), b)
		c.created(u.finish(b.digest, b.bytes), b)
	})
	// "Error Codes": "BLOB_UPLOAD_UNKNOWN: blob upload unknown to registry".
	g.test("unknown", func(c *client) {
		live := c.startUpload()
		for _, id := range []string{
			"00000000-0000-0000-0000-000000000000", "x", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "%00",
			"..%2F..%2Fx", "a%2Fb", "%E2%82%AC",
		} {
			u := &upload{client: c, location: c.uploads() + id}
			for _, a := range []*answer{
				c.send("GET", u.location),
				c.send("DELETE", u.location),
				u.chunk(0, []byte("abc")),
				u.finish(newBlob(3).digest, []byte("abc")),
			} {
				a.want(404, 400)
			}
		}
		for _, a := range []*answer{
			c.send("GET", c.uploads()+"7c8e1f6a-6f0e-4c1c-9d0a-3c9a1b1f0e11"),
			c.send("DELETE", c.uploads()+"7c8e1f6a-6f0e-4c1c-9d0a-3c9a1b1f0e11"),
		} {
			a.wantError(404, "BLOB_UPLOAD_UNKNOWN")
		}
		live.wantStatus(0)
	})
	// design: an upload belongs to its repository.
	g.test("of another repository", func(c *client) {
		other := c.repo + "/other"
		b := newBlob(c.chunkSize(100))
		u := c.startUpload()
		u.accepted(u.chunk(0, b.bytes), len(b.bytes))
		foreign := &upload{client: c.in(other), location: u.moved(other)}
		foreign.send("GET", foreign.location).want(404, 400)
		foreign.send("DELETE", foreign.location).want(404, 400)
		foreign.chunk(len(b.bytes), b.bytes).want(404, 400)
		foreign.finish(b.digest, nil).want(404, 400)
		u.wantStatus(len(b.bytes))
		c.created(u.finish(b.digest, nil), b)
	})
	g.test("methods", func(c *client) {
		u := c.startUpload()
		c.send("GET", c.uploads()).want(404, 405)
		c.send("PUT", c.uploads(), body(nil)).want(404, 405)
		a := c.send("POST", u.location, body(nil)).want(404, 405)
		if a.status == http.StatusMethodNotAllowed && a.header.Get("Allow") == "" {
			c.Error("RFC 9110: a 405 without Allow")
		}
	})
}
