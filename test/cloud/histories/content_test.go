// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"math/rand/v2"
	"slices"
)

// The world of a history is small, so that those who meet in it meet often: two repositories, three tags in each, and the blobs
// and manifests below. They are named by their places: p and q, x to z, b0 and on, m0 and on.
var (
	repos = [...]string{"team/p", "team/q"}
	tags  = [...]string{"x", "y", "z"}

	// The first two are kept in the table, the third and fourth in an object; the last does not fit into one request, and goes in
	// chunks, of which the first is a part of its own, or directly to S3.
	blobs = [...]blob{noise(0, 300), noise(1, 3<<10), noise(2, 20<<10), noise(3, 200<<10), noise(4, 7<<20)}

	manifests = [...]manifest{image(0, 1), image(0, 2), image(1, 2, 3), image(2, 3), image(0, 3, 4)}
)

// huge is the place of the last blob.
const huge = len(blobs) - 1

// none stands for no tag and no manifest.
const none = -1

const manifestType = "application/vnd.oci.image.manifest.v1+json"

type blob struct {
	content []byte
	digest  string
}

func digestOf(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func noise(seed uint64, size int) blob {
	var key [32]byte
	key[0] = byte(seed)
	content := make([]byte, size)
	rand.NewChaCha8(key).Read(content)
	return blob{content, digestOf(content)}
}

type manifest struct {
	body   []byte
	digest string
	lists  []int // blobs
}

// image is a manifest whose config is the first of the blobs at these places, and whose layers are the others.
func image(lists ...int) manifest {
	describe := func(b int, kind string) map[string]any {
		return map[string]any{"mediaType": kind, "digest": blobs[b].digest, "size": len(blobs[b].content)}
	}
	layers := []any{}
	for _, b := range lists[1:] {
		layers = append(layers, describe(b, "application/vnd.oci.image.layer.v1.tar+gzip"))
	}
	body, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": describe(lists[0], "application/vnd.oci.image.config.v1+json"), "layers": layers,
	})
	if err != nil {
		panic(err) // text and numbers
	}
	return manifest{body, digestOf(body), lists}
}

// blobAt is the place of a blob; none where it is none of ours.
func blobAt(digest string) int {
	return slices.IndexFunc(blobs[:], func(b blob) bool { return b.digest == digest })
}

// manifestOf is the place of a manifest that has these bytes; none where it is none of ours.
func manifestOf(body []byte) int {
	return slices.IndexFunc(manifests[:], func(m manifest) bool { return bytes.Equal(m.body, body) })
}
