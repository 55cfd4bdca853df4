// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"regexp"
	"strings"
	"testing"

	"tare/internal/store"
)

var objectKeys = map[string]bool{
	"a": true, "0": true, "a/b": true, "a-b_c.d/0": true, "a..b": true, "a--b": true, "sha256/0123456789abcdef": true,
	strings.Repeat("k", store.MaxObjectKey): true, strings.Repeat("k/", store.MaxObjectKey/2-1) + "kk": true,

	"": false, "/": false, "/a": false, "a/": false, "a//b": false, ".": false, "..": false, "../a": false, "a/..": false, "a/./b": false,
	".a": false, "a.": false, "a-": false, "_a": false, "a./b": false, "a/-b": false, "A": false, "a b": false, "a\x00": false, "a\\b": false,
	"é": false, "a%2fb": false, "a:b": false, "a\n": false, strings.Repeat("k", store.MaxObjectKey+1): false,
}

func TestValidObjectKey(t *testing.T) {
	for key, want := range objectKeys {
		if got := store.ValidObjectKey(key); got != want {
			t.Errorf("%.40q: got %v, want %v", key, got, want)
		}
	}
}

// FuzzValidObjectKey compares the hand-written rule with the same in words: segments of [a-z0-9._-] that begin and end
// with a letter or digit, joined by slashes.
func FuzzValidObjectKey(f *testing.F) {
	for key := range objectKeys {
		f.Add(key)
	}
	rule := regexp.MustCompile(`\A[a-z0-9]([a-z0-9._-]*[a-z0-9])?(/[a-z0-9]([a-z0-9._-]*[a-z0-9])?)*\z`)
	f.Fuzz(func(t *testing.T, key string) {
		if got, want := store.ValidObjectKey(key), len(key) <= store.MaxObjectKey && rule.MatchString(key); got != want {
			t.Errorf("%q: got %v, want %v", key, got, want)
		}
	})
}
