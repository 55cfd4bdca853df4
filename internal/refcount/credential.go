// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"tare/internal/store"
)

// Credential is who may come in, by a token that nobody else has and that the table does not hold.
type Credential struct {
	Name   string            // see ValidCredential
	Rights string            // a word of package auth
	Sum    [sha256.Size]byte // of the token, which is random: nothing slower is needed
	Made   time.Time
}

// MaxCredential is the most bytes of a credential's name.
const MaxCredential = 64

// ValidCredential tells whether a credential can have the name: 1 to 64 letters, digits, "-", "_" and ".". It goes into
// headers, logs and keys.
func ValidCredential(name string) bool {
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || 'z' < c) && (c < 'A' || 'Z' < c) && (c < '0' || '9' < c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return 0 < len(name) && len(name) <= MaxCredential
}

// What a credential cannot be.
var (
	ErrCredentialName    = errors.New("a name has 1 to 64 letters, digits, \"-\", \"_\" and \".\"")
	ErrCredentialExists  = errors.New("there is a credential of this name")
	ErrCredentialUnknown = errors.New("there is no credential of this name")
)

// PutCredential keeps a credential. One of the same name is ErrCredentialExists, unless it is to be replaced: its token is
// good no more then. After ErrUnknownOutcome it may be there; to repeat the call is safe.
func (l *Ledger) PutCredential(ctx context.Context, c Credential, replace bool) error {
	if !ValidCredential(c.Name) {
		return ErrCredentialName
	}
	return l.retry(ctx, func(now time.Time) error {
		r, err := l.get(ctx, credentialKey(c.Name))
		switch {
		case err != nil:
			return err
		case r.Text(attrSum) == string(c.Sum[:]): // by an earlier attempt
			return nil
		case r != nil && !replace:
			return ErrCredentialExists
		}
		expect := absent()
		if r != nil {
			expect = is(attrVersion, r.Text(attrVersion))
		}
		var t txn
		t.put(credentialKey(c.Name), plainRow(text(attrRights, c.Rights), data(attrSum, string(c.Sum[:])),
			num(attrCreated, c.Made.UnixMilli()), text(attrVersion, l.cfg.NewToken())), expect)
		return l.apply(ctx, now, &t)
	})
}

// Credential reads a credential strongly; ok is false where there is none.
func (l *Ledger) Credential(ctx context.Context, name string) (c Credential, ok bool, err error) {
	if !ValidCredential(name) {
		return c, false, nil
	}
	r, err := l.get(ctx, credentialKey(name))
	if err != nil || r == nil {
		return c, false, err
	}
	return readCredential(store.Item{Key: credentialKey(name), Row: r})
}

func readCredential(it store.Item) (c Credential, ok bool, err error) {
	c = Credential{Name: it.Key.SK, Rights: it.Row.Text(attrRights), Made: fromMilli(it.Row.Num(attrCreated))}
	if copy(c.Sum[:], it.Row.Text(attrSum)) != len(c.Sum) {
		return c, false, &store.Error{Op: "read", Key: it.Key.String(), Outcome: store.ErrCorrupt, Cause: fmt.Errorf("its %q has no 32 bytes", attrSum)}
	}
	return c, true, nil
}

// Credentials lists up to n credentials after the name last, by name; more says that there are further ones.
func (l *Ledger) Credentials(ctx context.Context, last string, n int) (list []Credential, more bool, err error) {
	page, err := l.query(ctx, store.Query{PK: kindCredential, After: last, Limit: min(n, pageSize)})
	if err != nil {
		return nil, false, err
	}
	for _, it := range page.Items {
		c, _, err := readCredential(it)
		if err != nil {
			return nil, false, err
		}
		list = append(list, c)
	}
	return list, page.More, nil
}

// RevokeCredential removes a credential. One that is not there is ErrCredentialUnknown. After ErrUnknownOutcome it may be
// gone; to repeat the call is safe.
func (l *Ledger) RevokeCredential(ctx context.Context, name string) error {
	if !ValidCredential(name) {
		return ErrCredentialUnknown
	}
	return l.retry(ctx, func(now time.Time) error {
		r, err := l.get(ctx, credentialKey(name))
		if err != nil {
			return err
		}
		if r == nil {
			return ErrCredentialUnknown
		}
		var t txn
		t.remove(credentialKey(name), is(attrVersion, r.Text(attrVersion)))
		return l.apply(ctx, now, &t)
	})
}
