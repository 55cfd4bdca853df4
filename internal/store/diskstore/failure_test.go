// SPDX-License-Identifier: Apache-2.0

package diskstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"tare/internal/store"
	"tare/internal/store/diskstore"
)

// disk is what a test puts around everything that a store makes durable.
type disk struct {
	fail   atomic.Value // func(name string) error: what to answer instead of what the sync says; nil for the truth
	before atomic.Value // func(name string): called before the sync
	after  atomic.Value // func(name string): called after the sync, before its answer
}

func (d *disk) around(name string, sync func() error) error {
	if before, ok := d.before.Load().(func(string)); ok {
		before(name)
	}
	err := sync()
	if after, ok := d.after.Load().(func(string)); ok {
		after(name)
	}
	if fail, ok := d.fail.Load().(func(string) error); ok && err == nil {
		err = fail(name)
	}
	return err
}

func (d *disk) open(tb testing.TB, dir string) *diskstore.Store {
	tb.Helper()
	s, err := diskstore.OpenAround(dir, diskstore.Options{Clock: busy{}}, d.around)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { closeStore(tb, s) })
	return s
}

// failing answers err for every sync of a name that contains part.
func failing(part string, err error) func(string) error {
	return func(name string) error {
		if strings.Contains(name, part) {
			return err
		}
		return nil
	}
}

// A sync that fails kills the store: the call's outcome is unknown, later ones did not happen, and what was acknowledged
// before is there for the next process.
func TestAFailedSyncKillsTheStore(t *testing.T) {
	commit := func(ctx context.Context, s *diskstore.Store) error { return s.Commit(ctx, txOf("t2", put("b", 2))) }
	putObject := func(ctx context.Context, s *diskstore.Store) error {
		return s.Put(ctx, "o1", strings.NewReader("x"), 1)
	}
	for _, c := range []struct {
		name string
		fail string // what cannot be synced
		err  error
		call func(context.Context, *diskstore.Store) error
	}{
		{"commit", "/log.", syscall.EIO, commit},
		{"commit, no space", "/log.", syscall.ENOSPC, commit},
		{"checkpoint", "table.db", syscall.EIO, func(ctx context.Context, s *diskstore.Store) error { return s.Snapshot(ctx, io.Discard) }},
		{"put, file", "/tmp/", syscall.EIO, putObject},
		{"put, directory", "/objects", syscall.EIO, putObject},
		{"put, directory, no space", "/objects", syscall.ENOSPC, putObject},
		{"delete", "/objects", syscall.EIO, func(ctx context.Context, s *diskstore.Store) error { return s.Delete(ctx, "o0") }},
		{"begin", "/parts", syscall.EIO, func(ctx context.Context, s *diskstore.Store) error {
			_, err := s.Begin(ctx, "o1")
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			var d disk
			s := d.open(t, dir)
			if err := s.Commit(t.Context(), txOf("t1", put("a", 1))); err != nil {
				t.Fatal(err)
			}
			if err := s.Put(t.Context(), "o0", strings.NewReader("x"), 1); err != nil {
				t.Fatal(err)
			}
			if err := s.Err(); err != nil {
				t.Fatalf("a good store says %v", err)
			}
			d.fail.Store(failing(c.fail, c.err))
			if err := c.call(t.Context(), s); !errors.Is(err, store.ErrUnknownOutcome) || !errors.Is(err, c.err) {
				t.Errorf("the call got %v, want ErrUnknownOutcome and the cause", err)
			}
			select {
			case <-s.Failed():
			default:
				t.Fatal("the store does not say that it failed")
			}
			if err := s.Err(); !errors.Is(err, c.err) {
				t.Errorf("the store says %v", err)
			}
			d.fail.Store(failing("nothing", nil))
			for name, call := range calls(t.Context(), s) {
				if err := call(); !errors.Is(err, store.ErrUnavailable) {
					t.Errorf("%s: got %v, want ErrUnavailable", name, err)
				}
			}
			closeStore(t, s)
			s = openStore(t, dir, diskstore.Options{})
			rows, err := s.Get(t.Context(), store.Key{PK: "a", SK: "s"})
			if err != nil || rows[0].Num("n") != 1 {
				t.Errorf("what was acknowledged is %v, %v", rows, err)
			}
		})
	}
}

// Where a file finds no room in its last sync, its bytes are lost, which nobody was promised.
func TestNoRoomInASync(t *testing.T) {
	dir := t.TempDir()
	var d disk
	s := d.open(t, dir)
	id, err := s.Begin(t.Context(), "o2")
	if err != nil {
		t.Fatal(err)
	}
	first, err := s.Part(t.Context(), "o2", id, s.Turn(), 1, 0, strings.NewReader("ab"), 2)
	if err != nil {
		t.Fatal(err)
	}
	d.fail.Store(failing("/tmp/", syscall.ENOSPC))
	if err := s.Put(t.Context(), "o1", strings.NewReader("x"), 1); !errors.Is(err, store.ErrFull) {
		t.Errorf("put got %v, want ErrFull", err)
	}
	d.fail.Store(failing("/parts/", syscall.EDQUOT))
	if p, err := s.Part(t.Context(), "o2", id, s.Turn(), 2, 2, strings.NewReader("cd"), 2); !errors.Is(err, store.ErrFull) || p.Size != 0 {
		t.Errorf("part got %+v, %v, want ErrFull and nothing kept", p, err)
	}
	d.fail.Store(failing("nothing", nil))
	if err := s.Put(t.Context(), "o1", strings.NewReader("x"), 1); err != nil {
		t.Error(err)
	}
	second, err := s.Part(t.Context(), "o2", id, s.Turn(), 2, 2, strings.NewReader("cd"), 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Complete(t.Context(), "o2", id, []store.Part{first, second}); err != nil {
		t.Fatal(err)
	}
	if got := readObject(t, s, "o2"); got != "abcd" {
		t.Errorf("the object is %q", got)
	}
	if left := files(t, dir, "tmp", "parts"); len(left) > 0 {
		t.Errorf("files are left: %v", left)
	}
}

// A commit that is written and not yet synced is not shown: a power cut could still take it back. Readers do not wait.
func TestReadersDoNotSeeWhatIsNotDurable(t *testing.T) {
	for _, c := range []struct {
		name string
		sync error
		want error
	}{
		{"synced in the end", nil, nil},
		{"never synced", syscall.EIO, store.ErrUnavailable},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d disk
			s := d.open(t, t.TempDir())
			written, proceed := make(chan struct{}), make(chan struct{})
			d.after.Store(func(name string) {
				if strings.Contains(name, "/log.") {
					close(written)
					<-proceed
				}
			})
			d.fail.Store(failing("/log.", c.sync))
			committed := make(chan error, 1)
			go func() { committed <- s.Commit(t.Context(), txOf("t", put("a", 1))) }()
			select {
			case <-written:
			case err := <-committed:
				t.Fatalf("the commit was not written: %v", err)
			}
			rows, err := s.Get(t.Context(), store.Key{PK: "a", SK: "s"})
			if err != nil || rows[0] != nil {
				t.Errorf("before the sync, a reader got %v, %v", rows, err)
			}
			page, err := s.Scan(t.Context(), store.Key{}, 10)
			if err != nil || len(page.Items) > 0 {
				t.Errorf("before the sync, a scan got %v, %v", page, err)
			}
			close(proceed)
			if err := <-committed; (err == nil) != (c.sync == nil) {
				t.Errorf("the commit got %v", err)
			}
			rows, err = s.Get(t.Context(), store.Key{PK: "a", SK: "s"})
			if !errors.Is(err, c.want) || err == nil && rows[0].Num("n") != 1 {
				t.Errorf("after the sync, a reader got %v, %v, want %v", rows, err, c.want)
			}
		})
	}
}

// hold stops the committer in its next sync, and returns when it is there, with what lets it go on.
func hold(tb testing.TB, d *disk, s *diskstore.Store) (proceed func()) {
	tb.Helper()
	held, release := make(chan struct{}), make(chan struct{})
	var once atomic.Bool
	d.before.Store(func(name string) {
		if strings.Contains(name, "/log.") && !once.Swap(true) {
			close(held)
			<-release
		}
	})
	first := make(chan error, 1)
	go func() { first <- s.Commit(tb.Context(), txOf("first", put("first", 0))) }()
	<-held
	return func() {
		close(release)
		if err := <-first; err != nil {
			tb.Error(err)
		}
	}
}

// queue sends transactions one after the other behind a held committer.
func queue(tb testing.TB, s *diskstore.Store, txs ...store.Tx) []chan error {
	tb.Helper()
	var answers []chan error
	for i, tx := range txs {
		answer := make(chan error, 1)
		answers = append(answers, answer)
		go func() { answer <- s.Commit(tb.Context(), tx) }()
		for s.Queued() <= i+1 { // the first one waits, too
			runtime.Gosched()
		}
	}
	return answers
}

// What waits is applied together, in order, with one sync; each transaction has its own answer.
func TestAGroupSharesASync(t *testing.T) {
	var d disk
	s := d.open(t, t.TempDir())
	absent := []store.Cond{{Is: store.Absent}}
	one := []store.Cond{{Attr: "n", Is: store.Equal, Value: store.Int(1)}}
	make1 := put("a", 1)
	make1.If = absent
	make2 := put("a", 2)
	make2.If = absent
	after1 := put("a", 3)
	after1.If = one
	proceed := hold(t, &d, s)
	answers := queue(t, s,
		txOf("t1", make1),
		txOf("t2", make2),
		txOf("t1", make1),
		txOf("t1", make2),
		txOf("t3", after1),
		txOf("t4", put("b", 4)),
	)
	proceed()
	for i, want := range []error{nil, store.ErrConflict, nil, store.ErrInvalid, nil, nil} {
		if err := <-answers[i]; !errors.Is(err, want) {
			t.Errorf("transaction %d got %v, want %v", i, err, want)
		}
	}
	rows, err := s.Get(t.Context(), store.Key{PK: "a", SK: "s"}, store.Key{PK: "b", SK: "s"})
	if err != nil || rows[0].Num("n") != 3 || rows[1].Num("n") != 4 {
		t.Errorf("the rows are %v, %v", rows, err)
	}
	stats, err := s.Stats()
	if err != nil || stats.Commits != 4 || stats.Groups != 2 {
		t.Errorf("%d commits in %d groups, %v; want 4 in 2", stats.Commits, stats.Groups, err)
	}
}

// A group that changes nothing is not written.
func TestRefusalsAreNotSynced(t *testing.T) {
	s := openStore(t, t.TempDir(), diskstore.Options{})
	before, err := s.Stats()
	if err != nil {
		t.Fatal(err)
	}
	refused := put("a", 1)
	refused.If = []store.Cond{{Is: store.Present}}
	if err := s.Commit(t.Context(), txOf("t1", refused)); !errors.Is(err, store.ErrConflict) {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), txOf("t2", store.Op{Key: refused.Key, Kind: store.OpDelete})); err != nil {
		t.Fatal(err)
	}
	after, err := s.Stats()
	if err != nil || after.Syncs != before.Syncs {
		t.Errorf("%d syncs for nothing, %v", after.Syncs-before.Syncs, err)
	}
}

// How often each call syncs: what it costs on a disk.
func TestSyncsPerCall(t *testing.T) {
	var d disk
	dir := t.TempDir()
	s := d.open(t, dir)
	var id string
	steps := []struct {
		name string
		call func() error
		want []string
	}{
		{"commit", func() error { return s.Commit(t.Context(), txOf("t1", put("a", 1))) }, []string{"log.0"}},
		{"put into a new directory", func() error { return s.Put(t.Context(), "o1", strings.NewReader("x"), 1) }, []string{"tmp/1", "objects", "objects/o1"}},
		{"put", func() error { return s.Put(t.Context(), "o1", strings.NewReader("x"), 1) }, []string{"tmp/2", "objects/o1"}},
		{"begin", func() (err error) { id, err = s.Begin(t.Context(), "o1"); return err }, []string{"parts"}},
		{"part", func() error {
			_, err := s.Part(t.Context(), "o1", id, s.Turn(), 1, 0, strings.NewReader("x"), 1)
			return err
		}, []string{"parts/o1~"}},
		{"complete", func() error { return s.Complete(t.Context(), "o1", id, []store.Part{{Number: 1, Size: 1}}) }, []string{"objects/o1"}},
		{"complete again", func() error {
			if err := s.Complete(t.Context(), "o1", id, []store.Part{{Number: 1, Size: 1}}); !isNotFound(err) {
				return fmt.Errorf("completed twice: %w", err)
			}
			return nil
		}, []string{"objects/o1"}},
		{"delete", func() error { return s.Delete(t.Context(), "o1") }, []string{"objects/o1"}},
		{"delete again", func() error { return s.Delete(t.Context(), "o1") }, []string{"objects/o1"}},
		{"abort", func() error { return s.Abort(t.Context(), "o1", id) }, []string{"parts"}},
		{"get", func() error { _, err := s.Get(t.Context(), store.Key{PK: "a", SK: "s"}); return err }, nil},
	}
	for _, step := range steps {
		var got []string
		d.before.Store(func(name string) {
			if rel, err := filepath.Rel(dir, name); err == nil && filepath.IsAbs(name) {
				name = rel
			}
			if i := strings.Index(name, "~"); i >= 0 {
				name = name[:i+1] // the id is random
			}
			got = append(got, name)
		})
		if err := step.call(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if !slices.Equal(got, step.want) {
			t.Errorf("%s syncs %v, want %v", step.name, got, step.want)
		}
	}
}
