// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"net/url"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// directUploads are what docs/http.md says under "Direct uploads", where the registry takes them. All of it is design; discovery
// is the specification's extensions/_oci.md.
func directUploads(g group) {
	g.test("discovery", discovery)
	g.test("have", have)
	takes := false
	g.test("endpoints", func(c *client) {
		if takes = slices.Contains(c.extension("/v2/_oci/ext/discover"), "_tare/v1/uploads"); takes {
			return
		}
		c.askDirect(newBlob(1), false, 0).wantError(405, "UNSUPPORTED")
		for _, endpoint := range []string{"", "/parts"} {
			c.send("GET", c.tare("uploads/x"+endpoint)).wantError(405, "UNSUPPORTED")
		}
	})
	if !takes {
		return
	}
	g.test("one PUT", directPut)
	g.test("parts", directParts)
	g.test("resumed", directResumed)
	g.test("wrong parts", directWrongParts)
	g.test("wrong content", directWrongContent)
	g.test("given up", directGivenUp)
	g.test("expired URLs", directExpired)
	g.test("sha512", func(c *client) {
		b := newBlob(1000).sha512()
		var s directState
		c.askDirect(b, false, 0).want(201).decode(&s)
		d := &direct{client: c, blob: b, directState: s}
		d.bringParts(1)
		d.done()
	})
	g.test("of what is there", directThere)
	g.test("ids", directIDs)
	g.test("an image", directImage)
	g.test("invalid", directInvalid)
	g.test("hostile", directHostile)
	g.test("races", directRaces)
}

// extension returns the endpoints of ours.
//
// extensions/_oci.md: "name string, REQUIRED", "url string, REQUIRED", "endpoints array of strings, REQUIRED".
func (c *client) extension(path string) []string {
	c.Helper()
	var list struct {
		Extensions []struct {
			Name, URL string
			Endpoints []string
		}
	}
	a := c.send("GET", path).want(200).wantHeader("Content-Type", "application/json")
	a.decode(&list)
	for _, e := range list.Extensions {
		if _, err := url.Parse(e.URL); err != nil || e.URL == "" || !strings.HasPrefix(e.Name, "_") || e.Endpoints == nil {
			c.Errorf("%s: an extension without its name, address or endpoints", a.what)
		}
		if e.Name == "_tare" {
			return e.Endpoints
		}
	}
	c.Fatalf("%s: no _tare: %s", a.what, clip(a.body))
	return nil
}

func discovery(c *client) {
	all := c.extension("/v2/_oci/ext/discover")
	if here := c.extension("/v2/" + c.repo + "/_oci/ext/discover"); !slices.Equal(all, here) || !slices.Contains(all, "_tare/v1/have") {
		c.Errorf("the endpoints are %v, and of a repository %v", all, here)
	}
	c.send("HEAD", "/v2/_oci/ext/discover").want(200)
	c.send("POST", "/v2/_oci/ext/discover").wantError(405, "UNSUPPORTED")
	c.send("GET", "/v2/"+c.repo+"/_tare/v2/have").want(404)
}

func have(c *client) {
	there, elsewhere, nowhere := newBlob(100), newBlob(100), newBlob(100)
	large := newBlob(100_000)
	c.pushBlob(there)
	c.pushBlob(large)
	c.in(c.repo + "/other").pushBlob(elsewhere)
	ask := func(digests ...digest.Digest) *answer {
		c.Helper()
		return c.send("POST", c.tare("have"), object(map[string]any{"digests": digests}))
	}
	var got struct{ Have []descriptor }
	ask(nowhere.digest, there.digest, elsewhere.digest, large.digest, there.digest).want(200).wantHeader("Cache-Control", "no-store").decode(&got)
	want := []descriptor{{Digest: there.digest, Size: 100}, {Digest: large.digest, Size: 100_000}}
	if !slices.EqualFunc(got.Have, want, func(a, b descriptor) bool { return a.Digest == b.Digest && a.Size == b.Size }) {
		c.Errorf("the repository has %v, want %v", got.Have, want)
	}
	ask().want(200).wantBody([]byte(`{"have":[]}`))
	c.in(c.repo+"/nobody").send("POST", c.in(c.repo+"/nobody").tare("have"), object(map[string]any{"digests": []digest.Digest{there.digest}})).
		want(200).wantBody([]byte(`{"have":[]}`))
	ask("latest").wantError(400, "DIGEST_INVALID")
	ask(slices.Repeat([]digest.Digest{there.digest}, 100)...).want(200)
	ask(slices.Repeat([]digest.Digest{there.digest}, 101)...).wantError(413, "SIZE_INVALID")
	c.send("GET", c.tare("have")).wantError(405, "UNSUPPORTED")
}

func directPut(c *client) {
	for _, n := range []int{20, 100, 5000, 300_000} {
		b := newBlob(n)
		d := c.openDirect(b, 0)
		d.complete().wantError(400, "BLOB_UPLOAD_INVALID")
		d.refused(*d.Put, newBlob(n).bytes)
		d.refused(*d.Put, append([]byte("x"), b.bytes...))
		d.complete().wantError(400, "BLOB_UPLOAD_INVALID")
		c.wantNoBlob(b.digest)
		d.brought(*d.Put, b.bytes)
		c.wantNoBlob(b.digest)
		var s directState
		if d.send("GET", d.at("")).want(200).decode(&s); s.State != "open" || s.ID != d.ID {
			c.Errorf("the upload is %+v", s)
		}
		d.done()
		if d.send("GET", d.at("?wait=5")).want(200).decode(&s); s.State != "done" || s.Digest != b.digest {
			c.Errorf("the upload is %+v", s)
		}
		d.brought(*d.Put, b.bytes) // again, by a URL that is still good
		c.wantBlob(b)
		d.send("POST", d.at("/urls"), object(map[string]any{})).wantError(404, "BLOB_UPLOAD_UNKNOWN")
		d.send("DELETE", d.at("")).wantError(404, "BLOB_UPLOAD_UNKNOWN")
		c.wantBlob(b)
	}
	b := newBlob(70_000)
	d := c.openDirect(b, 0)
	var again struct{ URLs []signed }
	d.send("POST", d.at("/urls"), object(map[string]any{})).want(200).wantHeader("Cache-Control", "no-store").decode(&again)
	if len(again.URLs) != 1 {
		c.Fatalf("%d URLs for one PUT", len(again.URLs))
	}
	d.send("POST", d.at("/urls"), object(map[string]any{"parts": []any{map[string]any{"number": 1, "size": 70_000, "digest": b.digest}}})).
		wantError(400, "BLOB_UPLOAD_INVALID")
	d.send("GET", d.at("/parts")).wantError(400, "BLOB_UPLOAD_INVALID")
	d.brought(again.URLs[0], b.bytes)
	d.done()
}

// threeParts is a blob of three parts, the last of seven bytes.
func (c *client) threeParts() (content, int64) {
	c.Helper()
	part := c.leastPart()
	return newBlob(2*int(part) + 7), part
}

func directParts(c *client) {
	b, part := c.threeParts()
	d := c.openDirect(b, part)
	d.bringParts(3, 1)
	d.wantMissing(2)
	c.wantNoBlob(b.digest)
	d.bringParts(1) // again
	d.bringParts(2)
	c.wantNoBlob(b.digest)
	d.done()
	d.finished()
}

// wantMissing wants the upload not to be complete, and to say what is missing.
func (d *direct) wantMissing(numbers ...int) {
	d.Helper()
	a := d.complete().wantError(400, "BLOB_UPLOAD_INVALID")
	var e struct {
		Errors []struct{ Detail struct{ Missing []int } }
	}
	if a.decode(&e); !slices.Equal(e.Errors[0].Detail.Missing, numbers) {
		d.Errorf("parts %v are missing: %s", numbers, clip(a.body))
	}
}

// wantParts wants these parts to be listed.
func (d *direct) wantParts(query string, more bool, numbers ...int) {
	d.Helper()
	var list struct {
		Parts []struct {
			Number int
			Size   int
		}
		More bool
	}
	d.send("GET", d.at("/parts"+query)).want(200).wantHeader("Cache-Control", "no-store").decode(&list)
	var got []int
	for _, p := range list.Parts {
		if got = append(got, p.Number); p.Size != len(d.part(p.Number)) {
			d.Errorf("part %d has %d bytes, want %d", p.Number, p.Size, len(d.part(p.Number)))
		}
	}
	if list.More != more || !slices.Equal(got, numbers) {
		d.Errorf("parts%s are %v, more %v; want %v, %v", query, got, list.More, numbers, more)
	}
}

func directResumed(c *client) {
	b, part := c.threeParts()
	d := c.openDirect(b, part)
	d.wantParts("", false)
	d.wantMissing(1, 2, 3)
	d.bringParts(1, 3)
	d.wantParts("", false, 1, 3)
	d.wantParts("?n=1", true, 1)
	d.wantParts("?after=1", false, 3)
	d.wantParts("?after=3&n=1000", false)
	d.wantParts("?after=99999999999", false)
	for _, query := range []string{"n=0", "n=x", "after=x", "after=-1"} {
		d.send("GET", d.at("/parts?"+query)).wantError(400, "UNSUPPORTED")
	}
	var s directState
	if d.send("GET", d.at("")).want(200).decode(&s); s.State != "open" || s.PartSize != part || s.Parts != 3 {
		c.Errorf("the upload is %+v", s)
	}
	d.bringParts(2)
	d.done()
}

func directThere(c *client) {
	b := newBlob(50_000)
	one, two := c.openDirect(b, 0), c.openDirect(b, 0)
	three := c.openDirect(b, c.leastPart())
	one.brought(*one.Put, b.bytes)
	two.brought(*two.Put, b.bytes)
	for number := range three.Parts {
		three.bringParts(number + 1)
	}
	two.done()
	one.done()
	three.done()
	var s directState
	c.askDirect(b, false, 0).want(200).wantHeader("Docker-Content-Digest", b.digest).wantHeader("Location", c.blob(b.digest)).decode(&s)
	if s.State != "done" || s.ID != "" || s.Put != nil || s.Size != int64(len(b.bytes)) {
		c.Errorf("of what is there: %+v", s)
	}
	// What one repository has, another does not hear of.
	other := c.in(c.repo + "/other")
	d := other.openDirect(b, 0)
	d.complete().wantError(400, "BLOB_UPLOAD_INVALID")
	other.wantNoBlob(b.digest)
	d.brought(*d.Put, b.bytes)
	d.done()

	c.send("DELETE", c.blob(b.digest)).want(202)
	c.wantNoBlob(b.digest)
	one.complete().wantError(404, "BLOB_UPLOAD_UNKNOWN")
	other.wantBlob(b)
}

func directImage(c *client) {
	config, layer := newConfig(), newBlob(40_000)
	c.pushBlob(config)
	d := c.openDirect(layer, 0)
	d.brought(*d.Put, layer.bytes)
	m := newImage(config, layer)
	c.send("PUT", c.manifest("v1"), header("Content-Type", m.mediaType), body(m.bytes)).wantError(404, "MANIFEST_BLOB_UNKNOWN")
	d.done()
	c.send("PUT", c.manifest("v1"), header("Content-Type", m.mediaType), body(m.bytes)).want(201)
	c.wantTag("v1", m)
}
