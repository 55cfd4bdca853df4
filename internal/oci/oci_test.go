// SPDX-License-Identifier: Apache-2.0

package oci_test

import (
	"regexp"
	"strings"
	"testing"

	"tare/internal/oci"
)

// The grammars as the specification writes them (distribution-spec, "Pulling manifests"; image-spec, "Digests").
var (
	repositoryGrammar = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)
	tagGrammar        = regexp.MustCompile(`^[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}$`)
	digestGrammar     = regexp.MustCompile(`^(sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128})$`)
)

// checkNames compares the three parsers with the grammars.
func checkNames(t *testing.T, s string) {
	t.Helper()
	if _, err := oci.ParseRepository(s); (err == nil) != (len(s) <= oci.MaxRepository && repositoryGrammar.MatchString(s)) {
		t.Errorf("repository %q: %v", s, err)
	} else if err != nil && oci.CodeOf(err) != oci.NameInvalid {
		t.Errorf("repository %q: code %s", s, oci.CodeOf(err))
	}
	if _, err := oci.ParseTag(s); (err == nil) != tagGrammar.MatchString(s) {
		t.Errorf("tag %q: %v", s, err)
	} else if err != nil && oci.CodeOf(err) != oci.TagInvalid {
		t.Errorf("tag %q: code %s", s, oci.CodeOf(err))
	}
	if _, err := oci.ParseDigest(s); (err == nil) != digestGrammar.MatchString(s) {
		t.Errorf("digest %q: %v", s, err)
	} else if err != nil && oci.CodeOf(err) != oci.DigestInvalid {
		t.Errorf("digest %q: code %s", s, oci.CodeOf(err))
	}
}

var names = []string{
	"", "a", "a/b", "a//b", "/a", "a/", "a.b", "a..b", "a.", ".a", "a_b", "a__b", "a___b", "a_", "_a", "a-b", "a---b", "a-", "-a",
	"a-_b", "a_-b", "a._b", "a-/b", "a/-b", "A", "aB", "a b", "a%2fb", "é", "a\n", "a/b/c-d__e.f0", "9", "latest", "V1.2_3-4", "a:b", "a@b",
	"sha256:", "sha256", "md5:d41d8cd98f00b204e9800998ecf8427e", "SHA256:" + strings.Repeat("a", 64),
	"sha256:" + strings.Repeat("a", 64), "sha256:" + strings.Repeat("A", 64), "sha256:" + strings.Repeat("a", 63), "sha256:" + strings.Repeat("a", 65),
	"sha256:" + strings.Repeat("g", 64), "sha512:" + strings.Repeat("0", 128), "sha512:" + strings.Repeat("0", 64), "sha256:" + strings.Repeat(":", 64),
	strings.Repeat("a", 128), strings.Repeat("a", 129), strings.Repeat("a", 255), strings.Repeat("a", 256),
}

func TestNames(t *testing.T) {
	for _, s := range names {
		checkNames(t, s)
	}
}

// All strings of up to six bytes over an alphabet that has one byte of each kind.
func TestNamesExhaustively(t *testing.T) {
	const alphabet = "a9._-/A"
	var walk func(prefix string)
	walk = func(prefix string) {
		checkNames(t, prefix)
		if len(prefix) < 6 {
			for i := range len(alphabet) {
				walk(prefix + alphabet[i:i+1])
			}
		}
	}
	walk("")
}

func FuzzNames(f *testing.F) {
	for _, s := range names {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		checkNames(t, s)
		if r, err := oci.ParseReference(s); err == nil && r.String() != s {
			t.Errorf("reference %q becomes %q", s, r)
		}
	})
}

func TestParseReference(t *testing.T) {
	d := "sha256:" + strings.Repeat("a", 64)
	for s, want := range map[string]oci.Code{"": oci.TagInvalid, "v1": "", d: "", "sha256:x": oci.DigestInvalid, "a/b": oci.TagInvalid, ":": oci.DigestInvalid} {
		r, err := oci.ParseReference(s)
		switch {
		case want == "" && (err != nil || r.String() != s || (r.Tag == "") == (r.Digest == "")):
			t.Errorf("%q: %+v, %v", s, r, err)
		case want != "" && oci.CodeOf(err) != want:
			t.Errorf("%q: %v, want %s", s, err, want)
		}
	}
}
