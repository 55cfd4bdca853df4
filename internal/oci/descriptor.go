// SPDX-License-Identifier: Apache-2.0

package oci

// Descriptor is image-spec's descriptor, as far as a registry reads it.
type Descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       Digest            `json:"digest"`
	Size         int64             `json:"size"`
	URLs         []string          `json:"urls,omitempty"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
}

// Limits of manifests.
const (
	MaxManifest    = 4 << 20   // bytes; distribution-spec, "Pushing Manifests": at least 4 MiB should be accepted
	MaxReferrers   = 4 << 20   // bytes of a page of referrers; distribution-spec, "Listing Referrers"
	MaxAnnotations = 256 << 10 // bytes of annotations of a manifest with a subject: its referrers row holds them
	MaxMediaType   = 255       // bytes of a media or artifact type (RFC 6838: 127 + "/" + 127)
	MaxDepth       = 32        // levels of JSON
)

// The media types that the registry itself has to know: the defaults of its answers, and the layers whose bytes may
// stay elsewhere (image-spec, "Non-Distributable Layers"; Docker's foreign layers).
const (
	MediaTypeIndex    = "application/vnd.oci.image.index.v1+json"
	MediaTypeManifest = "application/vnd.oci.image.manifest.v1+json"
	MediaTypeBlob     = "application/octet-stream"
)
