// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding"
	"encoding/hex"
	"hash"

	"tare/internal/oci"
	"tare/internal/refcount"
)

// newHash returns the hash of d's algorithm.
func newHash(d oci.Digest) hash.Hash {
	if isSHA512(d) {
		return sha512.New()
	}
	return sha256.New()
}

func isSHA512(d oci.Digest) bool { return d.Algorithm() == "sha512" }

// is tells whether what h has hashed has the digest d.
func is(h hash.Hash, d oci.Digest) bool { return hex.EncodeToString(h.Sum(nil)) == d.Encoded() }

// matches tells whether content has the digest d.
func matches(d oci.Digest, content []byte) bool {
	h := newHash(d)
	h.Write(content)
	return is(h, d)
}

// A session that is put together from parts keeps the state of a running sha256 over its first Offset bytes: what
// crypto/sha256 marshals, "sha\x03", the eight words, the unfinished block and the length, 108 bytes in all. Go has kept
// that form since 1.10 and does not promise to. It need not: a state that cannot be read, as that of an upload with a
// sha512 digest, which nobody knows before the end, is none. The object is then read and hashed when it is complete.

// marshal returns the state of h; "" for a nil h.
func marshal(h hash.Hash) string {
	if h == nil {
		return ""
	}
	m, ok := h.(encoding.BinaryMarshaler)
	if !ok {
		return ""
	}
	state, err := m.MarshalBinary()
	if err != nil {
		return ""
	}
	return string(state)
}

// unmarshal returns a sha256 in the given state, or nil where that is not one.
func unmarshal(state string) hash.Hash {
	h := sha256.New()
	m, ok := h.(encoding.BinaryUnmarshaler)
	if !ok || m.UnmarshalBinary([]byte(state)) != nil {
		return nil
	}
	return h
}

// runningHash is the hash over the bytes of the parts of s, nil where it is not known.
func runningHash(s refcount.Session) hash.Hash {
	if s.Multipart == "" {
		return sha256.New()
	}
	return unmarshal(s.Hash)
}
