// SPDX-License-Identifier: Apache-2.0

package load

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"math/rand/v2"
)

// Media types of what is pushed.
const (
	ManifestType = "application/vnd.oci.image.manifest.v1+json"
	configType   = "application/vnd.oci.image.config.v1+json"
	layerType    = "application/vnd.oci.image.layer.v1.tar+gzip"
	emptyType    = "application/vnd.oci.empty.v1+json"
)

// Blob is content and its digest. A manifest is one too.
type Blob struct {
	Digest string
	Bytes  []byte
}

// NewBlob hashes content.
func NewBlob(content []byte) Blob {
	return Blob{Digest: digest(sha256.Sum256(content)), Bytes: content}
}

// Image is a manifest with what it names.
type Image struct {
	Manifest Blob
	Config   Blob
	Layers   []Blob
}

// Blobs lists the layers, then the config.
func (i Image) Blobs() []Blob {
	return append(i.Layers[:len(i.Layers):len(i.Layers)], i.Config)
}

// Source makes content that is incompressible and unique. Equal seeds make equal content in equal order.
type Source struct{ random *rand.ChaCha8 }

// NewSource seeds a source.
func NewSource(seed uint64) *Source {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	return &Source{random: rand.NewChaCha8(key)}
}

// Bytes makes size random bytes.
func (s *Source) Bytes(size int) []byte {
	content := make([]byte, size)
	s.random.Read(content) // Documented never to fail.
	return content
}

// Image makes an image of layers of size bytes each.
func (s *Source) Image(layers, size int) Image {
	image := Image{}
	config := imageConfig{Architecture: "amd64", OS: "linux"}
	config.RootFS.Type = "layers"
	for range layers {
		layer := NewBlob(s.Bytes(size))
		image.Layers = append(image.Layers, layer)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, layer.Digest)
	}
	image.Config = NewBlob(encode(config))
	image.Manifest = image.manifest(configType, layerType, nil)
	return image
}

// Annotated is the same image under another manifest, which carries one annotation more.
func (i Image) Annotated(value string) Image {
	i.Manifest = i.manifest(configType, layerType, map[string]string{"org.example.bench": value})
	return i
}

// Smallest is the smallest artifact that every registry takes: one blob of two bytes, which is its config and its only layer.
func Smallest() Image {
	empty := NewBlob([]byte("{}"))
	image := Image{Config: empty, Layers: []Blob{empty}}
	image.Manifest = image.manifest(emptyType, emptyType, nil)
	return image
}

func (i Image) manifest(config, layer string, annotations map[string]string) Blob {
	m := manifest{
		SchemaVersion: 2,
		MediaType:     ManifestType,
		Config:        descriptor{config, i.Config.Digest, len(i.Config.Bytes)},
		Annotations:   annotations,
	}
	if config == emptyType {
		m.ArtifactType = "application/vnd.example.bench"
	}
	for _, blob := range i.Layers {
		m.Layers = append(m.Layers, descriptor{layer, blob.Digest, len(blob.Bytes)})
	}
	return NewBlob(encode(m))
}

type imageConfig struct {
	Architecture string `json:"architecture"`
	OS           string `json:"os"`
	RootFS       struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
}

type manifest struct {
	SchemaVersion int               `json:"schemaVersion"`
	MediaType     string            `json:"mediaType"`
	ArtifactType  string            `json:"artifactType,omitempty"`
	Config        descriptor        `json:"config"`
	Layers        []descriptor      `json:"layers"`
	Annotations   map[string]string `json:"annotations,omitempty"`
}

type descriptor struct {
	MediaType string `json:"mediaType"`
	Digest    string `json:"digest"`
	Size      int    `json:"size"`
}

// encode cannot fail: it is called with structs of strings and integers alone.
func encode(v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return raw
}

const (
	streamBlock = 256 << 10
	stampEvery  = 4 << 10
)

// Stream is content too large to hold: random blocks, each made unlike all others by a stamp in every 4 KiB. It can be written once,
// and its digest is known afterwards.
type Stream struct {
	size   int64
	block  []byte
	hash   hash.Hash
	serial uint64
}

// Stream makes content of size bytes, which no other stream of this source shares.
func (s *Source) Stream(size int64) *Stream {
	return &Stream{size: size, block: s.Bytes(streamBlock), hash: sha256.New()}
}

// WriteTo writes the content in blocks of 256 KiB.
func (s *Stream) WriteTo(w io.Writer) (int64, error) {
	if s.serial > 0 {
		return 0, errors.New("a stream is written once")
	}
	var written int64
	for written < s.size {
		block := s.block[:min(s.size-written, int64(len(s.block)))]
		for at := 0; at+8 <= len(block); at += stampEvery {
			s.serial++
			binary.LittleEndian.PutUint64(block[at:], s.serial)
		}
		s.hash.Write(block)
		n, err := w.Write(block)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}

// Digest is the digest of what has been written.
func (s *Stream) Digest() string {
	return digest([sha256.Size]byte(s.hash.Sum(nil)))
}

func digest(sum [sha256.Size]byte) string {
	return "sha256:" + hex.EncodeToString(sum[:])
}
