// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"tare/internal/oci"
	"tare/internal/store"
)

// edge is what a manifest holds: a blob of its repository, or another manifest of it.
type edge struct {
	child  bool
	digest oci.Digest
}

// MaxEdgeBytes bounds the packed edges of a manifest, so that they and an inline body fit a row: 10,000 sha256 edges, or
// half as many of sha512.
const MaxEdgeBytes = 10_000 * (1 + sha256.Size)

// EdgeBytes is what one edge to d takes of MaxEdgeBytes.
func EdgeBytes(d oci.Digest) int { return 1 + len(d.Encoded())/2 }

// ordered sorts edges and drops repetitions: links first, then children, each by digest. The order is the stage's, and the
// cursor counts along it.
func ordered(es []edge) []edge {
	slices.SortFunc(es, func(a, b edge) int {
		if a.child != b.child {
			if a.child {
				return 1
			}
			return -1
		}
		return strings.Compare(string(a.digest), string(b.digest))
	})
	return slices.Compact(es)
}

// Edges are stored one after another: a byte that tells kind and algorithm, then the digest's bytes.
const (
	packedSHA256 = 0
	packedSHA512 = 1
	packedChild  = 2
)

func packEdges(es []edge) string {
	var b strings.Builder
	for _, e := range es {
		mark := byte(packedSHA256)
		if e.digest.Algorithm() == "sha512" {
			mark = packedSHA512
		}
		if e.child {
			mark |= packedChild
		}
		b.WriteByte(mark)
		raw, err := hex.DecodeString(e.digest.Encoded())
		if err != nil {
			panic("refcount: an edge to an invalid digest: " + string(e.digest))
		}
		b.Write(raw)
	}
	return b.String()
}

func unpackEdges(s string) ([]edge, error) {
	var es []edge
	for len(s) > 0 {
		algorithm, n := "sha256:", sha256.Size
		if s[0]&packedSHA512 != 0 {
			algorithm, n = "sha512:", sha512.Size
		}
		if s[0] > packedSHA512|packedChild || len(s) < 1+n {
			return nil, fmt.Errorf("%w: packed edges", store.ErrCorrupt)
		}
		es = append(es, edge{s[0]&packedChild != 0, oci.Digest(algorithm + hex.EncodeToString([]byte(s[1:1+n])))})
		s = s[1+n:]
	}
	return es, nil
}

func (e edge) key(repo oci.Repository) store.Key {
	if e.child {
		return manifestKey(repo, e.digest)
	}
	return linkKey(repo, e.digest)
}

func keysOf(repo oci.Repository, es []edge) []store.Key {
	keys := make([]store.Key, len(es))
	for i, e := range es {
		keys[i] = e.key(repo)
	}
	return keys
}
