// SPDX-License-Identifier: Apache-2.0

package auth_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"tare/internal/auth"
	"tare/internal/clock"
	"tare/internal/oci"
)

// hash makes a cheap bcrypt hash.
func hash(t testing.TB, password string) string {
	t.Helper()
	h, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(h)
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// fixedKey is a key that nobody rotates.
type fixedKey []byte

func (k fixedKey) Key(context.Context) ([]byte, error) { return k, nil }

func (k fixedKey) Accepts(_ context.Context, signed func([]byte) bool) (bool, error) {
	return signed(k), nil
}

// bench is a guard over a file with the users alice ("wonder") and carol ("sea"), who is read-only.
type bench struct {
	guard *auth.Guard
	clock *clock.Manual
	file  string
	log   *bytes.Buffer
}

func newBench(t testing.TB, anonymous bool) *bench {
	t.Helper()
	b := &bench{
		clock: clock.NewManual(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)),
		file:  filepath.Join(t.TempDir(), "htpasswd"),
		log:   new(bytes.Buffer),
	}
	write(t, b.file, "alice:"+hash(t, "wonder")+"\n# a comment\n\ncarol:"+hash(t, "sea")+"\n")
	g, err := auth.New(auth.Options{
		Htpasswd:      b.file,
		ReadOnly:      []string{"carol"},
		AnonymousPull: anonymous,
		TokenKeys:     fixedKey(bytes.Repeat([]byte{7}, 32)),
		Clock:         b.clock,
		Log:           slog.New(slog.NewTextHandler(b.log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	b.guard = g
	return b
}

func request(authorize func(*http.Request)) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "http://registry.example/v2/", nil)
	if authorize != nil {
		authorize(r)
	}
	return r
}

func basic(name, password string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(name, password) }
}

func header(value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set("Authorization", value) }
}

func TestAuthorize(t *testing.T) {
	pull := auth.Need{Action: auth.Pull, Repository: "app"}
	push := auth.Need{Action: auth.Push, Repository: "app"}
	remove := auth.Need{Action: auth.Delete, Repository: "app"}
	const allowed = oci.Code("")
	tests := []struct {
		name      string
		authorize func(*http.Request)
		needs     []auth.Need
		closed    oci.Code // what a guard without anonymous pulls says
		open      oci.Code // and one with them
	}{
		{"ping without credentials", nil, nil, oci.Unauthorized, oci.Unauthorized},
		{"ping with credentials", basic("alice", "wonder"), nil, allowed, allowed},
		{"ping read-only", basic("carol", "sea"), nil, allowed, allowed},
		{"ping with skopeo's empty credentials", basic("", ""), nil, oci.Unauthorized, oci.Unauthorized},
		{"ping with a wrong password", basic("alice", "wander"), nil, oci.Unauthorized, oci.Unauthorized},
		{"ping with an empty password", basic("alice", ""), nil, oci.Unauthorized, oci.Unauthorized},
		{"ping with an unknown name", basic("bob", "wonder"), nil, oci.Unauthorized, oci.Unauthorized},
		{"ping with an empty name", basic("", "wonder"), nil, oci.Unauthorized, oci.Unauthorized},
		{"malformed Basic", header("Basic %%%"), []auth.Need{pull}, oci.Unauthorized, oci.Unauthorized},
		{"Basic without a colon", header("Basic YWxpY2U="), []auth.Need{pull}, oci.Unauthorized, oci.Unauthorized},
		{"another scheme", header("Negotiate abc"), []auth.Need{pull}, oci.Unauthorized, oci.Unauthorized},
		{"no token", header("Bearer"), []auth.Need{pull}, oci.Unauthorized, oci.Unauthorized},
		{"a made-up token", header("Bearer YWJj"), []auth.Need{pull}, oci.Unauthorized, oci.Unauthorized},
		{"pull without credentials", nil, []auth.Need{pull}, oci.Unauthorized, allowed},
		{"pull with skopeo's empty credentials", basic("", ""), []auth.Need{pull}, oci.Unauthorized, allowed},
		{"pull with a wrong password", basic("alice", "wander"), []auth.Need{pull}, oci.Unauthorized, oci.Unauthorized},
		{"push without credentials", nil, []auth.Need{push}, oci.Unauthorized, oci.Unauthorized},
		{"delete without credentials", nil, []auth.Need{remove}, oci.Unauthorized, oci.Unauthorized},
		{"user", basic("alice", "wonder"), []auth.Need{pull, push, remove}, allowed, allowed},
		{"scheme in capitals", func(r *http.Request) {
			r.SetBasicAuth("alice", "wonder")
			r.Header.Set("Authorization", strings.Replace(r.Header.Get("Authorization"), "Basic", "BASIC", 1))
		}, []auth.Need{push}, allowed, allowed},
		{"read-only pull", basic("carol", "sea"), []auth.Need{pull}, allowed, allowed},
		{"read-only push", basic("carol", "sea"), []auth.Need{push}, oci.Denied, oci.Denied},
		{"read-only delete", basic("carol", "sea"), []auth.Need{remove}, oci.Denied, oci.Denied},
		{"read-only mount", basic("carol", "sea"), []auth.Need{pull, push}, oci.Denied, oci.Denied},
		{"no action", basic("alice", "wonder"), []auth.Need{{Repository: "app"}}, oci.Denied, oci.Denied},
	}
	for _, mode := range []struct {
		name      string
		anonymous bool
	}{{"closed", false}, {"anonymous pull", true}} {
		b := newBench(t, mode.anonymous)
		for _, tt := range tests {
			t.Run(mode.name+"/"+tt.name, func(t *testing.T) {
				want := tt.closed
				if mode.anonymous {
					want = tt.open
				}
				_, err := b.guard.Authorize(request(tt.authorize), tt.needs...)
				got := allowed
				if err != nil {
					got = oci.CodeOf(err)
				}
				if got != want {
					t.Errorf("got %q (%v), want %q", got, err, want)
				}
			})
		}
	}
}

func TestAuthorizeOpen(t *testing.T) {
	g, err := auth.New(auth.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, authorize := range []func(*http.Request){nil, basic("any", "one"), header("Bearer x")} {
		if _, err := g.Authorize(request(authorize), auth.Need{Action: auth.Push, Repository: "a"}, auth.Need{Action: auth.Delete, Repository: "a"}); err != nil {
			t.Error(err)
		}
	}
}

func TestCaller(t *testing.T) {
	b := newBench(t, false)
	c, err := b.guard.Authorize(request(basic("carol", "sea")))
	if err != nil {
		t.Fatal(err)
	}
	if c.Name != "carol" || !c.May(auth.Need{Action: auth.Pull, Repository: "x"}) || c.May(auth.Need{Action: auth.Push, Repository: "x"}) {
		t.Errorf("got %+v", c)
	}
	if (auth.Caller{}).May(auth.Need{Action: auth.Pull}) || c.May(auth.Need{}) {
		t.Error("a caller without rights, or a need without an action, was let through")
	}
}

func TestNewRefuses(t *testing.T) {
	good := "alice:" + hash(t, "wonder") + "\n"
	tests := []struct {
		name    string
		content string
		options auth.Options
		want    string
	}{
		{"apr1", "alice:$apr1$Q2eqz6Fv$0", auth.Options{}, `line 1: the hash is MD5 (apr1)`},
		{"SHA-1", good + "bob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", auth.Options{}, `line 2: the hash is SHA-1`},
		{"SHA-512", "alice:$6$salt$hash", auth.Options{}, "SHA-512 (crypt)"},
		{"crypt", "alice:rqXexS6ZhobKA", auth.Options{}, "DES (crypt), plain text or unknown"},
		{"argon2", "alice:$argon2id$v=19$m=1$x$y", auth.Options{}, "Argon2"},
		{"2x", "alice:$2x$05$abc", auth.Options{}, "faulty version"},
		{"short bcrypt", "alice:$2y$05$abc", auth.Options{}, "a damaged bcrypt hash"},
		{"no colon", good + "bob", auth.Options{}, "line 2: not of the form name:hash"},
		{"no name", ":" + hash(t, "x"), auth.Options{}, "line 1: not of the form name:hash"},
		{"twice", good + good, auth.Options{}, `line 2: "alice" is there twice`},
		{"empty", "# nobody\n", auth.Options{}, "no users"},
		{"unknown read-only user", good, auth.Options{ReadOnly: []string{"alcie"}}, `read-only user "alcie" is not in`},
		{"no token key", good, auth.Options{AnonymousPull: true}, "token keys"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tt.options.Htpasswd = filepath.Join(t.TempDir(), "htpasswd")
			tt.options.Clock = clock.System{}
			write(t, tt.options.Htpasswd, tt.content)
			_, err := auth.New(tt.options)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %v, want it to say %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "$") {
				t.Errorf("the error shows a hash: %v", err)
			}
		})
	}
	t.Run("no file", func(t *testing.T) {
		if _, err := auth.New(auth.Options{Htpasswd: filepath.Join(t.TempDir(), "none"), Clock: clock.System{}}); err == nil {
			t.Error("a missing file was accepted")
		}
	})
	t.Run("rules without users", func(t *testing.T) {
		for _, o := range []auth.Options{{AnonymousPull: true}, {ReadOnly: []string{"a"}}} {
			if _, err := auth.New(o); err == nil {
				t.Errorf("%+v was accepted", o)
			}
		}
	})
}

// login says whether a name and password are accepted now.
func (b *bench) login(name, password string) bool {
	_, err := b.guard.Authorize(request(basic(name, password)))
	return err == nil
}

func TestHtpasswdIsReadAgain(t *testing.T) {
	b := newBench(t, false)
	if !b.login("alice", "wonder") {
		t.Fatal("alice cannot log in")
	}

	write(t, b.file, "alice:"+hash(t, "looking glass")+"\nbob:"+hash(t, "builder")+"\n")
	if !b.login("alice", "wonder") || b.login("bob", "builder") {
		t.Error("the file was looked at again within a second")
	}
	b.clock.Advance(time.Second)
	if b.login("alice", "wonder") {
		t.Error("a verified password outlived its change")
	}
	if !b.login("alice", "looking glass") || !b.login("bob", "builder") {
		t.Error("the new file is not in force")
	}

	b.clock.Advance(time.Second)
	if err := os.Rename(b.file, b.file+".away"); err != nil {
		t.Fatal(err)
	}
	if !b.login("bob", "builder") {
		t.Error("bob is gone with the file")
	}

	b.clock.Advance(-time.Hour)
	write(t, b.file, "carol:"+hash(t, "sea"))
	if !b.login("carol", "sea") || b.login("bob", "builder") {
		t.Error("the file was not read again after the clock was set back")
	}
}

func TestBrokenHtpasswdKeepsTheOldUsers(t *testing.T) {
	b := newBench(t, false)
	write(t, b.file, "alice:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=\n")
	for range 3 {
		b.clock.Advance(time.Second)
		if !b.login("alice", "wonder") {
			t.Fatal("the broken file is in force")
		}
	}
	if n := strings.Count(b.log.String(), "level=ERROR"); n != 1 {
		t.Errorf("reported %d times, not once:\n%s", n, b.log)
	}
	if strings.Contains(b.log.String(), "W6ph5Mm5") {
		t.Errorf("the log shows a hash:\n%s", b.log)
	}

	write(t, b.file, "alice:"+hash(t, "mended")+"\n")
	b.clock.Advance(time.Second)
	if !b.login("alice", "mended") || b.login("alice", "wonder") {
		t.Error("the mended file is not in force")
	}
}

// Whatever a header says, nobody becomes a user but by the user's password or token, and whoever has one of them does.
func FuzzAuthorization(f *testing.F) {
	b := newBench(f, true)
	nobody, alice := b.token(f, request(nil)), b.token(f, request(basic("alice", "wonder")))
	for _, value := range []string{
		"", "Basic", "Basic YWxpY2U6d29uZGVy", "basic YWxpY2U6d29uZGVy", "BASIC YWxpY2U6d29uZGVy ", "Basic  YWxpY2U6d29uZGVy", "Basic Og==", "Basic OndvbmRlcg==",
		"Basic Y2Fyb2w6c2Vh", "Basic YWxpY2U6d2FuZGVy", "Basic YWxpY2U=", "Basic %%%", "Bearer " + nobody, "bearer  " + alice + " ", "Bearer " + alice[1:],
		"Bearer", "Bearer \n", "Negotiate abc", "Digest username=\"alice\"", " Basic YWxpY2U6d29uZGVy",
	} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		r := request(header(value))
		name, password, _ := r.BasicAuth()
		if strings.Contains(password, "\x00") {
			return // bcrypt takes "a\x00a" for "a"
		}
		scheme, credentials, _ := strings.Cut(value, " ")
		token := ""
		if strings.EqualFold(scheme, "bearer") {
			token = strings.NewReplacer("\r", "", "\n", "").Replace(strings.TrimSpace(credentials))
		}
		want, known := "", true
		switch {
		case name == "alice" && password == "wonder", token == alice:
			want = "alice"
		case name == "carol" && password == "sea":
			want = "carol"
		case token != nobody:
			known = false
		}
		c, err := b.guard.Authorize(r)
		if known != (err == nil) || err != nil && oci.CodeOf(err) != oci.Unauthorized {
			t.Fatalf("%q: %v, want known %v", value, err, known)
		}
		if c.Name != want || c.May(auth.Need{Action: auth.Push, Repository: "app"}) != (want == "alice") {
			t.Fatalf("%q: became %+v, want %q", value, c, want)
		}
		if challenge := b.guard.Challenge(r); strings.ContainsAny(challenge, "\r\n") {
			t.Fatalf("%q: challenge %q", value, challenge)
		}
	})
}
