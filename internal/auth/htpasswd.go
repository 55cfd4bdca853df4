// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// maxHtpasswd bounds the file, in bytes.
const maxHtpasswd = 16 << 20

// parseHtpasswd reads lines of "name:hash"; empty lines and those that begin with # are skipped. Anything but a bcrypt
// hash is an error, as is a file without users. Errors name the line and never hold a hash.
func parseHtpasswd(r io.Reader) (map[string][]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxHtpasswd+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxHtpasswd {
		return nil, fmt.Errorf("more than %d bytes", maxHtpasswd)
	}
	hashes := make(map[string][]byte)
	lines := bufio.NewScanner(bytes.NewReader(data))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, hash, ok := strings.Cut(line, ":")
		if !ok || name == "" {
			return nil, fmt.Errorf("line %d: not of the form name:hash", n)
		}
		if err := checkHash(hash); err != nil {
			// The name is left out: where the two were swapped, it is the hash.
			return nil, fmt.Errorf("line %d: the hash is %w; only bcrypt is accepted (htpasswd -B)", n, err)
		}
		if _, twice := hashes[name]; twice {
			return nil, fmt.Errorf("line %d: %q is there twice", n, name)
		}
		hashes[name] = []byte(hash)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if len(hashes) == 0 {
		return nil, fmt.Errorf("no users")
	}
	return hashes, nil
}

// checkHash accepts bcrypt's hashes and names what others are.
func checkHash(hash string) error {
	for _, prefix := range []string{"$2y$", "$2a$", "$2b$"} {
		if !strings.HasPrefix(hash, prefix) {
			continue
		}
		if _, err := bcrypt.Cost([]byte(hash)); err != nil || len(hash) != 60 {
			return fmt.Errorf("a damaged bcrypt hash")
		}
		return nil
	}
	for _, kind := range []struct{ prefix, name string }{
		{"$apr1$", "MD5 (apr1)"},
		{"$1$", "MD5"},
		{"{SHA}", "SHA-1"},
		{"{SSHA}", "SHA-1"},
		{"$5$", "SHA-256 (crypt)"},
		{"$6$", "SHA-512 (crypt)"},
		{"$argon2", "Argon2"},
		{"$y$", "yescrypt"},
		{"$2x$", "a bcrypt hash of a faulty version (2x)"},
	} {
		if strings.HasPrefix(hash, kind.prefix) {
			return fmt.Errorf("%s", kind.name)
		}
	}
	return fmt.Errorf("DES (crypt), plain text or unknown")
}
