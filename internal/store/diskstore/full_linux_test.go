// SPDX-License-Identifier: Apache-2.0

package diskstore_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"tare/internal/store"
	"tare/internal/store/diskstore"
)

const diskSize = 24 << 20

// smallLog is what fits on such a disk beside a table.
var smallLog = diskstore.Options{LogSize: 1 << 20}

// smallDisk mounts a file system of diskSize bytes, which root may do. In CI, tests do run as root.
func smallDisk(tb testing.TB) string {
	tb.Helper()
	dir := tb.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+strconv.Itoa(diskSize))
	if err != nil && os.Getenv("CI") == "" {
		tb.Skipf("mounting a small file system: %v", err)
	}
	if err != nil {
		tb.Fatalf("mounting a small file system: %v", err)
	}
	tb.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			tb.Error(err)
		}
	})
	return dir
}

// fill takes all room that a disk has left, and returns what gives it back.
func fill(tb testing.TB, disk string) (empty func()) {
	tb.Helper()
	path := filepath.Join(disk, "filler")
	f, err := os.Create(path)
	if err != nil {
		tb.Fatal(err)
	}
	for block := make([]byte, 4096); err == nil; {
		_, err = f.Write(block)
	}
	if !errors.Is(err, unix.ENOSPC) {
		tb.Fatal(err)
	}
	if err := f.Close(); err != nil {
		tb.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			tb.Fatal(err)
		}
	}
}

func bigKey(i int) store.Key { return store.Key{PK: "big", SK: fmt.Sprintf("%06d", i)} }

func putBig(tb testing.TB, s *diskstore.Store, i int) error {
	row := store.NewRow(store.Attr{Name: "b", Value: store.Bytes(strings.Repeat("x", 32<<10))})
	return s.Commit(tb.Context(), txOf(rand.Text(), store.Op{Key: bigKey(i), Kind: store.OpPut, Row: row}))
}

// bury deletes a big row and puts a small one, as the sweep does.
func bury(tb testing.TB, s *diskstore.Store, i int) error {
	return s.Commit(tb.Context(), txOf(rand.Text(),
		store.Op{Key: bigKey(i), Kind: store.OpDelete, If: []store.Cond{{Is: store.Present}}},
		store.Op{Key: store.Key{PK: "tombstone", SK: strconv.Itoa(i)}, Kind: store.OpPut, Row: store.NewRow(
			store.Attr{Name: store.AttrDue, Value: store.Int(1)}, store.Attr{Name: store.AttrShard, Value: store.Int(1)})}))
}

// putUntilFull puts big rows until there is no room, and returns where they end. What a commit frees, the next but one
// can use: so a single refusal is not the end.
func putUntilFull(tb testing.TB, s *diskstore.Store, first int) int {
	tb.Helper()
	end := first
	for refused := 0; refused < 3; {
		switch err := putBig(tb, s, end); {
		case errors.Is(err, store.ErrFull):
			refused++
		case err != nil:
			tb.Fatal(err)
		default:
			refused = 0
			end++
		}
	}
	return end
}

// wantBig fails unless of the big rows exactly those from first up to end are there, whole.
func wantBig(tb testing.TB, s *diskstore.Store, first, end int) {
	tb.Helper()
	n := first
	for _, it := range rows(tb, s) {
		if it.Key.PK != "big" {
			continue
		}
		if it.Key != bigKey(n) || len(it.Row.Text("b")) != 32<<10 {
			tb.Fatalf("found %v of %d bytes, want %v", it.Key, len(it.Row.Text("b")), bigKey(n))
		}
		n++
	}
	if n != end {
		tb.Fatalf("the big rows end before %d, want %d", n, end)
	}
}

func TestAFullDiskStillDeletes(t *testing.T) {
	disk := smallDisk(t)
	dir := filepath.Join(disk, "data")
	s := openStore(t, dir, smallLog)
	end := putUntilFull(t, s, 0)
	empty := fill(t, disk)
	if err := putBig(t, s, end); !errors.Is(err, store.ErrFull) || !errors.Is(err, store.ErrUnavailable) {
		t.Fatalf("a big row on a full disk got %v", err)
	}
	wantBig(t, s, 0, end)

	// What frees room works until none is left to free, and what was freed is used again.
	half := end / 2
	for i := range half {
		if err := bury(t, s, i); err != nil {
			t.Fatalf("delete %d of %d on a full disk: %v", i, end, err)
		}
	}
	again := putUntilFull(t, s, end)
	if again < end+half/2 {
		t.Errorf("after %d rows went, %d found room", half, again-end)
	}
	wantBig(t, s, half, again)
	for i := half; i < again; i++ {
		if err := bury(t, s, i); err != nil {
			t.Fatalf("delete %d of %d on a full disk: %v", i, again, err)
		}
	}
	if err := s.Err(); err != nil {
		t.Fatalf("the store failed: %v", err)
	}

	// With room on the disk again, the table grows again, and all of it is there after a restart.
	empty()
	last := putUntilFull(t, s, again)
	closeStore(t, s)
	s = openStore(t, dir, smallLog)
	wantBig(t, s, again, last)
	items := rows(t, s)
	if n := len(items); n != last {
		t.Errorf("there are %d rows, want %d", n, last)
	}
}

// A full disk refuses those of a group that need room, and no others.
func TestAFullDiskRefusesOneByOne(t *testing.T) {
	disk := smallDisk(t)
	s := openStore(t, filepath.Join(disk, "data"), smallLog)
	end := putUntilFull(t, s, 0)
	fill(t, disk)
	var refused atomic.Int64
	err := share(16, end, func(i int64) error {
		if i%2 == 0 {
			return bury(t, s, int(i))
		}
		err := putBig(t, s, end+int(i))
		if errors.Is(err, store.ErrFull) {
			refused.Add(1)
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	want := end - (end+1)/2 + end/2 - int(refused.Load())
	got := 0
	for _, it := range rows(t, s) {
		if it.Key.PK == "big" {
			got++
		}
	}
	if got != want {
		t.Errorf("there are %d big rows, want %d: %d puts were refused", got, want, refused.Load())
	}
}

// A disk that is full before the table's first pages were ever written still deletes: they are set aside, too.
func TestADiskThatFillsEarlyStillDeletes(t *testing.T) {
	disk := smallDisk(t)
	s := openStore(t, filepath.Join(disk, "data"), smallLog)
	const rows = 100
	for i := range rows {
		if err := s.Commit(t.Context(), txOf(rand.Text(), put(strconv.Itoa(i), int64(i)))); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, disk)
	if err := s.Snapshot(t.Context(), io.Discard); err != nil {
		t.Fatalf("what is in the log finds no place in the table: %v", err)
	}
	for i := range rows {
		if err := s.Commit(t.Context(), txOf(rand.Text(), store.Op{Key: store.Key{PK: strconv.Itoa(i), SK: "s"}, Kind: store.OpDelete})); err != nil {
			t.Fatalf("delete %d of %d on a full disk: %v", i, rows, err)
		}
	}
}

// Where blocks that the file seems to have are not there, bbolt's write fails, and nothing else.
func TestAHoleWithoutRoom(t *testing.T) {
	disk := smallDisk(t)
	dir := filepath.Join(disk, "data")
	closeStore(t, openStore(t, dir, smallLog))
	if err := os.Truncate(filepath.Join(dir, "table.db"), 64<<20); err != nil {
		t.Fatal(err)
	}
	s := openStore(t, dir, smallLog)
	for i := range 50 {
		if err := putBig(t, s, i); err != nil {
			t.Fatal(err)
		}
	}
	empty := fill(t, disk)
	end := putUntilFull(t, s, 50)
	for range 3 {
		if again := putUntilFull(t, s, end); again != end {
			t.Fatalf("%d rows found room that %d did not", again, end)
		}
	}
	wantBig(t, s, 0, end)
	empty()
	for i := end; i < end+50; i++ {
		if err := putBig(t, s, i); err != nil {
			t.Fatal(err)
		}
	}
	wantBig(t, s, 0, end+50)
	closeStore(t, s)
	s = openStore(t, dir, smallLog)
	wantBig(t, s, 0, end+50)
}

func TestObjectsOnAFullDisk(t *testing.T) {
	disk := smallDisk(t)
	dir := filepath.Join(disk, "data")
	s := openStore(t, dir, smallLog)
	if err := s.Put(t.Context(), "o0", strings.NewReader("kept"), 4); err != nil {
		t.Fatal(err)
	}
	id, err := s.Begin(t.Context(), "o2")
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.Part(t.Context(), "o2", id, s.Turn(), 1, 0, strings.NewReader("ab"), 2)
	if err != nil {
		t.Fatal(err)
	}
	free, err := s.Free()
	if err != nil || free <= 0 || free > diskSize {
		t.Fatalf("free are %d, %v", free, err)
	}
	tooMuch := func() io.Reader { return io.LimitReader(zeros{}, diskSize) }
	if err := s.Put(t.Context(), "o1", tooMuch(), diskSize); !errors.Is(err, store.ErrFull) {
		t.Errorf("put got %v, want ErrFull", err)
	}
	if p, err := s.Part(t.Context(), "o2", id, s.Turn(), 2, 2, tooMuch(), -1); !errors.Is(err, store.ErrFull) || p.Size != 0 {
		t.Errorf("part got %+v, %v, want ErrFull and nothing kept", p, err)
	}
	if after, err := s.Free(); err != nil || after < free-1<<20 {
		t.Errorf("free are %d after the refusals, %v, and were %d", after, err, free)
	}
	if left := files(t, dir, "tmp"); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
	if _, err := s.Stat(t.Context(), "o1"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the object that did not fit: %v", err)
	}

	empty := fill(t, disk)
	if err := s.Delete(t.Context(), "o0"); err != nil {
		t.Errorf("delete on a full disk: %v", err)
	}
	empty()
	content := bytes.Repeat([]byte("y"), 5<<20)
	if err := s.Put(t.Context(), "o1", bytes.NewReader(content), int64(len(content))); err != nil {
		t.Error(err)
	}
	second, err := s.Part(t.Context(), "o2", id, s.Turn(), 2, 2, strings.NewReader("cd"), -1)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(t.Context(), "o2", id, []store.Part{first, second}); err != nil {
		t.Fatal(err)
	}
	if got := readObject(t, s, "o2"); got != "abcd" {
		t.Errorf("the object is %q", got)
	}
}

// logWithHoles opens a store on a disk that is full, and whose log has none of the blocks that it seems to have.
func logWithHoles(t *testing.T) (s *diskstore.Store, dir string, empty func()) {
	t.Helper()
	disk := smallDisk(t)
	dir = filepath.Join(disk, "data")
	closeStore(t, openStore(t, dir, smallLog))
	for _, name := range []string{"log.0", "log.1"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.Truncate(path, 0), os.Truncate(path, 1<<20)); err != nil {
			t.Fatal(err)
		}
	}
	s = openStore(t, dir, diskstore.Options{Clock: busy{}, LogSize: smallLog.LogSize})
	return s, dir, fill(t, disk)
}

// A record that finds no room leaves no gap: the next one stands in its place, and is found after a crash.
func TestARefusedRecordLeavesNoGap(t *testing.T) {
	s, dir, empty := logWithHoles(t)
	if err := s.Commit(t.Context(), txOf("t1", put("a", 1))); !errors.Is(err, store.ErrFull) {
		t.Fatalf("a log without blocks said %v", err)
	}
	empty()
	if err := s.Commit(t.Context(), txOf("t2", put("b", 2))); err != nil {
		t.Fatal(err)
	}
	crashed := rows(t, openStore(t, copyFolder(t, dir), smallLog))
	if len(crashed) != 1 || crashed[0].Key.PK != "b" {
		t.Errorf("after a crash the rows are %v", crashed)
	}
}

// Where blocks that the log seems to have are not there, a group is refused whole, with what was decided over it, and
// the store goes on. What was refused did not happen, and happens when it is repeated.
func TestALogWithHoles(t *testing.T) {
	s, dir, empty := logWithHoles(t)
	var refused atomic.Int64
	applied := make([]atomic.Bool, 200)
	count := store.Op{Key: store.Key{PK: "count", SK: "c"}, Kind: store.OpUpdate, Add: []store.Attr{{Name: "n", Value: store.Int(1)}}}
	commit := func(i int64) error {
		err := s.Commit(t.Context(), txOf(fmt.Sprint("t", i), put(strconv.Itoa(int(i)), i), count))
		if errors.Is(err, store.ErrFull) {
			refused.Add(1)
			return nil
		}
		applied[i].Store(err == nil)
		return err
	}
	if err := share(8, 100, commit); err != nil {
		t.Fatal(err)
	}
	if refused.Load() == 0 {
		t.Error("a log without blocks took all")
	}
	check := func(want int64) {
		t.Helper()
		keys := int64(0)
		for _, it := range rows(t, s) {
			if it.Key.PK == "count" {
				if n := it.Row.Num("n"); n != want {
					t.Errorf("%d transactions were counted, want %d", n, want)
				}
				continue
			}
			keys++
			if i, err := strconv.Atoi(it.Key.PK); err != nil || !applied[i].Load() {
				t.Errorf("the row %v was refused", it.Key)
			}
		}
		if keys != want {
			t.Errorf("there are %d rows, want %d", keys, want)
		}
	}
	check(100 - refused.Load())
	empty()
	refused.Store(0)
	if err := share(8, 200, func(i int64) error { return commit(i) }); err != nil {
		t.Fatal(err)
	}
	if refused.Load() > 0 {
		t.Errorf("%d transactions were refused with room on the disk", refused.Load())
	}
	for range 2 {
		check(200)
		closeStore(t, s)
		s = openStore(t, dir, smallLog)
	}
}
