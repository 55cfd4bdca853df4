// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"errors"
	"sync"
	"testing"
	"time"

	"tare/internal/refcount"
	"tare/internal/store/faultstore"
)

// key is what a keyring signs with now.
func key(w *world, k *refcount.Keyring) string {
	w.t.Helper()
	b, err := k.Key(w.t.Context())
	w.must(err)
	return string(b)
}

func accepts(w *world, k *refcount.Keyring, key string) bool {
	w.t.Helper()
	ok, err := k.Accepts(w.t.Context(), func(b []byte) bool { return string(b) == key })
	w.must(err)
	return ok
}

func TestSecretIsMadeOnce(t *testing.T) {
	w := newWorld(t)
	first, again, another := key(w, w.Keyring("upload")), key(w, w.Keyring("upload")), key(w, w.Keyring("other"))
	if len(first) != 32 || first != again || first == another {
		t.Fatal("a secret changed, or two are the same")
	}
}

// Two processes need a secret for the first time at once: whichever call of one the other comes before, and however many
// come together, all of them sign with the same.
func TestFirstNeedOfTwoProcesses(t *testing.T) {
	for call := 1; call <= 4; call++ {
		w := newWorld(t)
		var other string
		p := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
			if c.N == call {
				other = key(w, w.Keyring("token"))
			}
			return faultstore.Pass
		}})
		got, err := w.beside(p.Table(w.store)).Keyring("token").Key(t.Context())
		w.must(err)
		if late := key(w, w.Keyring("token")); string(got) != late || other != "" && other != late {
			t.Errorf("before call %d: two secrets", call)
		}
	}
	w := newWorld(t)
	keys := make(chan string, 32)
	var all sync.WaitGroup
	for range cap(keys) {
		all.Go(func() {
			b, err := w.beside(w.store).Keyring("token").Key(t.Context())
			if err != nil {
				t.Error(err)
			}
			keys <- string(b)
		})
	}
	all.Wait()
	for range cap(keys) {
		if got := <-keys; got != key(w, w.Keyring("token")) {
			t.Error("two secrets")
		}
	}
}

// Two rotate at once: one of them rotates, the other is refused, and what was signed before is good.
func TestTwoRotations(t *testing.T) {
	for call := 1; call <= 3; call++ {
		w := newWorld(t)
		old, refused := key(w, w.Keyring("upload")), error(nil)
		came := false
		p := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
			if c.N == call {
				came = true
				_, refused = w.Rotate(t.Context(), "upload", time.Hour, false)
			}
			return faultstore.Pass
		}})
		_, err := w.beside(p.Table(w.store)).Rotate(t.Context(), "upload", time.Hour, false)
		if came && !errors.Is(errors.Join(err, refused), refcount.ErrRotating) || err != nil && refused != nil {
			t.Errorf("before call %d: %v, and %v", call, err, refused)
		}
		if !accepts(w, w.Keyring("upload"), old) {
			t.Errorf("before call %d: the old secret is gone", call)
		}
	}
}

// A process may die at every call of the store while it makes the secret, or hear nothing of what it did: whoever comes
// then gets one secret, and it is the one that was handed out, if one was.
func TestSecretSurvivesCrashes(t *testing.T) {
	for _, action := range []faultstore.Action{faultstore.DieBefore, faultstore.DieAfter, faultstore.LoseReply, faultstore.LoseCall, faultstore.Unavailable} {
		for call := 1; call <= 3; call++ {
			w := newWorld(t)
			p := faultstore.New(faultstore.Options{Plan: faultstore.At(call, action)})
			got, err := w.beside(p.Table(w.store)).Keyring("upload").Key(t.Context())
			if want := key(w, w.Keyring("upload")); err == nil && string(got) != want {
				t.Errorf("%s at call %d: two secrets", action, call)
			}
		}
	}
}

// Through a rotation, what any process signs is good in every other one, whatever each of them has read, for as long as
// it lives; and at the end the old secret is good no more.
func TestRotation(t *testing.T) {
	w := newWorld(t)
	const life = time.Hour
	rings := []*refcount.Keyring{w.Keyring("upload"), w.Keyring("upload"), w.Keyring("upload")}
	old := key(w, rings[0])
	key(w, rings[1])
	w.clock.Advance(refcount.KeyAge - 1) // two of them do not read for a moment; the third has read nothing
	began := w.clock.Now()
	until, err := w.Rotate(t.Context(), "upload", life, false)
	w.must(err)

	type signed struct {
		key string
		end time.Time
	}
	var live []signed
	seen := map[string]bool{}
	for w.clock.Now().Before(until) {
		for _, r := range rings {
			k := key(w, r)
			live, seen[k] = append(live, signed{k, w.clock.Now().Add(life)}), true
			for _, s := range live[max(0, len(live)-200):] {
				for _, other := range rings {
					if w.clock.Now().Before(s.end) && !accepts(w, other, s.key) {
						t.Fatalf("%v after the rotation: what was signed is refused", w.clock.Now().Sub(began))
					}
				}
			}
		}
		for len(live) > 0 && !w.clock.Now().Before(live[0].end) {
			live = live[1:]
		}
		for _, r := range rings {
			if !accepts(w, r, live[0].key) {
				t.Fatal("the oldest that lives is refused")
			}
		}
		w.clock.Advance(20 * time.Second)
	}
	if len(seen) != 2 {
		t.Fatalf("%d keys signed, want the old and the new", len(seen))
	}
	for _, r := range rings {
		if accepts(w, r, old) {
			t.Error("the old secret is good after the end")
		}
	}
}

func TestRotationWaits(t *testing.T) {
	w := newWorld(t)
	key(w, w.Keyring("token"))
	until, err := w.Rotate(t.Context(), "token", time.Hour, false)
	w.must(err)
	again, err := w.Rotate(t.Context(), "token", time.Hour, false)
	if !errors.Is(err, refcount.ErrRotating) || !again.Equal(until) {
		t.Fatalf("got %v until %v", err, again)
	}
	w.clock.Advance(until.Sub(w.clock.Now()))
	_, err = w.Rotate(t.Context(), "token", time.Hour, false)
	w.must(err)
}

// A secret that others know is forgotten, and so is the one before it.
func TestForget(t *testing.T) {
	w := newWorld(t)
	ring := w.Keyring("token")
	first := key(w, ring)
	_, err := w.Rotate(t.Context(), "token", time.Hour, false)
	w.must(err)
	w.clock.Advance(10 * time.Minute)
	second := key(w, ring)
	until, err := w.Rotate(t.Context(), "token", time.Hour, true)
	w.must(err)
	if !until.IsZero() {
		t.Errorf("it is over at %v, want at once", until)
	}
	w.clock.Advance(refcount.KeyAge)
	third := key(w, ring)
	if first == second || second == third || accepts(w, ring, first) || accepts(w, ring, second) || !accepts(w, ring, third) {
		t.Error("a forgotten secret is good")
	}
}

// A rotation that dies at any call, or whose answers are lost, has happened once or not at all; and to repeat it is safe.
func TestRotationSurvivesCrashes(t *testing.T) {
	for _, action := range []faultstore.Action{faultstore.DieBefore, faultstore.DieAfter, faultstore.LoseReply, faultstore.LoseCall, faultstore.Unavailable} {
		for call := 1; call <= 3; call++ {
			w := newWorld(t)
			old := key(w, w.Keyring("upload"))
			p := faultstore.New(faultstore.Options{Plan: faultstore.At(call, action)})
			_, err := w.beside(p.Table(w.store)).Rotate(t.Context(), "upload", time.Hour, false)
			if !accepts(w, w.Keyring("upload"), old) {
				t.Fatalf("%s at call %d: the old secret is gone", action, call)
			}
			if _, again := w.Rotate(t.Context(), "upload", time.Hour, false); again != nil && !errors.Is(again, refcount.ErrRotating) ||
				again == nil && err == nil {
				t.Fatalf("%s at call %d: %v, then %v", action, call, err, again)
			}
			if !accepts(w, w.Keyring("upload"), old) {
				t.Fatalf("%s at call %d: the old secret is gone after two", action, call)
			}
		}
	}
}
