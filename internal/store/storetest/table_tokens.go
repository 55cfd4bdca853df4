// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"time"

	"tare/internal/store"
)

// increment adds one to a counter, which is made when it is absent.
func increment(k store.Key) store.Op {
	return store.Op{Key: k, Kind: store.OpUpdate, Add: []store.Attr{num("n", 1)}}
}

var tokenTests = []tableTest{
	{"RepeatedIsAppliedOnce", func(t *table) {
		k := key("p", "a")
		x := tx(increment(k))
		for _, client := range []store.Table{t.A, t.B, t.A} {
			wantErr(t, "commit", client.Commit(t.Context(), x), nil)
			t.wantRow(k, row(num("n", 1)))
		}
	}},
	{"RepeatedWhenItsConditionsNoLongerHold", func(t *table) {
		k := key("p", "a")
		x := tx(where(put(k, num("n", 1)), absent))
		wantErr(t, "commit", t.A.Commit(t.Context(), x), nil)
		wantErr(t, "the same again", t.B.Commit(t.Context(), x), nil)
		t.commit(store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{num("n", 2)}})
		wantErr(t, "the same after a change", t.B.Commit(t.Context(), x), nil)
		t.wantRow(k, row(num("n", 2)))
		t.commit(store.Op{Key: k, Kind: store.OpDelete})
		wantErr(t, "the same after a delete", t.A.Commit(t.Context(), x), nil)
		t.wantRow(k, nil)
	}},
	{"OfAnotherTransaction", func(t *table) {
		k, other := key("p", "a"), key("p", "b")
		x := tx(increment(k), where(put(other, num("n", 1)), absent))
		wantErr(t, "commit", t.A.Commit(t.Context(), x), nil)
		for what, ops := range map[string][]store.Op{
			"another amount":    {{Key: k, Kind: store.OpUpdate, Add: []store.Attr{num("n", 2)}}, x.Ops[1]},
			"another row":       {increment(key("p", "c")), x.Ops[1]},
			"another condition": {x.Ops[0], where(put(other, num("n", 1)), exists)},
			"another kind":      {x.Ops[0], {Key: other, Kind: store.OpDelete}},
			"fewer operations":  {x.Ops[0]},
			"more operations":   {x.Ops[0], x.Ops[1], put(key("p", "c"))},
		} {
			t.invalid("the token with "+what, store.Tx{Ops: ops, Token: x.Token})
			t.wantRow(k, row(num("n", 1)))
			t.wantRow(other, row(num("n", 1)))
			t.wantRow(key("p", "c"), nil)
		}
		wantErr(t, "the first one again", t.A.Commit(t.Context(), x), nil)
	}},
	{"OfARefusedTransaction", func(t *table) {
		// A refused transaction has not been applied by an earlier call, so it is decided anew.
		guard, k := key("p", "guard"), key("p", "a")
		x := tx(increment(k), store.Op{Key: guard, Kind: store.OpCheck, If: []store.Cond{exists}})
		wantErr(t, "commit", t.A.Commit(t.Context(), x), store.ErrConflict)
		t.commit(put(guard))
		wantErr(t, "the same when it can be", t.A.Commit(t.Context(), x), nil)
		t.commit(store.Op{Key: guard, Kind: store.OpDelete})
		wantErr(t, "the same again", t.B.Commit(t.Context(), x), nil)
		t.wantRow(k, row(num("n", 1)))
	}},
}

var beforeTests = []tableTest{
	{"InTheFuture", func(t *table) {
		k := key("p", "a")
		x := tx(put(k))
		x.Before = t.now().Add(time.Hour)
		wantErr(t, "commit", t.A.Commit(t.Context(), x), nil)
		t.wantRow(k, store.Row{})
	}},
	{"InThePast", func(t *table) {
		k := key("p", "a")
		x := tx(put(k))
		x.Before = t.now().Add(-time.Second)
		err := t.A.Commit(t.Context(), x)
		wantErr(t, "commit", err, store.ErrExpired)
		wantErr(t, "commit", err, store.ErrUnavailable)
		t.wantRow(k, nil)
	}},
}

var timeTests = []tableTest{
	{"TokensAreKnownForTokenLife", func(t *table) {
		k := key("p", "a")
		x := tx(increment(k))
		wantErr(t, "commit", t.A.Commit(t.Context(), x), nil)
		t.Clock.Advance(store.TokenLife - time.Millisecond)
		t.commit(put(key("p", "b")))
		wantErr(t, "the same at the end of the token's life", t.B.Commit(t.Context(), x), nil)
		t.wantRow(k, row(num("n", 1)))
	}},
	{"TokensAreKnownWhenTheClockIsSetBack", func(t *table) {
		k := key("p", "a")
		x := tx(increment(k))
		wantErr(t, "commit", t.A.Commit(t.Context(), x), nil)
		t.Clock.Advance(-time.Hour)
		t.commit(put(key("p", "b")))
		wantErr(t, "the same after the clock was set back", t.B.Commit(t.Context(), x), nil)
		t.wantRow(k, row(num("n", 1)))
	}},
	{"BeforeIsTheFirstMomentThatIsTooLate", func(t *table) {
		k := key("p", "a")
		x := tx(put(k))
		x.Before = t.now()
		wantErr(t, "commit at that moment", t.A.Commit(t.Context(), x), store.ErrExpired)
		t.wantRow(k, nil)
		t.Clock.Advance(-time.Millisecond)
		wantErr(t, "commit just before", t.A.Commit(t.Context(), x), nil)
		t.wantRow(k, store.Row{})
	}},
	{"BeforeWasKeptByAnEarlierCall", func(t *table) {
		k := key("p", "a")
		x := tx(increment(k))
		x.Before = t.now().Add(time.Second)
		wantErr(t, "commit", t.A.Commit(t.Context(), x), nil)
		t.Clock.Advance(time.Minute)
		wantErr(t, "the same when it would be too late", t.B.Commit(t.Context(), x), nil)
		t.wantRow(k, row(num("n", 1)))
	}},
}
