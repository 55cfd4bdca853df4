// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"crypto/rand"
	_ "crypto/sha256" // go-digest finds the algorithms among the registered ones
	_ "crypto/sha512"
	"encoding/json"

	"github.com/opencontainers/go-digest"
)

// The media types of the image specification and of Docker's image manifest version 2, schema 2.
const (
	typeManifest = "application/vnd.oci.image.manifest.v1+json"
	typeIndex    = "application/vnd.oci.image.index.v1+json"
	typeConfig   = "application/vnd.oci.image.config.v1+json"
	typeLayer    = "application/vnd.oci.image.layer.v1.tar+gzip"
	typeEmpty    = "application/vnd.oci.empty.v1+json"
	typeBytes    = "application/octet-stream"

	typeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	typeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	typeDockerConfig   = "application/vnd.docker.container.image.v1+json"
	typeDockerLayer    = "application/vnd.docker.image.rootfs.diff.tar.gzip"
	typeDockerForeign  = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"

	typeNondistributable = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
)

// content is bytes with their name.
type content struct {
	bytes     []byte
	digest    digest.Digest
	mediaType string
}

func newContent(mediaType string, b []byte) content {
	return content{bytes: b, digest: digest.FromBytes(b), mediaType: mediaType}
}

// newBlob makes a layer of n random bytes.
func newBlob(n int) content {
	b := make([]byte, n)
	rand.Read(b)
	return newContent(typeLayer, b)
}

// sha512 is the same content under another name.
func (b content) sha512() content {
	b.digest = digest.SHA512.FromBytes(b.bytes)
	return b
}

func (b content) descriptor() descriptor {
	return descriptor{MediaType: b.mediaType, Digest: b.digest, Size: int64(len(b.bytes))}
}

type descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       digest.Digest     `json:"digest"`
	Size         int64             `json:"size"`
	URLs         []string          `json:"urls,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
}

// manifest is the union of an image manifest and an index. A nil list is left out, an empty one is not.
type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType,omitempty"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        *descriptor       `json:"config,omitempty"`
	Layers        *[]descriptor     `json:"layers,omitempty"`
	Manifests     *[]descriptor     `json:"manifests,omitempty"`
	Subject       *descriptor       `json:"subject,omitempty"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

// encode makes a manifest of m; its media type is m's, or else that of an image manifest.
func encode(m manifest) content {
	m.SchemaVersion = 2
	b, err := json.Marshal(m)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	mediaType := m.MediaType
	if mediaType == "" {
		mediaType = typeManifest
	}
	return newContent(mediaType, b)
}

func descriptors(contents ...content) *[]descriptor {
	list := make([]descriptor, len(contents))
	for i, b := range contents {
		list[i] = b.descriptor()
	}
	return &list
}

// newImage makes an image manifest.
func newImage(config content, layers ...content) content {
	d := config.descriptor()
	return encode(manifest{MediaType: typeManifest, Config: &d, Layers: descriptors(layers...)})
}

// newIndex makes an index.
func newIndex(children ...content) content {
	return encode(manifest{MediaType: typeIndex, Manifests: descriptors(children...)})
}

// newConfig makes an image configuration that no other image has.
func newConfig() content {
	author := newBlob(16).digest.Encoded()
	return newContent(typeConfig, []byte(`{"author":"`+author+`","architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`))
}

// emptyJSON is the image specification's "Guidance for an Empty Descriptor".
func emptyJSON() content { return newContent(typeEmpty, []byte("{}")) }

// pushBlob pushes a blob by POST and PUT.
func (c *client) pushBlob(b content) {
	c.Helper()
	location := c.send("POST", c.uploads()).want(202).location()
	c.send("PUT", with(location, "digest", b.digest), header("Content-Type", typeBytes), body(b.bytes)).want(201)
}

// pushManifest pushes a manifest under a tag or a digest.
func (c *client) pushManifest(ref any, m content) *answer {
	c.Helper()
	return c.putManifest(ref, m).want(201)
}

func (c *client) putManifest(ref any, m content, options ...option) *answer {
	c.Helper()
	return c.send("PUT", c.manifest(ref), append(options, header("Content-Type", m.mediaType), body(m.bytes))...)
}

// image is a pushed image with its blobs.
type image struct {
	content
	config, layer content
}

// pushImage pushes an image of a configuration and a layer, both new, under a tag, or under its digest alone ("").
func (c *client) pushImage(tag string) image {
	c.Helper()
	i := image{config: newConfig(), layer: newBlob(512)}
	c.pushBlob(i.config)
	c.pushBlob(i.layer)
	i.content = newImage(i.config, i.layer)
	ref := tag
	if tag == "" {
		ref = i.digest.String()
	}
	c.pushManifest(ref, i.content)
	return i
}

// pushBare pushes an image manifest without layers that is like no other, under a tag.
func (c *client) pushBare(tag string) content {
	c.Helper()
	config := newConfig()
	c.pushBlob(config)
	m := newImage(config)
	c.pushManifest(tag, m)
	return m
}

// wantBlob wants a blob, whole and under its name.
func (c *client) wantBlob(b content) {
	c.Helper()
	c.send("HEAD", c.blob(b.digest)).want(200)
	c.send("GET", c.blob(b.digest)).want(200).wantBody(b.bytes)
}

// wantNoBlob wants a blob's absence.
func (c *client) wantNoBlob(d digest.Digest) {
	c.Helper()
	c.send("HEAD", c.blob(d)).want(404)
	c.send("GET", c.blob(d)).wantError(404, "BLOB_UNKNOWN", "NAME_UNKNOWN")
}

// wantTag wants a tag to point to a manifest.
func (c *client) wantTag(tag string, m content) {
	c.Helper()
	c.send("GET", c.manifest(tag)).want(200).wantHeader("Docker-Content-Digest", m.digest).wantBody(m.bytes)
}

// wantNoManifest wants that a reference leads nowhere.
func (c *client) wantNoManifest(ref any) {
	c.Helper()
	c.send("HEAD", c.manifest(ref)).want(404)
	c.send("GET", c.manifest(ref)).wantError(404, "MANIFEST_UNKNOWN", "NAME_UNKNOWN")
}
