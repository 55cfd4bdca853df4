// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"testing"

	"tare/test/bench/load"
)

func TestImageNamesItsBlobs(t *testing.T) {
	plain := load.NewSource(1).Image(3, 1024)
	for name, image := range map[string]load.Image{
		"image":     plain,
		"annotated": plain.Annotated("x"),
		"smallest":  load.Smallest(),
	} {
		type descriptor struct {
			Digest string
			Size   int
		}
		var manifest struct {
			MediaType string
			Config    descriptor
			Layers    []descriptor
		}
		if err := json.Unmarshal(image.Manifest.Bytes, &manifest); err != nil {
			t.Fatal(err)
		}
		if manifest.MediaType != load.ManifestType {
			t.Errorf("%s: media type %q", name, manifest.MediaType)
		}
		named := append(manifest.Layers, manifest.Config)
		blobs := image.Blobs()
		if len(named) != len(blobs) {
			t.Fatalf("%s: %d blobs are named, of %d", name, len(named), len(blobs))
		}
		for i, blob := range blobs {
			if want := (descriptor{sum(blob.Bytes), len(blob.Bytes)}); named[i] != want || blob.Digest != want.Digest {
				t.Errorf("%s: blob %d is %s and named as %v, want %v", name, i, blob.Digest, named[i], want)
			}
		}
	}
}

func TestContentIsUniqueAndRepeatable(t *testing.T) {
	one, other := load.NewSource(1), load.NewSource(1)
	first := one.Image(1, 64)
	if second := one.Image(1, 64); second.Layers[0].Digest == first.Layers[0].Digest {
		t.Error("one source made a layer twice")
	}
	if again := other.Image(1, 64); again.Manifest.Digest != first.Manifest.Digest {
		t.Error("equal seeds made different images")
	}
	if load.NewSource(2).Image(1, 64).Manifest.Digest == first.Manifest.Digest {
		t.Error("different seeds made the same image")
	}
	if first.Annotated("a").Manifest.Digest == first.Annotated("b").Manifest.Digest {
		t.Error("different annotations made the same manifest")
	}
}

func TestStream(t *testing.T) {
	const size = 1<<20 + 5
	source := load.NewSource(1)
	stream := source.Stream(size)
	var content bytes.Buffer
	if n, err := stream.WriteTo(&content); n != size || err != nil || content.Len() != size {
		t.Fatalf("wrote %d of %d bytes, counted %d: %v", content.Len(), size, n, err)
	}
	if stream.Digest() != sum(content.Bytes()) {
		t.Error("the digest is not that of what was written")
	}
	pages := map[[8]byte]bool{}
	for at := 0; at+4096 <= size; at += 4096 {
		page := [8]byte(content.Bytes()[at:])
		if pages[page] {
			t.Fatalf("the page at %d has been written before", at)
		}
		pages[page] = true
	}
	if _, err := stream.WriteTo(&content); err == nil {
		t.Error("a stream was written twice")
	}
	other := source.Stream(size)
	if _, err := other.WriteTo(new(bytes.Buffer)); err != nil || other.Digest() == stream.Digest() {
		t.Errorf("two streams of one source are alike, or: %v", err)
	}
}

func sum(content []byte) string {
	sum := sha256.Sum256(content)
	return "sha256:" + hex.EncodeToString(sum[:])
}
