// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	dockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	dockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
)

// An image is an image or an index in an OCI layout, where it has the tag "latest".
type image struct {
	layout   string // folder
	root     ocispec.Descriptor
	children []ocispec.Descriptor // the images of an index
}

// newImage makes an image of a large and a small layer. The same seed makes the same image.
func newImage(t *testing.T, seed string) image {
	t.Helper()
	img := image{layout: shortDir(t)}
	img.root = img.addImage(t, seed, "amd64")
	img.finish(t)
	return img
}

// newIndex makes an index of an image for each of three architectures, which share a layer.
func newIndex(t *testing.T, seed string) image {
	t.Helper()
	img := image{layout: shortDir(t)}
	for _, architecture := range []string{"amd64", "arm64", "riscv64"} {
		child := img.addImage(t, seed, architecture)
		child.Platform = &ocispec.Platform{OS: "linux", Architecture: architecture}
		img.children = append(img.children, child)
	}
	img.root = img.addJSON(t, ocispec.MediaTypeImageIndex, ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex,
		Manifests: img.children,
	})
	img.finish(t)
	return img
}

func (img image) addImage(t *testing.T, seed, architecture string) ocispec.Descriptor {
	t.Helper()
	shared, sharedID := img.addLayer(t, seed, 700<<10)
	own, ownID := img.addLayer(t, seed+" "+architecture, 3<<10)
	config := img.addJSON(t, ocispec.MediaTypeImageConfig, ocispec.Image{
		Platform: ocispec.Platform{OS: "linux", Architecture: architecture},
		Config:   ocispec.ImageConfig{Cmd: []string{"/" + seed}},
		RootFS:   ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{sharedID, ownID}},
		History:  []ocispec.History{{CreatedBy: "shared"}, {CreatedBy: "own"}},
	})
	return img.addJSON(t, ocispec.MediaTypeImageManifest, ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    config,
		Layers:    []ocispec.Descriptor{shared, own},
	})
}

// addLayer makes a layer of one file that does not compress, and returns also the digest of its archive.
func (img image) addLayer(t *testing.T, seed string, size int) (ocispec.Descriptor, digest.Digest) {
	t.Helper()
	var compressed bytes.Buffer
	plain := digest.Canonical.Digester()
	zip := gzip.NewWriter(&compressed)
	writeTar(t, io.MultiWriter(zip, plain.Hash()), map[string][]byte{digest.FromString(seed).Encoded(): noise(seed, size)})
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return img.add(t, ocispec.MediaTypeImageLayerGzip, compressed.Bytes()), plain.Digest()
}

func (img image) addJSON(t *testing.T, mediaType string, value any) ocispec.Descriptor {
	t.Helper()
	body, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return img.add(t, mediaType, body)
}

func (img image) add(t *testing.T, mediaType string, body []byte) ocispec.Descriptor {
	t.Helper()
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(body), Size: int64(len(body))}
	file := blobFile(img.layout, d.Digest)
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	return d
}

// finish writes what makes the folder a layout.
func (img image) finish(t *testing.T) {
	t.Helper()
	root := img.root
	root.Annotations = map[string]string{ocispec.AnnotationRefName: "latest"}
	for name, value := range map[string]any{
		ocispec.ImageLayoutFile: ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion},
		ocispec.ImageIndexFile: ocispec.Index{
			Versioned: specs.Versioned{SchemaVersion: 2},
			MediaType: ocispec.MediaTypeImageIndex,
			Manifests: []ocispec.Descriptor{root},
		},
	} {
		body, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(img.layout, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func (img image) open(d ocispec.Descriptor) (io.ReadCloser, error) {
	return os.Open(blobFile(img.layout, d.Digest))
}

func (img image) read(t *testing.T, d ocispec.Descriptor) []byte {
	t.Helper()
	body, err := os.ReadFile(blobFile(img.layout, d.Digest))
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// manifest returns the manifest of an image.
func (img image) manifest(t *testing.T, d ocispec.Descriptor) ocispec.Manifest {
	t.Helper()
	var manifest ocispec.Manifest
	if err := json.Unmarshal(img.read(t, d), &manifest); err != nil {
		t.Fatal(err)
	}
	return manifest
}

// blobs returns the configurations and layers, each once.
func (img image) blobs(t *testing.T) []ocispec.Descriptor {
	t.Helper()
	images := img.children
	if len(images) == 0 {
		images = []ocispec.Descriptor{img.root}
	}
	seen := make(map[digest.Digest]bool)
	var blobs []ocispec.Descriptor
	for _, d := range images {
		manifest := img.manifest(t, d)
		for _, blob := range append(manifest.Layers, manifest.Config) {
			if !seen[blob.Digest] {
				blobs = append(blobs, blob)
			}
			seen[blob.Digest] = true
		}
	}
	return blobs
}

// sameIn checks that a client's folder of blobs holds the image or index, whole and byte by byte.
func (img image) sameIn(t *testing.T, folder string) {
	t.Helper()
	checkTree(t, img.root, image{layout: folder}.open)
}

// sameAs checks that a layout which a client made has the image or index as its only content.
func (img image) sameAs(t *testing.T, layout string) {
	t.Helper()
	var index ocispec.Index
	readJSON(t, filepath.Join(layout, ocispec.ImageIndexFile), &index)
	if len(index.Manifests) != 1 || index.Manifests[0].Digest != img.root.Digest {
		t.Errorf("the layout's index names %v, want %s", index.Manifests, img.root.Digest)
	}
	img.sameIn(t, layout)
}

// A content is what stays of an image however a client packs it.
type content struct {
	config digest.Digest
	layers string // digests of the uncompressed layers
}

func (img image) content(t *testing.T) content {
	t.Helper()
	manifest := img.manifest(t, img.root)
	var config ocispec.Image
	readJSON(t, blobFile(img.layout, manifest.Config.Digest), &config)
	return content{manifest.Config.Digest, join(config.RootFS.DiffIDs)}
}

// dockerImage is the entry of an image in an archive as "docker save" writes it.
type dockerImage struct {
	Config   string
	RepoTags []string
	Layers   []string
}

// archive writes the image as "docker save" does, under a name.
func (img image) archive(t *testing.T, name string) string {
	t.Helper()
	manifest := img.manifest(t, img.root)
	entry := dockerImage{Config: manifest.Config.Digest.Encoded() + ".json", RepoTags: []string{name}}
	files := map[string][]byte{entry.Config: img.read(t, manifest.Config)}
	for _, layer := range manifest.Layers {
		unzip, err := gzip.NewReader(bytes.NewReader(img.read(t, layer)))
		if err != nil {
			t.Fatal(err)
		}
		member := layer.Digest.Encoded() + "/layer.tar"
		if files[member], err = io.ReadAll(unzip); err != nil {
			t.Fatal(err)
		}
		entry.Layers = append(entry.Layers, member)
	}
	var err error
	if files["manifest.json"], err = json.Marshal([]dockerImage{entry}); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(shortDir(t), "image.tar")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	writeTar(t, out, files)
	return file
}

// sameAsArchive checks that an archive as "docker save" writes it has the image's configuration and layers.
func (img image) sameAsArchive(t *testing.T, file string) {
	t.Helper()
	files := readTar(t, file)
	var entries []dockerImage
	if err := json.Unmarshal(files["manifest.json"], &entries); err != nil || len(entries) != 1 {
		t.Fatalf("archive with manifest %q: %v", files["manifest.json"], err)
	}
	var layers []digest.Digest
	for _, layer := range entries[0].Layers {
		layers = append(layers, digest.FromBytes(files[layer]))
	}
	got := content{digest.FromBytes(files[entries[0].Config]), join(layers)}
	if want := img.content(t); got != want {
		t.Errorf("the archive holds %v, want %v", got, want)
	}
}

// checkTree reads a manifest and all that it names, and checks each digest and size.
func checkTree(t *testing.T, d ocispec.Descriptor, open func(ocispec.Descriptor) (io.ReadCloser, error)) {
	t.Helper()
	in, err := open(d)
	if err != nil {
		t.Errorf("%s %s: %v", d.MediaType, d.Digest, err)
		return
	}
	defer in.Close()
	var body bytes.Buffer
	sum := d.Digest.Algorithm().Digester()
	var out io.Writer = sum.Hash()
	if isManifest(d.MediaType) {
		out = io.MultiWriter(out, &body)
	}
	if size, err := io.Copy(out, in); err != nil || size != d.Size || sum.Digest() != d.Digest {
		t.Errorf("%s %s of %d bytes: got %s of %d bytes, error %v", d.MediaType, d.Digest, d.Size, sum.Digest(), size, err)
		return
	}
	if !isManifest(d.MediaType) {
		return
	}
	var manifest struct {
		Manifests, Layers []ocispec.Descriptor
		Config            *ocispec.Descriptor
	}
	if err := json.Unmarshal(body.Bytes(), &manifest); err != nil {
		t.Errorf("%s: %v", d.Digest, err)
	}
	edges := append(manifest.Manifests, manifest.Layers...)
	if manifest.Config != nil {
		edges = append(edges, *manifest.Config)
	}
	if len(edges) == 0 {
		t.Errorf("%s %s names nothing", d.MediaType, d.Digest)
	}
	for _, edge := range edges {
		checkTree(t, edge, open)
	}
}

func isManifest(mediaType string) bool {
	switch mediaType {
	case ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, dockerManifest, dockerList:
		return true
	}
	return false
}

func blobFile(layout string, d digest.Digest) string {
	return filepath.Join(layout, ocispec.ImageBlobsDir, d.Algorithm().String(), d.Encoded())
}

func readJSON(t *testing.T, file string, value any) {
	t.Helper()
	body, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(body, value); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

func join(digests []digest.Digest) string {
	var s strings.Builder
	for _, d := range digests {
		s.WriteString(d.String() + " ")
	}
	return s.String()
}

// noise returns bytes that look random, the same for the same seed.
func noise(seed string, size int) []byte {
	body := make([]byte, size)
	// Read of a ChaCha8 does not fail.
	_, _ = rand.NewChaCha8(sha256.Sum256([]byte(seed))).Read(body)
	return body
}

func writeTar(t *testing.T, out io.Writer, files map[string][]byte) {
	t.Helper()
	archive := tar.NewWriter(out)
	for name, body := range files {
		header := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(body)), ModTime: time.Unix(1, 0)}
		if err := archive.WriteHeader(header); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write(body); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
}

// readTar returns the files of an archive; a link has the body of what it points to.
func readTar(t *testing.T, file string) map[string][]byte {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	files, links := make(map[string][]byte), make(map[string]string)
	archive := tar.NewReader(in)
	for {
		header, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		switch header.Typeflag {
		case tar.TypeReg:
			if files[header.Name], err = io.ReadAll(archive); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
		case tar.TypeSymlink:
			links[header.Name] = filepath.Join(filepath.Dir(header.Name), header.Linkname)
		}
	}
	for name, target := range links {
		files[name] = files[target]
	}
	return files
}
