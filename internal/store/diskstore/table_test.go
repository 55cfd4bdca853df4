// SPDX-License-Identifier: Apache-2.0

package diskstore_test

import (
	"crypto/rand"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"tare/internal/store"
	"tare/internal/store/diskstore"
)

// A table that is larger than its map is mapped again, beside readers.
func TestATableOutgrowsItsMap(t *testing.T) {
	s := openStore(t, t.TempDir(), diskstore.Options{MapSize: 1, Headroom: 1})
	large := store.NewRow(store.Attr{Name: "b", Value: store.Bytes(strings.Repeat("x", 100<<10))})
	const n = 300
	err := share(8, 2*n, func(i int64) error {
		k := store.Key{PK: "p", SK: hashed(i / 2)}
		if i%2 == 0 {
			return s.Commit(t.Context(), txOf(rand.Text(), store.Op{Key: k, Kind: store.OpPut, Row: large}))
		}
		rows, err := s.Get(t.Context(), k)
		if err == nil && rows[0] != nil && !rows[0].Equal(large) {
			err = errors.New("a row is not what was put")
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if all := rows(t, s); len(all) != n {
		t.Errorf("there are %d rows, want %d", len(all), n)
	}
}

// Large transactions are applied whatever the headroom: those that bring much, and those that change a little of much.
func TestLargeTransactions(t *testing.T) {
	s := openStore(t, t.TempDir(), diskstore.Options{Headroom: 1})
	const n = 40
	keyOf := func(i int) store.Key { return store.Key{PK: "p", SK: hashed(int64(i))} }
	for first := 0; first < n; first += 10 {
		tx := store.Tx{Token: rand.Text()}
		for i := range 10 {
			row := store.NewRow(store.Attr{Name: "b", Value: store.Bytes(strings.Repeat("x", store.MaxRow-300))})
			tx.Ops = append(tx.Ops, store.Op{Key: keyOf(first + i), Kind: store.OpPut, Row: row})
		}
		if err := s.Commit(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
	}
	tx := store.Tx{Token: rand.Text()}
	for i := range n {
		tx.Ops = append(tx.Ops, store.Op{Key: keyOf(i), Kind: store.OpUpdate, Add: []store.Attr{{Name: "n", Value: store.Int(1)}}})
	}
	if err := s.Commit(t.Context(), tx); err != nil {
		t.Fatal(err)
	}
	all := rows(t, s)
	if len(all) != n {
		t.Errorf("there are %d rows, want %d", len(all), n)
	}
	for _, it := range all {
		if it.Row.Num("n") != 1 || len(it.Row.Text("b")) != store.MaxRow-300 {
			t.Errorf("row %v was not updated", it.Key)
		}
	}
}

// What is deleted is used again: a table whose rows come and go does not grow.
func TestFreedPagesAreUsedAgain(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, diskstore.Options{})
	cycle := func() {
		for _, kind := range []store.OpKind{store.OpPut, store.OpDelete} {
			for i := range int64(20) {
				op := store.Op{Key: store.Key{PK: "p", SK: hashed(i)}, Kind: kind}
				if kind == store.OpPut {
					op.Row = store.NewRow(store.Attr{Name: "b", Value: store.Bytes(strings.Repeat("x", 64<<10))})
				}
				if err := s.Commit(t.Context(), txOf(rand.Text(), op)); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	cycle()
	before := fileSize(t, dir)
	for range 10 {
		cycle()
	}
	if after := fileSize(t, dir); after > before+2<<20 {
		t.Errorf("the table had %d bytes and has %d", before, after)
	}
	stats, err := s.Stats()
	if err != nil || stats.TableBytes != fileSize(t, dir) || stats.FreeBytes <= 0 || stats.FreeBytes >= stats.TableBytes {
		t.Errorf("the statistics are %+v, %v", stats, err)
	}
}

// A row that is not what was written ends the page before it, and is told by its key, so that a walk can step over it.
func TestWalksStepOverDamagedRows(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, diskstore.Options{})
	var ops []store.Op
	for _, sk := range []string{"a", "b", "c", "d", "e"} {
		ops = append(ops, store.Op{Key: store.Key{PK: "p", SK: sk}, Kind: store.OpPut})
	}
	if err := s.Commit(t.Context(), txOf("t", ops...)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	db, err := bbolt.Open(filepath.Join(dir, "table.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		rows := tx.Bucket([]byte("rows"))
		return errors.Join(rows.Put([]byte("p\x00a"), []byte("other")), rows.Put([]byte("p\x00d"), nil))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, diskstore.Options{})
	for name, page := range map[string]func(after string) (store.Page, error){
		"scan": func(after string) (store.Page, error) {
			k := store.Key{PK: "p", SK: after}
			if after == "" {
				k = store.Key{}
			}
			return s.Scan(t.Context(), k, 10)
		},
		"query": func(after string) (store.Page, error) {
			return s.Query(t.Context(), store.Query{PK: "p", After: after, Limit: 10})
		},
	} {
		met := ""
		for after, more := "", true; more; {
			p, err := page(after)
			var damaged *store.DamagedRow
			switch {
			case errors.As(err, &damaged) && errors.Is(err, store.ErrCorrupt):
				after = damaged.Key.SK
				met += "!" + after
				continue
			case err != nil:
				t.Fatal(name, err)
			}
			for _, it := range p.Items {
				after = it.Key.SK
				met += after
			}
			more = p.More
		}
		if met != "!abc!de" {
			t.Errorf("%s met %s", name, met)
		}
	}
	if _, err := s.Get(t.Context(), store.Key{PK: "p", SK: "a"}); !errors.Is(err, store.ErrCorrupt) {
		t.Error(err)
	}
}
