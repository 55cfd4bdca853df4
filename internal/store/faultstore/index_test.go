// SPDX-License-Identifier: Apache-2.0

package faultstore_test

import (
	"math"
	"slices"
	"testing"

	"tare/internal/store"
	"tare/internal/store/faultstore"
)

func dueRow(sk string, shard, at int64) store.Op {
	return store.Op{Key: store.Key{PK: "p", SK: sk}, Kind: store.OpPut, Row: store.NewRow(
		store.Attr{Name: store.AttrShard, Value: store.Int(shard)}, store.Attr{Name: store.AttrDue, Value: store.Int(at)})}
}

func TestStaleIndex(t *testing.T) {
	index := faultstore.NewIndex()
	action := faultstore.Pass
	opts := faultstore.Options{Index: index, Plan: func(faultstore.Call) faultstore.Action { return action }}
	w := newWorld(t, opts)
	w.want("commit behind the wrapper", w.store.Commit(t.Context(), store.Tx{Token: "0", Ops: []store.Op{dueRow("seen", 0, 5)}}), nil)
	w.want("commit", w.table.Commit(t.Context(), store.Tx{Token: "1", Ops: []store.Op{
		dueRow("a", 0, 10), dueRow("b", 0, 20), dueRow("c", 0, 30), dueRow("other", 1, 10),
	}}), nil)
	at := func(sk string, due int64) store.DueKey {
		return store.DueKey{Due: due, Key: store.Key{PK: "p", SK: sk}}
	}
	due := func(a faultstore.Action, until int64, after store.DueKey, limit int, want ...store.DueKey) {
		t.Helper()
		action = a
		got, err := w.table.Due(t.Context(), 0, until, after, limit)
		action = faultstore.Pass
		w.want("due", err, nil)
		if !slices.Equal(got, want) {
			t.Fatalf("%v: got %v, want %v", a, got, want)
		}
	}
	due(faultstore.Pass, 100, store.DueKey{}, 10, at("seen", 5), at("a", 10), at("b", 20), at("c", 30))
	due(faultstore.IndexEmpty, 100, store.DueKey{}, 10)

	// One row goes, one moves, one leaves the index: another process is shown all of them where they were.
	w.live(opts)
	w.want("commit", w.table.Commit(t.Context(), store.Tx{Token: "2", Ops: []store.Op{
		{Key: store.Key{PK: "p", SK: "seen"}, Kind: store.OpDelete},
		{Key: store.Key{PK: "p", SK: "a"}, Kind: store.OpUpdate, Set: []store.Attr{{Name: store.AttrDue, Value: store.Int(25)}}},
		{Key: store.Key{PK: "p", SK: "b"}, Kind: store.OpUpdate, Remove: []string{store.AttrDue}, If: []store.Cond{{Is: store.Present}}},
	}}), nil)
	due(faultstore.Pass, 100, store.DueKey{}, 10, at("a", 25), at("c", 30))
	due(faultstore.IndexGhosts, 100, store.DueKey{}, 10, at("seen", 5), at("a", 10), at("b", 20), at("a", 25), at("c", 30))
	due(faultstore.IndexGhosts, 20, store.DueKey{}, 10, at("seen", 5), at("a", 10), at("b", 20))
	due(faultstore.IndexGhosts, 100, store.DueKey{}, 2, at("seen", 5), at("a", 10))
	due(faultstore.IndexGhosts, 100, at("a", 10), 2, at("b", 20), at("a", 25))
	due(faultstore.IndexGhosts, 100, at("a", 25), 2, at("c", 30))
	due(faultstore.Pass, math.MaxInt64, at("a", 25), 2, at("c", 30))
}

func TestIndexKnowsTheShardOfAnUpdate(t *testing.T) {
	// An update that moves a due time need not name the shard, which an earlier commit did or an earlier page.
	ghosts := false
	w := newWorld(t, faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		if ghosts && c.Kind == faultstore.Due {
			return faultstore.IndexGhosts
		}
		return faultstore.Pass
	}})
	move := func(sk string, at int64) store.Op {
		return store.Op{Key: store.Key{PK: "p", SK: sk}, Kind: store.OpUpdate, Set: []store.Attr{{Name: store.AttrDue, Value: store.Int(at)}}}
	}
	w.want("commit behind the wrapper", w.store.Commit(t.Context(), store.Tx{Token: "0", Ops: []store.Op{dueRow("seen", 0, 1)}}), nil)
	w.want("commit", w.table.Commit(t.Context(), store.Tx{Token: "1", Ops: []store.Op{dueRow("made", 0, 50)}}), nil)
	w.want("commit", w.table.Commit(t.Context(), store.Tx{Token: "2", Ops: []store.Op{move("made", 60)}}), nil)
	_, err := w.table.Due(t.Context(), 0, 1, store.DueKey{}, 10)
	w.want("due", err, nil)
	w.want("commit", w.table.Commit(t.Context(), store.Tx{Token: "3", Ops: []store.Op{move("seen", 2)}}), nil)
	w.want("commit", w.table.Commit(t.Context(), store.Tx{Token: "4", Ops: []store.Op{
		{Key: store.Key{PK: "p", SK: "seen"}, Kind: store.OpDelete}, {Key: store.Key{PK: "p", SK: "made"}, Kind: store.OpDelete},
	}}), nil)
	ghosts = true
	page, err := w.table.Due(t.Context(), 0, 100, store.DueKey{}, 10)
	w.want("due", err, nil)
	var got []int64
	for _, d := range page {
		got = append(got, d.Due)
	}
	if want := []int64{1, 2, 50, 60}; !slices.Equal(got, want) {
		t.Fatalf("got entries due at %v, want %v", got, want)
	}
}
