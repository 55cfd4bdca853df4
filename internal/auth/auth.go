// SPDX-License-Identifier: Apache-2.0

// Package auth decides who may do what. It owns the htpasswd file, its verified credentials and the tokens that stand
// for them; it assumes that the connection keeps secrets, which is for whoever listens to see to. It never logs, stores
// or returns a password, nor a hash of one.
//
// A [Guard] with an htpasswd file knows named users, who may do everything, and read-only users, who may pull. One with
// credentials knows those, each with rights of its own. With anonymous pulls allowed, requests without credentials may pull
// too. A Guard with neither lets everybody do everything: whoever can connect is trusted.
//
// # Challenges
//
// Clients decide from the answer to GET /v2/ how they will authenticate everything that follows, and they differ
// (read 2026-11 in moby 29.7, go-containerregistry 0.22, containers/image 5.36, containerd 2.3, regclient, oras-go 2.6):
// the classic docker daemon, crane and skopeo never send credentials after a 200, and the classic docker daemon cannot
// pull without credentials after a Basic challenge. So that both a login and an anonymous pull work, /v2/ always asks
// for credentials, and where anonymous pulls are allowed the challenge is Bearer: [Guard.ServeToken] then gives
// everybody a token, an anonymous one to those who have no credentials. Basic credentials are accepted at any time.
package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"tare/internal/clock"
	"tare/internal/oci"
)

// Action is what a request does to a repository.
type Action uint8

// The actions.
const (
	Pull   Action = 1 << iota // read manifests, blobs, tags and referrers
	Push                      // upload, mount, write manifests
	Delete                    // remove tags, manifests, blobs
)

func (a Action) String() string {
	switch a {
	case Pull:
		return "pull"
	case Push:
		return "push"
	case Delete:
		return "delete"
	}
	return fmt.Sprintf("action %d", uint8(a))
}

// Need is one thing that a request has to be allowed to do. An empty Repository stands for the registry as a whole.
type Need struct {
	Action     Action
	Repository oci.Repository
}

// Caller is who sent a request, and what they may do. The zero Caller may do nothing.
type Caller struct {
	Name   string // "" for a caller without a name
	rights Action // a set
}

// May tells whether the caller may do it.
func (c Caller) May(n Need) bool { return n.Action != 0 && c.rights&n.Action == n.Action }

// everything is all that there is to do.
const everything = Pull | Push | Delete

// Options configures a [Guard]. The zero value makes one that lets everybody do everything.
type Options struct {
	// Htpasswd is the path of the file that names the users. Its hashes must be bcrypt's. It is read again when it
	// changes; while a changed file cannot be read, the last good reading stays in force. "" means no users at all.
	Htpasswd string
	// ReadOnly names the users who may only pull. Each must be in the file when the guard is made.
	ReadOnly []string
	// Credentials are who may come in, in place of a file. A guard with credentials of which there are none lets nobody in.
	Credentials Credentials
	// AnonymousPull lets requests without credentials pull.
	AnonymousPull bool
	// TokenURL is the absolute URL at which clients reach [Guard.ServeToken], "" where the request tells: its scheme (of
	// X-Forwarded-Proto behind a proxy), its Host, and [TokenPath].
	TokenURL string
	// TokenKeys sign tokens; who has one can make them. Needed with AnonymousPull.
	TokenKeys Keys

	Clock clock.Clock
	Log   *slog.Logger
}

// Keys are a secret that signs. A [refcount.Keyring] is one.
type Keys interface {
	// Key is what signs now, at least 32 bytes.
	Key(ctx context.Context) ([]byte, error)
	// Accepts tells whether signed holds for a key that is good now.
	Accepts(ctx context.Context, signed func(key []byte) bool) (bool, error)
}

// directory is who can come in. Unknown names take as long as known ones.
type directory interface {
	// verify returns the user who has the password; ok is false for any other.
	verify(ctx context.Context, name, password string) (u user, ok bool, err error)
	// lookup returns a user by name, who has proved nothing yet.
	lookup(ctx context.Context, name string) (u user, ok bool, err error)
}

// user is one of them.
type user struct {
	rights Action
	mark   []byte // what a token of the user ends with: it changes with the password
	proved func() // nil, or to be called when the user of a lookup turns out to be who sent the request
}

// Guard authenticates and authorizes requests. It is safe for concurrent use.
type Guard struct {
	users     directory // nil: everybody may do everything
	anonymous bool
	tokenURL  string
	tokenKeys Keys
	clock     clock.Clock
	log       *slog.Logger
}

// New makes a guard. It fails when the htpasswd file cannot be read, holds anything but bcrypt hashes, or lacks one of
// the read-only users, and when read-only users or anonymous pulls are asked for without users. It reads no credentials.
func New(o Options) (*Guard, error) {
	g := &Guard{anonymous: o.AnonymousPull, tokenURL: o.TokenURL, tokenKeys: o.TokenKeys, clock: o.Clock, log: o.Log}
	p, err := o.passwords()
	if err != nil {
		return nil, err
	}
	if o.AnonymousPull && o.TokenKeys == nil {
		return nil, fmt.Errorf("anonymous pulls need token keys")
	}
	if o.Credentials != nil {
		g.users = newCredentialed(o.Credentials, o.Clock)
	}
	if p != nil {
		g.users = &passwordUsers{passwords: p, readOnly: o.ReadOnly}
	}
	return g, nil
}

// Check tells why [New] would fail, before there is a token key.
func (o Options) Check() error {
	_, err := o.passwords()
	return err
}

// passwords reads the htpasswd file; without one, it is nil.
func (o Options) passwords() (*passwords, error) {
	switch {
	case o.Htpasswd != "" && o.Credentials != nil:
		return nil, fmt.Errorf("users are those of an htpasswd file or credentials, not both")
	case o.Htpasswd == "":
		if len(o.ReadOnly) > 0 || o.AnonymousPull && o.Credentials == nil {
			return nil, fmt.Errorf("read-only users and anonymous pulls need an htpasswd file: without one, everybody may do everything")
		}
		return nil, nil
	}
	p, err := openPasswords(o.Htpasswd, o.Clock, o.Log)
	if err != nil {
		return nil, err
	}
	for _, name := range o.ReadOnly {
		if p.users().hash(name) == nil {
			return nil, fmt.Errorf("read-only user %q is not in %s", name, o.Htpasswd)
		}
	}
	return p, nil
}

// Authorize tells who sent the request and whether they may do all that it needs. A request that needs nothing is
// refused only when it says nothing of who sent it: that is how clients learn at /v2/ to send credentials.
//
// The error is an [*oci.Error]: Unauthorized, when credentials are wrong or missing; the answer then carries
// [Guard.Challenge]. Denied, when the caller is known and may not. TooManyRequests, when too many passwords wait to be
// verified. Unavailable, when credentials cannot be read. A canceled context gives its own error.
func (g *Guard) Authorize(r *http.Request, needs ...Need) (Caller, error) {
	if g.users == nil {
		return Caller{rights: everything}, nil
	}
	c, known, err := g.identify(r)
	if err != nil {
		return Caller{}, err
	}
	if !known && len(needs) == 0 {
		return Caller{}, oci.Errorf(oci.Unauthorized, "authentication required")
	}
	for _, n := range needs {
		if c.May(n) {
			continue
		}
		if c.Name == "" {
			return Caller{}, oci.Errorf(oci.Unauthorized, "authentication required")
		}
		return Caller{}, oci.Errorf(oci.Denied, "user %q may not %s", c.Name, n.Action)
	}
	return c, nil
}

// identify finds out who sent the request; known tells whether it carried anything to tell by.
func (g *Guard) identify(r *http.Request) (c Caller, known bool, err error) {
	scheme, credentials, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	switch strings.ToLower(scheme) {
	case "":
		return g.nobody(), false, nil
	case "basic":
		name, password, ok := r.BasicAuth()
		if !ok {
			return Caller{}, false, oci.Errorf(oci.Unauthorized, "malformed Basic credentials")
		}
		// skopeo, podman and buildah answer a Basic challenge with an empty name and password when they have none.
		if name == "" && password == "" {
			return g.nobody(), false, nil
		}
		u, err := g.login(r.Context(), name, password)
		if err != nil {
			return Caller{}, false, err
		}
		return Caller{Name: name, rights: u.rights}, true, nil
	case "bearer":
		c, ok, err := g.readToken(r.Context(), strings.TrimSpace(credentials))
		if err != nil {
			return Caller{}, false, err
		}
		if !ok {
			return Caller{}, false, oci.Errorf(oci.Unauthorized, "the token is not valid, or no more")
		}
		return c, true, nil
	}
	return Caller{}, false, oci.Errorf(oci.Unauthorized, "authentication scheme not supported")
}

// login verifies a password.
func (g *Guard) login(ctx context.Context, name, password string) (user, error) {
	u, ok, err := g.users.verify(ctx, name, password)
	if err != nil {
		return user{}, unavailable(err)
	}
	if !ok {
		return user{}, oci.Errorf(oci.Unauthorized, "wrong user name or password")
	}
	return u, nil
}

// unavailable makes an error for the client of one of whoever keeps users or keys; the others stay as they are.
func unavailable(err error) error {
	var e *oci.Error
	if errors.As(err, &e) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &oci.Error{Code: oci.Unavailable, Message: "the registry cannot tell now who may do what; try again", Cause: err, RetryAfter: retryBusy}
}

// nobody is who has no credentials.
func (g *Guard) nobody() Caller {
	if !g.anonymous {
		return Caller{}
	}
	return Caller{rights: Pull}
}

// TokenPath is where [Guard.ServeToken] is expected to be served.
const TokenPath = "/token"

// realm is what a browser shows and docker prints.
const realm = "tare"

// Challenge is the WWW-Authenticate header of an answer to r that is Unauthorized.
func (g *Guard) Challenge(r *http.Request) string {
	if !g.anonymous {
		return fmt.Sprintf("Basic realm=%q", realm)
	}
	c := fmt.Sprintf("Bearer realm=%q,service=%q", g.tokenEndpoint(r), realm)
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "bearer") {
		return c
	}
	// With the reason, clients that hold a token can tell a stale one, which they renew, from one that does not suffice.
	if _, ok, err := g.readToken(r.Context(), strings.TrimSpace(token)); ok && err == nil {
		return c + `,error="insufficient_scope"`
	}
	return c + `,error="invalid_token"`
}

// retryBusy is when to come back after TooManyRequests and Unavailable.
const retryBusy = time.Second
