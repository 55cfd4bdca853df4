// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tare/internal/oci"
)

// TokenLife is how long a token is good. Docker's token protocol forbids less than a minute.
const TokenLife = 15 * time.Minute

// A token is base64url(end | name | mac): the moment at which it ends, in Unix seconds, 8 bytes big endian; the user's
// name, "" for nobody in particular; and the HMAC-SHA256 of both and of the user's mark, the hash of the password, so that
// a token ends, too, when its user goes or gets another password. What its bearer may do is decided at each request.
func (g *Guard) makeToken(ctx context.Context, name string, mark []byte, end time.Time) (string, error) {
	key, err := g.tokenKeys.Key(ctx)
	if err != nil {
		return "", unavailable(err)
	}
	b := binary.BigEndian.AppendUint64(nil, uint64(end.Unix()))
	b = append(b, name...)
	return base64.RawURLEncoding.EncodeToString(append(b, tokenMAC(key, b, mark)...)), nil
}

// readToken returns whom a token stands for.
func (g *Guard) readToken(ctx context.Context, token string) (c Caller, ok bool, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(token)
	if err != nil || len(b) < 8+sha256.Size || g.tokenKeys == nil {
		return c, false, nil
	}
	b, sum := b[:len(b)-sha256.Size], b[len(b)-sha256.Size:]
	name, u, known := string(b[8:]), user{}, true
	if name != "" {
		if u, known, err = g.users.lookup(ctx, name); err != nil {
			return c, false, unavailable(err)
		}
	}
	// Also for a user who is not there: to learn that must not be quicker.
	signed, err := g.tokenKeys.Accepts(ctx, func(key []byte) bool { return hmac.Equal(sum, tokenMAC(key, b, u.mark)) })
	if err != nil {
		return c, false, unavailable(err)
	}
	end := time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
	if !signed || !known || !g.clock.Now().Before(end) {
		return c, false, nil
	}
	if name == "" {
		return g.nobody(), true, nil
	}
	if u.proved != nil {
		u.proved()
	}
	return Caller{Name: name, rights: u.rights}, true, nil
}

func tokenMAC(key, signed, mark []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("tare token 1\x00"))
	h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(signed))))
	h.Write(signed)
	h.Write(mark)
	return h.Sum(nil)
}

// tokenEndpoint is the absolute URL of ServeToken, as the sender of r can reach it.
func (g *Guard) tokenEndpoint(r *http.Request) string {
	if g.tokenURL != "" {
		return g.tokenURL
	}
	u := url.URL{Scheme: "http", Host: r.Host, Path: TokenPath}
	proto, _, _ := strings.Cut(r.Header.Get("X-Forwarded-Proto"), ",")
	if r.TLS != nil || strings.EqualFold(strings.TrimSpace(proto), "https") {
		u.Scheme = "https"
	}
	return u.String()
}

// ServeToken answers GET and POST of [TokenPath] as Docker's token protocol says (distribution, "Token Authentication"
// and "OAuth2 Token Authentication"): credentials, in a Basic header or in a password form, become a token that stands
// for the user, and no credentials one that stands for nobody in particular. What service and scope ask for is not
// looked at: a token says who, and who may do what is decided when it is used. Where anonymous pulls are not allowed
// there are no tokens, and the answer is 404.
func (g *Guard) ServeToken(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	switch {
	case g.users == nil:
		writeError(w, http.StatusNotFound, oci.Errorf(oci.Unsupported, "this registry asks nobody for credentials"))
		return
	case !g.anonymous:
		writeError(w, http.StatusNotFound, oci.Errorf(oci.Unsupported, "this registry uses Basic authentication"))
		return
	}
	name, password, ok := "", "", true
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if r.Header.Get("Authorization") != "" {
			name, password, ok = r.BasicAuth()
		}
	case http.MethodPost:
		r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
		ok = r.ParseForm() == nil && r.PostForm.Get("grant_type") == "password"
		name, password = r.PostForm.Get("username"), r.PostForm.Get("password")
	default:
		w.Header().Set("Allow", "GET, HEAD, POST")
		writeError(w, http.StatusMethodNotAllowed, oci.Errorf(oci.Unsupported, "GET or POST"))
		return
	}
	if !ok {
		writeError(w, http.StatusBadRequest, oci.Errorf(oci.Unauthorized, "Basic credentials or a form with grant_type=password are needed, or nothing"))
		return
	}
	var u user
	if name != "" || password != "" {
		var err error
		if u, err = g.login(r.Context(), name, password); err != nil {
			g.log.Info("A token was refused.", "remote", r.RemoteAddr, "code", oci.CodeOf(err))
			g.refuse(w, err)
			return
		}
	}
	now := g.clock.Now()
	token, err := g.makeToken(r.Context(), name, u.mark, now.Add(TokenLife))
	if err != nil {
		g.refuse(w, err)
		return
	}
	writeToken(w, token, now)
}

// refuse answers a login that failed.
func (g *Guard) refuse(w http.ResponseWriter, err error) {
	var e *oci.Error
	switch {
	case !errors.As(err, &e):
		w.Header().Set("Retry-After", strconv.Itoa(int(retryBusy/time.Second)))
		writeError(w, http.StatusServiceUnavailable, oci.Errorf(oci.Unavailable, "the request was given up"))
	case e.Code == oci.Unavailable:
		g.log.Warn("A token could not be given.", "error", e)
		w.Header().Set("Retry-After", strconv.Itoa(int(e.RetryAfter/time.Second)))
		writeError(w, http.StatusServiceUnavailable, e)
	case e.Code == oci.TooManyRequests:
		w.Header().Set("Retry-After", strconv.Itoa(int(e.RetryAfter/time.Second)))
		writeError(w, http.StatusTooManyRequests, e)
	default:
		w.Header().Set("WWW-Authenticate", `Basic realm="`+realm+`"`)
		writeError(w, http.StatusUnauthorized, e)
	}
}

func writeToken(w http.ResponseWriter, token string, now time.Time) {
	writeJSON(w, http.StatusOK, map[string]any{
		"token":        token,
		"access_token": token,
		"expires_in":   int(TokenLife / time.Second),
		"issued_at":    now.Format(time.RFC3339),
	})
}

func writeError(w http.ResponseWriter, status int, e *oci.Error) {
	writeJSON(w, status, map[string]any{"errors": []any{map[string]any{"code": e.Code, "message": e.Message}}})
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // a client that went away does not read the answer
}
