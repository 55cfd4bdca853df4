// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"bytes"
	"crypto/sha256"
	"testing"
)

// A state either is none, or goes on as itself from wherever it is kept.
func FuzzHashState(f *testing.F) {
	h := sha256.New()
	f.Add(marshal(h), "")
	h.Write([]byte("some content"))
	f.Add(marshal(h), "and more")
	f.Add(marshal(h)[1:], "")
	f.Add("", "")
	f.Fuzz(func(t *testing.T, state, more string) {
		h := unmarshal(state)
		if h == nil {
			return
		}
		h.Write([]byte(more))
		again := unmarshal(marshal(h))
		if again == nil || !bytes.Equal(again.Sum(nil), h.Sum(nil)) {
			t.Fatalf("%x and %q: kept as %x", state, more, marshal(h))
		}
	})
}
