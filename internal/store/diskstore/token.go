// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"crypto/sha256"
	"strings"
	"time"

	"tare/internal/store"
)

// maxTokens is how many transactions are remembered at most.
const maxTokens = 65_536

// tokens remembers the transactions that were applied: the last maxTokens of them, for [store.TokenLife]. It lives in
// memory, which is enough: a Commit waits for its outcome once the transaction is sent, whatever its context says, and
// only a wrapper of the store can lose the answer. Whoever may still repeat a transaction is in this process, and if the
// process ends, nobody is left who knows the token.
type tokens struct {
	applied map[string]applied
	order   []string // the keys of applied, as they were applied
}

type applied struct {
	fingerprint [sha256.Size]byte
	at          time.Time
}

// add remembers a transaction that is applied now.
func (t *tokens) add(token string, fingerprint [sha256.Size]byte, now time.Time) {
	t.expire(now)
	token = strings.Clone(token) // it may be a part of something larger
	t.applied[token] = applied{fingerprint, now}
	t.order = append(t.order, token)
}

// undo forgets the last n transactions that were added.
func (t *tokens) undo(n int) {
	keep := len(t.order) - n
	for _, token := range t.order[keep:] {
		delete(t.applied, token)
	}
	t.order = t.order[:keep]
}

func (t *tokens) expire(now time.Time) {
	for len(t.order) > 0 && (len(t.order) >= maxTokens || now.Sub(t.applied[t.order[0]].at) > store.TokenLife) {
		delete(t.applied, t.order[0])
		t.order = t.order[1:]
	}
}
