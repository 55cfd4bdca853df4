// SPDX-License-Identifier: Apache-2.0

package memstore_test

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/store"
	"tare/internal/store/memstore"
)

// state describes all that a store holds.
func state(t *testing.T, s *memstore.Store) string {
	t.Helper()
	var b strings.Builder
	page, err := s.Scan(t.Context(), store.Key{}, store.MaxLimit)
	wantErr(t, "scan", err, nil)
	for _, it := range page.Items {
		fmt.Fprintln(&b, it.Key, it.Row)
	}
	due, err := s.Due(t.Context(), 0, 100, store.DueKey{}, store.MaxLimit)
	wantErr(t, "due", err, nil)
	fmt.Fprintln(&b, due)
	infos, err := s.List(t.Context(), "", "", store.MaxLimit)
	wantErr(t, "list", err, nil)
	for _, info := range infos {
		r, err := s.Open(t.Context(), info.Key, 0, -1)
		wantErr(t, "open", err, nil)
		data, err := io.ReadAll(r)
		wantErr(t, "read", err, nil)
		fmt.Fprintf(&b, "%s %q\n", info.Key, data)
	}
	pending, err := s.Pending(t.Context(), "")
	wantErr(t, "pending", err, nil)
	fmt.Fprintln(&b, pending)
	return b.String()
}

// mess changes a store in every way, differently for each seed.
func mess(t *testing.T, s *memstore.Store, id string, seed int64) {
	t.Helper()
	due := store.NewRow(store.Attr{Name: store.AttrShard, Value: store.Int(0)}, store.Attr{Name: store.AttrDue, Value: store.Int(seed)})
	ops := []store.Op{{Key: store.Key{PK: "p", SK: fmt.Sprint("new ", seed)}, Kind: store.OpPut, Row: due}}
	for i := range 50 {
		if i%2 == int(seed%2) {
			ops = append(ops, store.Op{Key: store.Key{PK: "p", SK: fmt.Sprint(i)}, Kind: store.OpDelete})
		}
	}
	wantErr(t, "commit", s.Commit(t.Context(), store.Tx{Token: fmt.Sprint("mess ", seed), Ops: ops}), nil)
	wantErr(t, "put", s.Put(t.Context(), "k", strings.NewReader(fmt.Sprint("data of ", seed)), int64(len(fmt.Sprint("data of ", seed)))), nil)
	_, err := s.Part(t.Context(), "u", id, s.Turn(), 1, 2, strings.NewReader(fmt.Sprint("cut and written by ", seed)), -1)
	wantErr(t, "part", err, nil)
	_, err = s.Begin(t.Context(), fmt.Sprint("begun/", seed))
	wantErr(t, "begin", err, nil)
}

func TestCloneIsApart(t *testing.T) {
	clk := clock.NewManual(start)
	s := memstore.New(clk, memstore.Options{})
	for i := range 50 {
		op := store.Op{Key: store.Key{PK: "p", SK: fmt.Sprint(i)}, Kind: store.OpPut, Row: store.NewRow(
			store.Attr{Name: store.AttrShard, Value: store.Int(0)}, store.Attr{Name: store.AttrDue, Value: store.Int(int64(i))})}
		wantErr(t, "commit", s.Commit(t.Context(), store.Tx{Token: fmt.Sprint(i), Ops: []store.Op{op}}), nil)
	}
	wantErr(t, "put", s.Put(t.Context(), "k", strings.NewReader("first"), 5), nil)
	id, err := s.Begin(t.Context(), "u")
	wantErr(t, "begin", err, nil)
	_, err = s.Part(t.Context(), "u", id, s.Turn(), 1, 0, strings.NewReader("0123456789"), 10)
	wantErr(t, "part", err, nil)

	cloneClock := clock.NewManual(clk.Now())
	before := state(t, s)
	c := s.Clone(cloneClock)
	if got := state(t, c); got != before {
		t.Fatalf("the clone holds\n%s\nwant\n%s", got, before)
	}
	mess(t, s, id, 1)
	if got := state(t, c); got != before {
		t.Fatalf("a change of the original shows in the clone:\n%s\nwant\n%s", got, before)
	}
	after := state(t, s)
	mess(t, c, id, 2)
	if got := state(t, s); got != after {
		t.Fatalf("a change of the clone shows in the original:\n%s\nwant\n%s", got, after)
	}
	for _, u := range []struct {
		s    *memstore.Store
		want string
	}{{s, "01cut and written by 1"}, {c, "01cut and written by 2"}} {
		parts := []store.Part{{Number: 1, Size: int64(len(u.want))}}
		wantErr(t, "complete", u.s.Complete(t.Context(), "u", id, parts), nil)
		r, err := u.s.Open(t.Context(), "u", 0, -1)
		wantErr(t, "open", err, nil)
		if got, _ := io.ReadAll(r); string(got) != u.want {
			t.Fatalf("the upload became %q, want %q", got, u.want)
		}
	}
}

func TestCloneKnowsTokensAndItsOwnTime(t *testing.T) {
	clk := clock.NewManual(start)
	s := memstore.New(clk, memstore.Options{})
	tx := store.Tx{Token: "t", Before: start.Add(time.Minute), Ops: []store.Op{{
		Key: store.Key{PK: "p", SK: "a"}, Kind: store.OpUpdate, Add: []store.Attr{{Name: "n", Value: store.Int(1)}},
	}}}
	wantErr(t, "commit", s.Commit(t.Context(), tx), nil)
	cloneClock := clock.NewManual(start)
	c := s.Clone(cloneClock)
	wantErr(t, "the same on the clone", c.Commit(t.Context(), tx), nil)
	rows, err := c.Get(t.Context(), tx.Ops[0].Key)
	wantErr(t, "get", err, nil)
	if n := rows[0].Num("n"); n != 1 {
		t.Fatalf("applied %d times, want 1", n)
	}
	tx.Token = "u"
	cloneClock.Advance(time.Hour)
	wantErr(t, "too late on the clone", c.Commit(t.Context(), tx), store.ErrExpired)
	wantErr(t, "in time on the original", s.Commit(t.Context(), tx), nil)
}
