// SPDX-License-Identifier: Apache-2.0

package diskstore_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"tare/internal/store"
	"tare/internal/store/diskstore"
)

// Readers see one moment, whatever is written into the table under them.
func TestReadersBesideCheckpoints(t *testing.T) {
	s := openStore(t, t.TempDir(), diskstore.Options{LogSize: 64 << 10})
	left, right := store.Key{PK: "pair", SK: "left"}, store.Key{PK: "pair", SK: "right"}
	pad := store.Attr{Name: "pad", Value: store.String(strings.Repeat("x", 5000))}
	tx := func(n int64) store.Tx {
		attr := store.Attr{Name: "n", Value: store.Int(n)}
		row := store.NewRow(attr, pad, store.Attr{Name: store.AttrDue, Value: store.Int(n)}, store.Attr{Name: store.AttrShard, Value: store.Int(0)})
		between := store.Op{Key: store.Key{PK: "pair", SK: "middle"}, Kind: store.OpDelete}
		if n%2 == 0 {
			between = store.Op{Key: between.Key, Kind: store.OpPut, Row: store.NewRow(attr, pad)}
		}
		return txOf(fmt.Sprint(n), store.Op{Key: left, Kind: store.OpPut, Row: row}, store.Op{Key: right, Kind: store.OpPut, Row: store.NewRow(attr, pad)}, between)
	}
	if err := s.Commit(t.Context(), tx(0)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var readers sync.WaitGroup
	for range 3 {
		readers.Go(func() {
			last := int64(0)
			for ctx.Err() == nil {
				got, err := s.Get(t.Context(), left, right)
				if err != nil || got[0].Num("n") != got[1].Num("n") || got[0].Num("n") < last {
					t.Errorf("after %d, a reader got %v and %v, %v", last, got[0].Num("n"), got[1].Num("n"), err)
					return
				}
				last = got[0].Num("n")
				page, err := s.Query(t.Context(), store.Query{PK: "pair", Limit: 10})
				if err != nil || len(page.Items) != 3-int(page.Items[0].Row.Num("n")%2) {
					t.Errorf("a query got %d rows, %v", len(page.Items), err)
					return
				}
				for _, it := range page.Items {
					if it.Row.Num("n") != page.Items[0].Row.Num("n") || it.Row.Num("n") < last {
						t.Errorf("after %d, a query got %v with %d", last, it.Key, it.Row.Num("n"))
						return
					}
				}
				due, err := s.Due(t.Context(), 0, 1<<60, store.DueKey{}, 10)
				if err != nil || len(due) != 1 || due[0].Key != left || due[0].Due < last {
					t.Errorf("after %d, the index is %v, %v", last, due, err)
					return
				}
			}
		})
	}
	for n := range int64(600) {
		if err := s.Commit(t.Context(), tx(n+1)); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	readers.Wait()
}

// What pages show over layers is what they would show of one table.
func TestPagesOverLayers(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	s := openStore(t, t.TempDir(), diskstore.Options{Clock: busy{}, LogSize: 128 << 10})
	model := map[store.Key]store.Row{}
	for round := range 60 {
		for range random.IntN(12) {
			key := store.Key{PK: fmt.Sprint("p", random.IntN(3)), SK: fmt.Sprint(random.IntN(40))}
			op := store.Op{Key: key, Kind: store.OpDelete}
			if random.IntN(3) > 0 {
				op.Kind = store.OpPut
				op.Row = store.NewRow(store.Attr{Name: "n", Value: store.Int(random.Int64())})
				if random.IntN(2) == 0 {
					op.Row = store.NewRow(store.Attr{Name: store.AttrDue, Value: store.Int(random.Int64N(5))}, store.Attr{Name: store.AttrShard, Value: store.Int(random.Int64N(4))})
				}
				model[key] = op.Row
			} else {
				delete(model, key)
			}
			if err := s.Commit(t.Context(), txOf(fmt.Sprint(random.Int64()), op)); err != nil {
				t.Fatal(err)
			}
		}
		if random.IntN(4) == 0 {
			if err := s.Snapshot(t.Context(), io.Discard); err != nil {
				t.Fatal(err)
			}
		}
		var want []store.Item
		for k, r := range model {
			want = append(want, store.Item{Key: k, Row: r})
		}
		slices.SortFunc(want, func(a, b store.Item) int { return a.Key.Compare(b.Key) })
		all := rows(t, s)
		if !equalItems(all, want) {
			t.Fatalf("round %d: a scan shows %d rows, want %d, or they are others", round, len(all), len(want))
		}
		wantIndex(t, s, all)
		after := fmt.Sprint(random.IntN(40))
		page, err := s.Query(t.Context(), store.Query{PK: "p1", After: after, Limit: 5})
		if err != nil {
			t.Fatal(err)
		}
		part := slices.DeleteFunc(want, func(it store.Item) bool { return it.Key.PK != "p1" || it.Key.SK <= after })
		if !equalItems(page.Items, part[:min(5, len(part))]) || page.More != (len(part) > 5) {
			t.Fatalf("round %d: a query after %q shows %v, want %v", round, after, page, part)
		}
	}
}

// The log has a record for a transaction that is larger than its files.
func TestTransactionsThatOutgrowTheLog(t *testing.T) {
	dir := t.TempDir()
	opts := diskstore.Options{Clock: busy{}, LogSize: 64 << 10}
	s := openStore(t, dir, opts)
	for n := range 4 {
		commitNumbered(t, s, n*7, n*7+7)
		big := store.NewRow(store.Attr{Name: "b", Value: store.Bytes(strings.Repeat("x", 300<<10))})
		if err := s.Commit(t.Context(), txOf(fmt.Sprint("big", n), store.Op{Key: store.Key{PK: "z", SK: fmt.Sprint(n)}, Kind: store.OpPut, Row: big})); err != nil {
			t.Fatal(err)
		}
		crashed := openStore(t, copyFolder(t, dir), opts)
		all := rows(t, crashed)
		if len(all) == 0 || len(all[len(all)-1].Row.Text("b")) != 300<<10 || !equalItems(all, rows(t, s)) {
			t.Fatalf("after a crash, there are %d rows, or they are others", len(all))
		}
	}
}
