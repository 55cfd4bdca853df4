// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"slices"
	"strings"

	"tare/internal/store"
)

// listedKeys are object keys whose byte order is not the order in which folders are walked.
var listedKeys = []string{
	"a-b", "a.b", "a/b", "a/b-c", "a/c/d", "a/c0", "a0", "a_b", "ab", "abc/c", "b/a/a", "b/a/b", "b/a-a", "b/a.a/x", "b-0", "0", "z/z/z/z/z",
}

// walkObjects lists page by page through client B.
func (b *bucket) walkObjects(prefix, after string, limit int) []string {
	b.Helper()
	var keys []string
	for {
		page, err := b.B.Objects.List(b.Context(), prefix, after, limit)
		wantErr(b, "list", err, nil)
		if len(page) > limit {
			b.Fatalf("a page of %d keys, asked for %d", len(page), limit)
		}
		for _, info := range page {
			keys = append(keys, info.Key)
		}
		if len(page) < limit {
			return keys
		}
		after = page[len(page)-1].Key
	}
}

var listTests = []bucketTest{
	{"Nothing", func(b *bucket) {
		if got := b.walkObjects("", "", 10); got != nil {
			b.Fatalf("a new store lists %q", got)
		}
	}},
	{"PrefixAndAfter", func(b *bucket) {
		sizes := make(map[string]int64)
		for i, key := range listedKeys {
			b.put(key, pattern(i, i))
			sizes[key] = int64(i)
		}
		sorted := slices.Sorted(slices.Values(listedKeys))
		for _, prefix := range append([]string{"", "a", "a/", "a/c", "b/a", "b/a/", "none", "z/z", "zz", "a//"}, listedKeys...) {
			for _, after := range append([]string{"", "a", "a/", "a/b/c", "b", "zz", "/", "~"}, listedKeys...) {
				var want []string
				for _, key := range sorted {
					if strings.HasPrefix(key, prefix) && key > after {
						want = append(want, key)
					}
				}
				for _, limit := range []int{2, 1000} {
					if got := b.walkObjects(prefix, after, limit); !slices.Equal(got, want) {
						b.Fatalf("prefix %q after %q in pages of %d: got %q, want %q", prefix, after, limit, got, want)
					}
				}
			}
		}
		page, err := b.B.Objects.List(b.Context(), "", "", 1000)
		wantErr(b, "list", err, nil)
		for _, info := range page {
			if info.Size != sizes[info.Key] {
				b.Fatalf("%s is listed with %d bytes, want %d", info.Key, info.Size, sizes[info.Key])
			}
		}
	}},
	{"WhatIsThereThroughoutIsSeenOnce", func(b *bucket) {
		var stay []string
		for i := range 30 {
			stay = append(stay, fmt.Sprintf("k/%02d/stays", i))
			b.put(stay[i], "x")
			b.put(fmt.Sprintf("k/%02d/goes", i), "x")
		}
		var seen []string
		after := ""
		for i := range 100 {
			page, err := b.B.Objects.List(b.Context(), "k/", after, 4)
			wantErr(b, "list", err, nil)
			if len(page) == 0 {
				break
			}
			for _, info := range page {
				if strings.HasSuffix(info.Key, "/stays") {
					seen = append(seen, info.Key)
				}
			}
			after = page[len(page)-1].Key
			wantErr(b, "delete", b.A.Objects.Delete(b.Context(), fmt.Sprintf("k/%02d/goes", (i*5)%30)), nil)
			b.put(fmt.Sprintf("k/%02d/comes", (i*7)%30), "x")
		}
		if !slices.Equal(seen, stay) {
			b.Fatalf("seen %q, want %q", seen, stay)
		}
	}},
	{"Limits", func(b *bucket) {
		for _, limit := range []int{-1, 0, store.MaxLimit + 1} {
			_, err := b.A.Objects.List(b.Context(), "", "", limit)
			wantErr(b, "a bad limit", err, store.ErrInvalid)
		}
		_, err := b.A.Objects.List(b.Context(), "", "", store.MaxLimit)
		wantErr(b, "the largest limit", err, nil)
	}},
}
