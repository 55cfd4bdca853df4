// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"crypto/rand"
	"time"
)

// secretBytes is the length of a secret: a key for HMAC-SHA256.
const secretBytes = 32

// Secret returns the named secret of this registry, and makes it when it is first asked for. All processes on one table
// get the same. It is never logged and leaves the table in no other way.
func (l *Ledger) Secret(ctx context.Context, name string) ([]byte, error) {
	var out []byte
	err := l.retry(ctx, func(now time.Time) error {
		r, err := l.get(ctx, secretKey(name))
		if err != nil {
			return err
		}
		if r != nil {
			out = []byte(r.Text(attrSecret))
			return nil
		}
		out = make([]byte, secretBytes)
		if _, err := rand.Read(out); err != nil {
			return err
		}
		var t txn
		t.put(secretKey(name), plainRow(data(attrSecret, string(out))), absent())
		return l.apply(ctx, now, &t)
	})
	return out, err
}
