// SPDX-License-Identifier: Apache-2.0

package diskstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tare/internal/store"
	"tare/internal/store/diskstore"
)

// damages are what may be found in the place of a page.
var damages = []struct {
	name string
	do   func(page []byte, random *rand.Rand)
}{
	{"zeros", func(page []byte, _ *rand.Rand) { clear(page) }},
	{"ones", func(page []byte, _ *rand.Rand) { copy(page, bytes.Repeat([]byte{0xff}, len(page))) }},
	{"half of it", func(page []byte, _ *rand.Rand) { clear(page[len(page)/2:]) }},
	{"noise behind its head", func(page []byte, random *rand.Rand) {
		for i := 16; i < len(page); i++ {
			page[i] = byte(random.Uint32())
		}
	}},
}

// largeTable is the folder of a store with some rows, and what they are.
func largeTable(tb testing.TB) (dir string, items []store.Item) {
	tb.Helper()
	dir = filepath.Join(tb.TempDir(), "data")
	s := openStore(tb, dir, diskstore.Options{Clock: busy{}, LogSize: 64 << 10, Headroom: 1})
	ledger(tb, s, 4, 100)
	commitNumbered(tb, s, 0, 20)
	items = rows(tb, s)
	closeStore(tb, s)
	return dir, items
}

// Whatever page of the table is lost, what it says is an error, and never a panic or another row: at the start, to readers,
// and to who writes, after which the store is dead or has written.
func TestDamagedPages(t *testing.T) {
	dir, items := largeTable(t)
	written := make(map[store.Key]store.Row)
	for _, it := range items {
		written[it.Key] = it.Row
	}
	path := filepath.Join(dir, "table.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first := []int{0, 1}
	for meta := 0; meta < 2*page; meta += page { // with the root and the list of free pages behind the head of the page
		first = append(first, int(binary.NativeEndian.Uint64(whole[meta+32:])), int(binary.NativeEndian.Uint64(whole[meta+48:])))
	}
	refused, failed := 0, 0
	for i, damage := range damages {
		t.Run(damage.name, func(t *testing.T) {
			random := rand.New(rand.NewPCG(1, 2))
			for at := 0; at+page <= len(whole); at += page {
				// The pages by which the others are found meet every damage; the others are much alike, or empty.
				n, table := at/page, bytes.Clone(whole)
				if !slices.Contains(first, n) && n%(2*len(damages)) != i || len(bytes.Trim(table[at:at+page], "\x00")) == 0 {
					continue
				}
				damage.do(table[at:at+page], random)
				copied := filepath.Join(t.TempDir(), "data")
				if err := errors.Join(os.CopyFS(copied, os.DirFS(dir)), os.WriteFile(filepath.Join(copied, "table.db"), table, 0o600)); err != nil {
					t.Fatal(err)
				}
				s, err := diskstore.Open(copied, diskstore.Options{Clock: busy{}, Headroom: 1})
				if err != nil {
					if !strings.Contains(err.Error(), "table.db") && !strings.Contains(err.Error(), "a page of the table is damaged") {
						t.Errorf("page %d: opening it: %v", at/page, err)
					}
					refused++
					continue
				}
				if useDamaged(t, s, written, fmt.Sprint("page ", at/page)) {
					failed++
				}
			}
		})
	}
	if refused == 0 || failed == 0 {
		t.Errorf("%d tables were refused at the start, and %d later: the damage is none", refused, failed)
	}
}

// useDamaged reads and writes a store whose table is damaged, and closes it. It tells whether the damage was met.
func useDamaged(t *testing.T, s *diskstore.Store, written map[store.Key]store.Row, where string) (met bool) {
	t.Helper()
	check := func(what string, err error) {
		met = met || err != nil
		if err != nil && !errors.Is(err, store.ErrCorrupt) && s.Err() == nil {
			t.Errorf("%s: %s: %v, want ErrCorrupt or a dead store", where, what, err)
		}
	}
	for key, want := range written {
		got, err := s.Get(t.Context(), key)
		check("get", err)
		if err == nil && got[0] != nil && !got[0].Equal(want) {
			t.Errorf("%s: row %s is another one", where, key)
		}
	}
	_, err := s.Scan(t.Context(), store.Key{}, store.MaxLimit)
	check("scan", err)
	for shard := range 4 {
		_, err := s.Due(t.Context(), shard, 1<<60, store.DueKey{}, store.MaxLimit)
		check("due", err)
	}
	for n := range 10 {
		check("commit", s.Commit(t.Context(), txOf(fmt.Sprint("new", n), put(hashed(int64(n)), 1))))
	}
	check("snapshot", s.Snapshot(t.Context(), io.Discard)) // writes the log into the table
	check("close", s.Close())
	return met
}

// What the table names and the file has not is a fault in the map: no end of the process.
func TestTableCutWhileItIsOpen(t *testing.T) {
	dir, items := largeTable(t)
	s, err := diskstore.Open(dir, diskstore.Options{Clock: busy{}, Headroom: 1})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(filepath.Join(dir, "table.db"), 2*page); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Get(t.Context(), items[0].Key); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a read got %v, want ErrCorrupt", err)
	}
	if err := s.Commit(t.Context(), txOf("t", store.Op{Key: items[0].Key, Kind: store.OpDelete})); !errors.Is(err, store.ErrCorrupt) {
		t.Errorf("a commit got %v, want ErrCorrupt", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// A compaction reads all pages as well.
func TestCompactOfADamagedTable(t *testing.T) {
	dir, _ := largeTable(t)
	path := filepath.Join(dir, "table.db")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for at := 2 * page; at+page <= min(len(whole), 12*page); at += page {
		table := bytes.Clone(whole)
		clear(table[at : at+page])
		write(t, dir, "table.db", string(table))
		if err := diskstore.Compact(context.Background(), dir, nil); err != nil {
			failed++
		}
	}
	if failed == 0 {
		t.Error("none was noticed")
	}
}
