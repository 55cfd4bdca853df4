// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"tare/internal/store"
)

// secretBytes is the length of a secret: a key for HMAC-SHA256.
const secretBytes = 32

// secret is a row that signs. After a rotation there are two: both are good, the previous one signs until every process has
// read the present one, and is good until what it signed has ended.
type secret struct {
	current  string
	previous string    // "" for none
	since    time.Time // from then on the present one signs
	until    time.Time // from then on the previous one is not good any more
}

func readSecret(r store.Row) secret {
	return secret{r.Text(attrSecret), r.Text(attrPrevious), fromMilli(r.Num(attrSince)), fromMilli(r.Num(attrUntil))}
}

// signer is what signs at a moment.
func (s secret) signer(now time.Time) string {
	if s.previous != "" && now.Before(s.since) {
		return s.previous
	}
	return s.current
}

// good are those that are good at a moment.
func (s secret) good(now time.Time) []string {
	if s.previous != "" && now.Before(s.until) {
		return []string{s.current, s.previous}
	}
	return []string{s.current}
}

// secret returns the named secret of this registry, and makes it when it is first asked for: put only if absent, so that
// all processes on one table get the same, however many of them are first. It is never logged and leaves the table in no
// other way.
func (l *Ledger) secret(ctx context.Context, name string) (out secret, err error) {
	err = l.retry(ctx, func(now time.Time) error {
		r, err := l.get(ctx, secretKey(name))
		if err != nil {
			return err
		}
		if r != nil {
			out = readSecret(r)
			return nil
		}
		if out, err = newSecret(); err != nil {
			return err
		}
		var t txn
		t.put(secretKey(name), plainRow(data(attrSecret, out.current)), absent())
		return l.apply(ctx, now, &t)
	})
	return out, err
}

func newSecret() (secret, error) {
	b := make([]byte, secretBytes)
	_, err := rand.Read(b)
	return secret{current: string(b)}, err
}

// ErrRotating is the error of a rotation that comes while what was signed by the secret before the present one lives.
var ErrRotating = errors.New("the last rotation is not over")

// Rotate replaces the named secret. The old one signs until every process must have read the new one (KeyAge), and what it
// signed stays good for life, which must be the longest life of such things. Until then, which is the moment that is
// returned, a further rotation is refused with ErrRotating. With forget, for a secret that others know, the old one and the
// one before are good no more in any process that has read the row again, and so is what they signed; until all have, within
// KeyAge, one process may refuse what another one signs.
//
// After ErrUnknownOutcome it may have happened; to repeat the call is safe, and rotates again only with forget.
func (l *Ledger) Rotate(ctx context.Context, name string, life time.Duration, forget bool) (until time.Time, err error) {
	next, err := newSecret()
	if err != nil {
		return until, err
	}
	err = l.retry(ctx, func(now time.Time) error {
		r, err := l.get(ctx, secretKey(name))
		if err != nil {
			return err
		}
		var t txn
		old := readSecret(r)
		until = time.Time{}
		switch {
		case r != nil && old.current == next.current: // by an earlier attempt
			until = old.until
			return nil
		case r == nil:
			t.put(secretKey(name), plainRow(data(attrSecret, next.current)), absent())
		case forget:
			t.put(secretKey(name), plainRow(data(attrSecret, next.current)), exists())
		case old.previous != "" && now.Before(old.until):
			until = old.until
			return fmt.Errorf("%w before %s", ErrRotating, until.Format(time.RFC3339))
		default:
			slack := l.cfg.Margins.MaxStep + 2*l.cfg.Margins.Skew
			since := now.Add(KeyAge + slack)
			until = fromMilli(since.Add(life + slack).UnixMilli())
			t.put(secretKey(name), plainRow(data(attrSecret, next.current), data(attrPrevious, old.current),
				num(attrSince, since.UnixMilli()), num(attrUntil, until.UnixMilli())),
				store.Cond{Attr: attrSecret, Is: store.Equal, Value: store.Bytes(old.current)})
		}
		return l.apply(ctx, now, &t)
	})
	return until, err
}
