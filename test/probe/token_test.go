// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// refuseToken checks that an Authorization header is refused wherever it could be of use, and that the store is not asked.
func (w *world) refuseToken(name, authorization string) {
	w.t.Helper()
	w.tokens[stranger] = ""
	before := w.Calls()
	for _, a := range []ask{
		{"GET", "/v2/", "", nil},
		{"GET", "/v2/_catalog", "", nil},
		{"GET", "/v2/" + mine + "/manifests/v1", "", nil},
		{"HEAD", "/v2/" + mine + "/blobs/" + digestOf(smallContent(mine)), "", nil},
		{"PUT", "/v2/" + mine + "/manifests/x", index(), nil},
		{"POST", uploads, "", nil},
		{"DELETE", "/v2/" + mine + "/manifests/v1", "", nil},
	} {
		a.header = []string{"Authorization: " + authorization}
		if rec := w.do(stranger, a); rec.Code != http.StatusUnauthorized {
			w.t.Fatalf("a token %s: %s %s is answered %d %s", name, a.method, a.path, rec.Code, rec.Body)
		}
	}
	if n := w.Calls() - before; n != 0 {
		w.t.Fatalf("a token %s made %d store calls", name, n)
	}
}

// A token is what the registry made, whole, and until its end.
func TestTokens(t *testing.T) {
	w := newWorld(t, false)
	w.fill(mine, mine, "v1")
	decode := func(token string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(token)
		w.must(err)
		return b
	}
	encode := base64.RawURLEncoding.EncodeToString
	abroad := newWorld(t, false)
	good, anonymous, read := decode(w.tokens[writer]), decode(w.tokens[nobody]), decode(w.tokens[reader])
	for _, token := range [][]byte{good, anonymous} {
		for bit := range 8 * len(token) {
			flipped := append([]byte(nil), token...)
			flipped[bit/8] ^= 1 << (bit % 8)
			w.refuseToken(fmt.Sprintf("with bit %d flipped", bit), "Bearer "+encode(flipped))
		}
	}
	for n := range len(good) {
		w.refuseToken(fmt.Sprintf("cut after %d bytes", n), "Bearer "+encode(good[:n]))
	}
	const macBytes = 32
	never := binary.BigEndian.AppendUint64(nil, 1<<62)
	named := func(end []byte, name string, mac []byte) string {
		return "Bearer " + encode(append(append(append([]byte(nil), end...), name...), mac...))
	}
	mac := good[len(good)-macBytes:]
	for name, authorization := range map[string]string{
		"of another registry":             "Bearer " + abroad.tokens[writer],
		"of another registry's nobody":    "Bearer " + abroad.tokens[nobody],
		"that never ends":                 named(never, writer, mac),
		"with another's name":             named(read[:8], writer, read[len(read)-macBytes:]),
		"with a name for nobody":          named(anonymous[:8], writer, anonymous[8:]),
		"with nobody for a name":          named(good[:8], "", mac),
		"of somebody who is not there":    named(good[:8], "nosuch", mac),
		"with a name that goes on":        named(good[:8], writer+"x", mac),
		"signed with nothing":             named(good[:8], writer, make([]byte, macBytes)),
		"of zeros":                        "Bearer " + encode(make([]byte, len(good))),
		"twice":                           "Bearer " + w.tokens[writer] + w.tokens[writer],
		"that is padded":                  "Bearer " + w.tokens[writer] + "=",
		"that is none":                    "Bearer",
		"that is empty":                   "Bearer  ",
		"that is a JWT without algorithm": "Bearer " + encode([]byte(`{"alg":"none","typ":"JWT"}`)) + "." + encode([]byte(`{"sub":"writer","exp":99999999999}`)) + ".",
		"that is an upload's id":          "Bearer " + w.open(mine),
		"as a password":                   "Basic " + base64.StdEncoding.EncodeToString([]byte(writer+":"+w.tokens[writer])),
		"as a name":                       "Basic " + base64.StdEncoding.EncodeToString([]byte(w.tokens[writer]+":x")),
		"under another scheme":            "Token " + w.tokens[writer],
		"of a megabyte":                   "Bearer " + strings.Repeat("A", 1<<20),
		"with the wrong one before it":    "Bearer x, Bearer " + w.tokens[writer],
		"in front of something":           "Bearer " + w.tokens[writer] + " x",
	} {
		w.refuseToken(name, authorization)
	}
	if rec := w.do(stranger, ask{"POST", uploads + "?token=" + w.tokens[writer] + "&access_token=" + w.tokens[writer], "", nil}); rec.Code != http.StatusUnauthorized {
		t.Errorf("a token in the query is answered %d", rec.Code)
	}

	// Each is good for what it was made for, and to its last second.
	pull := ask{"GET", "/v2/" + mine + "/manifests/v1", "", nil}
	push := ask{"PUT", "/v2/" + mine + "/manifests/x", index(), nil}
	w.clock.Advance(15*time.Minute - time.Second)
	for user, status := range map[string]int{writer: http.StatusCreated, reader: http.StatusForbidden, nobody: http.StatusUnauthorized} {
		if got := w.do(user, pull).Code; got != http.StatusOK {
			t.Errorf("%s pulls: %d", user, got)
		}
		if got := w.do(user, push).Code; got != status {
			t.Errorf("%s pushes: %d", user, got)
		}
	}
	w.clock.Advance(time.Second)
	for _, user := range []string{writer, reader, nobody} {
		w.refuseToken("of "+user+" at its end", "Bearer "+w.tokens[user])
	}
}
