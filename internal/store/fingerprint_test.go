// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"encoding/hex"
	"testing"
	"time"

	"tare/internal/store"
)

func TestFingerprintTellsTransactionsApart(t *testing.T) {
	update := store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{text("a", "b")}}
	ops := [][]store.Op{
		nil,
		{put(k)},
		{put(k), put(store.Key{PK: "p", SK: "b"})},
		{put(store.Key{PK: "p", SK: "b"}), put(k)},
		{put(store.Key{PK: "pa", SK: "a"})},
		{put(store.Key{PK: "p", SK: "aa"})},
		{put(k, text("a", "b"))},
		{put(k, raw("a", "b"))},
		{put(k, text("ab", ""))},
		{put(k, num("a", 1))},
		{put(k, num("a", -1))},
		{update},
		{{Key: k, Kind: store.OpUpdate, Add: []store.Attr{num("a", 1)}}},
		{{Key: k, Kind: store.OpUpdate, Set: []store.Attr{num("a", 1)}}},
		{{Key: k, Kind: store.OpUpdate, Remove: []string{"a"}}},
		{{Key: k, Kind: store.OpUpdate, Remove: []string{"a", "b"}}},
		{{Key: k, Kind: store.OpUpdate, Remove: []string{"ab"}}},
		{{Key: k, Kind: store.OpDelete}},
		{{Key: k, Kind: store.OpDelete, If: []store.Cond{{Is: store.Present}}}},
		{{Key: k, Kind: store.OpDelete, If: []store.Cond{{Attr: "a", Is: store.Present}}}},
		{{Key: k, Kind: store.OpDelete, If: []store.Cond{{Is: store.Absent}}}},
		{{Key: k, Kind: store.OpDelete, If: []store.Cond{{"a", store.Equal, store.Int(1)}}}},
		{{Key: k, Kind: store.OpDelete, If: []store.Cond{{"a", store.Equal, store.Int(2)}}}},
		{{Key: k, Kind: store.OpCheck, If: []store.Cond{{Is: store.Present}}}},
	}
	seen := make(map[string]int)
	for i := range ops {
		f := store.Tx{Ops: ops[i], Token: "t"}.Fingerprint()
		if j, same := seen[string(f[:])]; same {
			t.Errorf("%+v and %+v have one fingerprint", ops[j], ops[i])
		}
		seen[string(f[:])] = i
		again := store.Tx{Ops: ops[i], Token: "another", Before: time.Unix(1, 0)}.Fingerprint()
		if f != again {
			t.Errorf("%+v has another fingerprint under another token", ops[i])
		}
	}
}

// Fingerprints are stored on disk.
func TestFingerprintNeverChanges(t *testing.T) {
	f := store.Tx{Ops: []store.Op{
		put(k, num("n", -5), text("s", "x"), raw("b", "\xff")),
		{Key: store.Key{PK: "q", SK: "b"}, Kind: store.OpUpdate, Set: []store.Attr{num("a", 1)}, Add: []store.Attr{num("b", 2)}, Remove: []string{"c"}},
		{Key: store.Key{PK: "q", SK: "c"}, Kind: store.OpCheck, If: []store.Cond{{Is: store.Present}, {"n", store.Less, store.Int(300)}}},
	}}.Fingerprint()
	const want = "b7c0cd3b3a673d7d645d0d6afa6c5e1502a79be63b098c3e643844bca228dfac"
	if got := hex.EncodeToString(f[:]); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
