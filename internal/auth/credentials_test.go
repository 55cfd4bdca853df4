// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"tare/internal/auth"
	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
)

// rows are credentials in memory, which counts how often it was asked.
type rows struct {
	list  map[string]refcount.Credential
	reads int
	err   error
}

func (r *rows) Credential(_ context.Context, name string) (refcount.Credential, bool, error) {
	r.reads++
	c, ok := r.list[name]
	return c, ok && r.err == nil, r.err
}

func (r *rows) put(name, rights, token string) {
	r.list[name] = refcount.Credential{Name: name, Rights: rights, Sum: sha256.Sum256([]byte(token))}
}

type rowBench struct {
	*rows
	guard *auth.Guard
	clock *clock.Manual
	log   *bytes.Buffer
}

func newRowBench(t *testing.T, anonymous bool) *rowBench {
	t.Helper()
	b := &rowBench{rows: &rows{list: map[string]refcount.Credential{}}, clock: clock.NewManual(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)), log: new(bytes.Buffer)}
	var err error
	b.guard, err = auth.New(auth.Options{Credentials: b.rows, AnonymousPull: anonymous, TokenKeys: fixedKey(bytes.Repeat([]byte{7}, 32)),
		Clock: b.clock, Log: slog.New(slog.NewTextHandler(b.log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func (b *rowBench) may(authorize func(*http.Request), action auth.Action) oci.Code {
	_, err := b.guard.Authorize(request(authorize), auth.Need{Action: action, Repository: "a"})
	if err == nil {
		return ""
	}
	return oci.CodeOf(err)
}

func TestNoCredentialsLetNobodyIn(t *testing.T) {
	b := newRowBench(t, false)
	for _, authorize := range []func(*http.Request){nil, basic("ci", "x"), basic("ci", ""), func(r *http.Request) { r.Header.Set("Authorization", "Bearer AAAA") }} {
		if code := b.may(authorize, auth.Pull); code != oci.Unauthorized {
			t.Errorf("got %q, want UNAUTHORIZED", code)
		}
	}
}

func TestRightsOfCredentials(t *testing.T) {
	b := newRowBench(t, false)
	for _, rights := range []string{"pull", "push", "admin", "later"} {
		b.put(rights, rights, "secret of "+rights)
	}
	for name, want := range map[string][3]oci.Code{
		"pull":  {"", oci.Denied, oci.Denied},
		"push":  {"", "", oci.Denied},
		"admin": {"", "", ""},
		"later": {oci.Denied, oci.Denied, oci.Denied}, // what a newer program wrote gives nothing here
	} {
		for i, action := range []auth.Action{auth.Pull, auth.Push, auth.Delete} {
			if got := b.may(basic(name, "secret of "+name), action); got != want[i] {
				t.Errorf("%s, %s: got %q, want %q", name, action, got, want[i])
			}
			if got := b.may(basic(name, "secret of another"), action); got != oci.Unauthorized {
				t.Errorf("%s with another's token: got %q", name, got)
			}
		}
	}
}

// A verified credential is not read again for half a minute, and not believed for longer. What is wrong is read each time,
// whether there is such a name or not.
func TestRevokedWithinHalfAMinute(t *testing.T) {
	b := newRowBench(t, false)
	b.put("ci", "push", "one")
	for range 5 {
		if code := b.may(basic("ci", "one"), auth.Push); code != "" {
			t.Fatal(code)
		}
	}
	if b.reads != 1 {
		t.Errorf("%d reads for five requests, want 1", b.reads)
	}
	for _, name := range []string{"ci", "nobody"} {
		before := b.reads
		if code := b.may(basic(name, "wrong"), auth.Pull); code != oci.Unauthorized || b.reads != before+1 {
			t.Errorf("%s: %q after %d reads", name, code, b.reads-before)
		}
	}
	delete(b.list, "ci")
	b.clock.Advance(30*time.Second - 1)
	if code := b.may(basic("ci", "one"), auth.Push); code != "" {
		t.Errorf("within half a minute: %q", code)
	}
	b.clock.Advance(1)
	if code := b.may(basic("ci", "one"), auth.Push); code != oci.Unauthorized {
		t.Errorf("after half a minute: %q", code)
	}
	b.put("ci", "push", "two")
	if code := b.may(basic("ci", "two"), auth.Push); code != "" {
		t.Errorf("the next one: %q", code)
	}
	b.put("ci", "pull", "three") // replaced: the new one is good at once
	if code := b.may(basic("ci", "three"), auth.Pull); code != "" {
		t.Errorf("its replacement: %q", code)
	}
	if code := b.may(basic("ci", "two"), auth.Pull); code != oci.Unauthorized {
		t.Errorf("what was replaced: %q", code)
	}
	b.clock.Advance(-time.Hour) // a clock that was set back does not make it good for longer
	delete(b.list, "ci")
	if code := b.may(basic("ci", "three"), auth.Pull); code != oci.Unauthorized {
		t.Errorf("with a clock set back: %q", code)
	}
}

// A token stands for a credential until that goes or is replaced, within half a minute.
func TestTokensOfCredentials(t *testing.T) {
	b := newRowBench(t, true)
	b.put("ci", "push", "one")
	get := func(authorize func(*http.Request)) (int, func(*http.Request)) {
		w := httptest.NewRecorder()
		b.guard.ServeToken(w, request(authorize))
		var answer struct{ Token string }
		if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil {
			t.Fatal(err)
		}
		return w.Code, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+answer.Token) }
	}
	if status, _ := get(basic("ci", "two")); status != http.StatusUnauthorized {
		t.Errorf("a wrong token was answered %d", status)
	}
	_, anybody := get(nil)
	if pull, push := b.may(anybody, auth.Pull), b.may(anybody, auth.Push); pull != "" || push != oci.Unauthorized {
		t.Errorf("nobody in particular: pull %q, push %q", pull, push)
	}
	_, bearer := get(basic("ci", "one"))
	if push, remove := b.may(bearer, auth.Push), b.may(bearer, auth.Delete); push != "" || remove != oci.Denied {
		t.Errorf("push %q, delete %q", push, remove)
	}
	b.put("ci", "admin", "two")
	b.clock.Advance(30 * time.Second)
	if code := b.may(bearer, auth.Pull); code != oci.Unauthorized {
		t.Errorf("the token of a replaced credential: %q", code)
	}
	b.clock.Advance(time.Minute)
	before := b.reads
	for range 3 {
		b.may(bearer, auth.Pull)
	}
	if b.reads != before+3 {
		t.Errorf("forged tokens for a name that is there make it quicker: %d reads for 3", b.reads-before)
	}
}

// Where credentials cannot be read, the answer is to come back, and nobody is let in or told that they are wrong.
func TestCredentialsUnavailable(t *testing.T) {
	b := newRowBench(t, true)
	b.put("ci", "push", "one")
	b.err = errors.New("throttled")
	_, err := b.guard.Authorize(request(basic("ci", "one")))
	var e *oci.Error
	if !errors.As(err, &e) || e.Code != oci.Unavailable || e.RetryAfter <= 0 {
		t.Errorf("got %v", err)
	}
	w := httptest.NewRecorder()
	b.guard.ServeToken(w, request(basic("ci", "one")))
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("a token: %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
	b.err = context.DeadlineExceeded
	if _, err := b.guard.Authorize(request(basic("ci", "one"))); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestCredentialsOrFile(t *testing.T) {
	if _, err := auth.New(auth.Options{Htpasswd: "x", Credentials: &rows{}}); err == nil {
		t.Error("both were accepted")
	}
}
