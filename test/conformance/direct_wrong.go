// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"fmt"
	"net/url"
	"strings"

	"github.com/opencontainers/go-digest"
)

func directWrongParts(c *client) {
	b, part := c.threeParts()
	d := c.openDirect(b, part)
	full := digest.FromBytes(d.part(1))
	for _, p := range []struct {
		number, size any
		digest       any
		code         string
	}{
		{0, part, full, "SIZE_INVALID"},
		{-1, part, full, "SIZE_INVALID"},
		{4, part, full, "SIZE_INVALID"},
		{1, part + 1, full, "SIZE_INVALID"},
		{1, part - 1, full, "SIZE_INVALID"},
		{3, part, full, "SIZE_INVALID"},
		{1, -1, full, "SIZE_INVALID"},
		{1, part, b.sha512().digest, "DIGEST_INVALID"},
		{1, part, "", "DIGEST_INVALID"},
		{"1", part, full, "BLOB_UPLOAD_INVALID"},
		{1, part, 1, "BLOB_UPLOAD_INVALID"},
	} {
		first := map[string]any{"number": 2, "size": part, "digest": full}
		wrong := map[string]any{"number": p.number, "size": p.size, "digest": p.digest}
		d.send("POST", d.at("/urls"), object(map[string]any{"parts": []any{first, wrong}})).wantError(400, p.code)
	}
	d.send("POST", d.at("/urls"), object(map[string]any{})).wantError(400, "BLOB_UPLOAD_INVALID")
	many := make([]any, 1001)
	for i := range many {
		many[i] = map[string]any{"number": 1, "size": part, "digest": full}
	}
	d.send("POST", d.at("/urls"), object(map[string]any{"parts": many})).wantError(413, "SIZE_INVALID")

	first := d.sign(map[int][]byte{1: d.part(1)})[0]
	d.refused(first, d.part(2))
	d.refused(first, d.part(1)[1:])
	d.refused(first, append(d.part(1), 0))
	for _, change := range []func(signed) signed{
		func(r signed) signed { r.URL = strings.Replace(r.URL, "partNumber=1", "partNumber=2", 1); return r },
		func(r signed) signed { r.Headers = nil; return r },
		func(r signed) signed { r.Method = "GET"; return r },
	} {
		d.refused(change(first), d.part(1))
	}
	d.wantMissing(1, 2, 3)
	d.bringParts(1, 2, 3)
	d.done()
}

// directWrongContent brings bytes that the store must believe, since each part is what the client said; the whole is not.
func directWrongContent(c *client) {
	b, part := c.threeParts()
	for name, bodies := range map[string]func(d *direct) map[int][]byte{
		"parts in another order": func(d *direct) map[int][]byte { return map[int][]byte{1: d.part(2), 2: d.part(1), 3: d.part(3)} },
		"other bytes": func(d *direct) map[int][]byte {
			return map[int][]byte{1: d.part(1), 2: d.part(2), 3: []byte("another")}
		},
	} {
		d := c.openDirect(b, part)
		wrong := bodies(d)
		for _, r := range d.sign(wrong) {
			d.brought(r, wrong[r.Number])
		}
		for range 2 {
			d.complete().wantError(400, "DIGEST_INVALID")
		}
		if status := d.send("GET", d.at("")).status; status != 400 {
			c.Errorf("%s: the upload is answered %d", name, status)
		}
		d.send("POST", d.at("/urls"), object(map[string]any{})).wantError(400, "DIGEST_INVALID")
		c.wantNoBlob(b.digest)
		d.send("DELETE", d.at("")).want(204)
		d.ended()
		c.wantNoBlob(b.digest)
	}
	// The size is what the client said, and the store holds it to that.
	short := c.openDirect(content{bytes: b.bytes[:1000], digest: b.digest}, 0)
	short.refused(*short.Put, b.bytes[:1000])
	short.refused(*short.Put, b.bytes)
	short.complete().wantError(400, "BLOB_UPLOAD_INVALID")
	c.wantNoBlob(b.digest)
	d := c.openDirect(b, part)
	d.bringParts(1, 2, 3)
	d.done()
}

func directGivenUp(c *client) {
	b, part := c.threeParts()
	put, fresh, parts := c.openDirect(b, 0), c.openDirect(b, 0), c.openDirect(b, part)
	put.brought(*put.Put, b.bytes)
	parts.bringParts(1, 3)
	late := parts.sign(map[int][]byte{2: parts.part(2)})[0]
	for _, d := range []*direct{put, fresh, parts} {
		d.send("DELETE", d.at("")).want(204)
		d.ended()
	}
	for _, r := range []signed{*put.Put, *fresh.Put} {
		if _, err := c.bring(r, b.bytes); err != nil {
			c.Error(err)
		}
	}
	if _, err := c.bring(late, parts.part(2)); err != nil {
		c.Error(err)
	}
	for _, d := range []*direct{put, fresh, parts} {
		d.ended()
	}
	c.wantNoBlob(b.digest)
}

// directExpired wants a URL to end, and others to be given out.
func directExpired(c *client) {
	if c.target.Past == nil {
		c.Skip("the registry signs for now alone")
	}
	b, part := c.threeParts()
	var put, parts *direct
	var old signed
	c.target.Past(func() {
		put, parts = c.openDirect(b, 0), c.openDirect(b, part)
		old = parts.sign(map[int][]byte{1: parts.part(1)})[0]
	})
	put.refused(*put.Put, b.bytes)
	parts.refused(old, parts.part(1))
	put.complete().wantError(400, "BLOB_UPLOAD_INVALID")
	parts.wantMissing(1, 2, 3)
	c.wantNoBlob(b.digest)
	parts.bringParts(1, 2, 3)
	parts.done()
	var again struct{ URLs []signed }
	put.send("POST", put.at("/urls"), object(map[string]any{})).want(200).decode(&again)
	put.brought(again.URLs[0], b.bytes)
	put.done()
}

func directIDs(c *client) {
	b := newBlob(100)
	d := c.openDirect(b, 0)
	d.brought(*d.Put, b.bytes)
	ordinary := c.startUpload()
	from, err := url.Parse(ordinary.location)
	if err != nil {
		c.Fatal(err)
	}
	for _, id := range []string{
		"x", d.ID[1:], d.ID + "A", strings.ToUpper(d.ID), strings.Repeat("A", len(d.ID)), strings.Repeat("A", 2000),
		from.Path[len(c.uploads()):],
	} {
		other := *d
		other.ID = id
		other.ended()
	}
	other := *d
	other.client = c.in(c.repo + "/other")
	other.ended()
	other.wantNoBlob(b.digest)
	ordinary.location = c.uploads() + d.ID
	ordinary.send("GET", ordinary.location).wantError(404, "BLOB_UPLOAD_UNKNOWN")
	ordinary.finish(b.digest, nil).wantError(404, "BLOB_UPLOAD_UNKNOWN")
	d.done()
}

func directInvalid(c *client) {
	b := newBlob(100)
	for _, ask := range []struct {
		digest, size, partSize any
		status                 int
		code                   string
	}{
		{"", 1, 0, 400, "DIGEST_INVALID"},
		{"latest", 1, 0, 400, "DIGEST_INVALID"},
		{"md5:d41d8cd98f00b204e9800998ecf8427e", 1, 0, 400, "DIGEST_INVALID"},
		{b.digest, 0, 0, 400, "SIZE_INVALID"},
		{b.digest, -1, 0, 400, "SIZE_INVALID"},
		{b.digest, 1, -1, 400, "SIZE_INVALID"},
		{b.digest, int64(10_000)*5<<30 + 1, 0, 413, "SIZE_INVALID"},
		{b.digest, int64(1)<<62 + 1, 0, 413, "SIZE_INVALID"},
		{b.digest, 1.5, 0, 400, "BLOB_UPLOAD_INVALID"},
		{b.digest, 1e30, 0, 400, "BLOB_UPLOAD_INVALID"},
		{b.digest, "1", 0, 400, "BLOB_UPLOAD_INVALID"},
		{1, 1, 0, 400, "BLOB_UPLOAD_INVALID"},
	} {
		c.send("POST", c.tare("uploads"), object(map[string]any{"digest": ask.digest, "size": ask.size, "parts": true, "partSize": ask.partSize})).
			wantError(ask.status, ask.code)
	}
	for _, name := range []string{"Upper", c.repo + "/Upper", "a..b", "_a"} {
		c.in(name).askDirect(b, false, 0).want(400, 404)
	}
	d := c.openDirect(b, 0)
	for _, query := range []string{"wait=x", "wait=-1", "wait=1.5", "wait=", "wait=1&wait=2"} {
		d.send("POST", d.at("/complete?"+query)).wantError(400, "UNSUPPORTED")
		d.send("GET", d.at("?"+query)).wantError(400, "UNSUPPORTED")
	}
	for _, method := range []string{"PUT", "PATCH", "POST"} {
		d.send(method, d.at("")).wantError(405, "UNSUPPORTED")
	}
	d.send("DELETE", d.at("")).want(204)
}

// directHostile sends what is hardly JSON. Nothing of it may open an upload, or be a fault of the server's.
func directHostile(c *client) {
	b := newBlob(100)
	d := c.openDirect(b, 0)
	for _, at := range []string{c.tare("have"), c.tare("uploads"), d.at("/urls")} {
		for _, text := range []string{
			"", " ", "{", "}", "[]", "null ", `"x"`, "1", "{}{}", "\x00", "\xff\xfe{}", `{"digests":"x","digest":1,"parts":1}`,
			`{"digests":{},"digest":[],"parts":{}}`, strings.Repeat("[", 100_000), strings.Repeat(`{"digests":`, 20_000),
			`{"x":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}",
		} {
			if at != c.tare("uploads") && text == "null " {
				continue // asks for nothing
			}
			c.send("POST", at, header("Content-Type", "application/json"), body([]byte(text))).want(400)
		}
		c.send("POST", at, body(bytes.Repeat([]byte(" "), 256<<10+1))).wantError(413, "SIZE_INVALID")
	}
	// What is not known is ignored, and of what comes twice the last counts.
	text := fmt.Sprintf(`{"size":1,"digest":"latest","digest":%q,"size":100,"nonsense":{"a":[1,{"b":null}]}}`, b.digest)
	var s directState
	c.send("POST", c.tare("uploads"), body([]byte(text))).want(201).decode(&s)
	if s.Digest != b.digest || s.Size != 100 {
		c.Errorf("the upload is %+v", s)
	}
	c.send("DELETE", c.tare("uploads/"+s.ID)).want(204)
	d.brought(*d.Put, b.bytes)
	d.done()
}
