// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"slices"
	"strings"
	"testing"

	"tare/internal/store"
)

func text(name, s string) store.Attr { return store.Attr{Name: name, Value: store.String(s)} }

func num(name string, n int64) store.Attr { return store.Attr{Name: name, Value: store.Int(n)} }

func raw(name, b string) store.Attr { return store.Attr{Name: name, Value: store.Bytes(b)} }

func TestValues(t *testing.T) {
	for _, c := range []struct {
		v    store.Value
		kind store.Kind
		text string
		num  int64
	}{
		{store.Value{}, 0, "", 0},
		{store.String("a"), store.KindString, "a", 0},
		{store.String(""), store.KindString, "", 0},
		{store.Bytes("\xff"), store.KindBytes, "\xff", 0},
		{store.Int(-7), store.KindInt, "", -7},
		{store.Int(0), store.KindInt, "", 0},
	} {
		if c.v.Kind() != c.kind || c.v.Text() != c.text || c.v.Num() != c.num {
			t.Errorf("%+v: got kind %d, text %q, number %d", c, c.v.Kind(), c.v.Text(), c.v.Num())
		}
	}
	distinct := []store.Value{{}, store.String(""), store.Bytes(""), store.Int(0), store.String("0"), store.Bytes("0")}
	for i, v := range distinct {
		for j, w := range distinct {
			if (v == w) != (i == j) {
				t.Errorf("%+v == %+v is %v", v, w, v == w)
			}
		}
	}
}

// The kinds are stored on disk.
func TestKindsNeverChange(t *testing.T) {
	if store.KindString != 1 || store.KindInt != 2 || store.KindBytes != 3 {
		t.Errorf("the kinds are %d, %d and %d, want 1, 2 and 3", store.KindString, store.KindInt, store.KindBytes)
	}
}

func TestNewRow(t *testing.T) {
	r := store.NewRow(num("b", 1), text("c", ""), text("a", "x"), store.Attr{Name: "none"}, raw("B", "y"))
	if want := (store.Row{raw("B", "y"), text("a", "x"), num("b", 1), text("c", "")}); !slices.Equal(r, want) {
		t.Errorf("got %v, want %v", r, want)
	}
	if empty := store.NewRow(); empty == nil || len(empty) != 0 {
		t.Errorf("a row without attributes is %#v", empty)
	}
}

func TestRowReads(t *testing.T) {
	r := store.NewRow(num("n", 5), text("s", "x"), text("empty", ""), num("zero", 0))
	for _, c := range []struct {
		name string
		has  bool
		text string
		num  int64
	}{
		{"n", true, "", 5}, {"s", true, "x", 0}, {"empty", true, "", 0}, {"zero", true, "", 0}, {"none", false, "", 0}, {"", false, "", 0},
	} {
		if r.Has(c.name) != c.has || r.Text(c.name) != c.text || r.Num(c.name) != c.num {
			t.Errorf("%q: has %v, text %q, number %d", c.name, r.Has(c.name), r.Text(c.name), r.Num(c.name))
		}
	}
	var none store.Row
	if none.Has("n") || none.Get("n") != (store.Value{}) {
		t.Error("an absent row has an attribute")
	}
}

func TestRowEqual(t *testing.T) {
	rows := []store.Row{nil, {}, {num("n", 1)}, {num("n", 2)}, {text("n", "1")}, {num("m", 1)}, {num("m", 1), num("n", 1)}}
	for i, r := range rows {
		for j, o := range rows {
			if got := r.Equal(slices.Clone(o)); got != (i == j) {
				t.Errorf("%v equals %v: %v", r, o, got)
			}
		}
	}
}

func TestRowSize(t *testing.T) {
	k := store.Key{PK: "part", SK: "place"}
	for _, c := range []struct {
		row  store.Row
		want int
	}{
		{nil, 13}, {store.Row{}, 13},
		{store.Row{text("name", "value")}, 13 + 9},
		{store.Row{raw("b", "\x00\xff")}, 13 + 3},
		{store.Row{num("n", 1)}, 13 + 22},
		{store.Row{text("é", "é")}, 13 + 4},
	} {
		if got := c.row.Size(k); got != c.want {
			t.Errorf("%v: %d bytes, want %d", c.row, got, c.want)
		}
	}
}

func TestKeyOrder(t *testing.T) {
	sorted := []store.Key{
		{}, {PK: "a"}, {PK: "a", SK: "\x00"}, {PK: "a", SK: "b"}, {PK: "a", SK: "b\xff"}, {PK: "a", SK: "c"},
		{PK: "a\x00", SK: "a"}, {PK: "aa", SK: "a"}, {PK: "b", SK: ""}, {PK: "\xff", SK: "\x00"},
	}
	for i, a := range sorted {
		for j, b := range sorted {
			if got, want := a.Compare(b), strings.Compare(string(rune('a'+i)), string(rune('a'+j))); got != want {
				t.Errorf("%q compared with %q: %d, want %d", a, b, got, want)
			}
		}
	}
	if got := (store.Key{PK: "p", SK: "s"}).String(); got != "p s" {
		t.Errorf("a key is written %q", got)
	}
}
