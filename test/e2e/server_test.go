// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// defaultServe starts the registry that is tested. A word in braces is replaced; a group in brackets is left out when
// the words in it have no value. A registry that is started with {credential} is closed, always: it makes a credential for
// the user by itself and writes it to that file, as name:password.
const defaultServe = "../../bin/tare serve --listen {addr} --data {data}" +
	" [--htpasswd {htpasswd}] [--anonymous-pull={anonymous}] [--tls-cert {cert} --tls-key {key}]"

// The one account of registries that ask for credentials.
const (
	user     = "pusher"
	password = "correct horse"
)

// An ability is one that a registry standing in for Tare may lack.
type ability string

const (
	catalog       ability = "catalog"        // lists repositories
	referrers     ability = "referrers"      // answers the referrers API
	credentials   ability = "credentials"    // reads an htpasswd file
	anonymousPull ability = "anonymous-pull" // lets strangers pull while pushes need credentials
	uploadDigest  ability = "upload-digest"  // tells the digest of a finished upload, as containerd 1.6 demands
	graceful      ability = "graceful"       // ends with status 0 when it is asked to stop
)

// need skips the test when the registry lacks the ability.
func need(t *testing.T, a ability) {
	t.Helper()
	if lacks(t, a) {
		t.Skipf("the registry lacks %s", a)
	}
}

func lacks(t *testing.T, a ability) bool {
	t.Helper()
	without := os.Getenv("TARE_E2E_WITHOUT")
	if without != "" && os.Getenv("CI") != "" {
		t.Fatal("TARE_E2E_WITHOUT is not for CI")
	}
	return slices.Contains(strings.Split(without, ","), string(a))
}

// access says how a registry lets clients in.
type access struct {
	credentials bool // an htpasswd file holds user and password
	anonymous   bool // pulls need no credentials
	tls         bool
}

// A server is a running registry with a data folder of its own. Its endpoint has the credentials that it asks for.
type server struct {
	endpoint
	daemon
	credential string // the file with what the registry made by itself; "": it makes none
}

// serve starts a registry that is stopped when the test ends, and returns when it answers.
func serve(t *testing.T, a access) *server {
	t.Helper()
	dir := shortDir(t)
	file := func(name string) string { return filepath.Join(dir, name) }
	s := &server{endpoint: endpoint{addr: freeAddr(t)}, daemon: daemon{log: file("log")}}
	values := map[string]string{"addr": s.addr, "data": file("data")}
	if err := os.Mkdir(file("data"), 0o700); err != nil {
		t.Fatal(err)
	}
	if a.credentials {
		s.user, s.password = user, password
		values["htpasswd"] = file("htpasswd")
		writeHtpasswd(t, file("htpasswd"))
	}
	if a.anonymous {
		values["anonymous"] = "true"
	}
	if a.tls {
		// Docker's configuration has a folder of authorities for each registry, with files that end in .crt.
		s.ca = file("trusted/ca.crt")
		values["ca"], values["cert"], values["key"] = s.ca, file("cert.pem"), file("key.pem")
		if err := os.Mkdir(file("trusted"), 0o700); err != nil {
			t.Fatal(err)
		}
		writeCertificates(t, s.ca, values["cert"], values["key"])
	}
	template := os.Getenv("TARE_E2E_SERVE")
	if template == "" {
		template = defaultServe
	}
	if strings.Contains(template, "{credential}") {
		s.credential = file("credential")
		values["credential"] = s.credential
	}
	s.words = fill(template, values)
	s.transport = newTransport(t, s.ca)
	s.restart(t)
	t.Cleanup(func() {
		if s.cmd == nil {
			return
		}
		if err := s.end(); err != nil && !lacks(t, graceful) {
			t.Errorf("the registry ended with %v", err)
		}
	})
	return s
}

// restart runs the registry, which is not running, on its data folder.
func (s *server) restart(t *testing.T) {
	t.Helper()
	s.start(t, func() bool {
		if s.credential != "" {
			if _, err := os.Stat(s.credential); err != nil {
				return false
			}
		}
		return answers(t.Context(), s.transport, s.url("/v2/"))
	})
	if s.credential == "" {
		return
	}
	made, err := os.ReadFile(s.credential)
	if err != nil {
		t.Fatal(err)
	}
	s.user, s.password, _ = strings.Cut(string(made), ":")
	if s.user != user {
		t.Fatalf("the registry made a credential for %q", s.user)
	}
}

// bodyLimit is the most bytes that the registry takes in one request; 0: it has no limit.
func bodyLimit(t *testing.T) int {
	t.Helper()
	said := os.Getenv("TARE_E2E_LIMIT")
	if said == "" {
		return 0
	}
	limit, err := strconv.Atoi(said)
	if err != nil {
		t.Fatalf("TARE_E2E_LIMIT: %v", err)
	}
	return limit
}

// fill replaces the words of a template and leaves out the groups that have no values.
func fill(template string, values map[string]string) []string {
	word := regexp.MustCompile(`\{(\w+)\}`)
	group := regexp.MustCompile(`\[([^\]]*)\]`)
	chosen := group.ReplaceAllStringFunc(template, func(g string) string {
		for _, w := range word.FindAllStringSubmatch(g, -1) {
			if values[w[1]] == "" {
				return ""
			}
		}
		return strings.Trim(g, "[]")
	})
	words := strings.Fields(chosen)
	for i := range words {
		words[i] = word.ReplaceAllStringFunc(words[i], func(w string) string { return values[strings.Trim(w, "{}")] })
	}
	return words
}

func writeHtpasswd(t *testing.T, file string) {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, fmt.Appendf(nil, "%s:%s\n", user, hash), 0o600); err != nil {
		t.Fatal(err)
	}
}

// freeAddr returns a loopback address that nothing listens on.
func freeAddr(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

// shortDir returns a folder that goes away with the test, with a name short enough to hold unix sockets.
func shortDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "e2e")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func TestFill(t *testing.T) {
	const template = "env A={addr} serve [--htpasswd {htpasswd}] [--cert {cert} --key={key}]"
	for want, values := range map[string]map[string]string{
		"env A= serve":                    nil,
		"env A=:1 serve --htpasswd f":     {"addr": ":1", "htpasswd": "f"},
		"env A=:1 serve":                  {"addr": ":1", "cert": "a certificate without a key"},
		"env A=:1 serve --cert c --key=k": {"addr": ":1", "cert": "c", "key": "k"},
	} {
		if got := strings.Join(fill(template, values), " "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
