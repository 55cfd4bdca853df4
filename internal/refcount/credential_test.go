// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"crypto/sha256"
	"errors"
	"strings"
	"testing"

	"tare/internal/refcount"
	"tare/internal/store/faultstore"
)

func TestCredentials(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	c := refcount.Credential{Name: "ci", Rights: "push", Sum: sha256.Sum256([]byte("one")), Made: w.clock.Now()}
	w.must(w.PutCredential(ctx, c, false))
	w.must(w.PutCredential(ctx, c, false)) // the same again, as after a lost reply
	got, ok, err := w.Credential(ctx, "ci")
	if w.must(err); !ok || got != c {
		t.Fatalf("got %+v, %v", got, ok)
	}
	next := c
	next.Sum = sha256.Sum256([]byte("two"))
	if err := w.PutCredential(ctx, next, false); !errors.Is(err, refcount.ErrCredentialExists) {
		t.Fatalf("a second one of the name: %v", err)
	}
	w.must(w.PutCredential(ctx, next, true))
	if got, _, err = w.Credential(ctx, "ci"); err != nil || got.Sum != next.Sum {
		t.Fatalf("it was not replaced: %v", err)
	}
	w.must(w.PutCredential(ctx, refcount.Credential{Name: "a.b", Rights: "pull", Made: w.clock.Now()}, true))
	list, more, err := w.Credentials(ctx, "", 1)
	if w.must(err); len(list) != 1 || list[0].Name != "a.b" || !more {
		t.Fatalf("the first page is %+v, more %v", list, more)
	}
	list, _, err = w.Credentials(ctx, "a.b", 10)
	if w.must(err); len(list) != 1 || list[0] != next {
		t.Fatalf("the second page is %+v", list)
	}
	w.must(w.RevokeCredential(ctx, "ci"))
	if err := w.RevokeCredential(ctx, "ci"); !errors.Is(err, refcount.ErrCredentialUnknown) {
		t.Fatalf("revoked twice: %v", err)
	}
	if _, ok, err := w.Credential(ctx, "ci"); ok || err != nil {
		t.Fatalf("it is there: %v", err)
	}
	w.audit()
}

func TestCredentialNames(t *testing.T) {
	w := newWorld(t)
	for _, name := range []string{"", "a b", "a:b", "a/b", "ä", "a\n", strings.Repeat("a", 65)} {
		if err := w.PutCredential(t.Context(), refcount.Credential{Name: name}, true); !errors.Is(err, refcount.ErrCredentialName) {
			t.Errorf("%q: %v", name, err)
		}
		if _, ok, err := w.Credential(t.Context(), name); ok || err != nil {
			t.Errorf("%q: %v", name, err)
		}
		if err := w.RevokeCredential(t.Context(), name); !errors.Is(err, refcount.ErrCredentialUnknown) {
			t.Errorf("%q: %v", name, err)
		}
	}
}

// Whatever happens to a call of the store, a credential is there or not, and the same call again ends well.
func TestCredentialsSurviveCrashes(t *testing.T) {
	for _, action := range []faultstore.Action{faultstore.DieBefore, faultstore.DieAfter, faultstore.LoseReply, faultstore.LoseCall, faultstore.Contended} {
		for call := 1; call <= 3; call++ {
			w := newWorld(t)
			c := refcount.Credential{Name: "ci", Rights: "push", Sum: sha256.Sum256([]byte("one")), Made: w.clock.Now()}
			p := faultstore.New(faultstore.Options{Plan: faultstore.At(call, action)})
			err := w.beside(p.Table(w.store)).PutCredential(t.Context(), c, false)
			if _, ok, e := w.Credential(t.Context(), "ci"); e != nil || err == nil && !ok {
				t.Fatalf("%s at call %d: answered %v, then %v", action, call, err, e)
			}
			w.must(w.PutCredential(t.Context(), c, false))
			p = faultstore.New(faultstore.Options{Plan: faultstore.At(call, action)})
			err = w.beside(p.Table(w.store)).RevokeCredential(t.Context(), "ci")
			if _, ok, e := w.Credential(t.Context(), "ci"); e != nil || err == nil && ok {
				t.Fatalf("%s at call %d: revoked with %v, then %v", action, call, err, e)
			}
		}
	}
}
