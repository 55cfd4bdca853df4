// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"crypto/rand"
	"fmt"
	"strings"

	"tare/internal/store"
)

// badKeys break the limits of a key, each in one part.
var badKeys = []store.Key{
	{}, {PK: "p"}, {SK: "s"},
	{PK: strings.Repeat("p", store.MaxPK+1), SK: "s"},
	{PK: "p", SK: strings.Repeat("s", store.MaxSK+1)},
	{PK: "\xff", SK: "s"},
	{PK: "p", SK: "s\xc3"},
}

// sized makes a row that counts exactly size bytes under k.
func sized(k store.Key, size int) store.Row {
	empty := row(store.Attr{Name: "fill", Value: store.Bytes("")})
	return row(store.Attr{Name: "fill", Value: store.Bytes(strings.Repeat("f", size-empty.Size(k)))})
}

// puts makes n operations on distinct rows of one partition.
func puts(n int) []store.Op {
	ops := make([]store.Op, n)
	for i := range ops {
		ops[i] = put(key("many", fmt.Sprintf("%04d", i)), num("i", int64(i)))
	}
	return ops
}

var limitTests = []tableTest{
	{"Operations", func(t *table) {
		t.invalid("no operations", tx())
		ops := puts(store.MaxOps + 1)
		t.invalid("101 operations", tx(ops...))
		t.wantRow(ops[0].Key, nil)
		t.commit(ops[:store.MaxOps]...)
		for _, op := range ops[:store.MaxOps] {
			t.wantRow(op.Key, op.Row)
		}
	}},
	{"DistinctRows", func(t *table) {
		k := key("p", "a")
		check := store.Op{Key: k, Kind: store.OpCheck, If: []store.Cond{absent}}
		t.invalid("two puts of a row", tx(put(k), put(k)))
		t.invalid("a check and a put of a row", tx(check, put(key("p", "b")), put(k)))
		t.wantRow(k, nil)
		t.wantRow(key("p", "b"), nil)
	}},
	{"Tokens", func(t *table) {
		k := key("p", "a")
		t.invalid("no token", store.Tx{Ops: []store.Op{put(k)}})
		t.invalid("a token that is no UTF-8", store.Tx{Ops: []store.Op{put(k)}, Token: "\xff"})
		t.invalid("a token of 37 bytes", store.Tx{Ops: []store.Op{put(k)}, Token: strings.Repeat("t", store.MaxToken+1)})
		t.wantRow(k, nil)
		own := rand.Text()
		wantErr(t, "a token of 36 bytes", t.A.Commit(t.Context(), store.Tx{Ops: []store.Op{put(k)}, Token: strings.Repeat("t", store.MaxToken-len(own)) + own}), nil)
		t.wantRow(k, store.Row{})
	}},
	{"Keys", func(t *table) {
		for _, k := range badKeys {
			t.invalid("a bad key", tx(put(key("p", "a")), put(k)))
			t.wantRow(key("p", "a"), nil)
		}
		longest := key(strings.Repeat("p", store.MaxPK), strings.Repeat("s", store.MaxSK))
		almost := key(longest.PK, longest.SK[1:])
		t.commit(put(longest, num("n", 1)), put(almost, num("n", 2)))
		t.wantRow(longest, row(num("n", 1)))
		t.wantRow(almost, row(num("n", 2)))
	}},
	{"RowSize", func(t *table) {
		k := key("p", "a")
		t.invalid("a row over the limit", tx(store.Op{Key: k, Kind: store.OpPut, Row: sized(k, store.MaxRow+1)}))
		t.wantRow(k, nil)
		largest := sized(k, store.MaxRow)
		t.commit(store.Op{Key: k, Kind: store.OpPut, Row: largest})
		t.wantRow(k, largest)
	}},
	{"RowSizeByUpdate", func(t *table) {
		k, other := key("p", "a"), key("p", "b")
		name := "more"
		start := sized(k, store.MaxRow-len(name)-10)
		t.commit(store.Op{Key: k, Kind: store.OpPut, Row: start})
		grow := func(n int) store.Op {
			return store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{text(name, strings.Repeat("m", n))}}
		}
		t.invalid("an update that brings a row over the limit", tx(put(other), grow(11)))
		t.wantRow(k, start)
		t.wantRow(other, nil)
		t.commit(grow(10))
		if n := t.row(k).Size(k); n != store.MaxRow {
			t.Fatalf("the row has %d bytes, want %d", n, store.MaxRow)
		}
		t.invalid("a counter that brings a row over the limit", tx(store.Op{Key: k, Kind: store.OpUpdate, Add: []store.Attr{num("n", 1)}}))
		t.commit(store.Op{Key: k, Kind: store.OpUpdate, Remove: []string{"fill"}, Set: []store.Attr{text(name, "")}})
		t.wantRow(k, row(text(name, "")))
	}},
	{"TransactionSize", func(t *table) {
		var ops []store.Op
		left := store.MaxTx
		for i := 0; left > 0; i++ {
			k := key("p", fmt.Sprintf("%02d", i))
			n := min(left, store.MaxRow)
			ops = append(ops, store.Op{Key: k, Kind: store.OpPut, Row: sized(k, n)})
			left -= n
		}
		last := &ops[len(ops)-1]
		fits := last.Row
		last.Row = sized(last.Key, fits.Size(last.Key)+1)
		t.invalid("a transaction over the limit", tx(ops...))
		t.wantRow(ops[0].Key, nil)
		last.Row = fits
		t.commit(ops...)
		for _, op := range ops {
			t.wantRow(op.Key, op.Row)
		}
	}},
	{"Shapes", func(t *table) {
		k := key("p", "a")
		none := store.Value{}
		for what, op := range map[string]store.Op{
			"no kind":                        {Key: k},
			"an unknown kind":                {Key: k, Kind: 9},
			"a put with changes":             {Key: k, Kind: store.OpPut, Set: []store.Attr{num("n", 1)}},
			"a row that is not sorted":       {Key: k, Kind: store.OpPut, Row: store.Row{num("b", 1), num("a", 1)}},
			"a row with a name twice":        {Key: k, Kind: store.OpPut, Row: store.Row{num("a", 1), num("a", 1)}},
			"a row with an empty name":       {Key: k, Kind: store.OpPut, Row: store.Row{num("", 1)}},
			"a row with no value":            {Key: k, Kind: store.OpPut, Row: store.Row{{Name: "a"}}},
			"an update without changes":      {Key: k, Kind: store.OpUpdate},
			"an update with a row":           {Key: k, Kind: store.OpUpdate, Row: row(num("a", 1)), Set: []store.Attr{num("n", 1)}},
			"an attribute set to nothing":    {Key: k, Kind: store.OpUpdate, Set: []store.Attr{{Name: "n"}}},
			"a text added":                   {Key: k, Kind: store.OpUpdate, Add: []store.Attr{text("n", "1")}},
			"an attribute changed twice":     {Key: k, Kind: store.OpUpdate, Set: []store.Attr{num("n", 1)}, Remove: []string{"n"}},
			"an attribute without a name":    where(store.Op{Key: k, Kind: store.OpUpdate, Remove: []string{""}}, exists),
			"removal where there is no row":  {Key: k, Kind: store.OpUpdate, Remove: []string{"n"}},
			"removal, and no row wanted":     where(store.Op{Key: k, Kind: store.OpUpdate, Remove: []string{"n"}}, is("n", store.Absent, none)),
			"a row with the key's attribute": put(k, text("pk", "p")),
			"a set of the key's attribute":   {Key: k, Kind: store.OpUpdate, Set: []store.Attr{text("sk", "a")}},
			"a removal of the key's":         where(store.Op{Key: k, Kind: store.OpUpdate, Remove: []string{"sk"}}, exists),
			"a condition on the key's":       where(put(k), is("sk", store.Absent, none)),
			"a text that is no UTF-8":        put(k, text("n", "\xff")),
			"a name that is no UTF-8":        put(k, num("\xff", 1)),
			"a set text that is no UTF-8":    {Key: k, Kind: store.OpUpdate, Set: []store.Attr{text("n", "a\xc3")}},
			"a removed name, no UTF-8":       where(store.Op{Key: k, Kind: store.OpUpdate, Remove: []string{"\xff"}}, exists),
			"a compared text, no UTF-8":      where(put(k), is("n", store.Less, store.String("\xff"))),
			"a delete with a row":            {Key: k, Kind: store.OpDelete, Row: row(num("a", 1))},
			"a delete with changes":          {Key: k, Kind: store.OpDelete, Remove: []string{"n"}},
			"a check without conditions":     {Key: k, Kind: store.OpCheck},
			"a check with changes":           {Key: k, Kind: store.OpCheck, If: []store.Cond{absent}, Add: []store.Attr{num("n", 1)}},
			"a condition without comparison": where(put(k), store.Cond{Attr: "n"}),
			"an unknown comparison":          where(put(k), is("n", 9, store.Int(1))),
			"a comparison with nothing":      where(put(k), is("n", store.Equal, none)),
			"a comparison of the row":        where(put(k), is("", store.Equal, store.Int(1))),
			"presence with a value":          where(put(k), is("n", store.Absent, store.Int(1))),
			"a due time that is a text":      put(k, text(store.AttrDue, "1")),
			"a shard that is a text":         {Key: k, Kind: store.OpUpdate, Set: []store.Attr{text(store.AttrShard, "1")}},
		} {
			t.invalid(what, tx(put(key("p", "b")), op))
			t.wantRow(k, nil)
			t.wantRow(key("p", "b"), nil)
		}
	}},
}
