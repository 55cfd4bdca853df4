// SPDX-License-Identifier: Apache-2.0

package faultstore_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/store/memstore"
	"tare/internal/store/storetest"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// Without faults the wrapper is a store like any other.

func openTables(testing.TB) storetest.Tables {
	clk := clock.NewManual(start)
	s := memstore.New(clk, memstore.Options{})
	a, b := faultstore.New(faultstore.Options{}), faultstore.New(faultstore.Options{})
	return storetest.Tables{A: a.Table(s), B: b.Table(s), Clock: clk}
}

func openBuckets(opts memstore.Options) func(testing.TB) storetest.Buckets {
	return func(testing.TB) storetest.Buckets {
		s := memstore.New(clock.NewManual(start), opts)
		a, b := faultstore.New(faultstore.Options{}), faultstore.New(faultstore.Options{})
		return storetest.Buckets{
			A: storetest.Bucket{Objects: a.Objects(s), Multipart: a.Multipart(s)},
			B: storetest.Bucket{Objects: b.Objects(s), Multipart: b.Multipart(s)},
		}
	}
}

func TestTable(t *testing.T)     { storetest.TestTable(t, openTables) }
func TestTableTime(t *testing.T) { storetest.TestTableTime(t, openTables) }
func TestScanner(t *testing.T)   { storetest.TestScanner(t, openTables) }
func TestObjects(t *testing.T)   { storetest.TestObjects(t, openBuckets(memstore.Options{})) }
func TestMultipart(t *testing.T) { storetest.TestMultipart(t, openBuckets(memstore.Options{})) }

func TestMultipartWithMinPart(t *testing.T) {
	storetest.TestMultipart(t, openBuckets(memstore.Options{MinPart: 500}))
}

// world is a store and one life of a process on it.
type world struct {
	*testing.T
	store   *memstore.Store
	process *faultstore.Process
	table   store.Table
	objects store.Objects
	parts   store.Multipart
}

func newWorld(t *testing.T, opts faultstore.Options) *world {
	w := &world{T: t, store: memstore.New(clock.NewManual(start), memstore.Options{})}
	w.live(opts)
	return w
}

// live starts another life on the store.
func (w *world) live(opts faultstore.Options) {
	w.process = faultstore.New(opts)
	w.table, w.objects, w.parts = w.process.Table(w.store), w.process.Objects(w.store), w.process.Multipart(w.store)
}

func (w *world) want(what string, err, want error) {
	w.Helper()
	if !errors.Is(err, want) {
		w.Fatalf("%s: got error %v, want %v", what, err, want)
	}
}

var theKey = store.Key{PK: "p", SK: "a"}

func count(token string) store.Tx {
	return store.Tx{Token: token, Ops: []store.Op{{
		Key: theKey, Kind: store.OpUpdate, Add: []store.Attr{{Name: "n", Value: store.Int(1)}},
	}}}
}

// counted is how often count was applied, by what the store says.
func (w *world) counted() int64 {
	w.Helper()
	rows, err := w.store.Get(w.Context(), theKey)
	w.want("get", err, nil)
	return rows[0].Num("n")
}

func TestActionsOnCommit(t *testing.T) {
	for _, c := range []struct {
		action  faultstore.Action
		want    error
		applied int64
		dead    bool
	}{
		{faultstore.Pass, nil, 1, false},
		{faultstore.DieBefore, faultstore.ErrDead, 0, true},
		{faultstore.DieMidway, faultstore.ErrDead, 0, true},
		{faultstore.DieAfter, faultstore.ErrDead, 1, true},
		{faultstore.Unavailable, store.ErrUnavailable, 0, false},
		{faultstore.Contended, store.ErrContended, 0, false},
		{faultstore.Full, store.ErrFull, 0, false},
		{faultstore.LoseReply, store.ErrUnknownOutcome, 1, false},
		{faultstore.LoseCall, store.ErrUnknownOutcome, 0, false},
		{faultstore.Late, store.ErrUnknownOutcome, 0, false},
		{faultstore.IndexEmpty, nil, 1, false},
		{faultstore.IndexGhosts, nil, 1, false},
	} {
		t.Run(c.action.String(), func(t *testing.T) {
			w := newWorld(t, faultstore.Options{Plan: faultstore.At(2, c.action)})
			_, err := w.table.Get(t.Context(), theKey)
			w.want("the call before", err, nil)
			w.want("commit", w.table.Commit(t.Context(), count("one")), c.want)
			if got := w.counted(); got != c.applied {
				t.Fatalf("applied %d times, want %d", got, c.applied)
			}
			if w.process.Dead() != c.dead {
				t.Fatalf("dead: %v, want %v", w.process.Dead(), c.dead)
			}
			err = w.table.Commit(t.Context(), count("two"))
			if !c.dead {
				w.want("the call after", err, nil)
				return
			}
			w.want("the call after death", err, faultstore.ErrDead)
			_, err = w.objects.Stat(t.Context(), "k")
			w.want("another role after death", err, faultstore.ErrDead)
			if got := w.counted(); got != c.applied || w.process.Calls() != 2 {
				t.Fatalf("a dead process made %d calls and applied %d", w.process.Calls(), got)
			}
			w.live(faultstore.Options{})
			w.want("the call after the restart", w.table.Commit(t.Context(), count("one")), nil)
			if got := w.counted(); got != 1 {
				t.Fatalf("applied %d times after the restart, want 1", got)
			}
		})
	}
}

func TestActionsOnReads(t *testing.T) {
	for _, c := range []struct {
		action faultstore.Action
		want   error
	}{
		{faultstore.DieBefore, faultstore.ErrDead},
		{faultstore.DieMidway, faultstore.ErrDead},
		{faultstore.DieAfter, faultstore.ErrDead},
		{faultstore.Unavailable, store.ErrUnavailable},
		{faultstore.Contended, store.ErrUnavailable},
		{faultstore.Full, store.ErrFull},
		{faultstore.LoseReply, store.ErrUnavailable},
		{faultstore.LoseCall, store.ErrUnavailable},
		{faultstore.Late, store.ErrUnavailable},
	} {
		t.Run(c.action.String(), func(t *testing.T) {
			calls := map[string]func(*world) error{
				"get":     func(w *world) error { _, err := w.table.Get(t.Context(), theKey); return err },
				"query":   func(w *world) error { _, err := w.table.Query(t.Context(), store.Query{PK: "p", Limit: 1}); return err },
				"due":     func(w *world) error { _, err := w.table.Due(t.Context(), 0, 1, store.DueKey{}, 1); return err },
				"scan":    func(w *world) error { _, err := w.table.(store.Scanner).Scan(t.Context(), store.Key{}, 1); return err },
				"open":    func(w *world) error { _, err := w.objects.Open(t.Context(), "k", 0, -1); return err },
				"stat":    func(w *world) error { _, err := w.objects.Stat(t.Context(), "k"); return err },
				"list":    func(w *world) error { _, err := w.objects.List(t.Context(), "", "", 1); return err },
				"pending": func(w *world) error { _, err := w.parts.Pending(t.Context(), ""); return err },
			}
			for name, call := range calls {
				w := newWorld(t, faultstore.Options{Plan: faultstore.At(1, c.action)})
				w.want("put", w.store.Put(t.Context(), "k", strings.NewReader("x"), 1), nil)
				err := call(w)
				w.want(name, err, c.want)
				if errors.Is(err, store.ErrUnknownOutcome) || errors.Is(err, store.ErrContended) {
					t.Fatalf("%s, a read, answers %v", name, err)
				}
				if landed, _ := w.process.Land(); landed {
					t.Fatalf("%s, a read, lands late", name)
				}
			}
		})
	}
}

func TestActionsOnBytes(t *testing.T) {
	const data = "0123456789"
	for _, c := range []struct {
		action        faultstore.Action
		want          error
		object, taken string // what is at the key afterwards, and what was taken from the reader
		part          string // what of the part is kept
	}{
		{faultstore.Pass, nil, data, data, data},
		{faultstore.DieBefore, faultstore.ErrDead, "", "", ""},
		{faultstore.DieMidway, faultstore.ErrDead, "", data[:5], data[:5]},
		{faultstore.DieAfter, faultstore.ErrDead, data, data, data},
		{faultstore.Unavailable, store.ErrUnavailable, "", "", ""},
		{faultstore.Contended, store.ErrUnavailable, "", "", ""},
		{faultstore.Full, store.ErrFull, "", "", ""},
		{faultstore.LoseReply, store.ErrUnknownOutcome, data, data, data},
		{faultstore.LoseCall, store.ErrUnknownOutcome, "", data, ""},
		{faultstore.Late, store.ErrUnknownOutcome, "", data, ""},
	} {
		t.Run("put/"+c.action.String(), func(t *testing.T) {
			w := newWorld(t, faultstore.Options{Plan: faultstore.At(1, c.action)})
			r := strings.NewReader(data)
			w.want("put", w.objects.Put(t.Context(), "k", r, int64(len(data))), c.want)
			w.wantTaken(r, data, c.taken)
			w.wantObject("k", c.object)
		})
		t.Run("part/"+c.action.String(), func(t *testing.T) {
			for _, size := range []int64{int64(len(data)), -1} {
				w := newWorld(t, faultstore.Options{Plan: faultstore.At(2, c.action)})
				id, err := w.parts.Begin(t.Context(), "k")
				w.want("begin", err, nil)
				r := strings.NewReader(data)
				p, err := w.parts.Part(t.Context(), "k", id, w.parts.Turn(), 1, 0, r, size)
				w.want("part", err, c.want)
				if err != nil && p != (store.Part{}) {
					t.Fatalf("a part that failed is answered as %+v", p)
				}
				kept := c.part
				if size < 0 && c.action == faultstore.DieMidway {
					kept = data // one Read gives all of it
				}
				// The store takes a part at the end of what it has, and none beyond it.
				_, err = w.store.Part(t.Context(), "k", id, w.store.Turn(), 2, int64(len(kept))+1, strings.NewReader(""), 0)
				w.want("a part beyond the end", err, store.ErrInvalid)
				_, err = w.store.Part(t.Context(), "k", id, w.store.Turn(), 2, int64(len(kept)), strings.NewReader(""), 0)
				w.want("a part at the end", err, nil)
			}
		})
	}
}

func (w *world) wantTaken(r *strings.Reader, data, want string) {
	w.Helper()
	if got := data[:len(data)-r.Len()]; got != want {
		w.Fatalf("%q was taken from the reader, want %q", got, want)
	}
}

// wantObject reads an object past the wrapper; "" is an absent one.
func (w *world) wantObject(key, want string) {
	w.Helper()
	r, err := w.store.Open(w.Context(), key, 0, -1)
	if want == "" {
		w.want("open", err, store.ErrNotFound)
		return
	}
	w.want("open", err, nil)
	got, err := io.ReadAll(r)
	w.want("read", err, nil)
	if string(got) != want {
		w.Fatalf("object %s: got %q, want %q", key, got, want)
	}
}

func TestOtherWrites(t *testing.T) {
	calls := map[string]func(*world, string) error{
		"delete": func(w *world, _ string) error { return w.objects.Delete(w.Context(), "old") },
		"begin":  func(w *world, _ string) error { _, err := w.parts.Begin(w.Context(), "other"); return err },
		"complete": func(w *world, id string) error {
			return w.parts.Complete(w.Context(), "k", id, []store.Part{{Number: 1, Size: 4}})
		},
		"abort": func(w *world, id string) error { return w.parts.Abort(w.Context(), "k", id) },
	}
	happened := map[string]func(*world) bool{
		"delete":   func(w *world) bool { _, err := w.store.Stat(w.Context(), "old"); return err != nil },
		"begin":    func(w *world) bool { p, _ := w.store.Pending(w.Context(), "other"); return len(p) == 1 },
		"complete": func(w *world) bool { _, err := w.store.Stat(w.Context(), "k"); return err == nil },
		"abort":    func(w *world) bool { p, _ := w.store.Pending(w.Context(), "k"); return len(p) == 0 },
	}
	for name, call := range calls {
		for _, c := range []struct {
			action faultstore.Action
			want   error
			done   bool
		}{
			{faultstore.Pass, nil, true},
			{faultstore.DieBefore, faultstore.ErrDead, false},
			{faultstore.DieMidway, faultstore.ErrDead, false},
			{faultstore.DieAfter, faultstore.ErrDead, true},
			{faultstore.Unavailable, store.ErrUnavailable, false},
			{faultstore.LoseReply, store.ErrUnknownOutcome, true},
			{faultstore.LoseCall, store.ErrUnknownOutcome, false},
			{faultstore.Late, store.ErrUnknownOutcome, false},
		} {
			t.Run(name+"/"+c.action.String(), func(t *testing.T) {
				w := newWorld(t, faultstore.Options{Plan: faultstore.At(1, c.action)})
				w.want("put", w.store.Put(t.Context(), "old", strings.NewReader("x"), 1), nil)
				id, err := w.store.Begin(t.Context(), "k")
				w.want("begin", err, nil)
				_, err = w.store.Part(t.Context(), "k", id, w.store.Turn(), 1, 0, strings.NewReader("data"), 4)
				w.want("part", err, nil)
				w.want(name, call(w, id), c.want)
				if got := happened[name](w); got != c.done {
					t.Fatalf("happened: %v, want %v", got, c.done)
				}
				if c.action == faultstore.Late {
					landed, err := w.process.Land()
					w.want("landing", err, nil)
					if !landed || !happened[name](w) {
						t.Fatal("the late call did not land")
					}
				}
			})
		}
	}
}

func TestLand(t *testing.T) {
	w := newWorld(t, faultstore.Options{Plan: faultstore.Script(map[int]faultstore.Action{
		1: faultstore.Late, 2: faultstore.Late, 3: faultstore.Late, 4: faultstore.DieBefore,
	})})
	ctx, cancel := context.WithCancel(t.Context())
	w.want("commit", w.table.Commit(ctx, count("one")), store.ErrUnknownOutcome)
	w.want("put", w.objects.Put(ctx, "k", strings.NewReader("data"), 4), store.ErrUnknownOutcome)
	late := count("two")
	late.Before = start
	w.want("commit", w.table.Commit(ctx, late), store.ErrUnknownOutcome)
	cancel()
	w.want("the last call", w.table.Commit(t.Context(), count("three")), faultstore.ErrDead)
	for i, want := range []error{nil, nil, store.ErrExpired} {
		landed, err := w.process.Land()
		w.want("landing", err, want)
		if !landed {
			t.Fatalf("late call %d is gone", i)
		}
	}
	if landed, _ := w.process.Land(); landed {
		t.Fatal("a call landed twice")
	}
	if got := w.counted(); got != 1 {
		t.Fatalf("applied %d times, want 1", got)
	}
	w.wantObject("k", "data")
}

func TestDeathInFlight(t *testing.T) {
	// One call is held back by the plan while the process dies in another.
	held, goOn := make(chan struct{}), make(chan struct{})
	w := newWorld(t, faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		if c.N == 1 {
			close(held)
			<-goOn
			return faultstore.Pass
		}
		return faultstore.DieBefore
	}})
	first := make(chan error)
	go func() { first <- w.table.Commit(t.Context(), count("one")) }()
	<-held
	_, err := w.table.Get(t.Context(), theKey)
	w.want("get", err, faultstore.ErrDead)
	close(goOn)
	w.want("the call that was held back", <-first, faultstore.ErrDead)
	if got := w.counted(); got != 0 {
		t.Fatalf("applied %d times after death", got)
	}
}

// heldObjects opens objects when it is told to.
type heldObjects struct {
	store.Objects
	opening, goOn chan struct{}
	gave          *closed
}

// closed knows whether it was.
type closed struct {
	io.Reader
	closed bool
}

func (c *closed) Close() error { c.closed = true; return nil }

func (h *heldObjects) Open(context.Context, string, int64, int64) (io.ReadCloser, error) {
	close(h.opening)
	<-h.goOn
	return h.gave, nil
}

func TestDeathLosesAnswers(t *testing.T) {
	// The store answers after the process has died in another call: the answer reaches nobody, and is closed.
	w := newWorld(t, faultstore.Options{Plan: faultstore.At(2, faultstore.DieBefore)})
	h := &heldObjects{opening: make(chan struct{}), goOn: make(chan struct{}), gave: &closed{Reader: strings.NewReader("x")}}
	objects := w.process.Objects(h)
	opened := make(chan error)
	go func() {
		r, err := objects.Open(t.Context(), "k", 0, -1)
		if r != nil {
			err = errors.New("a dead process got a reader")
		}
		opened <- err
	}()
	<-h.opening
	_, err := w.table.Get(t.Context(), theKey)
	w.want("get", err, faultstore.ErrDead)
	close(h.goOn)
	w.want("open", <-opened, faultstore.ErrDead)
	if !h.gave.closed {
		t.Fatal("the reader that nobody got stays open")
	}
}

// fileObjects opens a file, as diskstore does.
type fileObjects struct {
	store.Objects
	path string
}

func (f fileObjects) Open(context.Context, string, int64, int64) (io.ReadCloser, error) {
	return os.Open(f.path)
}

func TestOpenGivesTheFile(t *testing.T) {
	w := newWorld(t, faultstore.Options{})
	path := filepath.Join(t.TempDir(), "k")
	w.want("write", os.WriteFile(path, []byte("x"), 0o600), nil)
	r, err := w.process.Objects(fileObjects{path: path}).Open(t.Context(), "k", 0, -1)
	w.want("open", err, nil)
	if _, ok := r.(*os.File); !ok {
		t.Fatalf("open gives a %T", r)
	}
	w.want("close", r.Close(), nil)
}

func TestScannerIsPassedThrough(t *testing.T) {
	w := newWorld(t, faultstore.Options{})
	if _, ok := w.table.(store.Scanner); !ok {
		t.Fatal("the wrapper of a Scanner is none")
	}
	plain := struct{ store.Table }{w.store}
	if _, ok := w.process.Table(plain).(store.Scanner); ok {
		t.Fatal("the wrapper of a table that is no Scanner is one")
	}
}
