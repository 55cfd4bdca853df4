// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/store"
)

// What unpacks packs to the same bytes, and anything else is corrupt.
func FuzzUnpackEdges(f *testing.F) {
	short, long := strings.Repeat("\x5a", 32), strings.Repeat("\xa5", 64)
	for _, packed := range []string{
		"", "\x00" + short, "\x02" + short, "\x01" + long, "\x03" + long, "\x00" + short + "\x03" + long,
		"\x00", "\x00" + short[1:], "\x01" + short, "\x04" + long, "\xff" + long, "\x00" + short + "\x02",
	} {
		f.Add(packed)
	}
	f.Fuzz(func(t *testing.T, packed string) {
		es, err := unpackEdges(packed)
		if err != nil {
			if !errors.Is(err, store.ErrCorrupt) || es != nil {
				t.Fatalf("%x: %v, %v", packed, es, err)
			}
			return
		}
		if again := packEdges(es); again != packed {
			t.Fatalf("%x: packed again: %x", packed, again)
		}
		size := 0
		for _, e := range es {
			if _, err := oci.ParseDigest(string(e.digest)); err != nil {
				t.Fatalf("%x: %v", packed, err)
			}
			size += EdgeBytes(e.digest)
		}
		if size != len(packed) {
			t.Fatalf("%x: %d bytes, counted as %d", packed, len(packed), size)
		}
	})
}

// The edges of a manifest have an order and no repetitions, whatever it lists, and are stored without loss. Each byte of
// what is listed is a reference: to one of 64 contents, by one of two algorithms, as a blob or a manifest.
func FuzzOrdered(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 1, 64, 65, 128, 192, 193, 255, 0})
	f.Fuzz(func(t *testing.T, listed []byte) {
		var unordered []edge
		want := make(map[edge]bool)
		for _, b := range listed {
			algorithm := digest.SHA256
			if b&64 != 0 {
				algorithm = digest.SHA512
			}
			e := edge{b&128 != 0, algorithm.FromBytes([]byte{b & 63})}
			want[e] = true
			unordered = append(unordered, e)
		}
		es := ordered(unordered)
		if len(es) != len(want) {
			t.Fatalf("%x: %d edges, want %d", listed, len(es), len(want))
		}
		for i, e := range es {
			if !want[e] {
				t.Fatalf("%x: edge %v was not listed", listed, e)
			}
			if i > 0 && (es[i-1].child && !e.child || es[i-1].child == e.child && es[i-1].digest >= e.digest) {
				t.Fatalf("%x: edge %v after %v", listed, e, es[i-1])
			}
		}
		if stored, err := unpackEdges(packEdges(es)); err != nil || !slices.Equal(stored, es) {
			t.Fatalf("%x: stored as %v, %v; want %v", listed, stored, err, es)
		}
	})
}
