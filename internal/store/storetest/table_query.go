// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"slices"
	"strings"

	"tare/internal/store"
)

// wantPage checks what holds for every page of rows.
func (t *table) wantPage(p store.Page, limit int) {
	t.Helper()
	bytes := 0
	for _, it := range p.Items {
		bytes += it.Row.Size(it.Key)
	}
	switch n := len(p.Items); {
	case n == 0 && p.More:
		t.Fatal("an empty page says that there is more")
	case n > limit:
		t.Fatalf("a page of %d rows, asked for %d", n, limit)
	case bytes > store.MaxPage+store.MaxRow:
		t.Fatalf("a page of %d bytes", bytes)
	case p.More && n < limit && bytes < store.MaxPage-store.MaxRow:
		t.Fatalf("a page of %d rows and %d bytes says that there is more, asked for %d rows", n, bytes, limit)
	}
}

// walk reads all pages of a query through client B.
func (t *table) walk(q store.Query) []store.Item {
	t.Helper()
	var items []store.Item
	for {
		page, err := t.B.Query(t.Context(), q)
		wantErr(t, "query", err, nil)
		t.wantPage(page, q.Limit)
		items = append(items, page.Items...)
		if !page.More {
			return items
		}
		q.After = page.Items[len(page.Items)-1].Key.SK
	}
}

// trickySKs are sort keys whose order, prefixes and successors are easy to get wrong, in no order.
var trickySKs = []string{
	"a", "a\x00", "a\x00b", "a\x01", "aa", "a b", "a/b", "a\U0010ffff", "a\U0010ffff\U0010ffff", "a\U0010ffff\U0010ffffz", "b", "A", "Z", "~",
	"\x00", "\x00\x00", "\x7f", "é", "\U0010ffff", "\U0010ffff\x00", "\U0010ffff\U0010ffff", "\U0010ffff\U0010ffffa", "0", "10", "9",
}

// wantQuery compares the rows that a query gives, page by page, with those of the partition that keep its range.
func (t *table) wantQuery(q store.Query, all []string) {
	t.Helper()
	var want []string
	for _, sk := range slices.Sorted(slices.Values(all)) {
		if strings.HasPrefix(sk, q.Prefix) && sk > q.After {
			want = append(want, sk)
		}
	}
	var got []string
	for _, it := range t.walk(q) {
		if it.Key.PK != q.PK || it.Row.Text("name") != it.Key.SK {
			t.Fatalf("query %+v: got row %s under key %s", q, describe(it.Row), it.Key)
		}
		got = append(got, it.Key.SK)
	}
	if !slices.Equal(got, want) {
		t.Fatalf("query %+v: got %q, want %q", q, got, want)
	}
}

var queryTests = []tableTest{
	{"AbsentPartition", func(t *table) {
		t.commit(put(key("p", "a")))
		for _, q := range []store.Query{{PK: "none", Limit: 10}, {PK: "p", Prefix: "b", Limit: 10}, {PK: "p", After: "a", Limit: 10}} {
			page, err := t.B.Query(t.Context(), q)
			wantErr(t, "query", err, nil)
			if len(page.Items) != 0 || page.More {
				t.Fatalf("query %+v: got %+v, want nothing", q, page)
			}
		}
	}},
	{"PrefixAndAfter", func(t *table) {
		// The same sort keys stand in the neighboring partitions, which must not be seen.
		for _, pk := range []string{"p", "p\x00", "o\U0010ffff", "p\U0010ffff", "q", "pa"} {
			var ops []store.Op
			for _, sk := range trickySKs {
				ops = append(ops, put(key(pk, sk), text("name", sk)))
			}
			t.commit(ops...)
		}
		prefixes := append([]string{"", "a\U0010ffff\U0010ffff\U0010ffff", "none", "\U0010ffff\U0010ffff\U0010ffff"}, trickySKs...)
		afters := append([]string{"", "a\x00\U0010ffff", "B", "\U0010ffff\U0010ffff\U0010ffff", "zzz"}, trickySKs...)
		for _, prefix := range prefixes {
			for _, after := range afters {
				t.wantQuery(store.Query{PK: "p", Prefix: prefix, After: after, Limit: 3}, trickySKs)
			}
		}
	}},
	{"PagesOfEverySize", func(t *table) {
		for _, sk := range trickySKs {
			t.commit(put(key("p", sk), text("name", sk)))
		}
		for limit := 1; limit <= len(trickySKs)+1; limit++ {
			t.wantQuery(store.Query{PK: "p", Limit: limit}, trickySKs)
		}
	}},
	{"Thousand", func(t *table) {
		var all []string
		ops := make([]store.Op, 0, store.MaxOps)
		for i := range store.MaxLimit + 5 {
			all = append(all, fmt.Sprintf("%05d", i))
			ops = append(ops, put(key("p", all[i]), text("name", all[i])))
			if len(ops) == store.MaxOps || i == store.MaxLimit+4 {
				t.commit(ops...)
				ops = ops[:0]
			}
		}
		page, err := t.B.Query(t.Context(), store.Query{PK: "p", Limit: store.MaxLimit})
		wantErr(t, "query", err, nil)
		if len(page.Items) != store.MaxLimit || !page.More {
			t.Fatalf("got a page of %d rows, more %v", len(page.Items), page.More)
		}
		t.wantQuery(store.Query{PK: "p", Limit: store.MaxLimit}, all)
		t.wantQuery(store.Query{PK: "p", Prefix: "010", Limit: 2}, all)
	}},
	{"PagesEndAtMaxPage", func(t *table) {
		var keys []store.Key
		for i := range 9 {
			k := key("p", fmt.Sprint(i))
			keys = append(keys, k)
			t.commit(store.Op{Key: k, Kind: store.OpPut, Row: sized(k, 300<<10)})
		}
		page, err := t.B.Query(t.Context(), store.Query{PK: "p", Limit: 100})
		wantErr(t, "query", err, nil)
		if len(page.Items) >= len(keys) || !page.More {
			t.Fatalf("got a page of %d rows of 300 KiB, more %v", len(page.Items), page.More)
		}
		items := t.walk(store.Query{PK: "p", Limit: 100})
		if len(items) != len(keys) {
			t.Fatalf("got %d rows in all, want %d", len(items), len(keys))
		}
		for i, it := range items {
			if it.Key != keys[i] || it.Row.Size(it.Key) != 300<<10 {
				t.Fatalf("row %d is %s of %d bytes", i, it.Key, it.Row.Size(it.Key))
			}
		}
	}},
	{"SeesChanges", func(t *table) {
		all := []string{"a", "b", "c"}
		for _, sk := range all {
			t.commit(put(key("p", sk), text("name", sk)))
		}
		t.commit(store.Op{Key: key("p", "b"), Kind: store.OpDelete}, put(key("p", "bb"), text("name", "bb")))
		t.wantQuery(store.Query{PK: "p", Limit: 10}, []string{"a", "bb", "c"})
	}},
	{"Limits", func(t *table) {
		long := strings.Repeat("s", store.MaxSK+1)
		for _, q := range []store.Query{
			{PK: "p"}, {PK: "p", Limit: -1}, {PK: "p", Limit: store.MaxLimit + 1},
			{Limit: 1}, {PK: strings.Repeat("p", store.MaxPK+1), Limit: 1}, {PK: "p", Prefix: long, Limit: 1}, {PK: "p", After: long, Limit: 1},
			{PK: "\xff", Limit: 1}, {PK: "p", Prefix: "\xff", Limit: 1}, {PK: "p", After: "a\xc3", Limit: 1},
		} {
			_, err := t.A.Query(t.Context(), q)
			wantErr(t, "a bad query", err, store.ErrInvalid)
		}
	}},
	{"Canceled", func(t *table) {
		_, err := t.A.Query(canceled(t), store.Query{PK: "p", Limit: 1})
		wantCanceled(t, "query", err)
	}},
}
