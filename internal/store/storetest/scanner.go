// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"testing"

	"tare/internal/store"
)

// TestScanner checks a table's [store.Scanner]; both clients must be one.
func TestScanner(t *testing.T, open func(testing.TB) Tables) { runTable(t, open, scanTests) }

func scanner(t *table, client store.Table) store.Scanner {
	t.Helper()
	s, ok := client.(store.Scanner)
	if !ok {
		t.Fatalf("a %T is no Scanner", client)
	}
	return s
}

// scanAll walks the whole table through client B, calls between after each page, and returns the rows by key. A row
// that is seen twice fails the test unless twice allows it.
func (t *table) scanAll(limit int, between func(), twice func(store.Key) bool) map[store.Key]store.Row {
	t.Helper()
	s := scanner(t, t.B)
	seen := make(map[store.Key]store.Row)
	var after store.Key
	for {
		page, err := s.Scan(t.Context(), after, limit)
		wantErr(t, "scan", err, nil)
		t.wantPage(page, limit)
		for _, it := range page.Items {
			if _, again := seen[it.Key]; again && !twice(it.Key) {
				t.Fatalf("row %s is seen twice", it.Key)
			}
			seen[it.Key] = it.Row
		}
		if !page.More {
			return seen
		}
		after = page.Items[len(page.Items)-1].Key
		between()
	}
}

func never(store.Key) bool { return false }

var scanTests = []tableTest{
	{"Nothing", func(t *table) {
		if got := t.scanAll(10, func() {}, never); len(got) != 0 {
			t.Fatalf("a new table has %d rows", len(got))
		}
	}},
	{"EveryRowOnce", func(t *table) {
		want := make(map[store.Key]store.Row)
		for i, pk := range []string{"p", "p\x00", "o\U0010ffff", "p\U0010ffff", "q", "pa", "\x00", "\U0010ffff\U0010ffff"} {
			var ops []store.Op
			for j, sk := range trickySKs {
				k := key(pk, sk)
				want[k] = row(num("i", int64(i)), num("j", int64(j)))
				ops = append(ops, store.Op{Key: k, Kind: store.OpPut, Row: want[k]})
			}
			t.commit(ops...)
		}
		for _, limit := range []int{1, 7, len(want) - 1, len(want), len(want) + 1, store.MaxLimit} {
			got := t.scanAll(limit, func() {}, never)
			if len(got) != len(want) {
				t.Fatalf("in pages of %d: got %d rows, want %d", limit, len(got), len(want))
			}
			for k, r := range want {
				if !got[k].Equal(r) {
					t.Fatalf("row %q %q: got %s, want %s", k.PK, k.SK, describe(got[k]), describe(r))
				}
			}
		}
	}},
	{"WhatIsThereThroughoutIsSeenOnce", func(t *table) {
		stays := func(i int) store.Key { return key(fmt.Sprint("p", i%3), fmt.Sprintf("stays %02d", i)) }
		passes := func(i int) store.Key { return key(fmt.Sprint("p", i%3), fmt.Sprintf("passes %02d", i%30)) }
		for i := range 30 {
			t.commit(put(stays(i)), put(passes(i)))
		}
		step := 0
		got := t.scanAll(5, func() {
			step++
			t.commit(store.Op{Key: passes(step * 7), Kind: store.OpDelete}, put(key("p1", fmt.Sprint("new ", step))),
				store.Op{Key: stays(step % 30), Kind: store.OpUpdate, Add: []store.Attr{num("n", 1)}})
		}, func(k store.Key) bool { return k.SK[0] != 's' })
		for i := range 30 {
			if got[stays(i)] == nil {
				t.Fatalf("row %s was there throughout and is not seen", stays(i))
			}
		}
	}},
	{"PagesEndAtMaxPage", func(t *table) {
		for i := range 9 {
			k := key(fmt.Sprint("p", i), "a")
			t.commit(store.Op{Key: k, Kind: store.OpPut, Row: sized(k, 300<<10)})
		}
		page, err := scanner(t, t.B).Scan(t.Context(), store.Key{}, 100)
		wantErr(t, "scan", err, nil)
		if len(page.Items) >= 9 || !page.More {
			t.Fatalf("got a page of %d rows of 300 KiB, more %v", len(page.Items), page.More)
		}
		if got := t.scanAll(100, func() {}, never); len(got) != 9 {
			t.Fatalf("got %d rows in all, want 9", len(got))
		}
	}},
	{"Limits", func(t *table) {
		for _, limit := range []int{-1, 0, store.MaxLimit + 1} {
			_, err := scanner(t, t.A).Scan(t.Context(), store.Key{}, limit)
			wantErr(t, "a bad limit", err, store.ErrInvalid)
		}
	}},
	{"Canceled", func(t *table) {
		_, err := scanner(t, t.A).Scan(canceled(t), store.Key{}, 1)
		wantCanceled(t, "scan", err)
	}},
}
