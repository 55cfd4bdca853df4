// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// MaxReferences is how many distinct sha256 digests a manifest may list in config, layers, blobs and manifests. A sha512
// digest counts twice: the list is kept in one row, whose size is limited.
const MaxReferences = 10_000

// Manifest is what a registry reads in a manifest, whatever its media type is: the descriptors of the five fields that
// the image specification names, and what a referrers list says about it. Everything else is the client's.
type Manifest struct {
	MediaType    string
	ArtifactType string // artifactType, else config.mediaType; "" where there is neither
	Subject      *Descriptor
	Config       *Descriptor
	Layers       []Descriptor
	Blobs        []Descriptor // of the artifact manifests of ORAS
	Manifests    []Descriptor
	// Annotations is nil where they are larger than MaxAnnotations and there is no subject.
	Annotations map[string]string
}

// Referrer returns the descriptor that the referrers of the subject list for the manifest with this digest and size.
func (m *Manifest) Referrer(d Digest, size int64) Descriptor {
	return Descriptor{MediaType: m.MediaType, Digest: d, Size: size, ArtifactType: m.ArtifactType, Annotations: m.Annotations}
}

// Media types whose meaning decides what a body may hold.
const (
	mediaTypeDockerManifest = "application/vnd.docker.distribution.manifest.v2+json"
	mediaTypeDockerList     = "application/vnd.docker.distribution.manifest.list.v2+json"
	mediaTypeDockerSchema1  = "application/vnd.docker.distribution.manifest.v1+" // json, prettyjws
	mediaTypeORASArtifact   = "application/vnd.oci.artifact.manifest.v1+json"
)

// The fields of a manifest that a registry reads. A null counts as absent.
var manifestFields = [...]string{"schemaVersion", "mediaType", "artifactType", "config", "layers", "blobs", "manifests", "subject", "annotations", "fsLayers"}

const (
	fieldSchemaVersion = iota
	fieldMediaType
	fieldArtifactType
	fieldConfig
	fieldLayers
	fieldBlobs
	fieldManifests
	fieldSubject
	fieldAnnotations
	fieldFSLayers
)

// ParseManifest reads a manifest that was sent as mediaType, a Content-Type without parameters, or "" where there was
// none: then the body's own mediaType counts, and without that its shape (manifests make an index, anything else an
// image manifest).
//
// It refuses what two readers could take for two different things: a mediaType that differs from the Content-Type; an
// index that is an image, too, by its fields or by its media type (CVE-2021-41190); a field that comes twice; a field
// that differs from a known one by case alone, which some readers fold and others do not; text that is not UTF-8.
// Docker's schema 1 is refused. Fields that it does not know may hold anything.
//
// The URLs and annotations of the descriptors inside are checked and left out: no rule of a registry reads them.
// The result shares no memory with body and takes a small multiple of its size.
//
// Errors: ManifestInvalid; TooLarge, which names the limit: MaxManifest, MaxReferences, or MaxAnnotations where there
// is a subject.
func ParseManifest(body []byte, mediaType string) (Manifest, error) {
	if len(body) > MaxManifest {
		return Manifest{}, Errorf(TooLarge, "the manifest has %d bytes, more than %d", len(body), MaxManifest)
	}
	doc, err := jsonObject(body)
	if err != nil {
		return Manifest{}, err
	}
	var raw [len(manifestFields)]string
	if err := doc.fields(manifestFields[:], raw[:]); err != nil {
		return Manifest{}, err
	}
	if err := checkSchema(raw[fieldSchemaVersion], raw[fieldFSLayers]); err != nil {
		return Manifest{}, err
	}
	var m Manifest
	if m.MediaType, err = resolveMediaType(mediaType, raw[:]); err != nil {
		return Manifest{}, err
	}
	if err := m.parseReferences(raw[:]); err != nil {
		return Manifest{}, err
	}
	if m.ArtifactType, err = parseMediaType("artifactType", raw[fieldArtifactType]); err != nil {
		return Manifest{}, err
	}
	if m.ArtifactType == "" && m.Config != nil {
		m.ArtifactType = m.Config.MediaType
	}
	if err := m.parseAnnotations(raw[fieldAnnotations]); err != nil {
		return Manifest{}, err
	}
	return m, nil
}

// checkSchema refuses what is no manifest of the second schema, which all since 2016 are.
func checkSchema(version, fsLayers string) error {
	if version == "1" || fsLayers != "" {
		return Errorf(ManifestInvalid, "Docker's manifest schema 1 is not supported: push the image again with a present-day client")
	}
	if version != "" && version != "2" {
		return Errorf(ManifestInvalid, "schemaVersion is %s, not 2", clip(version))
	}
	return nil
}

// resolveMediaType finds what the manifest is and refuses what is two things at once.
func resolveMediaType(sent string, raw []string) (string, error) {
	own, err := parseMediaType("mediaType", raw[fieldMediaType])
	if err != nil {
		return "", err
	}
	if sent != "" && own != "" && sent != own {
		return "", Errorf(ManifestInvalid, "the Content-Type is %q, but the manifest's mediaType is %q", clip(sent), clip(own))
	}
	index := raw[fieldManifests] != ""
	image := raw[fieldConfig] != "" || raw[fieldLayers] != "" || raw[fieldBlobs] != ""
	if index && image {
		return "", Errorf(ManifestInvalid, "the manifest has manifests as an index does, and config, layers or blobs as an image does")
	}
	mt := sent
	switch {
	case mt != "":
	case own != "":
		mt = own
	case index:
		mt = MediaTypeIndex
	default:
		mt = MediaTypeManifest
	}
	switch {
	case !validMediaType(mt):
		return "", Errorf(ManifestInvalid, "%q is no media type of at most %d bytes", clip(mt), MaxMediaType)
	case strings.HasPrefix(mt, mediaTypeDockerSchema1):
		return "", checkSchema("1", "")
	case image && (mt == MediaTypeIndex || mt == mediaTypeDockerList):
		return "", Errorf(ManifestInvalid, "an index has no config, layers or blobs")
	case index && (mt == MediaTypeManifest || mt == mediaTypeDockerManifest || mt == mediaTypeORASArtifact):
		return "", Errorf(ManifestInvalid, "an image has no manifests: it would be an index, too")
	}
	return mt, nil
}

// validMediaType keeps a media type to what a header can carry (RFC 9110, "Media Type").
func validMediaType(s string) bool {
	major, minor, _ := strings.Cut(s, "/")
	return len(s) <= MaxMediaType && isToken(major) && isToken(minor)
}

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`"(),/:;<=>?@[\]{}`, c) >= 0 {
			return false
		}
	}
	return s != ""
}

// parseReferences reads all descriptors.
func (m *Manifest) parseReferences(raw []string) (err error) {
	if m.Subject, err = parseOptional("subject", raw[fieldSubject]); err != nil {
		return err
	}
	if m.Config, err = parseOptional("config", raw[fieldConfig]); err != nil {
		return err
	}
	for _, list := range []struct {
		field int
		to    *[]Descriptor
	}{{fieldLayers, &m.Layers}, {fieldBlobs, &m.Blobs}, {fieldManifests, &m.Manifests}} {
		if *list.to, err = parseDescriptors(manifestFields[list.field], raw[list.field]); err != nil {
			return err
		}
	}
	return m.checkReferences()
}

// checkReferences applies MaxReferences. Few enough references need not be compared.
func (m *Manifest) checkReferences() error {
	lists := [][]Descriptor{m.Layers, m.Blobs, m.Manifests}
	if m.Config != nil {
		lists = append(lists, []Descriptor{*m.Config})
	}
	n := 0
	for _, list := range lists {
		n += len(list)
	}
	if 2*n <= MaxReferences {
		return nil
	}
	seen := make(map[Digest]struct{}, n)
	weight := 0
	for _, list := range lists {
		for i := range list {
			d := list[i].Digest
			if _, ok := seen[d]; ok {
				continue
			}
			seen[d] = struct{}{}
			weight++
			if strings.HasPrefix(string(d), "sha512:") {
				weight++
			}
		}
	}
	if weight > MaxReferences {
		return Errorf(TooLarge, "the manifest lists %d distinct digests, more than %d of sha256 or %d of sha512", len(seen), MaxReferences, MaxReferences/2)
	}
	return nil
}

func parseOptional(field, raw string) (*Descriptor, error) {
	if raw == "" {
		return nil, nil
	}
	d, err := parseDescriptor(raw)
	if err != nil {
		return nil, within(err, field)
	}
	return &d, nil
}

func parseDescriptors(field, raw string) ([]Descriptor, error) {
	if raw == "" {
		return nil, nil
	}
	var list []Descriptor
	err := jsonValue(raw).elements(func(v string) error {
		d, err := parseDescriptor(v)
		if err != nil {
			return within(err, strconv.Itoa(len(list)))
		}
		list = append(list, d)
		return nil
	})
	if err != nil {
		return nil, within(err, field)
	}
	return list, nil
}

var descriptorFields = [...]string{"mediaType", "digest", "size", "urls", "annotations", "artifactType"}

// parseDescriptor reads a descriptor. Its media type may be missing, as in the manifest lists of old clients.
func parseDescriptor(raw string) (d Descriptor, err error) {
	var field [len(descriptorFields)]string
	if err := jsonValue(raw).fields(descriptorFields[:], field[:]); err != nil {
		return d, err
	}
	if d.MediaType, err = parseMediaType("mediaType", field[0]); err != nil {
		return d, err
	}
	if d.Digest, err = parseDigestField(field[1]); err != nil {
		return d, within(err, "digest")
	}
	if d.Size, err = strconv.ParseInt(field[2], 10, 64); err != nil || d.Size < 0 {
		return d, Errorf(ManifestInvalid, "%s: size %q is no number of bytes", d.Digest, clip(field[2]))
	}
	if field[3] != "" {
		if err := jsonValue(field[3]).elements(isText); err != nil {
			return d, within(err, "urls")
		}
	}
	if field[4] != "" {
		if err := jsonValue(field[4]).members(func(_, v string) error { return isText(v) }); err != nil {
			return d, within(err, "annotations")
		}
	}
	d.ArtifactType, err = parseMediaType("artifactType", field[5])
	return d, err
}

func parseDigestField(raw string) (Digest, error) {
	if raw == "" {
		return "", Errorf(ManifestInvalid, "there is none")
	}
	s, err := jsonValue(raw).text()
	if err != nil {
		return "", err
	}
	d, err := ParseDigest(s)
	if err != nil {
		e, _ := errors.AsType[*Error](err) // it gives no other
		return "", Errorf(ManifestInvalid, "%s", e.Message)
	}
	return d, nil
}

// isText checks that a value is a string. What it says is nobody's business, so it is not decoded.
func isText(raw string) error {
	if raw[0] != '"' {
		return Errorf(ManifestInvalid, "this is %s, not a string", kind(raw))
	}
	return nil
}

// parseMediaType reads an optional media or artifact type of any spelling.
func parseMediaType(field, raw string) (string, error) {
	if raw == "" {
		return "", nil
	}
	s, err := jsonValue(raw).text()
	if err != nil {
		return "", within(err, field)
	}
	if len(s) > MaxMediaType {
		return "", Errorf(ManifestInvalid, "%s has %d bytes, more than %d", field, len(s), MaxMediaType)
	}
	return s, nil
}

// parseAnnotations reads the manifest's own annotations.
func (m *Manifest) parseAnnotations(raw string) error {
	if raw == "" {
		return nil
	}
	size := 0
	annotations := map[string]string{}
	err := jsonValue(raw).members(func(name, v string) error {
		value, err := jsonValue(v).text()
		if err != nil {
			return within(err, clip(name))
		}
		if size += len(name) + len(value); size > MaxAnnotations {
			return nil
		}
		if _, twice := annotations[name]; twice {
			return Errorf(ManifestInvalid, "%q comes twice", clip(name))
		}
		annotations[name] = value
		return nil
	})
	if err != nil {
		return within(err, "annotations")
	}
	if size <= MaxAnnotations && m.Subject != nil {
		size = encodedSize(annotations)
	}
	switch {
	case size <= MaxAnnotations:
		m.Annotations = annotations
	case m.Subject != nil:
		return Errorf(TooLarge, "the annotations of a manifest with a subject have %d bytes, more than %d", size, MaxAnnotations)
	}
	return nil
}

// encodedSize is the size of the annotations where they are stored and listed: as encoding/json writes them.
func encodedSize(annotations map[string]string) int {
	b, err := json.Marshal(annotations)
	if err != nil {
		panic("oci: strings do not encode: " + err.Error())
	}
	return len(b)
}

// within says in which field of a manifest an error is.
func within(err error, field string) error {
	e, _ := errors.AsType[*Error](err) // its callers have no other
	return Errorf(e.Code, "%s: %s", field, e.Message)
}

// NonDistributable tells whether the layer's bytes may stay elsewhere, by its media type: those that the image
// specification and Docker made for it. A descriptor of another type can carry URLs, too, but as one more place to fetch
// it from: its bytes are pushed, and kept, as any others.
func (d *Descriptor) NonDistributable() bool {
	return strings.HasPrefix(d.MediaType, "application/vnd.oci.image.layer.nondistributable.") ||
		strings.HasPrefix(d.MediaType, "application/vnd.docker.image.rootfs.foreign.")
}
