// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"sync"
	"time"
)

// KeyAge is for how long a process uses a secret without reading it again: a rotation is known everywhere after it.
const KeyAge = time.Minute

// Keyring is a named secret of the registry as a process uses it: it signs with the present one, and takes what the one
// before signed while that lives. Nothing is read before the first use. It is safe for concurrent use.
type Keyring struct {
	ledger *Ledger
	name   string

	mu   sync.Mutex // guards what follows
	keys secret
	read time.Time // when; the zero time: never
}

// Keyring returns the named secret. It is made in the table when it is first used.
func (l *Ledger) Keyring(name string) *Keyring { return &Keyring{ledger: l, name: name} }

// Key is what signs now.
func (k *Keyring) Key(ctx context.Context) ([]byte, error) {
	now := k.ledger.clock.Now()
	keys, err := k.at(ctx, now)
	return []byte(keys.signer(now)), err
}

// Accepts tells whether signed holds for one of the keys that are good now. What no key signed costs no read of its own.
func (k *Keyring) Accepts(ctx context.Context, signed func(key []byte) bool) (bool, error) {
	now := k.ledger.clock.Now()
	keys, err := k.at(ctx, now)
	if err != nil {
		return false, err
	}
	for _, key := range keys.good(now) {
		if signed([]byte(key)) {
			return true, nil
		}
	}
	return false, nil
}

// at returns keys that were read no longer than KeyAge before now. Two that come at once may both read, and find the same.
func (k *Keyring) at(ctx context.Context, now time.Time) (secret, error) {
	k.mu.Lock()
	keys, read := k.keys, k.read
	k.mu.Unlock()
	if since := now.Sub(read); !read.IsZero() && since >= 0 && since < KeyAge {
		return keys, nil
	}
	keys, err := k.ledger.secret(ctx, k.name)
	if err != nil {
		return secret{}, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.keys, k.read = keys, now
	return keys, nil
}
