// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"tare/internal/clock"
	"tare/internal/oci"
)

// newPasswords makes a verifier for alice ("wonder") on which occupy can take all turns, so that nothing gets through
// but what is remembered.
func newPasswords(t *testing.T) (*passwords, *clock.Manual) {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte("wonder"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(path, append([]byte("alice:"), hash...), 0o600); err != nil {
		t.Fatal(err)
	}
	c := clock.NewManual(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	p, err := openPasswords(path, c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return p, c
}

func (p *passwords) occupy() (release func()) {
	for range cap(p.slots) {
		p.slots <- struct{}{}
	}
	return func() {
		for range cap(p.slots) {
			<-p.slots
		}
	}
}

// waits lets other goroutines run until n verifications wait for their turn.
func (p *passwords) waits(n int64) {
	for p.waiting.Load() != n {
		runtime.Gosched()
	}
}

func TestVerifiedPasswordNeedsNoTurn(t *testing.T) {
	p, c := newPasswords(t)
	ctx := t.Context()
	if ok, err := p.verify(ctx, "alice", "wonder"); !ok || err != nil {
		t.Fatal(ok, err)
	}
	release := p.occupy()
	if ok, err := p.verify(ctx, "alice", "wonder"); !ok || err != nil {
		t.Errorf("remembered: %v, %v", ok, err)
	}
	c.Advance(verifiedFor)
	given, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := p.verify(given, "alice", "wonder"); !errors.Is(err, context.Canceled) {
		t.Errorf("after its time: %v, not a wait for a turn", err)
	}
	release()
	p.waits(0)
}

func TestWrongPasswordIsNotRemembered(t *testing.T) {
	p, _ := newPasswords(t)
	for _, name := range []string{"alice", "nobody"} {
		if ok, err := p.verify(t.Context(), name, "wander"); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	if n := len(p.users().verified); n != 0 {
		t.Errorf("%d remembered", n)
	}
}

func TestUnknownUserTakesATurn(t *testing.T) {
	p, _ := newPasswords(t)
	release := p.occupy()
	given, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { _, err := p.verify(given, "nobody", "x"); done <- err }()
	p.waits(1)
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	release()
	p.waits(0)
}

func TestSamePasswordIsVerifiedOnce(t *testing.T) {
	p, _ := newPasswords(t)
	release := p.occupy()
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			if ok, err := p.verify(t.Context(), "alice", "wonder"); !ok || err != nil {
				t.Error(ok, err)
			}
		})
	}
	p.waits(1)
	for range 100 {
		runtime.Gosched()
		if n := p.waiting.Load(); n != 1 {
			t.Fatalf("%d verifications wait", n)
		}
	}
	release()
	callers.Wait()
}

func TestWaitingPasswordsAreBounded(t *testing.T) {
	p, _ := newPasswords(t)
	release := p.occupy()
	var callers sync.WaitGroup
	for i := range maxWaiting {
		callers.Go(func() {
			if ok, err := p.verify(t.Context(), "alice", fmt.Sprint(i)); ok || err != nil {
				t.Error(ok, err)
			}
		})
	}
	p.waits(maxWaiting)
	_, err := p.verify(t.Context(), "alice", "one more")
	var e *oci.Error
	if !errors.As(err, &e) || e.Code != oci.TooManyRequests || e.RetryAfter < time.Second {
		t.Errorf("got %v", err)
	}
	release()
	callers.Wait()
	if ok, err := p.verify(t.Context(), "alice", "wonder"); !ok || err != nil {
		t.Errorf("afterwards: %v, %v", ok, err)
	}
}

func TestVerifiedPasswordsAreBounded(t *testing.T) {
	p, c := newPasswords(t)
	u := p.users()
	for i := range 2 * maxVerified {
		u.remember(p.mac("alice", fmt.Sprint(i)), c.Now())
	}
	if len(u.verified) != maxVerified {
		t.Errorf("%d remembered", len(u.verified))
	}
	c.Advance(verifiedFor)
	m := p.mac("alice", "late")
	u.remember(m, c.Now())
	if len(u.verified) != 1 || !u.remembers(m, c.Now()) {
		t.Errorf("%d remembered after their time", len(u.verified))
	}
}

func TestDearestHashIsTheDecoy(t *testing.T) {
	dear, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost+1)
	if err != nil {
		t.Fatal(err)
	}
	cheap, err := bcrypt.GenerateFromPassword([]byte("x"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	u := newUsers(map[string][]byte{"a": cheap, "b": dear, "c": cheap})
	if string(u.decoy) != string(dear) {
		t.Error("another hash is the decoy")
	}
}
