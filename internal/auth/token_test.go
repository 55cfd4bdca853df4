// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"tare/internal/auth"
	"tare/internal/oci"
)

func TestChallenge(t *testing.T) {
	closed, open := newBench(t, false), newBench(t, true)
	if got, want := closed.guard.Challenge(request(nil)), `Basic realm="tare"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	anonymous := open.token(t, request(nil))
	tests := []struct {
		name   string
		change func(*http.Request)
		want   string
	}{
		{"plain", func(*http.Request) {}, `Bearer realm="http://registry.example/token",service="tare"`},
		{"port", func(r *http.Request) { r.Host = "[::1]:5000" }, `Bearer realm="http://[::1]:5000/token",service="tare"`},
		{"proxy", func(r *http.Request) { r.Header.Set("X-Forwarded-Proto", "https, http") }, `Bearer realm="https://registry.example/token",service="tare"`},
		{"Basic", basic("alice", "wander"), `Bearer realm="http://registry.example/token",service="tare"`},
		{"stale token", header("Bearer YWJj"), `Bearer realm="http://registry.example/token",service="tare",error="invalid_token"`},
		{"anonymous token", header("Bearer " + anonymous), `Bearer realm="http://registry.example/token",service="tare",error="insufficient_scope"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := open.guard.Challenge(request(tt.change)); got != tt.want {
				t.Errorf("got %s\nwant %s", got, tt.want)
			}
		})
	}
}

// serve asks for a token.
func (b *bench) serve(r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	b.guard.ServeToken(w, r)
	return w
}

// token asks for a token and expects to get it.
func (b *bench) token(t testing.TB, r *http.Request) string {
	t.Helper()
	w := b.serve(r)
	var answer struct {
		Token       string `json:"token"`
		AccessToken string `json:"access_token"`
		ExpiresIn   int    `json:"expires_in"`
		IssuedAt    string `json:"issued_at"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || w.Code != http.StatusOK {
		t.Fatalf("got %d %s (%v)", w.Code, w.Body, err)
	}
	if answer.Token == "" || answer.AccessToken != answer.Token || answer.ExpiresIn < 60 || answer.IssuedAt == "" {
		t.Fatalf("got %+v", answer)
	}
	return answer.Token
}

func form(values url.Values) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/token", strings.NewReader(values.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return r
}

func TestToken(t *testing.T) {
	b := newBench(t, true)
	pull, push := auth.Need{Action: auth.Pull, Repository: "app"}, auth.Need{Action: auth.Push, Repository: "app"}
	tests := []struct {
		name    string
		request *http.Request
		user    string
		push    oci.Code
	}{
		{"anonymous", request(nil), "", oci.Unauthorized},
		{"skopeo's empty credentials", request(basic("", "")), "", oci.Unauthorized},
		{"user", request(basic("alice", "wonder")), "alice", ""},
		{"read-only user", request(basic("carol", "sea")), "carol", oci.Denied},
		{"containerd's form", form(url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"wonder"}}), "alice", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			token := header("Bearer " + b.token(t, tt.request))
			c, err := b.guard.Authorize(request(token))
			if err != nil || c.Name != tt.user {
				t.Errorf("ping: got %q, %v", c.Name, err)
			}
			if _, err := b.guard.Authorize(request(token), pull); err != nil {
				t.Errorf("pull: %v", err)
			}
			_, err = b.guard.Authorize(request(token), push)
			if got := oci.CodeOf(err); err == nil && tt.push != "" || err != nil && got != tt.push {
				t.Errorf("push: got %v, want %q", err, tt.push)
			}
		})
	}
}

func TestTokenRefused(t *testing.T) {
	b := newBench(t, true)
	big := url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {strings.Repeat("x", 1<<20)}}
	put := request(nil)
	put.Method = http.MethodPut
	tests := []struct {
		name    string
		request *http.Request
		status  int
	}{
		{"wrong password", request(basic("alice", "wander")), http.StatusUnauthorized},
		{"unknown user", request(basic("bob", "wonder")), http.StatusUnauthorized},
		{"wrong password in a form", form(url.Values{"grant_type": {"password"}, "username": {"alice"}, "password": {"x"}}), http.StatusUnauthorized},
		{"refresh token", form(url.Values{"grant_type": {"refresh_token"}, "refresh_token": {"x"}}), http.StatusBadRequest},
		{"another scheme", request(header("Bearer x")), http.StatusBadRequest},
		{"too long a form", form(big), http.StatusBadRequest},
		{"PUT", put, http.StatusMethodNotAllowed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			w := b.serve(tt.request)
			var body struct{ Errors []struct{ Code oci.Code } }
			if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || len(body.Errors) != 1 || w.Code != tt.status {
				t.Errorf("got %d %s, want %d", w.Code, w.Body, tt.status)
			}
		})
	}
}

func TestNoTokens(t *testing.T) {
	open, err := auth.New(auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for want, guard := range map[string]*auth.Guard{"uses Basic authentication": newBench(t, false).guard, "asks nobody for credentials": open} {
		w := httptest.NewRecorder()
		guard.ServeToken(w, request(nil))
		if w.Code != http.StatusNotFound || !strings.Contains(w.Body.String(), want) {
			t.Errorf("got %d %s, want 404 and %q", w.Code, w.Body, want)
		}
	}
}

func TestTokenEnds(t *testing.T) {
	pull := auth.Need{Action: auth.Pull, Repository: "app"}
	valid := func(b *bench, token string) bool {
		_, err := b.guard.Authorize(request(header("Bearer "+token)), pull)
		return err == nil
	}
	t.Run("with its time", func(t *testing.T) {
		b := newBench(t, true)
		token := b.token(t, request(basic("alice", "wonder")))
		b.clock.Advance(15*time.Minute - time.Second)
		if !valid(b, token) {
			t.Error("ended too early")
		}
		b.clock.Advance(time.Second)
		if valid(b, token) {
			t.Error("did not end")
		}
	})
	t.Run("with its user", func(t *testing.T) {
		b := newBench(t, true)
		token := b.token(t, request(basic("alice", "wonder")))
		write(t, b.file, "carol:"+hash(t, "sea"))
		b.clock.Advance(time.Second)
		if valid(b, token) {
			t.Error("outlived its user")
		}
	})
	t.Run("with the user's password", func(t *testing.T) {
		b := newBench(t, true)
		token := b.token(t, request(basic("alice", "wonder")))
		write(t, b.file, "alice:"+hash(t, "another"))
		b.clock.Advance(time.Second)
		if valid(b, token) {
			t.Error("outlived its password")
		}
	})
	t.Run("when altered", func(t *testing.T) {
		b := newBench(t, true)
		token := b.token(t, request(basic("carol", "sea")))
		for i := range token {
			c := byte('A')
			if token[i] == c {
				c = 'Q'
			}
			if altered := token[:i] + string(c) + token[i+1:]; valid(b, altered) {
				t.Fatalf("altered at %d and still good", i)
			}
		}
	})
	t.Run("where anonymous pulls end", func(t *testing.T) {
		b := newBench(t, true)
		token := b.token(t, request(nil))
		closed := newBench(t, false)
		if valid(closed, token) {
			t.Error("an anonymous token pulls where nobody may")
		}
	})
}

func TestTokenURL(t *testing.T) {
	b := newBench(t, true)
	g, err := auth.New(auth.Options{Htpasswd: b.file, AnonymousPull: true, TokenURL: "https://r.example/token", TokenKeys: fixedKey(make([]byte, 32)), Clock: b.clock})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := g.Challenge(request(nil)), `Bearer realm="https://r.example/token",service="tare"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
