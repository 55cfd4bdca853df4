// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"math"
	"slices"
	"testing"

	"tare/internal/store"
)

type tableTest struct {
	name string
	run  func(*table)
}

// TestTable checks a [store.Table]. Each subtest opens a table of its own.
func TestTable(t *testing.T, open func(testing.TB) Tables) {
	for _, group := range []struct {
		name  string
		tests []tableTest
	}{
		{"Get", getTests},
		{"Commit", commitTests},
		{"Conditions", conditionTests},
		{"Limits", limitTests},
		{"Tokens", tokenTests},
		{"Before", beforeTests},
		{"Concurrent", concurrentTests},
		{"Query", queryTests},
		{"Due", dueTests},
	} {
		t.Run(group.name, func(t *testing.T) { runTable(t, open, group.tests) })
	}
}

// TestTableTime checks what a [store.Table] does as time goes by. It is for tables whose clock a test can move.
func TestTableTime(t *testing.T, open func(testing.TB) Tables) {
	if open(t).Clock == nil {
		t.Fatal("the table has no clock that a test can move")
	}
	runTable(t, open, timeTests)
}

func runTable(t *testing.T, open func(testing.TB) Tables, tests []tableTest) {
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.run(openTable(t, open)) })
	}
}

func key(pk, sk string) store.Key { return store.Key{PK: pk, SK: sk} }

func text(name, s string) store.Attr { return store.Attr{Name: name, Value: store.String(s)} }

func num(name string, n int64) store.Attr { return store.Attr{Name: name, Value: store.Int(n)} }

func row(attrs ...store.Attr) store.Row { return store.NewRow(attrs...) }

func put(k store.Key, attrs ...store.Attr) store.Op {
	return store.Op{Key: k, Kind: store.OpPut, Row: store.NewRow(attrs...)}
}

// where adds conditions to an operation.
func where(op store.Op, conds ...store.Cond) store.Op {
	op.If = conds
	return op
}

func is(attr string, compare store.Compare, v store.Value) store.Cond {
	return store.Cond{Attr: attr, Is: compare, Value: v}
}

var (
	exists = store.Cond{Is: store.Present}
	absent = store.Cond{Is: store.Absent}
)

var getTests = []tableTest{
	{"NoKeysIsNoCall", func(t *table) {
		rows, err := t.A.Get(t.Context())
		wantErr(t, "get of no keys", err, nil)
		if len(rows) != 0 {
			t.Fatalf("get of no keys: got %d rows", len(rows))
		}
	}},
	{"RowsBelongToKeys", func(t *table) {
		a, b, none := key("p", "a"), key("p", "b"), key("q", "a")
		t.commit(put(a, text("n", "a")), put(b, text("n", "b")))
		keys := []store.Key{b, none, a, b, none, a}
		rows, err := t.B.Get(t.Context(), keys...)
		wantErr(t, "get", err, nil)
		want := []store.Row{row(text("n", "b")), nil, row(text("n", "a")), row(text("n", "b")), nil, row(text("n", "a"))}
		if !slices.EqualFunc(rows, want, store.Row.Equal) {
			t.Fatalf("get of %v: got %v, want %v", keys, rows, want)
		}
	}},
	{"KeyPartsStayApart", func(t *table) {
		keys := []store.Key{
			key("a", "b c"), key("a b", "c"), key("a", "bc"), key("ab", "c"), key("a\x00b", "c"), key("a", "\x00b\x00c"), key("a\x00", "b\x00c"),
			key("a/b", "c"), key("a", "b/c"), key("A", "b c"), key("\U0010ffff", "\U0010ffff"), key("\x00", "\x00"), key("a\U0010ffff", "b"), key("a", "\U0010ffffb"),
		}
		for i, k := range keys {
			t.commit(where(put(k, num("i", int64(i))), absent))
		}
		rows, err := t.B.Get(t.Context(), keys...)
		wantErr(t, "get", err, nil)
		for i, r := range rows {
			if r.Num("i") != int64(i) || r == nil {
				t.Fatalf("row %q %q: got %s, want i=%d", keys[i].PK, keys[i].SK, describe(r), i)
			}
		}
	}},
	{"SeesWhatWasAcknowledged", func(t *table) {
		k := key("p", "a")
		for i := range int64(50) {
			t.commit(put(k, num("i", i)))
			t.wantRow(k, row(num("i", i)))
		}
	}},
	{"Hundred", func(t *table) {
		keys := make([]store.Key, store.MaxGet)
		for i := range keys {
			keys[i] = key("p", "some key")
		}
		rows, err := t.A.Get(t.Context(), keys...)
		wantErr(t, "get of 100 keys", err, nil)
		if len(rows) != len(keys) {
			t.Fatalf("get of %d keys: got %d rows", len(keys), len(rows))
		}
		_, err = t.A.Get(t.Context(), append(keys, key("p", "b"))...)
		wantErr(t, "get of 101 keys", err, store.ErrInvalid)
	}},
	{"KeySizes", func(t *table) {
		for _, k := range badKeys {
			_, err := t.A.Get(t.Context(), key("p", "a"), k)
			wantErr(t, "get of a bad key", err, store.ErrInvalid)
		}
	}},
	{"Canceled", func(t *table) {
		_, err := t.A.Get(canceled(t), key("p", "a"))
		wantCanceled(t, "get", err)
	}},
}

var commitTests = []tableTest{
	{"PutMakesAndReplaces", func(t *table) {
		k := key("p", "a")
		t.commit(put(k, text("x", "1"), num("y", 2)))
		t.wantRow(k, row(text("x", "1"), num("y", 2)))
		t.commit(put(k, num("z", 3)))
		t.wantRow(k, row(num("z", 3)))
	}},
	{"RowWithoutAttributes", func(t *table) {
		k, nilRow := key("p", "a"), key("p", "b")
		t.commit(put(k), store.Op{Key: nilRow, Kind: store.OpPut})
		t.wantRow(k, store.Row{})
		t.wantRow(nilRow, store.Row{})
		t.commit(where(put(k, num("n", 1)), exists))
	}},
	{"ValuesKeepKindAndContent", func(t *table) {
		long := make([]byte, 70_000)
		for i := range long {
			long[i] = byte(i % 251)
		}
		all := row(
			num("zero", 0), num("minus", -1), num("least", math.MinInt64), num("most", math.MaxInt64),
			text("empty", ""), text("word", "é\x00\n\"'\\"), text("digits", "12"),
			store.Attr{Name: "no bytes", Value: store.Bytes("")},
			store.Attr{Name: "raw", Value: store.Bytes("\x00\xff\xfe\x80")},
			store.Attr{Name: "long", Value: store.Bytes(string(long))},
			num("Name", 1), num("name", 2), num("é", 3), num("with space.and-dot#", 4),
		)
		k := key("p", "a")
		t.commit(store.Op{Key: k, Kind: store.OpPut, Row: all})
		t.wantRow(k, all)
	}},
	{"UpdateChangesWhatItNames", func(t *table) {
		k := key("p", "a")
		t.commit(put(k, text("kept", "k"), text("set", "old"), num("added", 40), num("removed", 1)))
		t.commit(store.Op{
			Key: k, Kind: store.OpUpdate,
			Set:    []store.Attr{text("set", "new"), num("made", 1)},
			Add:    []store.Attr{num("added", 2), num("counted", -3)},
			Remove: []string{"removed", "never there"},
		})
		t.wantRow(k, row(text("kept", "k"), text("set", "new"), num("made", 1), num("added", 42), num("counted", -3)))
	}},
	{"SetChangesKind", func(t *table) {
		k := key("p", "a")
		t.commit(put(k, text("x", "1")))
		t.commit(store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{num("x", 1)}})
		t.wantRow(k, row(num("x", 1)))
	}},
	{"UpdateMakesAnAbsentRow", func(t *table) {
		set, add, both := key("p", "set"), key("p", "add"), key("p", "both")
		t.commit(
			store.Op{Key: set, Kind: store.OpUpdate, Set: []store.Attr{text("x", "1")}},
			store.Op{Key: add, Kind: store.OpUpdate, Add: []store.Attr{num("n", 7)}},
			store.Op{Key: both, Kind: store.OpUpdate, Set: []store.Attr{num("n", 8)}, Remove: []string{"x"}},
		)
		t.wantRow(set, row(text("x", "1")))
		t.wantRow(add, row(num("n", 7)))
		t.wantRow(both, row(num("n", 8)))
	}},
	{"RemovingTheLastAttributeLeavesTheRow", func(t *table) {
		k := key("p", "a")
		t.commit(put(k, num("n", 1)))
		t.commit(where(store.Op{Key: k, Kind: store.OpUpdate, Remove: []string{"n"}}, exists))
		t.wantRow(k, store.Row{})
		t.refused([]int{0}, where(store.Op{Key: key("p", "b"), Kind: store.OpUpdate, Remove: []string{"n"}}, exists))
		t.wantRow(key("p", "b"), nil)
	}},
	{"Delete", func(t *table) {
		k := key("p", "a")
		t.commit(put(k, num("n", 1)))
		t.commit(store.Op{Key: k, Kind: store.OpDelete})
		t.wantRow(k, nil)
		t.commit(store.Op{Key: k, Kind: store.OpDelete})
		t.wantRow(k, nil)
		t.commit(where(put(k, num("n", 2)), absent))
		t.wantRow(k, row(num("n", 2)))
	}},
	{"CheckChangesNothing", func(t *table) {
		k, none, other := key("p", "a"), key("p", "b"), key("p", "c")
		t.commit(put(k, num("n", 1)))
		t.commit(
			store.Op{Key: k, Kind: store.OpCheck, If: []store.Cond{exists}},
			store.Op{Key: none, Kind: store.OpCheck, If: []store.Cond{absent}},
			put(other),
		)
		t.wantRow(k, row(num("n", 1)))
		t.wantRow(none, nil)
		t.wantRow(other, store.Row{})
		t.commit(store.Op{Key: k, Kind: store.OpCheck, If: []store.Cond{exists}})
	}},
	{"AllKindsAtOnce", func(t *table) {
		made, changed, gone, seen := key("p", "made"), key("q", "changed"), key("r", "gone"), key("s", "seen")
		t.commit(put(changed, num("n", 1)), put(gone), put(seen, text("v", "1")))
		t.commit(
			where(put(made, text("x", "y")), absent),
			where(store.Op{Key: changed, Kind: store.OpUpdate, Add: []store.Attr{num("n", 1)}}, is("n", store.Equal, store.Int(1))),
			where(store.Op{Key: gone, Kind: store.OpDelete}, exists),
			store.Op{Key: seen, Kind: store.OpCheck, If: []store.Cond{is("v", store.Equal, store.String("1"))}},
		)
		t.wantRow(made, row(text("x", "y")))
		t.wantRow(changed, row(num("n", 2)))
		t.wantRow(gone, nil)
		t.wantRow(seen, row(text("v", "1")))
	}},
	{"RefusedChangesNothing", func(t *table) {
		made, changed, gone := key("p", "made"), key("p", "changed"), key("p", "gone")
		t.commit(put(changed, num("n", 1)), put(gone, num("n", 2)))
		for at := range 4 {
			ops := []store.Op{
				put(made),
				{Key: changed, Kind: store.OpUpdate, Add: []store.Attr{num("n", 1)}},
				{Key: gone, Kind: store.OpDelete},
			}
			ops = slices.Insert(ops, at, store.Op{Key: key("p", "guard"), Kind: store.OpCheck, If: []store.Cond{exists}})
			t.refused([]int{at}, ops...)
			t.wantRow(made, nil)
			t.wantRow(changed, row(num("n", 1)))
			t.wantRow(gone, row(num("n", 2)))
		}
	}},
	{"RefusedNamesAllThatFailed", func(t *table) {
		a, b, c, d, e := key("p", "a"), key("p", "b"), key("q", "c"), key("q", "d"), key("q", "e")
		t.commit(put(a, num("n", 1)), put(b, num("n", 2), text("x", "y")), put(d), put(e, num("n", 5)))
		failed := t.refused([]int{0, 2, 3, 4},
			where(put(a, num("n", 9)), absent),
			where(store.Op{Key: e, Kind: store.OpDelete}, is("n", store.Equal, store.Int(5))),
			where(store.Op{Key: b, Kind: store.OpUpdate, Add: []store.Attr{num("n", 1)}}, is("n", store.Greater, store.Int(2))),
			store.Op{Key: c, Kind: store.OpCheck, If: []store.Cond{exists}},
			where(store.Op{Key: d, Kind: store.OpDelete}, is("n", store.Present, store.Value{})),
		)
		found := []store.Row{row(num("n", 1)), row(num("n", 2), text("x", "y")), nil, {}}
		for i, want := range found {
			if got := failed[i].Row; !got.Equal(want) {
				t.Errorf("operation %d found %s, want %s", failed[i].Op, describe(got), describe(want))
			}
		}
		t.wantRow(a, row(num("n", 1)))
		t.wantRow(b, row(num("n", 2), text("x", "y")))
		t.wantRow(e, row(num("n", 5)))
	}},
	{"AddToAnotherKind", func(t *table) {
		s, b, other := key("p", "s"), key("p", "b"), key("p", "other")
		t.commit(put(s, text("n", "1")), put(b, store.Attr{Name: "n", Value: store.Bytes("1")}))
		for _, k := range []store.Key{s, b} {
			before := t.row(k)
			t.invalid("adding to something else than an integer",
				tx(put(other), store.Op{Key: k, Kind: store.OpUpdate, Add: []store.Attr{num("n", 1)}}))
			t.wantRow(k, before)
			t.wantRow(other, nil)
		}
	}},
	{"Canceled", func(t *table) {
		k := key("p", "a")
		wantCanceled(t, "commit", t.A.Commit(canceled(t), tx(put(k))))
		t.wantRow(k, nil)
	}},
}
