// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
)

// referrerIndex is the answer of the referrers endpoint.
type referrerIndex struct {
	SchemaVersion int             `json:"schemaVersion"`
	MediaType     string          `json:"mediaType"`
	Manifests     json.RawMessage `json:"manifests"`
}

// readReferrers reads one page.
//
// "Listing Referrers": "Upon success, the response MUST be a JSON body with an image index containing a list of
// descriptors. The Content-Type header MUST be set to application/vnd.oci.image.index.v1+json."
func (c *client) readReferrers(ref string) ([]descriptor, *answer) {
	c.Helper()
	a := c.send("GET", ref).want(200).wantHeader("Content-Type", typeIndex)
	var index referrerIndex
	a.decode(&index)
	if index.SchemaVersion != 2 || index.MediaType != typeIndex || len(index.Manifests) == 0 || index.Manifests[0] != '[' {
		c.Fatalf("%s: no image index: %s", a.what, clip(a.body))
	}
	var list []descriptor
	if err := json.Unmarshal(index.Manifests, &list); err != nil {
		c.Fatalf("%s: %v", a.what, err)
	}
	return list, a
}

// wantReferrers wants exactly these referrers, over as many pages as there are.
func (c *client) wantReferrers(ref string, want ...descriptor) {
	c.Helper()
	got := map[digest.Digest]descriptor{}
	for ref != "" {
		list, a := c.readReferrers(ref)
		for _, d := range list {
			if _, twice := got[d.Digest]; twice {
				c.Errorf("%s: %s twice", a.what, d.Digest)
			}
			got[d.Digest] = d
		}
		ref = a.next()
	}
	for _, w := range want {
		d, ok := got[w.Digest]
		if !ok {
			c.Errorf("referrer %s is missing", w.Digest)
			continue
		}
		delete(got, w.Digest)
		if d.MediaType != w.MediaType || d.Size != w.Size || d.ArtifactType != w.ArtifactType || !maps.Equal(d.Annotations, w.Annotations) {
			c.Errorf("referrer %+v, want %+v", d, w)
		}
	}
	if len(got) != 0 {
		c.Errorf("further referrers: %v", slices.Collect(maps.Keys(got)))
	}
}

// pushReferrer pushes a manifest with a subject by digest and returns the descriptor that must be listed.
//
// "Pushing Manifests with Subject": "a registry implementation that supports the referrers API MUST respond with the
// response header OCI-Subject: <subject digest>".
func (c *client) pushReferrer(m manifest) descriptor {
	c.Helper()
	b := encode(m)
	c.pushManifest(b.digest, b).wantHeader("OCI-Subject", m.Subject.Digest)
	d := b.descriptor()
	d.ArtifactType, d.Annotations = m.ArtifactType, m.Annotations
	if d.ArtifactType == "" && m.Config != nil {
		d.ArtifactType = m.Config.MediaType
	}
	return d
}

func referrers(g group) {
	const typeA, typeB = "application/vnd.example.a.v1+json", "application/vnd.example.b"
	// artifact is a manifest with a subject and nothing in it.
	artifact := func(empty, subject content, artifactType, note string) manifest {
		return manifest{MediaType: typeManifest, ArtifactType: artifactType, Config: ptr(empty.descriptor()), Layers: descriptors(empty),
			Subject: ptr(subject.descriptor()), Annotations: map[string]string{"org.example.note": note}}
	}
	filtered := func(c *client, subject content, artifactType string) string {
		return with(c.referrersOf(subject.digest), "artifactType", artifactType)
	}
	g.test("descriptors", func(c *client) {
		empty := emptyJSON()
		c.pushBlob(empty)
		subject := c.pushBare("v1")
		// "If a query results in no matching referrers, an empty manifest list MUST be returned."
		c.wantReferrers(c.referrersOf(subject.digest))
		config := newBlob(10)
		config.mediaType = "application/vnd.example.config"
		c.pushBlob(config)
		want := []descriptor{
			// "The descriptors MUST include an artifactType field that is set to the value of the artifactType in the
			// image manifest or index, if present." "The descriptors MUST include annotations".
			c.pushReferrer(artifact(empty, subject, typeA, "1")),
			c.pushReferrer(artifact(empty, subject, typeA, "2")),
			c.pushReferrer(artifact(empty, subject, typeB, "3")),
			// "If the artifactType is empty or missing in the image manifest, the value of artifactType MUST be set to
			// the config descriptor mediaType value."
			c.pushReferrer(manifest{MediaType: typeManifest, Config: ptr(config.descriptor()), Layers: descriptors(), Subject: ptr(subject.descriptor())}),
			// "If the artifactType is empty or missing in an index, the artifactType MUST be omitted."
			c.pushReferrer(manifest{MediaType: typeIndex, Manifests: descriptors(subject), Subject: ptr(subject.descriptor())}),
			c.pushReferrer(manifest{MediaType: typeIndex, ArtifactType: typeB, Manifests: descriptors(), Subject: ptr(subject.descriptor())}),
		}
		c.wantReferrers(c.referrersOf(subject.digest), want...)
		// "If filtering is requested and applied, the response MUST include a header OCI-Filters-Applied: artifactType".
		for _, f := range []struct {
			artifactType string
			want         []descriptor
		}{{typeA, want[:2]}, {typeB, []descriptor{want[2], want[5]}}, {config.mediaType, want[3:4]}, {"application/none", nil}} {
			c.wantReferrers(filtered(c, subject, f.artifactType), f.want...)
			if _, a := c.readReferrers(filtered(c, subject, f.artifactType)); a.header.Get("OCI-Filters-Applied") != "artifactType" {
				c.Errorf("OCI-Filters-Applied is %q", a.header.Values("OCI-Filters-Applied"))
			}
		}
		if _, a := c.readReferrers(c.referrersOf(subject.digest)); a.header.Get("OCI-Filters-Applied") != "" {
			c.Errorf("OCI-Filters-Applied is %q without a filter", a.header.Values("OCI-Filters-Applied"))
		}
		// Pushed again, also by tag: still once, and OCI-Subject still said.
		again := encode(artifact(empty, subject, typeA, "1"))
		c.pushManifest("again", again).wantHeader("OCI-Subject", subject.digest)
		c.pushManifest("again", again).wantHeader("OCI-Subject", subject.digest)
		c.wantReferrers(c.referrersOf(subject.digest), want...)
		if a := c.pushManifest("v1", subject); a.header.Get("OCI-Subject") != "" {
			c.Errorf("OCI-Subject %q without a subject", a.header.Get("OCI-Subject"))
		}
	})
	// "Pushing": "A registry MUST initially accept an otherwise valid manifest with a subject field that references a
	// manifest that does not exist in the repository".
	g.test("before the subject", func(c *client) {
		empty, config := emptyJSON(), newConfig()
		c.pushBlob(empty)
		c.pushBlob(config)
		subject := newImage(config)
		early := c.pushReferrer(artifact(empty, subject, typeA, "early"))
		c.wantReferrers(c.referrersOf(subject.digest), early)
		c.wantNoManifest(subject.digest)
		c.pushManifest("v1", subject)
		late := c.pushReferrer(artifact(empty, subject, typeA, "late"))
		c.wantReferrers(c.referrersOf(subject.digest), early, late)
	})
	// "If the registry supports the referrers API, the registry MUST NOT return a 404 Not Found to a referrers API
	// requests." "If the request is invalid, such as a <digest> with an invalid syntax, a 400 Bad Request MUST be returned."
	g.test("of nothing", func(c *client) {
		absent := newBlob(1)
		c.wantReferrers(c.referrersOf(absent.digest))
		c.wantReferrers(filtered(c, absent, typeA))
		c.wantReferrers(c.referrersOf(absent.sha512().digest))
		c.pushBare("v1")
		c.wantReferrers(c.referrersOf(absent.digest))
		for _, bad := range []string{"sha256:x", "v1", "sha256:" + strings.Repeat("A", 64), "md5:d41d8cd98f00b204e9800998ecf8427e"} {
			c.send("GET", c.referrersOf(bad)).wantError(400, "DIGEST_INVALID", "UNSUPPORTED")
		}
	})
	g.test("in their repository", func(c *client) {
		empty := emptyJSON()
		other := c.in(c.repo + "/other")
		c.pushBlob(empty)
		other.pushBlob(empty)
		subject := c.pushBare("v1")
		here := c.pushReferrer(artifact(empty, subject, typeA, "here"))
		there := other.pushReferrer(artifact(empty, subject, typeA, "there"))
		c.wantReferrers(c.referrersOf(subject.digest), here)
		other.wantReferrers(other.referrersOf(subject.digest), there)
	})
	// "Each descriptor is of an image manifest or index ... with a subject field that specifies the value of <digest>."
	// Design: of any media type; a chain is not followed; sha512 is a name like any other.
	g.test("kinds of subject", func(c *client) {
		empty := emptyJSON()
		c.pushBlob(empty)
		subject := c.pushBare("v1").sha512()
		c.pushManifest(subject.digest, subject)
		first := artifact(empty, subject, typeA, "first")
		one := c.pushReferrer(first)
		c.wantReferrers(c.referrersOf(subject.digest), one)
		c.wantReferrers(c.referrersOf(digest.FromBytes(subject.bytes)))
		two := c.pushReferrer(artifact(empty, encode(first), typeA, "second"))
		c.wantReferrers(c.referrersOf(one.Digest), two)
		c.wantReferrers(c.referrersOf(subject.digest), one)
		for _, t := range []string{typeDockerManifest, "application/vnd.example.manifest+json"} {
			m := artifact(empty, encode(first), "", "of type "+t)
			m.MediaType = t
			b := encode(m)
			c.pushManifest(b.digest, b).wantHeader("OCI-Subject", one.Digest)
			if list, _ := c.readReferrers(c.referrersOf(one.Digest)); !slices.ContainsFunc(list, func(d descriptor) bool {
				return d.Digest == b.digest && d.MediaType == t
			}) {
				c.Errorf("a manifest of type %s is not among the referrers of its subject", t)
			}
		}
	})
	g.test("deleted", func(c *client) {
		empty := emptyJSON()
		c.pushBlob(empty)
		subject := c.pushBare("v1")
		one := c.pushReferrer(artifact(empty, subject, typeA, "1"))
		two := c.pushReferrer(artifact(empty, subject, typeA, "2"))
		c.send("DELETE", c.manifest(one.Digest)).want(202)
		c.wantReferrers(c.referrersOf(subject.digest), two)
		c.wantReferrers(filtered(c, subject, typeA), two)
		again := c.pushReferrer(artifact(empty, subject, typeA, "1"))
		c.wantReferrers(c.referrersOf(subject.digest), again, two)
		// An untag leaves the referrer where it is.
		c.pushManifest("two", encode(artifact(empty, subject, typeA, "2")))
		c.send("DELETE", c.manifest("two")).want(202)
		c.wantReferrers(c.referrersOf(subject.digest), again, two)
	})
	// design: when a subject goes, only untagged referrers without a parent go with it.
	g.test("deleted subject", func(c *client) {
		empty := emptyJSON()
		c.pushBlob(empty)
		subject := c.pushBare("v1")
		loose := c.pushReferrer(artifact(empty, subject, typeA, "loose"))
		tagged := c.pushReferrer(artifact(empty, subject, typeA, "tagged"))
		c.pushManifest("tagged", encode(artifact(empty, subject, typeA, "tagged")))
		child := encode(artifact(empty, subject, typeA, "child"))
		listed := c.pushReferrer(artifact(empty, subject, typeA, "child"))
		parent := newIndex(child)
		c.pushManifest("parent", parent)
		c.send("DELETE", c.manifest(subject.digest)).want(202)
		c.wantNoManifest(subject.digest)
		c.wantNoManifest(loose.Digest)
		c.wantTag("tagged", encode(artifact(empty, subject, typeA, "tagged")))
		c.wantTag("parent", parent)
		c.wantTagless(child)
		c.wantReferrers(c.referrersOf(subject.digest), tagged, listed)
		c.send("GET", c.manifest(tagged.Digest)).want(200)
	})
	// "A Link header MUST be included in the response when the descriptor list cannot be returned in a single manifest.
	// Each response is an image index with different descriptors in the manifests field."
	g.test("more than one page", func(c *client) {
		empty := emptyJSON()
		c.pushBlob(empty)
		subject := c.pushBare("v1")
		var want []descriptor
		for i := range 24 {
			artifactType := typeA
			if i%4 == 0 {
				artifactType = typeB
			}
			m := artifact(empty, subject, artifactType, fmt.Sprint(i))
			m.Annotations["org.example.long"] = strings.Repeat("x", 200_000)
			want = append(want, c.pushReferrer(m))
		}
		c.wantReferrers(c.referrersOf(subject.digest), want...)
		list, a := c.readReferrers(c.referrersOf(subject.digest))
		if a.next() == "" || len(list) == len(want) {
			c.Errorf("%d referrers in %d bytes on one page", len(list), len(a.body))
		}
		if len(a.body) > 8<<20 {
			c.Errorf("a page of %d bytes", len(a.body))
		}
		onlyB := slices.DeleteFunc(slices.Clone(want), func(d descriptor) bool { return d.ArtifactType != typeB })
		c.wantReferrers(filtered(c, subject, typeB), onlyB...)
	})
}
