// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"crypto/sha256"
	"strconv"
	"testing"
	"time"

	"tare/internal/store"
)

func TestTokensAreBounded(t *testing.T) {
	tokens := tokens{applied: make(map[string]applied)}
	now := time.Unix(1_800_000_000, 0)
	known := func(i int) bool { _, ok := tokens.applied[strconv.Itoa(i)]; return ok }
	add := func(i int) { tokens.add(strconv.Itoa(i), sha256.Sum256(nil), now) }
	for i := range maxTokens + 10 {
		add(i)
	}
	if known(9) || !known(10) || !known(maxTokens+9) || len(tokens.order) != maxTokens {
		t.Errorf("after %d tokens, %d are known, the tenth %t", maxTokens+10, len(tokens.order), known(9))
	}
	tokens.undo(3)
	if known(maxTokens+7) || !known(maxTokens+6) || len(tokens.applied) != len(tokens.order) {
		t.Errorf("what was undone is known: %t, %t", known(maxTokens+7), !known(maxTokens+6))
	}
	now = now.Add(store.TokenLife)
	add(1 << 20)
	if !known(maxTokens) {
		t.Error("a token is forgotten before its life ends")
	}
	now = now.Add(1)
	add(1<<20 + 1)
	if known(maxTokens) || !known(1<<20) || len(tokens.applied) != 2 {
		t.Errorf("%d tokens are known after their life", len(tokens.applied))
	}
}
