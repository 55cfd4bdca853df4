// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"encoding/json"
	"strings"

	"tare/internal/oci"
	"tare/internal/refcount"

	"github.com/opencontainers/go-digest"
)

// inlineLimit is small, so that a blob of two lines already takes the long way.
const inlineLimit = 64

// leastPart is the least size of a part where it has one: a large blob is more than that, and its half is less.
const leastPart = 100

// The world of all histories is small, so that those who meet in it meet often: two repositories, two tags in each, and
// the blobs and manifests below. They are named by their places: p and q, x and y, b0 and on, m0 and on.
var (
	repos = [...]oci.Repository{"team/p", "team/q"}
	tags  = [...]oci.Tag{"x", "y"}
	blobs = [...]blob{small("0"), large("1"), small("2"), large("3")}

	manifests = [...]manifest{
		image("", 0, 1),
		image("", 1, 2),
		image("", 2, 3),
		heavy: image(strings.Repeat("an object takes this. ", refcount.MaxInlineBody/20), 0, 3),
		4:     index(0, 1),
		5:     index(0),
		6:     signature(0, 3),
	}
)

// heavy is the manifest whose body takes an object, so that its push is staged.
const heavy = 3

// none stands for no tag and no manifest.
const none = -1

type blob struct {
	content string
	digest  oci.Digest
}

func small(name string) blob { return blobOf("blob " + name) }

func large(name string) blob {
	return blobOf(strings.Repeat("blob "+name+", which the table does not take. ", 4))
}

func blobOf(content string) blob { return blob{content, digest.FromString(content)} }

type manifest struct {
	body     string
	digest   oci.Digest
	blobs    []int
	children []int
	subject  int // none: nothing
}

func image(note string, layers ...int) manifest {
	var list []oci.Descriptor
	for _, b := range layers {
		list = append(list, descriptor(oci.MediaTypeBlob, blobs[b].digest, len(blobs[b].content)))
	}
	m := manifestOf(map[string]any{"mediaType": oci.MediaTypeManifest, "config": list[0], "layers": list, "annotations": map[string]string{"note": note}})
	m.blobs = layers
	return m
}

// index is the index of the images at these places, each of the blobs that the table above says.
func index(children ...int) manifest {
	of := [][]int{{0, 1}, {1, 2}, {2, 3}}
	var list []oci.Descriptor
	for _, c := range children {
		child := image("", of[c]...)
		list = append(list, descriptor(oci.MediaTypeManifest, child.digest, len(child.body)))
	}
	m := manifestOf(map[string]any{"mediaType": oci.MediaTypeIndex, "manifests": list})
	m.children = children
	return m
}

// signature is an image that refers to the image at this place. It lists no blob that the image lists.
func signature(subject int, layers ...int) manifest {
	of := image("", 0, 1)
	m := manifestOf(map[string]any{"mediaType": oci.MediaTypeManifest, "artifactType": "application/vnd.example.signature",
		"layers":  []oci.Descriptor{descriptor(oci.MediaTypeBlob, blobs[layers[0]].digest, len(blobs[layers[0]].content))},
		"subject": descriptor(oci.MediaTypeManifest, of.digest, len(of.body))})
	m.blobs, m.subject = layers, subject
	return m
}

func descriptor(mediaType string, d oci.Digest, size int) oci.Descriptor {
	return oci.Descriptor{MediaType: mediaType, Digest: d, Size: int64(size)}
}

func manifestOf(doc map[string]any) manifest {
	doc["schemaVersion"] = 2
	b, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return manifest{body: string(b), digest: digest.FromBytes(b), subject: none}
}

// blobAt returns the place of a blob, none where it has none.
func blobAt(d oci.Digest) int {
	for i := range blobs {
		if blobs[i].digest == d {
			return i
		}
	}
	return none
}

// manifestAt returns the place of a manifest, none where it has none.
func manifestAt(d oci.Digest) int {
	for i := range manifests {
		if manifests[i].digest == d {
			return i
		}
	}
	return none
}

// tagAt returns the place of a tag, none where it has none.
func tagAt(name oci.Tag) int {
	for i := range tags {
		if tags[i] == name {
			return i
		}
	}
	return none
}

// referrers are the manifests that refer to the one at a place.
func referrers(m int) []int {
	var list []int
	for i := range manifests {
		if manifests[i].subject == m {
			list = append(list, i)
		}
	}
	return list
}
