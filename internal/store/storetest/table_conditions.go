// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"math"
	"slices"

	"tare/internal/store"
)

// comparands are the values that conditions are tried on, each against each: none at all, and for each kind the edges,
// a prefix of another, and contents that look like those of another kind.
var comparands = []store.Value{
	{},
	store.Int(math.MinInt64), store.Int(-10), store.Int(-9), store.Int(0), store.Int(9), store.Int(10), store.Int(math.MaxInt64),
	store.String(""), store.String("\x00"), store.String("10"), store.String("9"), store.String("Z"), store.String("a"), store.String("ab"), store.String("é"),
	store.Bytes(""), store.Bytes("\x00"), store.Bytes("10"), store.Bytes("a"), store.Bytes("a\x00"), store.Bytes("a\x80"), store.Bytes("\xff"),
}

var comparisons = []store.Compare{
	store.Present, store.Absent, store.Equal, store.Less, store.LessEqual, store.Greater, store.GreaterEqual,
}

var conditionTests = []tableTest{
	{"EachOnEach", func(t *table) {
		// One row for each value, one that has no such attribute among others, and one that is absent: a condition is put
		// to all of them in one transaction, and those that it does not hold for are those that are named.
		var keys []store.Key
		var rows []store.Row
		for i, v := range comparands {
			keys = append(keys, key("p", fmt.Sprintf("%02d", i)))
			rows = append(rows, row(store.Attr{Name: "v", Value: v}, num("other", 1)))
			t.commit(store.Op{Key: keys[i], Kind: store.OpPut, Row: rows[i]})
		}
		keys, rows = append(keys, key("p", "absent")), append(rows, nil)
		var conds []store.Cond
		for _, compare := range comparisons {
			for _, v := range comparands {
				if hasValue := v.Kind() != 0; hasValue == (compare != store.Present && compare != store.Absent) {
					conds = append(conds, is("v", compare, v))
				}
			}
		}
		conds = append(conds, exists, absent)
		for _, cond := range conds {
			var ops []store.Op
			var failed []int
			for i, k := range keys {
				ops = append(ops, store.Op{Key: k, Kind: store.OpCheck, If: []store.Cond{cond}})
				if !store.Holds(rows[i], ops[i].If) {
					failed = append(failed, i)
				}
			}
			t.Logf("condition %+v", cond)
			t.refused(failed, ops...)
		}
	}},
	{"OnEveryKindOfOperation", func(t *table) {
		k := key("p", "a")
		t.commit(put(k, num("n", 5)))
		ops := []store.Op{
			put(k, num("n", 6)),
			{Key: k, Kind: store.OpUpdate, Add: []store.Attr{num("n", 1)}},
			{Key: k, Kind: store.OpDelete},
			{Key: k, Kind: store.OpCheck},
		}
		after := []store.Row{row(num("n", 6)), row(num("n", 6)), nil, row(num("n", 5))}
		for i, op := range ops {
			t.refused([]int{0}, where(op, is("n", store.Equal, store.Int(4))))
			t.wantRow(k, row(num("n", 5)))
			t.commit(where(op, is("n", store.Equal, store.Int(5))))
			t.wantRow(k, after[i])
			t.commit(put(k, num("n", 5)))
		}
	}},
	{"AllMustHold", func(t *table) {
		k := key("p", "a")
		t.commit(put(k, num("n", 5), text("s", "x")))
		holds := []store.Cond{
			exists, is("n", store.GreaterEqual, store.Int(5)), is("n", store.LessEqual, store.Int(5)), is("s", store.Equal, store.String("x")),
			is("none", store.Absent, store.Value{}),
		}
		t.commit(store.Op{Key: k, Kind: store.OpCheck, If: holds})
		for i := range holds {
			fails := slices.Clone(holds)
			fails[i] = is("n", store.Less, store.Int(5))
			t.refused([]int{0}, store.Op{Key: k, Kind: store.OpCheck, If: fails})
		}
	}},
	{"SeeTheRowBeforeTheChange", func(t *table) {
		k := key("p", "a")
		t.refused([]int{0}, where(put(k, num("n", 1)), is("n", store.Equal, store.Int(1))))
		t.commit(where(put(k, num("n", 1)), is("n", store.Absent, store.Value{})))
		t.commit(where(store.Op{Key: k, Kind: store.OpUpdate, Remove: []string{"n"}}, is("n", store.Present, store.Value{})))
		t.wantRow(k, store.Row{})
	}},
}
