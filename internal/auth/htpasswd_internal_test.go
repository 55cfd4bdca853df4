// SPDX-License-Identifier: Apache-2.0

package auth

import (
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"
)

// What is accepted has names, and hashes that bcrypt can work with, and says the same when it is written again. What is
// refused is not repeated: an error holds no hash.
func FuzzHtpasswd(f *testing.F) {
	const hash = "$2y$05$abcdefghijklmnopqrstuuQ2r5yfWqGAq4xIlFHrVOZ0DWxB1MmSe"
	for _, file := range []string{
		"", "\n\n# nobody\n", "alice:" + hash, "alice:" + hash + "\ncarol:" + hash + "\n", " alice:" + hash + "\r\n#x\r\nb :" + hash, "alice:" + hash + "\nalice:" + hash,
		"alice", ":" + hash, hash + ":alice", "alice:" + hash + "x", "alice:" + hash[:59], "alice:$2x$" + hash[4:], "alice:$apr1$abcdefgh$0123456789012345678901", "alice:{SHA}2fd4e1c67a2d28fced849ee1bb76e7391b93eb12",
		"alice:a plain password, and a long one", "é:" + hash, "a\rb:" + hash, "alice:$2y$99" + hash[6:], strings.Repeat("x", 70_000),
	} {
		f.Add(file)
	}
	f.Fuzz(func(t *testing.T, file string) {
		hashes, err := parseHtpasswd(strings.NewReader(file))
		if err != nil {
			for line := range strings.SplitSeq(file, "\n") {
				_, secret, _ := strings.Cut(line, ":")
				if secret = strings.TrimSpace(secret); len(secret) >= 30 && strings.Contains(err.Error(), secret) && !strings.Contains(err.Error(), "there twice") {
					t.Fatalf("%q: the error repeats a hash: %v", file, err)
				}
			}
			return
		}
		var again strings.Builder
		for name, hash := range hashes {
			if _, err := bcrypt.Cost(hash); err != nil || name == "" || strings.ContainsAny(name, ":\n") {
				t.Fatalf("%q: user %q with %q: %v", file, name, hash, err)
			}
			again.WriteString(name + ":" + string(hash) + "\n")
		}
		same, err := parseHtpasswd(strings.NewReader(again.String()))
		if err != nil || len(same) != len(hashes) || len(hashes) == 0 {
			t.Fatalf("%q: written again: %q: %v", file, again.String(), err)
		}
		for name, hash := range hashes {
			if string(same[name]) != string(hash) {
				t.Fatalf("%q: written again: %q", file, again.String())
			}
		}
	})
}
