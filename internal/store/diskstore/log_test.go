// SPDX-License-Identifier: Apache-2.0

package diskstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"tare/internal/clock"
	"tare/internal/store"
	"tare/internal/store/diskstore"
)

// busy is a clock on which nothing is ever idle: the table is brought up to the log by size and at the end only.
type busy struct{ clock.System }

func (busy) Pause(ctx context.Context, _ time.Duration) error {
	<-ctx.Done()
	return ctx.Err()
}

// numberedTx is one of a sequence of transactions: a row of its own, of which every third is deleted by the next one,
// and a count.
func numberedTx(n int) store.Tx {
	row := store.NewRow(
		store.Attr{Name: "b", Value: store.Bytes(strings.Repeat("x", n*37%3000))},
		store.Attr{Name: store.AttrDue, Value: store.Int(int64(n))},
		store.Attr{Name: store.AttrShard, Value: store.Int(int64(n % 4))})
	ops := []store.Op{
		{Key: numberedKey(n), Kind: store.OpPut, Row: row},
		{Key: store.Key{PK: "count", SK: "c"}, Kind: store.OpUpdate, Add: []store.Attr{{Name: "n", Value: store.Int(1)}}},
	}
	if n%3 == 1 {
		ops = append(ops, store.Op{Key: numberedKey(n - 1), Kind: store.OpDelete, If: []store.Cond{{Is: store.Present}}})
	}
	return txOf(fmt.Sprint("n", n), ops...)
}

func numberedKey(n int) store.Key { return store.Key{PK: "numbered", SK: fmt.Sprintf("%06d", n)} }

// commitNumbered applies the transactions from one to another.
func commitNumbered(tb testing.TB, s *diskstore.Store, from, to int) {
	tb.Helper()
	for n := from; n < to; n++ {
		if err := s.Commit(tb.Context(), numberedTx(n)); err != nil {
			tb.Fatal(err)
		}
	}
}

// wantNumbered fails unless the table is what the first so many transactions leave, and returns how many they are: at
// least and at most as many as given.
func wantNumbered(tb testing.TB, s *diskstore.Store, least, most int) int {
	tb.Helper()
	items := rows(tb, s)
	n := 0
	if len(items) > 0 && items[0].Key.PK == "count" {
		n = int(items[0].Row.Num("n"))
		items = items[1:]
	}
	if n < least || n > most {
		tb.Fatalf("the table has %d transactions, want %d to %d", n, least, most)
	}
	var want []store.Item
	for i := range n {
		if i%3 != 0 || i == n-1 {
			want = append(want, store.Item{Key: numberedKey(i), Row: numberedTx(i).Ops[0].Row})
		}
	}
	if !equalItems(items, want) {
		tb.Fatalf("the table has %d rows after %d transactions, want %d, or they are others", len(items), n, len(want))
	}
	wantIndex(tb, s, items)
	return n
}

// copyFolder copies the files of a data folder that is not being written to.
func copyFolder(tb testing.TB, dir string) string {
	tb.Helper()
	to := tb.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		tb.Fatal(err)
	}
	return to
}

// boundaries are the ends of the records that follow one another from the start of a log file.
func boundaries(log []byte) []int {
	ends := []int{0}
	last := uint64(0)
	for at := 0; at+24 < len(log); {
		sequence := binary.BigEndian.Uint64(log[at+16:])
		if sequence == 0 || last != 0 && sequence != last+1 {
			break
		}
		last = sequence
		at += (24 + int(binary.BigEndian.Uint32(log[at+4:])) + 4095) / 4096 * 4096
		ends = append(ends, at)
	}
	return ends
}

// What is left of a log is applied up to its end, wherever that is, and nothing behind it.
func TestTornLogs(t *testing.T) {
	const n = 12
	opts := diskstore.Options{Clock: busy{}, LogSize: 256 << 10}
	live := t.TempDir()
	s := openStore(t, live, opts)
	commitNumbered(t, s, 0, n)
	dir := copyFolder(t, live)
	log, err := os.ReadFile(filepath.Join(dir, "log.0"))
	if err != nil {
		t.Fatal(err)
	}
	ends := boundaries(log)
	if len(ends) != n+1 {
		t.Fatalf("the log has %d records, want %d", len(ends)-1, n)
	}
	whole := func(at int) (n int) { // records before an offset
		for n+1 < len(ends) && ends[n+1] <= at {
			n++
		}
		return n
	}
	check := func(t *testing.T, log []byte, want int) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, "log.0"), log, 0o600); err != nil {
			t.Fatal(err)
		}
		torn := copyFolder(t, dir)
		for range 2 { // the second time, there is nothing to replay
			s, err := diskstore.Open(torn, opts)
			if err != nil {
				t.Fatal(err)
			}
			wantNumbered(t, s, want, want)
			closeStore(t, s)
		}
		s := openStore(t, torn, opts)
		commitNumbered(t, s, want, want+2)
		wantNumbered(t, s, want+2, want+2)
	}
	var cuts []int
	for _, end := range ends {
		cuts = append(cuts, end, end+1, end+23, end+512, max(end-1, 0), max(end-4096, 0))
	}
	for _, cut := range cuts {
		// Padding is no part of a record.
		want := whole(cut)
		if next := want + 1; next < len(ends) && !bytes.ContainsFunc(log[cut:ends[next]], func(r rune) bool { return r != 0 }) {
			want++
		}
		t.Run(fmt.Sprintf("zeros from %d", cut), func(t *testing.T) {
			check(t, append(bytes.Clone(log[:cut]), make([]byte, len(log)-cut)...), want)
		})
		t.Run(fmt.Sprintf("cut at %d", cut), func(t *testing.T) {
			if whole(cut) == want { // a file that ends within padding does not have the record's blocks
				check(t, log[:cut], want)
			}
		})
		t.Run(fmt.Sprintf("other bytes from %d", cut), func(t *testing.T) {
			check(t, append(bytes.Clone(log[:cut]), bytes.Repeat([]byte{0xa5}, len(log)-cut)...), want)
		})
	}
	for _, at := range []int{0, 5, 9, 17, 30, 60} {
		t.Run(fmt.Sprintf("a bit of the last record, byte %d", at), func(t *testing.T) {
			flipped := bytes.Clone(log)
			flipped[ends[n-1]+at] ^= 4
			check(t, flipped, n-1)
		})
	}
	for _, at := range []int{0, 5, 9, 17, 30, 60} {
		t.Run(fmt.Sprintf("a bit of an acknowledged record, byte %d", at), func(t *testing.T) {
			flipped := bytes.Clone(log)
			flipped[ends[n/2]+at] ^= 4
			if err := os.WriteFile(filepath.Join(dir, "log.0"), flipped, 0o600); err != nil {
				t.Fatal(err)
			}
			if s, err := diskstore.Open(copyFolder(t, dir), opts); err == nil {
				closeStore(t, s)
				t.Error("a log that lost an acknowledged record was opened")
			} else if !strings.Contains(err.Error(), "log.0") {
				t.Errorf("the error %q does not name the file", err)
			}
		})
	}
}

// Both files of the log have what the table lacks, since the checkpoint between them was not done. They are applied in their
// order. Where the end of the older one or the beginning of the newer one is damaged, what follows must not be taken without
// it.
func TestLogOfTwoFiles(t *testing.T) {
	const n = 24
	opts := diskstore.Options{Clock: busy{}, LogSize: 64 << 10}
	live := t.TempDir()
	var held atomic.Bool
	proceed := make(chan struct{})
	s, err := diskstore.OpenAround(live, opts, func(name string, sync func() error) error {
		if name == "table.db" && held.Load() {
			<-proceed
		}
		return sync()
	})
	if err != nil {
		t.Fatal(err)
	}
	held.Store(true)
	commitNumbered(t, s, 0, n)
	dir := copyFolder(t, live)
	close(proceed)
	closeStore(t, s)

	logs := map[string][]byte{}
	last := 0
	for _, name := range []string{"log.0", "log.1"} {
		if logs[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
		ends := boundaries(logs[name])
		if len(ends) < 3 {
			t.Fatalf("%s has %d records", name, len(ends)-1)
		}
		if name == "log.0" {
			last = ends[len(ends)-2]
		}
	}
	wantNumbered(t, openStore(t, copyFolder(t, dir), opts), n, n)
	for name, at := range map[string]int{"log.0": last, "log.1": 0} {
		damaged := copyFolder(t, dir)
		flipped := bytes.Clone(logs[name])
		flipped[at] ^= 4
		if err := os.WriteFile(filepath.Join(damaged, name), flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := diskstore.Open(damaged, opts); err == nil {
			closeStore(t, s)
			t.Errorf("with a damaged record at byte %d of %s it was opened", at, name)
		}
	}
}

// A log that was used many times over is replayed from its last lap only.
func TestReplayAfterManyLaps(t *testing.T) {
	opts := diskstore.Options{Clock: busy{}, LogSize: 64 << 10}
	live := t.TempDir()
	s := openStore(t, live, opts)
	n := 0
	for _, more := range []int{5, 20, 60, 3, 1, 7, 16, 40} {
		commitNumbered(t, s, n, n+more)
		n += more
		if err := s.Snapshot(t.Context(), io.Discard); err != nil { // no checkpoint is under way now
			t.Fatal(err)
		}
		commitNumbered(t, s, n, n+3)
		n += 3
		crashed := openStore(t, copyFolder(t, live), opts)
		wantNumbered(t, crashed, n, n)
		commitNumbered(t, crashed, n, n+30)
		wantNumbered(t, crashed, n+30, n+30)
	}
}

// A replay that is interrupted is done again, from the start.
func TestReplayIsRepeated(t *testing.T) {
	const pages, perPage = 30, 50
	opts := diskstore.Options{Clock: busy{}, LogSize: 1 << 20}
	live := t.TempDir()
	s := openStore(t, live, opts)
	for p := range pages {
		tx := store.Tx{Token: fmt.Sprint("p", p)}
		for i := range perPage {
			op := put(hashed(int64(p*perPage+i)), int64(i))
			op.Row = store.NewRow(store.Attr{Name: "n", Value: store.Int(int64(p))},
				store.Attr{Name: store.AttrDue, Value: store.Int(1)}, store.Attr{Name: store.AttrShard, Value: store.Int(int64(p % 2))})
			tx.Ops = append(tx.Ops, op)
		}
		if err := s.Commit(t.Context(), tx); err != nil {
			t.Fatal(err)
		}
	}
	want := rows(t, s)
	dir := copyFolder(t, live)
	broken := errors.New("broken")
	for stop := 1; ; stop++ {
		syncs := 0
		again, err := diskstore.OpenAround(dir, opts, func(name string, sync func() error) error {
			if name == "table.db" {
				if syncs++; syncs == stop {
					return broken
				}
			}
			return sync()
		})
		if err == nil {
			closeStore(t, again)
			if stop < 4 {
				t.Errorf("the replay took %d updates, too few to interrupt", stop-2)
			}
			break
		}
		if !errors.Is(err, broken) {
			t.Fatal(err)
		}
		again = openStore(t, copyFolder(t, dir), opts)
		if !equalItems(rows(t, again), want) {
			t.Errorf("after update %d of a replay failed, the rows are others", stop)
		}
	}
}

// A folder of the first format has no log. It gets one, and what it has stays.
func TestUpgrade(t *testing.T) {
	dir := t.TempDir()
	s := openStore(t, dir, diskstore.Options{})
	commitNumbered(t, s, 0, 10)
	closeStore(t, s)
	db, err := bbolt.Open(filepath.Join(dir, "table.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error { return tx.DeleteBucket([]byte("log")) })
	if err := errors.Join(err, db.Close(), os.Remove(filepath.Join(dir, "log.0")), os.Remove(filepath.Join(dir, "log.1"))); err != nil {
		t.Fatal(err)
	}
	if s, err := diskstore.Open(dir, diskstore.Options{}); err == nil {
		closeStore(t, s)
		t.Error("a folder whose log is lost was opened")
	}
	write(t, dir, "format.json", `{"format":"tare","version":1}`)
	compacted := copyFolder(t, dir)
	s = openStore(t, dir, diskstore.Options{})
	wantNumbered(t, s, 10, 10)
	commitNumbered(t, s, 10, 20)
	closeStore(t, s)
	if b, err := os.ReadFile(filepath.Join(dir, "format.json")); err != nil || !strings.Contains(string(b), `"version":2`) {
		t.Errorf("format.json is %q, %v", b, err)
	}
	wantNumbered(t, openStore(t, dir, diskstore.Options{}), 20, 20)

	if err := diskstore.Compact(t.Context(), compacted, nil); err != nil {
		t.Fatal(err)
	}
	wantNumbered(t, openStore(t, compacted, diskstore.Options{}), 10, 10)
}

// What only the log has is in the table when it is compacted.
func TestCompactReplays(t *testing.T) {
	opts := diskstore.Options{Clock: busy{}, LogSize: 256 << 10}
	live := t.TempDir()
	s := openStore(t, live, opts)
	commitNumbered(t, s, 0, 20)
	dir := copyFolder(t, live)
	if err := diskstore.Compact(t.Context(), dir, nil); err != nil {
		t.Fatal(err)
	}
	compacted := openStore(t, dir, opts)
	wantNumbered(t, compacted, 20, 20)
	commitNumbered(t, compacted, 20, 40)
	wantNumbered(t, compacted, 40, 40)
}

// What a client writes into a row is not taken for a record of the log, though it has seen the log of an earlier life.
func TestRowsThatLookLikeRecords(t *testing.T) {
	opts := diskstore.Options{Clock: busy{}, LogSize: 256 << 10}
	dir := t.TempDir()
	s := openStore(t, dir, opts)
	commitNumbered(t, s, 0, 1)
	readLog := func(dir string) []byte {
		log, err := os.ReadFile(filepath.Join(dir, "log.0"))
		if err != nil {
			t.Fatal(err)
		}
		return log
	}
	record := make([]byte, 24)
	copy(record[8:], readLog(dir)[8:16]) // the epoch
	binary.BigEndian.PutUint64(record[16:], 1000)
	binary.BigEndian.PutUint32(record, crc32.Checksum(record[4:], crc32.MakeTable(crc32.Castagnoli)))
	closeStore(t, s)

	s = openStore(t, dir, opts)
	commit := func(token, value string) {
		row := store.NewRow(store.Attr{Name: "b", Value: store.Bytes(value)})
		if err := s.Commit(t.Context(), txOf(token, store.Op{Key: store.Key{PK: "row", SK: token}, Kind: store.OpPut, Row: row})); err != nil {
			t.Fatal(err)
		}
	}
	value := bytes.Repeat([]byte{0xa5}, 3*4096)
	commit("1", string(value))
	at := bytes.Index(readLog(dir), value)
	if at < 0 {
		t.Fatal("the log has not what was written")
	}
	copy(value[4096-at%4096:], record) // the record of the next row begins with a block, too
	commit("2", string(value))
	dir = copyFolder(t, dir)
	log := readLog(dir)
	ends := boundaries(log)
	if i := bytes.LastIndex(log, record); i != ends[1]+4096 {
		t.Fatalf("what looks like a record is at %d", i)
	}
	clear(log[ends[1] : ends[1]+512]) // the power went before it was synced
	if err := os.WriteFile(filepath.Join(dir, "log.0"), log, 0o600); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, dir, opts)
	got, err := s.Get(t.Context(), store.Key{PK: "row", SK: "1"}, store.Key{PK: "row", SK: "2"})
	if err != nil || got[0] == nil || got[1] != nil {
		t.Errorf("got %v, %v", got, err)
	}
}
