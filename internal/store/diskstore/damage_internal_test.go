// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"errors"
	"path/filepath"
	"slices"
	"testing"

	"go.etcd.io/bbolt"
)

// Only bbolt's panics are the table's: ours go on, also from a function that bbolt calls.
func TestPanicsOfOurs(t *testing.T) {
	path := filepath.Join(t.TempDir(), "table.db")
	if err := makeTable(path); err != nil {
		t.Fatal(err)
	}
	db, err := openBolt(path, 0, false)
	if err != nil {
		t.Fatal(err)
	}
	defer discard(db)
	var none []int
	for name, fn := range map[string]func(*bbolt.Tx) error{
		"a panic":              func(*bbolt.Tx) error { panic("ours") },
		"an index":             func(*bbolt.Tx) error { _ = none[len(none)]; return nil },
		"a nil pointer":        func(*bbolt.Tx) error { return *(*error)(nil) },
		"a library's panic":    func(*bbolt.Tx) error { _ = slices.Repeat([]int{1}, -1); return nil },
		"in a walk of bbolt's": func(tx *bbolt.Tx) error { return tx.ForEach(func([]byte, *bbolt.Bucket) error { panic("ours") }) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it did not go on")
				}
			}()
			t.Errorf("it became %v", viewed(db, fn))
		})
	}
	for name, fn := range map[string]func(*bbolt.Tx) error{
		"bbolt's panic":         func(tx *bbolt.Tx) error { return tx.Commit() },
		"a bucket that is none": func(tx *bbolt.Tx) error { _ = tx.Bucket([]byte("none")).Get(nil); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			if _, ok := errors.AsType[*corruption](viewed(db, fn)); !ok {
				t.Error("it is no corruption")
			}
		})
	}
}
