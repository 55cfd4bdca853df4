// SPDX-License-Identifier: Apache-2.0

package memstore_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/store"
	"tare/internal/store/memstore"
)

func put(pk, sk string) store.Op { return store.Op{Key: store.Key{PK: pk, SK: sk}, Kind: store.OpPut} }

func wantErr(t *testing.T, what string, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("%s: got error %v, want %v", what, err, want)
	}
}

func TestOverlapIsRefused(t *testing.T) {
	// The first transaction is held in flight; those that share a row with it are refused until it has ended.
	inFlight, goOn := make(chan struct{}), make(chan struct{})
	s := memstore.New(clock.NewManual(start), memstore.Options{RefuseOverlap: true, Hold: func(tx store.Tx) {
		if tx.Token == "held" {
			close(inFlight)
			<-goOn
		}
	}})
	held := make(chan error)
	check := store.Op{Key: store.Key{PK: "p", SK: "checked"}, Kind: store.OpCheck, If: []store.Cond{{Is: store.Absent}}}
	go func() { held <- s.Commit(t.Context(), store.Tx{Token: "held", Ops: []store.Op{put("p", "a"), check}}) }()
	<-inFlight
	for token, tx := range map[string]store.Tx{
		"another put":  {Ops: []store.Op{put("p", "a")}},
		"one of two":   {Ops: []store.Op{put("p", "b"), put("p", "a")}},
		"two checks":   {Ops: []store.Op{check}},
		"put of check": {Ops: []store.Op{put("p", "checked")}},
	} {
		tx.Token = token
		err := s.Commit(t.Context(), tx)
		wantErr(t, token, err, store.ErrContended)
		wantErr(t, token, err, store.ErrUnavailable)
	}
	wantErr(t, "the same transaction", s.Commit(t.Context(), store.Tx{Token: "held", Ops: []store.Op{put("p", "a"), check}}), store.ErrContended)
	wantErr(t, "other rows", s.Commit(t.Context(), store.Tx{Token: "other rows", Ops: []store.Op{put("q", "a"), put("p", "b")}}), nil)
	rows, err := s.Get(t.Context(), store.Key{PK: "p", SK: "a"})
	wantErr(t, "get", err, nil)
	if rows[0] != nil {
		t.Fatal("a transaction in flight can be seen")
	}
	close(goOn)
	wantErr(t, "the held one", <-held, nil)
	wantErr(t, "another put", s.Commit(t.Context(), store.Tx{Token: "another put", Ops: []store.Op{put("p", "a"), put("p", "checked")}}), nil)
}

func TestRefusedTransactionsLeaveNothingInFlight(t *testing.T) {
	s := memstore.New(clock.NewManual(start), memstore.Options{RefuseOverlap: true})
	op := put("p", "a")
	op.If = []store.Cond{{Is: store.Present}}
	for range 3 {
		wantErr(t, "commit", s.Commit(t.Context(), store.Tx{Token: "t", Ops: []store.Op{op}}), store.ErrConflict)
	}
}

func TestTokensAreForgotten(t *testing.T) {
	clk := clock.NewManual(start)
	s := memstore.New(clk, memstore.Options{})
	one, two := store.Tx{Token: "t", Ops: []store.Op{put("p", "a")}}, store.Tx{Token: "t", Ops: []store.Op{put("p", "b")}}
	wantErr(t, "commit", s.Commit(t.Context(), one), nil)
	clk.Advance(store.TokenLife)
	wantErr(t, "the token within its life", s.Commit(t.Context(), two), store.ErrInvalid)
	clk.Advance(time.Millisecond)
	wantErr(t, "the token after its life", s.Commit(t.Context(), two), nil)
}

func TestNestedKeysAreRefused(t *testing.T) {
	s := memstore.New(clock.NewManual(start), memstore.Options{})
	place := func(key string) error { return s.Put(t.Context(), key, strings.NewReader("x"), 1) }
	wantErr(t, "put a/b/c", place("a/b/c"), nil)
	for _, key := range []string{"a", "a/b", "a/b/c/d", "a/b/c/d/e"} {
		wantErr(t, "put "+key, place(key), store.ErrInvalid)
		id, err := s.Begin(t.Context(), key)
		wantErr(t, "begin "+key, err, nil)
		wantErr(t, "complete "+key, s.Complete(t.Context(), key, id, nil), store.ErrInvalid)
	}
	for _, key := range []string{"a-", "a/b-/c", "a/bb", "a/b/cc", "a/b/c"} {
		if store.ValidObjectKey(key) {
			wantErr(t, "put "+key, place(key), nil)
		}
	}
	wantErr(t, "delete", s.Delete(t.Context(), "a/b/c"), nil)
	wantErr(t, "delete", s.Delete(t.Context(), "a/b/cc"), nil)
	wantErr(t, "put a/b", place("a/b"), nil)
}
