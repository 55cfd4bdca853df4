// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"math"
	"slices"

	"tare/internal/store"
)

func due(k store.Key, shard, at int64) store.Op {
	return put(k, num(store.AttrShard, shard), num(store.AttrDue, at))
}

// dueKeys reads the index through client B, page by page, when it has settled.
func (t *table) dueKeys(shard int, until int64, limit int) []store.DueKey {
	t.Helper()
	t.Settle()
	var all []store.DueKey
	var after store.DueKey
	for {
		page, err := t.B.Due(t.Context(), shard, until, after, limit)
		wantErr(t, "due", err, nil)
		if len(page) > limit {
			t.Fatalf("a page of %d entries, asked for %d", len(page), limit)
		}
		all = append(all, page...)
		if len(page) < limit {
			return all
		}
		after = page[len(page)-1]
	}
}

// wantDue compares the index with what it should show. Rows that are due at one time come in any order.
func (t *table) wantDue(shard int, until int64, want ...store.DueKey) {
	t.Helper()
	for _, limit := range []int{1, 2, 3, 100} {
		got := t.dueKeys(shard, until, limit)
		slices.SortStableFunc(got, func(a, b store.DueKey) int {
			if a.Due != b.Due {
				return 0
			}
			return a.Key.Compare(b.Key)
		})
		if !slices.Equal(got, want) {
			t.Fatalf("shard %d until %d in pages of %d: got %v, want %v", shard, until, limit, got, want)
		}
	}
}

var dueTests = []tableTest{
	{"InOrder", func(t *table) {
		// In key order the due times go up and down, and several rows share one.
		want := []store.DueKey{
			{Due: -5, Key: key("z", "1")}, {Due: 0, Key: key("y", "1")}, {Due: 9, Key: key("x", "1")},
			{Due: 10, Key: key("a", "2")}, {Due: 10, Key: key("a", "3")}, {Due: 10, Key: key("a\x00", "1")}, {Due: 10, Key: key("b", "0")},
			{Due: 256, Key: key("a", "1")}, {Due: 1 << 40, Key: key("0", "0")}, {Due: math.MaxInt64, Key: key("a", "0")},
		}
		for i := range want {
			d := want[(i*7)%len(want)]
			t.commit(due(d.Key, 3, d.Due))
		}
		t.wantDue(3, math.MaxInt64, want...)
		t.wantDue(3, 10, want[:7]...)
		t.wantDue(3, 9, want[:3]...)
		t.wantDue(3, -5, want[:1]...)
		t.wantDue(3, -6)
	}},
	{"AfterAnyPosition", func(t *table) {
		first, second := store.DueKey{Due: 10, Key: key("b", "1")}, store.DueKey{Due: 20, Key: key("a", "1")}
		t.commit(due(first.Key, 0, first.Due), due(second.Key, 0, second.Due))
		t.Settle()
		for _, c := range []struct {
			after store.DueKey
			want  []store.DueKey
		}{
			{store.DueKey{}, []store.DueKey{first, second}},
			{store.DueKey{Due: 9, Key: key("z", "z")}, []store.DueKey{first, second}},
			{first, []store.DueKey{second}},
			{store.DueKey{Due: 15, Key: key("z", "z")}, []store.DueKey{second}},
			{second, nil},
			{store.DueKey{Due: 99, Key: key("a", "a")}, nil},
		} {
			got, err := t.B.Due(t.Context(), 0, 100, c.after, 10)
			wantErr(t, "due", err, nil)
			if !slices.Equal(got, c.want) {
				t.Fatalf("after %v: got %v, want %v", c.after, got, c.want)
			}
		}
	}},
	{"ShardsStayApart", func(t *table) {
		for shard := range int64(4) {
			t.commit(due(key("p", fmt.Sprint(shard)), shard, 10+shard))
		}
		for shard := range 4 {
			t.wantDue(shard, 100, store.DueKey{Due: 10 + int64(shard), Key: key("p", fmt.Sprint(shard))})
		}
		t.wantDue(4, 100)
		t.wantDue(256, 100)
	}},
	{"OnlyRowsWithBoth", func(t *table) {
		t.commit(put(key("p", "due"), num(store.AttrDue, 1)), put(key("p", "shard"), num(store.AttrShard, 0)), put(key("p", "neither")))
		t.wantDue(0, 100)
		t.commit(store.Op{Key: key("p", "due"), Kind: store.OpUpdate, Set: []store.Attr{num(store.AttrShard, 0)}})
		t.commit(store.Op{Key: key("p", "shard"), Kind: store.OpUpdate, Set: []store.Attr{num(store.AttrDue, 2)}})
		t.wantDue(0, 100, store.DueKey{Due: 1, Key: key("p", "due")}, store.DueKey{Due: 2, Key: key("p", "shard")})
	}},
	{"LeavesWithEither", func(t *table) {
		a, b, c, d := key("p", "a"), key("p", "b"), key("p", "c"), key("p", "d")
		t.commit(due(a, 0, 1), due(b, 0, 2), due(c, 0, 3), due(d, 0, 4))
		t.wantDue(0, 100, store.DueKey{Due: 1, Key: a}, store.DueKey{Due: 2, Key: b}, store.DueKey{Due: 3, Key: c}, store.DueKey{Due: 4, Key: d})
		t.commit(
			where(store.Op{Key: a, Kind: store.OpUpdate, Remove: []string{store.AttrDue}}, exists),
			where(store.Op{Key: b, Kind: store.OpUpdate, Remove: []string{store.AttrShard}}, exists),
			store.Op{Key: c, Kind: store.OpDelete},
			put(d, num(store.AttrShard, 0)),
		)
		t.wantDue(0, 100)
		t.commit(store.Op{Key: a, Kind: store.OpUpdate, Set: []store.Attr{num(store.AttrDue, 9)}})
		t.wantDue(0, 100, store.DueKey{Due: 9, Key: a})
	}},
	{"MovesWithItsAttributes", func(t *table) {
		k := key("p", "a")
		t.commit(due(k, 0, 10))
		t.commit(store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{num(store.AttrDue, 20)}})
		t.wantDue(0, 100, store.DueKey{Due: 20, Key: k})
		t.commit(store.Op{Key: k, Kind: store.OpUpdate, Add: []store.Attr{num(store.AttrDue, -15)}})
		t.wantDue(0, 100, store.DueKey{Due: 5, Key: k})
		t.commit(store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{num(store.AttrShard, 1)}})
		t.wantDue(0, 100)
		t.wantDue(1, 100, store.DueKey{Due: 5, Key: k})
		t.commit(due(k, 2, 7))
		t.wantDue(1, 100)
		t.wantDue(2, 100, store.DueKey{Due: 7, Key: k})
		t.commit(store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{num("other", 1)}})
		t.wantDue(2, 100, store.DueKey{Due: 7, Key: k})
	}},
	{"RefusedChangesNothing", func(t *table) {
		k := key("p", "a")
		t.commit(due(k, 0, 10))
		t.refused([]int{1}, due(k, 0, 5), where(due(key("p", "b"), 0, 6), exists))
		t.wantDue(0, 100, store.DueKey{Due: 10, Key: k})
	}},
	{"Limits", func(t *table) {
		for _, limit := range []int{-1, 0, store.MaxLimit + 1} {
			_, err := t.A.Due(t.Context(), 0, 1, store.DueKey{}, limit)
			wantErr(t, "a bad limit", err, store.ErrInvalid)
		}
		_, err := t.A.Due(t.Context(), 0, 1, store.DueKey{}, store.MaxLimit)
		wantErr(t, "the largest limit", err, nil)
	}},
	{"Canceled", func(t *table) {
		_, err := t.A.Due(canceled(t), 0, 1, store.DueKey{}, 1)
		wantCanceled(t, "due", err)
	}},
}
