// SPDX-License-Identifier: Apache-2.0

package diskstore_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"tare/internal/store"
	"tare/internal/store/diskstore"
)

// ledger commits n transactions, each of which moves one from an account to another: in all they are worth nothing.
func ledger(tb testing.TB, s *diskstore.Store, workers, n int) {
	tb.Helper()
	err := share(workers, n, func(i int64) error {
		from, to := hashed(i % 97)[:8], hashed(i * 7 % 101)[:9]
		add := func(k string, n int64) store.Op {
			return store.Op{Key: store.Key{PK: k, SK: "account"}, Kind: store.OpUpdate,
				Add: []store.Attr{{Name: "n", Value: store.Int(n)}},
				Set: []store.Attr{{Name: store.AttrDue, Value: store.Int(i)}, {Name: store.AttrShard, Value: store.Int(i % 4)}},
			}
		}
		return s.Commit(tb.Context(), store.Tx{Token: rand.Text(), Ops: []store.Op{add(from, -1), add(to, 1)}})
	})
	if err != nil {
		tb.Fatal(err)
	}
}

// rows scans a table.
func rows(tb testing.TB, s *diskstore.Store) []store.Item {
	tb.Helper()
	var all []store.Item
	for after := (store.Key{}); ; {
		page, err := s.Scan(tb.Context(), after, 100)
		if err != nil {
			tb.Fatal(err)
		}
		all = append(all, page.Items...)
		if !page.More {
			return all
		}
		after = page.Items[len(page.Items)-1].Key
	}
}

// balance is what all accounts are worth.
func balance(items []store.Item) (sum int64) {
	for _, it := range items {
		sum += it.Row.Num("n")
	}
	return sum
}

// wantIndex fails unless the index shows exactly the rows that have a due time.
func wantIndex(tb testing.TB, s *diskstore.Store, items []store.Item) {
	tb.Helper()
	var got, want []store.Key
	for shard := range 4 {
		page, err := s.Due(tb.Context(), shard, 1<<60, store.DueKey{}, store.MaxLimit)
		if err != nil {
			tb.Fatal(err)
		}
		for _, d := range page {
			got = append(got, d.Key)
		}
	}
	for _, it := range items {
		if it.Row.Has(store.AttrDue) {
			want = append(want, it.Key)
		}
	}
	slices.SortFunc(got, store.Key.Compare)
	if !slices.Equal(got, want) {
		tb.Errorf("the index shows %d rows, the table has %d with a due time", len(got), len(want))
	}
}

func equalItems(a, b []store.Item) bool {
	return slices.EqualFunc(a, b, func(a, b store.Item) bool { return a.Key == b.Key && a.Row.Equal(b.Row) })
}

// A snapshot of a table that is being written to is of one moment, and restores to what it showed.
func TestSnapshotIsOfOneMoment(t *testing.T) {
	s := openStore(t, t.TempDir(), diskstore.Options{})
	ledger(t, s, 4, 200)
	done := make(chan struct{})
	go func() {
		defer close(done)
		ledger(t, s, 4, 400)
	}()
	for range 3 {
		var snapshot bytes.Buffer
		if err := s.Snapshot(t.Context(), &snapshot); err != nil {
			t.Fatal(err)
		}
		dir := filepath.Join(t.TempDir(), "restored")
		if err := diskstore.Restore(t.Context(), dir, &snapshot); err != nil {
			t.Fatal(err)
		}
		restored := openStore(t, dir, diskstore.Options{})
		items := rows(t, restored)
		if len(items) == 0 || balance(items) != 0 {
			t.Errorf("%d accounts are worth %d", len(items), balance(items))
		}
		wantIndex(t, restored, items)
		ledger(t, restored, 1, 10)
		closeStore(t, restored)
	}
	<-done
}

func TestSnapshotStops(t *testing.T) {
	s := openStore(t, t.TempDir(), diskstore.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	err := s.Snapshot(ctx, writerFunc(func(p []byte) (int, error) {
		cancel()
		return len(p), nil
	}))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled snapshot got %v", err)
	}
	broken := errors.New("broken")
	err = s.Snapshot(t.Context(), writerFunc(func([]byte) (int, error) { return 0, broken }))
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a snapshot into a broken writer got %v", err)
	}
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func TestRestoreRefuses(t *testing.T) {
	s := openStore(t, t.TempDir(), diskstore.Options{})
	ledger(t, s, 1, 300)
	var snapshot bytes.Buffer
	if err := s.Snapshot(t.Context(), &snapshot); err != nil {
		t.Fatal(err)
	}
	flipped := bytes.ReplaceAll(snapshot.Bytes(), []byte("account"), []byte("accounu"))
	for _, c := range []struct {
		name     string
		snapshot []byte
	}{
		{"nothing", nil},
		{"something else", make([]byte, 1<<16)},
		{"half of it", snapshot.Bytes()[:snapshot.Len()/2]},
		{"bits flipped", flipped},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			if err := diskstore.Restore(t.Context(), dir, bytes.NewReader(c.snapshot)); err == nil {
				t.Fatal("it was restored")
			}
			if err := diskstore.Restore(t.Context(), dir, bytes.NewReader(snapshot.Bytes())); err != nil {
				t.Errorf("and then a good one: %v", err)
			}
		})
	}
	t.Run("a folder with rows", func(t *testing.T) {
		dir := t.TempDir()
		closeStore(t, openStore(t, dir, diskstore.Options{}))
		if err := diskstore.Restore(t.Context(), dir, bytes.NewReader(snapshot.Bytes())); err == nil {
			t.Error("it was overwritten")
		}
	})
}

func TestCompact(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, diskstore.Options{})
	ledger(t, s, 8, 300)
	for i := range int64(200) { // rows that go again
		k := store.Key{PK: "gone", SK: hashed(i)}
		large := store.NewRow(store.Attr{Name: "b", Value: store.Bytes(string(make([]byte, 64<<10)))})
		if err := s.Commit(t.Context(), txOf(rand.Text(), store.Op{Key: k, Kind: store.OpPut, Row: large})); err != nil {
			t.Fatal(err)
		}
		if i%2 == 0 {
			continue
		}
		if err := s.Commit(t.Context(), txOf(rand.Text(), store.Op{Key: k, Kind: store.OpDelete})); err != nil {
			t.Fatal(err)
		}
	}
	before := rows(t, s)
	closeStore(t, s)
	large := fileSize(t, dir)

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := diskstore.Compact(ctx, dir, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled compaction got %v", err)
	}
	var last, total int64
	err := diskstore.Compact(t.Context(), dir, func(done, of int64) {
		if done < last || done > of {
			t.Errorf("progress goes from %d to %d of %d", last, done, of)
		}
		last, total = done, of
	})
	if err != nil {
		t.Fatal(err)
	}
	if last != total || total == 0 {
		t.Errorf("progress ends at %d of %d", last, total)
	}
	if small := fileSize(t, dir); small > large*3/4 {
		t.Errorf("the table had %d bytes and has %d", large, small)
	}
	if left := files(t, dir, "tmp"); len(left) > 0 {
		t.Errorf("tmp has %v", left)
	}
	s = openStore(t, dir, diskstore.Options{})
	after := rows(t, s)
	if !equalItems(before, after) {
		t.Errorf("the table had %d rows and has %d, or they are others", len(before), len(after))
	}
	wantIndex(t, s, after)
	ledger(t, s, 8, 100)
}

func TestCompactOfNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "none")
	if err := diskstore.Compact(t.Context(), dir, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing folder: %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it was made: %v", err)
	}
	empty := t.TempDir()
	if err := diskstore.Compact(t.Context(), empty, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an empty folder: %v", err)
	}
	if left := names(t, empty); len(left) > 0 {
		t.Errorf("it has %v", left)
	}
}

func fileSize(tb testing.TB, dir string) int64 {
	tb.Helper()
	info, err := os.Stat(filepath.Join(dir, "table.db"))
	if err != nil {
		tb.Fatal(err)
	}
	return info.Size()
}
