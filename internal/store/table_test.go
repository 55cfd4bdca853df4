// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"tare/internal/store"
)

var k = store.Key{PK: "p", SK: "a"}

func put(key store.Key, attrs ...store.Attr) store.Op {
	return store.Op{Key: key, Kind: store.OpPut, Row: store.NewRow(attrs...)}
}

func TestHolds(t *testing.T) {
	row := store.NewRow(num("n", 5), text("s", "b"), raw("b", "b"), num("zero", 0), text("empty", ""))
	none := store.Value{}
	for _, c := range []struct {
		row  store.Row
		cond store.Cond
		want bool
	}{
		{nil, store.Cond{Is: store.Present}, false},
		{nil, store.Cond{Is: store.Absent}, true},
		{store.Row{}, store.Cond{Is: store.Present}, true},
		{store.Row{}, store.Cond{Is: store.Absent}, false},
		{row, store.Cond{Is: store.Present}, true},

		{row, store.Cond{"n", store.Present, none}, true},
		{row, store.Cond{"n", store.Absent, none}, false},
		{row, store.Cond{"x", store.Present, none}, false},
		{row, store.Cond{"x", store.Absent, none}, true},
		{nil, store.Cond{"n", store.Present, none}, false},
		{nil, store.Cond{"n", store.Absent, none}, true},
		{row, store.Cond{"zero", store.Present, none}, true},
		{row, store.Cond{"empty", store.Absent, none}, false},

		{row, store.Cond{"n", store.Equal, store.Int(5)}, true},
		{row, store.Cond{"n", store.Equal, store.Int(4)}, false},
		{row, store.Cond{"n", store.Equal, store.String("5")}, false},
		{row, store.Cond{"s", store.Equal, store.String("b")}, true},
		{row, store.Cond{"s", store.Equal, store.Bytes("b")}, false},
		{row, store.Cond{"b", store.Equal, store.Bytes("b")}, true},
		{row, store.Cond{"x", store.Equal, store.Int(0)}, false},
		{row, store.Cond{"x", store.Equal, store.String("")}, false},
		{nil, store.Cond{"n", store.Equal, store.Int(5)}, false},
		{row, store.Cond{"zero", store.Equal, store.Int(0)}, true},

		{row, store.Cond{"n", store.Less, store.Int(6)}, true},
		{row, store.Cond{"n", store.Less, store.Int(5)}, false},
		{row, store.Cond{"n", store.Less, store.Int(math.MinInt64)}, false},
		{row, store.Cond{"n", store.LessEqual, store.Int(5)}, true},
		{row, store.Cond{"n", store.LessEqual, store.Int(4)}, false},
		{row, store.Cond{"n", store.Greater, store.Int(4)}, true},
		{row, store.Cond{"n", store.Greater, store.Int(5)}, false},
		{row, store.Cond{"n", store.Greater, store.Int(-6)}, true},
		{row, store.Cond{"n", store.GreaterEqual, store.Int(5)}, true},
		{row, store.Cond{"n", store.GreaterEqual, store.Int(6)}, false},

		{row, store.Cond{"s", store.Less, store.String("c")}, true},
		{row, store.Cond{"s", store.Less, store.String("a")}, false},
		{row, store.Cond{"s", store.Less, store.String("ba")}, true},
		{row, store.Cond{"s", store.LessEqual, store.String("b")}, true},
		{row, store.Cond{"s", store.Greater, store.String("B")}, true},
		{row, store.Cond{"s", store.Greater, store.String("é")}, false},
		{row, store.Cond{"s", store.GreaterEqual, store.String("b")}, true},
		{row, store.Cond{"b", store.Greater, store.Bytes("a\xff")}, true},
		{row, store.Cond{"b", store.Less, store.Bytes("b\x00")}, true},
		{row, store.Cond{"empty", store.Less, store.String("\x00")}, true},

		{row, store.Cond{"n", store.Less, store.String("9")}, false},
		{row, store.Cond{"n", store.GreaterEqual, store.Bytes("")}, false},
		{row, store.Cond{"s", store.Less, store.Bytes("c")}, false},
		{row, store.Cond{"s", store.Greater, store.Int(0)}, false},
		{row, store.Cond{"x", store.Less, store.Int(9)}, false},
		{row, store.Cond{"x", store.LessEqual, store.Int(0)}, false},
		{row, store.Cond{"x", store.GreaterEqual, store.Int(0)}, false},
		{nil, store.Cond{"n", store.Greater, store.Int(0)}, false},
	} {
		if got := store.Holds(c.row, []store.Cond{c.cond}); got != c.want {
			t.Errorf("%+v on %v: got %v, want %v", c.cond, c.row, got, c.want)
		}
	}
	both := []store.Cond{{Is: store.Present}, {"n", store.Equal, store.Int(5)}}
	if !store.Holds(row, nil) || !store.Holds(nil, nil) || !store.Holds(row, both) || store.Holds(store.Row{}, both) {
		t.Error("conditions are not joined by AND")
	}
}

func TestApply(t *testing.T) {
	row := store.NewRow(num("n", 40), text("s", "x"), num("z", 1))
	for name, c := range map[string]struct {
		op   store.Op
		on   store.Row
		want store.Row
	}{
		"put on none":         {put(k, num("a", 1)), nil, store.Row{num("a", 1)}},
		"put on a row":        {put(k, num("a", 1)), row, store.Row{num("a", 1)}},
		"put of a nil row":    {store.Op{Key: k, Kind: store.OpPut}, nil, store.Row{}},
		"delete":              {store.Op{Key: k, Kind: store.OpDelete}, row, nil},
		"delete of none":      {store.Op{Key: k, Kind: store.OpDelete}, nil, nil},
		"check":               {store.Op{Key: k, Kind: store.OpCheck}, row, row},
		"check of none":       {store.Op{Key: k, Kind: store.OpCheck}, nil, nil},
		"add":                 {store.Op{Key: k, Kind: store.OpUpdate, Add: []store.Attr{num("n", 2)}}, row, store.Row{num("n", 42), text("s", "x"), num("z", 1)}},
		"add to none":         {store.Op{Key: k, Kind: store.OpUpdate, Add: []store.Attr{num("n", -2)}}, nil, store.Row{num("n", -2)}},
		"set between":         {store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{text("p", "y")}}, row, store.Row{num("n", 40), text("p", "y"), text("s", "x"), num("z", 1)}},
		"set of another kind": {store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{num("s", 3)}}, row, store.Row{num("n", 40), num("s", 3), num("z", 1)}},
		"remove":              {store.Op{Key: k, Kind: store.OpUpdate, Remove: []string{"s", "none"}}, row, store.Row{num("n", 40), num("z", 1)}},
		"remove of the last":  {store.Op{Key: k, Kind: store.OpUpdate, Remove: []string{"n"}}, store.Row{num("n", 1)}, store.Row{}},
		"remove from none":    {store.Op{Key: k, Kind: store.OpUpdate, Remove: []string{"n"}}, nil, store.Row{}},
		"all three": {store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{num("a", 1)}, Add: []store.Attr{num("n", 1)}, Remove: []string{"z"}}, row,
			store.Row{num("a", 1), num("n", 41), text("s", "x")}},
	} {
		before := slices.Clone(c.on)
		got, err := c.op.Apply(c.on)
		if err != nil || !got.Equal(c.want) {
			t.Errorf("%s: got %v, error %v, want %v", name, got, err, c.want)
		}
		if !c.on.Equal(before) {
			t.Errorf("%s: the row that was there has changed to %v", name, c.on)
		}
	}
}

func TestApplyRefuses(t *testing.T) {
	full := store.Row{raw("fill", strings.Repeat("f", store.MaxRow-store.Row{raw("fill", "")}.Size(k)))}
	for name, c := range map[string]struct {
		op store.Op
		on store.Row
	}{
		"add to a text":    {store.Op{Key: k, Kind: store.OpUpdate, Add: []store.Attr{num("s", 1)}}, store.Row{text("s", "1")}},
		"add to bytes":     {store.Op{Key: k, Kind: store.OpUpdate, Add: []store.Attr{num("b", 1)}}, store.Row{raw("b", "")}},
		"set over MaxRow":  {store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{text("x", "")}}, full},
		"add over MaxRow":  {store.Op{Key: k, Kind: store.OpUpdate, Add: []store.Attr{num("x", 1)}}, full},
		"swap over MaxRow": {store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{text("xx", "12")}, Remove: []string{"x"}}, append(full[:1:1], text("x", "12"))},
	} {
		if got, err := c.op.Apply(c.on); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: got a row of %d attributes, error %v", name, len(got), err)
		}
	}
	shrink := store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{text("fill", "")}}
	if got, err := shrink.Apply(full); err != nil || !got.Equal(store.Row{text("fill", "")}) {
		t.Errorf("a full row cannot shrink: %v", err)
	}
}

func TestValidate(t *testing.T) {
	tx := func(ops ...store.Op) store.Tx { return store.Tx{Ops: ops, Token: "t"} }
	hundred := make([]store.Op, store.MaxOps+1)
	for i := range hundred {
		hundred[i] = put(store.Key{PK: "p", SK: strings.Repeat("s", i+1)})
	}
	good := map[string]store.Tx{
		"one operation":        tx(put(k)),
		"a hundred operations": tx(hundred[:store.MaxOps]...),
		"a nil row":            tx(store.Op{Key: k, Kind: store.OpPut}),
		"the longest token":    {Ops: []store.Op{put(k)}, Token: strings.Repeat("t", store.MaxToken)},
		"a moment long past":   {Ops: []store.Op{put(k)}, Token: "t", Before: time.Unix(1, 0)},
		"index attributes":     tx(put(k, num(store.AttrDue, 1), num(store.AttrShard, 1))),
		"a conditional delete": tx(store.Op{Key: k, Kind: store.OpDelete, If: []store.Cond{{Is: store.Present}, {"n", store.Less, store.Int(1)}}}),
		"all changes":          tx(store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{num("a", 1)}, Add: []store.Attr{num("b", 1)}, Remove: []string{"c"}}),
	}
	for what, x := range good {
		if err := x.Validate(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	check := store.Op{Key: k, Kind: store.OpCheck}
	bad := map[string]store.Tx{
		"no operations":            tx(),
		"101 operations":           tx(hundred...),
		"no token":                 {Ops: []store.Op{put(k)}},
		"a long token":             {Ops: []store.Op{put(k)}, Token: strings.Repeat("t", store.MaxToken+1)},
		"a row twice":              tx(put(k), put(k)),
		"no partition":             tx(put(store.Key{SK: "a"})),
		"no place":                 tx(put(store.Key{PK: "a"})),
		"a long partition":         tx(put(store.Key{PK: strings.Repeat("p", store.MaxPK+1), SK: "a"})),
		"a long place":             tx(put(store.Key{PK: "p", SK: strings.Repeat("s", store.MaxSK+1)})),
		"a large row":              tx(put(k, text("a", strings.Repeat("v", store.MaxRow)))),
		"no kind":                  tx(store.Op{Key: k}),
		"an unsorted row":          tx(store.Op{Key: k, Kind: store.OpPut, Row: store.Row{num("b", 1), num("a", 1)}}),
		"a check of nothing":       tx(check),
		"a zero condition":         tx(store.Op{Key: k, Kind: store.OpCheck, If: []store.Cond{{}}}),
		"a comparison with none":   tx(store.Op{Key: k, Kind: store.OpCheck, If: []store.Cond{{Attr: "n", Is: store.Equal}}}),
		"a comparison of the row":  tx(store.Op{Key: k, Kind: store.OpCheck, If: []store.Cond{{Is: store.Less, Value: store.Int(1)}}}),
		"presence with a value":    tx(store.Op{Key: k, Kind: store.OpCheck, If: []store.Cond{{"n", store.Present, store.Int(1)}}}),
		"an unknown comparison":    tx(store.Op{Key: k, Kind: store.OpCheck, If: []store.Cond{{"n", store.GreaterEqual + 1, store.Int(1)}}}),
		"a due time that is text":  tx(put(k, text(store.AttrDue, "1"))),
		"a shard set to bytes":     tx(store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{raw(store.AttrShard, "1")}}),
		"a key that is no UTF-8":   tx(put(store.Key{PK: "p", SK: "\xff"})),
		"a text that is no UTF-8":  tx(put(k, text("a", "\xff"))),
		"a token that is no UTF-8": {Ops: []store.Op{put(k)}, Token: "\xff"},
		"a blind removal":          tx(store.Op{Key: k, Kind: store.OpUpdate, Remove: []string{"a"}}),
		"an update of nothing":     tx(store.Op{Key: k, Kind: store.OpUpdate}),
		"an attribute added twice": tx(store.Op{Key: k, Kind: store.OpUpdate, Add: []store.Attr{num("a", 1), num("a", 1)}}),
	}
	var large []store.Op
	for i := range store.MaxTx/store.MaxRow + 1 {
		large = append(large, put(store.Key{PK: "p", SK: string(rune('a' + i))}, text("a", strings.Repeat("v", store.MaxRow-100))))
	}
	bad["a large transaction"] = tx(large...)
	for what, x := range bad {
		if err := x.Validate(); !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: got error %v", what, err)
		}
	}
}

func TestValidateReads(t *testing.T) {
	long := store.Key{PK: "p", SK: strings.Repeat("s", store.MaxSK+1)}
	for what, c := range map[string]struct {
		err   error
		valid bool
	}{
		"no keys":          {store.ValidateGet(nil), true},
		"a hundred keys":   {store.ValidateGet(slices.Repeat([]store.Key{k}, store.MaxGet)), true},
		"101 keys":         {store.ValidateGet(slices.Repeat([]store.Key{k}, store.MaxGet+1)), false},
		"an empty key":     {store.ValidateGet([]store.Key{k, {}}), false},
		"a long key":       {store.ValidateGet([]store.Key{long}), false},
		"a query":          {store.Query{PK: "p", Limit: 1}.Validate(), true},
		"a full query":     {store.Query{PK: "p", Prefix: long.SK[1:], After: long.SK[1:], Limit: store.MaxLimit}.Validate(), true},
		"no partition":     {store.Query{Limit: 1}.Validate(), false},
		"a long partition": {store.Query{PK: strings.Repeat("p", store.MaxPK+1), Limit: 1}.Validate(), false},
		"a long prefix":    {store.Query{PK: "p", Prefix: long.SK, Limit: 1}.Validate(), false},
		"a long position":  {store.Query{PK: "p", After: long.SK, Limit: 1}.Validate(), false},
		"no limit":         {store.Query{PK: "p"}.Validate(), false},
		"a large limit":    {store.ValidateLimit("due", store.MaxLimit+1), false},
		"a negative limit": {store.ValidateLimit("due", -1), false},
		"a limit of one":   {store.ValidateLimit("due", 1), true},
	} {
		if c.valid && c.err != nil || !c.valid && !errors.Is(c.err, store.ErrInvalid) {
			t.Errorf("%s: got error %v", what, c.err)
		}
	}
}
