// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"
	"golang.org/x/sync/singleflight"

	"tare/internal/clock"
	"tare/internal/oci"
)

const (
	// checkEvery is how often the file is looked at, at most.
	checkEvery = time.Second
	// verifiedFor is how long a verified password is not verified again.
	verifiedFor = 5 * time.Minute
	// maxVerified bounds the verified passwords that are remembered.
	maxVerified = 4096
	// maxWaiting bounds the passwords that wait to be verified.
	maxWaiting = 64
)

// passwords verifies passwords against an htpasswd file, which it reads again when it changes.
//
// bcrypt is meant to be slow, so at most half of the processors compute it at one time, a password is verified once
// for all who send it at once, and then remembered for a while, as an HMAC under a key that only this process knows.
type passwords struct {
	path  string
	clock clock.Clock
	log   *slog.Logger
	key   []byte // of the HMAC

	slots   chan struct{} // one for each verification that may run
	waiting atomic.Int64

	current atomic.Pointer[users]

	mu      sync.Mutex // guards what follows
	checked time.Time
	seen    os.FileInfo // of the reading in force, or of the last broken one
	broken  string      // what was wrong with the last reading, "" when it is in force
}

// users is one reading of the file, and what was verified against it. A new reading begins with nothing verified.
type users struct {
	hashes map[string][]byte
	decoy  []byte // what the password of an unknown user is compared with, so that it takes as long
	flight singleflight.Group

	mu       sync.Mutex // guards verified
	verified map[mac]time.Time
}

type mac [sha256.Size]byte

// hash returns the user's hash, nil when there is no such user.
func (u *users) hash(name string) []byte { return u.hashes[name] }

func newUsers(hashes map[string][]byte) *users {
	u := &users{hashes: hashes, verified: make(map[mac]time.Time)}
	dearest := -1
	for _, hash := range hashes {
		if cost, err := bcrypt.Cost(hash); err == nil && cost > dearest {
			dearest, u.decoy = cost, hash
		}
	}
	return u
}

func openPasswords(path string, c clock.Clock, log *slog.Logger) (*passwords, error) {
	p := &passwords{
		path:  path,
		clock: c,
		log:   log,
		key:   make([]byte, sha256.Size),
		slots: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
	}
	rand.Read(p.key)
	u, seen, err := readUsers(path)
	if err != nil {
		return nil, fmt.Errorf("htpasswd file %s: %w", path, err)
	}
	p.current.Store(u)
	p.seen, p.checked = seen, c.Now()
	return p, nil
}

// readUsers reads the file. The info is from before the reading, so that a change during it is seen later; it is nil
// when the file cannot be opened.
func readUsers(path string) (*users, os.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	hashes, err := parseHtpasswd(f)
	if err != nil {
		return nil, info, err
	}
	return newUsers(hashes), info, nil
}

// users returns the reading in force, after a look at the file when the last one is long enough ago.
func (p *passwords) users() *users {
	// Whoever does not get the lock would wait for a look that another request is taking already.
	if p.mu.TryLock() {
		defer p.mu.Unlock()
		now := p.clock.Now()
		if since := now.Sub(p.checked); since < 0 || since >= checkEvery {
			p.checked = now
			p.refresh()
		}
	}
	return p.current.Load()
}

// refresh reads the file again if it changed. A broken one is reported once and leaves the old reading in force. The
// caller holds mu.
func (p *passwords) refresh() {
	if info, err := os.Stat(p.path); err == nil && p.seen != nil && same(info, p.seen) {
		return
	}
	u, seen, err := readUsers(p.path)
	p.seen = seen
	if err != nil {
		if p.broken != err.Error() {
			p.broken = err.Error()
			p.log.Error("The changed htpasswd file cannot be used, the users known before stay in force.", "path", p.path, "error", err)
		}
		return
	}
	p.broken = ""
	p.current.Store(u)
	p.log.Info("The htpasswd file was read again.", "path", p.path, "users", len(u.hashes))
}

func same(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}

// verify tells whether the password is the user's. An unknown user takes as long as a known one. Errors:
// TooManyRequests, and the context's own.
func (p *passwords) verify(ctx context.Context, name, password string) (bool, error) {
	u := p.users()
	m := p.mac(name, password)
	if u.remembers(m, p.clock.Now()) {
		return true, nil
	}
	result := u.flight.DoChan(string(m[:]), func() (any, error) { return p.compare(u, m, name, password) })
	select {
	case r := <-result:
		if r.Err != nil {
			return false, r.Err
		}
		return r.Val.(bool), nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// compare computes bcrypt, when its turn comes.
func (p *passwords) compare(u *users, m mac, name, password string) (bool, error) {
	defer p.waiting.Add(-1)
	if p.waiting.Add(1) > maxWaiting {
		e := oci.Errorf(oci.TooManyRequests, "too many passwords wait to be verified")
		e.RetryAfter = retryBusy
		return false, e
	}
	p.slots <- struct{}{}
	defer func() { <-p.slots }()
	if u.remembers(m, p.clock.Now()) { // verified between the caller's look and this turn
		return true, nil
	}
	hash := u.hash(name)
	if hash == nil {
		_ = bcrypt.CompareHashAndPassword(u.decoy, []byte(password)) // only its time counts
		return false, nil
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) != nil {
		return false, nil
	}
	u.remember(m, p.clock.Now())
	return true, nil
}

// mac identifies a user's password without holding it. A name has no colon, so the two cannot be taken for others.
func (p *passwords) mac(name, password string) (m mac) {
	h := hmac.New(sha256.New, p.key)
	h.Write([]byte(name))
	h.Write([]byte{':'})
	h.Write([]byte(password))
	h.Sum(m[:0])
	return m
}

// remembers tells whether the password was verified lately. The lookup need not take constant time: what it compares
// is an HMAC under a key that no caller knows.
func (u *users) remembers(m mac, now time.Time) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	at, ok := u.verified[m]
	return ok && !now.Before(at) && now.Sub(at) < verifiedFor
}

// remember keeps a verified password. When there is no room, old ones go first, then any.
func (u *users) remember(m mac, now time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.verified) >= maxVerified {
		for k, at := range u.verified {
			if now.Before(at) || now.Sub(at) >= verifiedFor {
				delete(u.verified, k)
			}
		}
	}
	for k := range u.verified {
		if len(u.verified) < maxVerified {
			break
		}
		delete(u.verified, k)
	}
	u.verified[m] = now
}

// passwordUsers are the users of an htpasswd file.
type passwordUsers struct {
	passwords *passwords
	readOnly  []string
}

func (p *passwordUsers) verify(ctx context.Context, name, password string) (user, bool, error) {
	ok, err := p.passwords.verify(ctx, name, password)
	if err != nil || !ok {
		return user{}, false, err
	}
	return p.user(name), true, nil
}

func (p *passwordUsers) lookup(_ context.Context, name string) (user, bool, error) {
	u := p.user(name)
	return u, u.mark != nil, nil
}

// user gives a name its rights.
func (p *passwordUsers) user(name string) user {
	u := user{rights: everything, mark: p.passwords.users().hash(name)}
	if slices.Contains(p.readOnly, name) {
		u.rights = Pull
	}
	return u
}
