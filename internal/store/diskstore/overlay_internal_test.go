// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"fmt"
	"testing"

	"go.etcd.io/bbolt"

	"tare/internal/store"
)

// What is committed between a reader's look at the overlay and its look at the table is in the table by then. The reader sees
// one moment all the same.
func TestReaderMeetsACheckpoint(t *testing.T) {
	s, err := Open(t.TempDir(), Options{LogSize: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	commit := func(n int64, rows ...string) {
		tx := store.Tx{Token: fmt.Sprint(n)}
		for _, name := range rows {
			tx.Ops = append(tx.Ops, store.Op{Key: store.Key{PK: "row", SK: name}, Kind: store.OpPut,
				Row: store.NewRow(store.Attr{Name: "n", Value: store.Int(n)})})
		}
		if err := s.Commit(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
	}
	commit(1, "left", "middle")
	looks := 0
	v, err := s.overlay.beginBy(func(writable bool) (*bbolt.Tx, error) {
		if looks++; looks == 1 {
			commit(2, "middle", "right")
			if err := s.committer.settled(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		return s.engine.db.Begin(writable)
	})
	if err != nil {
		t.Fatal(err)
	}
	defer v.close()
	for name, want := range map[string]int64{"left": 1, "middle": 2, "right": 2} {
		row, _, err := v.row(appendKey(nil, store.Key{PK: "row", SK: name}))
		if err != nil || row.Num("n") != want {
			t.Errorf("%s is %v, %v; want %d", name, row, err, want)
		}
	}
}
