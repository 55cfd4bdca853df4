// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"sync"
	"time"

	"tare/internal/clock"
	"tare/internal/refcount"
)

// Credentials are names with random tokens as their passwords. A [refcount.Ledger] has them.
type Credentials interface {
	// Credential reads one, strongly; ok is false where there is none.
	Credential(ctx context.Context, name string) (c refcount.Credential, ok bool, err error)
}

// Rights returns what a credential with a right may do: "pull"; "push", which is to pull, too; "admin", which is to delete,
// too. ok is false for any other word, which gives nothing.
func Rights(word string) (a Action, ok bool) {
	switch word {
	case "pull":
		return Pull, true
	case "push":
		return Pull | Push, true
	case "admin":
		return everything, true
	}
	return 0, false
}

const (
	// credentialFor is for how long a credential is believed without being read again: one that is revoked, replaced or
	// changed has its old form no longer than that, in each process.
	credentialFor = 30 * time.Second
	// maxCredentials bounds the credentials that are remembered.
	maxCredentials = 4096
)

// credentialed are the users that credentials make.
//
// What is remembered is what was read, and only after its owner came with what is right: whatever else comes costs one read,
// whether there is such a name or not, so that nobody learns it from the time.
type credentialed struct {
	rows  Credentials
	clock clock.Clock

	mu    sync.Mutex // guards known
	known map[string]seen
}

// seen is a credential as it was read.
type seen struct {
	refcount.Credential
	at time.Time
}

func newCredentialed(rows Credentials, c clock.Clock) *credentialed {
	return &credentialed{rows: rows, clock: c, known: make(map[string]seen)}
}

func (c *credentialed) verify(ctx context.Context, name, password string) (user, bool, error) {
	sum := sha256.Sum256([]byte(password))
	if s, ok := c.remembered(name); ok && subtle.ConstantTimeCompare(s.Sum[:], sum[:]) == 1 {
		return s.user(), true, nil
	}
	s, there, err := c.read(ctx, name)
	if err != nil {
		return user{}, false, err
	}
	same := subtle.ConstantTimeCompare(s.Sum[:], sum[:]) == 1 // also where there is none: its sum is zeros
	if !same || !there {
		return user{}, false, nil
	}
	c.remember(name, s)
	return s.user(), true, nil
}

// lookup serves tokens, whose maker had verified the credential.
func (c *credentialed) lookup(ctx context.Context, name string) (user, bool, error) {
	if s, ok := c.remembered(name); ok {
		return s.user(), true, nil
	}
	s, there, err := c.read(ctx, name)
	u := s.user()
	u.proved = func() { c.remember(name, s) }
	return u, there, err
}

// read reads a credential, and forgets one that is not there.
func (c *credentialed) read(ctx context.Context, name string) (s seen, there bool, err error) {
	s.at = c.clock.Now() // before: what changes meanwhile is read again no later than it should
	if s.Credential, there, err = c.rows.Credential(ctx, name); err == nil && !there {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.known, name)
	}
	return s, there, err
}

func (s seen) user() user {
	rights, _ := Rights(s.Rights)
	return user{rights: rights, mark: s.Sum[:]}
}

func (c *credentialed) remembered(name string) (seen, bool) {
	now := c.clock.Now()
	c.mu.Lock()
	defer c.mu.Unlock()
	s, ok := c.known[name]
	return s, ok && !now.Before(s.at) && now.Sub(s.at) < credentialFor
}

// remember keeps a credential. When there is no room, all go: they are read again.
func (c *credentialed) remember(name string, s seen) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.known) >= maxCredentials {
		clear(c.known)
	}
	c.known[name] = s
}
