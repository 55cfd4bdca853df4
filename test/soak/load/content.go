// SPDX-License-Identifier: Apache-2.0

package load

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
)

const (
	repositories = 4
	tags         = 12 // of each, so that clients meet
	common       = 12 // layers that many images have
	narrow       = 150
)

func (w *worker) repo() string { return fmt.Sprintf("soak/app%d", w.random.IntN(repositories)) }

func (w *worker) tag() string { return fmt.Sprintf("v%d", w.random.IntN(tags)) }

// filler is content made from a number alone.
func filler(number uint64, size int) []byte {
	var seed [32]byte
	binary.LittleEndian.PutUint64(seed[:], number)
	b := make([]byte, size)
	rand.NewChaCha8(seed).Read(b) // never fails
	return b
}

// layer is the content of a layer: one that many images have, or a fresh one. Those of up to 32 KiB are kept in the
// table, larger ones in files.
func (w *worker) layer() []byte {
	if w.random.IntN(2) == 0 {
		n := w.random.Uint64N(common)
		return filler(n, w.size(rand.New(rand.NewPCG(n, 0))))
	}
	return w.fresh()
}

// fresh is content that nobody else has.
func (w *worker) fresh() []byte { return filler(w.random.Uint64(), w.size(w.random)) }

func (w *worker) size(random *rand.Rand) int {
	switch random.IntN(10) {
	case 0, 1, 2, 3:
		return 1 + random.IntN(4<<10)
	case 4, 5:
		return 1 + random.IntN(33<<10)
	case 6, 7, 8:
		return min(32<<10+random.IntN(256<<10), w.Largest)
	}
	return min(random.IntN(2<<20)+1, w.Largest)
}

func digestOf(b []byte) string {
	s := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(s[:])
}

// pick returns a manifest that is there as far as is known, of any repository.
func (w *worker) pick() (image, error) {
	for range 2 * repositories {
		repo := w.repo()
		if digest := w.Ledger.Pick(w.random, repo); digest != "" {
			return image{repo, digest}, nil
		}
	}
	return image{}, errNothing("manifest")
}
