// SPDX-License-Identifier: Apache-2.0

// Package oci holds the words of the registry: repository, tag, digest, reference, descriptor, manifest, the error
// codes, and the [Registry] interface that the HTTP layer speaks to. It knows no storage and no HTTP.
//
// The words are those of the OCI distribution specification 1.1.1 and image specification 1.1.1. Names, tags and
// digests compare byte by byte.
package oci

import (
	"fmt"
	"strings"

	"github.com/opencontainers/go-digest"
)

// Limits of names. The specification gives the grammar of a name and no length; clients keep host and name
// together below 256.
const (
	MaxRepository = 255 // bytes
	MaxTag        = 128 // bytes, by the grammar
)

// Repository is a valid repository name. Make one with [ParseRepository].
type Repository string

// Tag is a valid tag. Make one with [ParseTag].
type Tag string

// Digest is a valid sha256 or sha512 digest when it came from [ParseDigest].
type Digest = digest.Digest

// ParseRepository checks a name (distribution-spec, "Pulling manifests"). The error is NAME_INVALID.
func ParseRepository(s string) (Repository, error) {
	if len(s) > MaxRepository {
		return "", Errorf(NameInvalid, "the repository name has %d bytes, more than %d", len(s), MaxRepository)
	}
	if !isRepository(s) {
		return "", Errorf(NameInvalid, "%q is no repository name", clip(s))
	}
	return Repository(s), nil
}

// isRepository matches [a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*, the grammar of the
// specification: letters and digits, and one separator between two of them.
func isRepository(s string) bool {
	between := false // the last byte was a letter or digit
	for i := 0; i < len(s); i++ {
		c := s[i]
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' {
			between = true
			continue
		}
		if !between {
			return false
		}
		between = false
		switch c {
		case '.', '/':
		case '_':
			if i+1 < len(s) && s[i+1] == '_' {
				i++
			}
		case '-':
			for i+1 < len(s) && s[i+1] == '-' {
				i++
			}
		default:
			return false
		}
	}
	return between
}

// ParseTag checks a tag. The error is TAG_INVALID.
func ParseTag(s string) (Tag, error) {
	if !isTag(s) {
		return "", Errorf(TagInvalid, "%q is no tag: [a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}", clip(s))
	}
	return Tag(s), nil
}

func isTag(s string) bool {
	for i := range len(s) {
		c := s[i]
		word := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_'
		if !word && (i == 0 || c != '.' && c != '-') {
			return false
		}
	}
	return 0 < len(s) && len(s) <= MaxTag
}

// ParseDigest checks a digest: sha256 or sha512, in lower-case hexadecimal. The error is DIGEST_INVALID.
func ParseDigest(s string) (Digest, error) {
	algorithm, encoded, _ := strings.Cut(s, ":")
	digits := 0
	switch algorithm {
	case "sha256":
		digits = 64
	case "sha512":
		digits = 128
	default:
		return "", Errorf(DigestInvalid, "%q: only sha256 and sha512 digests are supported", clip(s))
	}
	if len(encoded) != digits {
		return "", Errorf(DigestInvalid, "%q: %d digits, not %d", clip(s), len(encoded), digits)
	}
	for i := range len(encoded) {
		if c := encoded[i]; (c < '0' || '9' < c) && (c < 'a' || 'f' < c) {
			return "", Errorf(DigestInvalid, "%q: %q is no lower-case hexadecimal digit", clip(s), c)
		}
	}
	return Digest(s), nil
}

// Reference is a tag or a digest; exactly one is set.
type Reference struct {
	Tag    Tag
	Digest Digest
}

// ParseReference takes anything with a colon for a digest and anything else for a tag. The error is DIGEST_INVALID
// or TAG_INVALID.
func ParseReference(s string) (Reference, error) {
	if strings.Contains(s, ":") {
		d, err := ParseDigest(s)
		return Reference{Digest: d}, err
	}
	t, err := ParseTag(s)
	return Reference{Tag: t}, err
}

// CutTarget cuts what a person names, repository:tag or repository@digest, in two, and looks at neither part. ok is false
// where it is none of these.
func CutTarget(s string) (repository, reference string, ok bool) {
	if repository, reference, ok = strings.Cut(s, "@"); ok {
		return repository, reference, true
	}
	if i := strings.LastIndexByte(s, ':'); i >= 0 {
		return s[:i], s[i+1:], true
	}
	return "", "", false
}

func (r Reference) String() string {
	if r.Digest != "" {
		return string(r.Digest)
	}
	return string(r.Tag)
}

// clip shortens what a client sent, for a message.
func clip(s string) string {
	if len(s) > 80 {
		return s[:80] + fmt.Sprintf("… (%d bytes)", len(s))
	}
	return s
}
