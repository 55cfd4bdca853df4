// SPDX-License-Identifier: Apache-2.0

// Package storetest checks that a store keeps the contract of package store. Every implementation runs [TestTable],
// [TestScanner], [TestObjects], [TestMultipart] and [TestDirect] for the roles that it plays, directly and behind wrappers.
//
// What a store may do but need not (an index that lags behind, a commit that is refused because another one overlaps)
// is allowed here, too: the suite asks for what the contract says and no more.
package storetest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/store"
)

// Tables is two clients of one table, which is new and empty.
type Tables struct {
	A, B store.Table

	// Clock is the clock that the table commits by, where a test may move it; nil where it is the real one.
	Clock *clock.Manual

	// Settle returns when the index shows every commit that was acknowledged before; nil where it always does.
	Settle func()
}

// Bucket is the two roles of one client of an object store.
type Bucket struct {
	Objects   store.Objects
	Multipart store.Multipart
}

// Buckets is two clients of one object store, which is new and empty.
type Buckets struct {
	A, B Bucket

	// Files says that an Open without a length gives an *os.File.
	Files bool
}

// outcomes are the errors that a store may return, besides the context's own.
var outcomes = []error{
	store.ErrNotFound, store.ErrConflict, store.ErrInvalid, store.ErrUnavailable, store.ErrUnknownOutcome, store.ErrCorrupt,
}

func isOutcome(err error) bool {
	return slices.ContainsFunc(outcomes, func(o error) bool { return errors.Is(err, o) })
}

// wantErr fails the test unless err is the wanted one; nil is none at all.
func wantErr(tb testing.TB, what string, err, want error) {
	tb.Helper()
	if !errors.Is(err, want) {
		tb.Fatalf("%s: got error %v, want %v", what, err, want)
	}
}

// wantOutcome fails the test unless err is one of the errors that the contract knows.
func wantOutcome(tb testing.TB, what string, err error) {
	tb.Helper()
	if !isOutcome(err) {
		tb.Fatalf("%s: got error %v, which is none of the contract's", what, err)
	}
}

// wantCanceled fails the test unless err is the context's own, and says nothing of the store.
func wantCanceled(tb testing.TB, what string, err error) {
	tb.Helper()
	wantErr(tb, what, err, context.Canceled)
	if isOutcome(err) {
		tb.Fatalf("%s: the context's error comes as an outcome of the store: %v", what, err)
	}
}

// canceled is a context that has ended.
func canceled(tb testing.TB) context.Context {
	ctx, cancel := context.WithCancel(tb.Context())
	cancel()
	return ctx
}

// table is a [Tables] with the calls that tests make most.
type table struct {
	testing.TB
	Tables
}

func openTable(tb testing.TB, open func(testing.TB) Tables) *table {
	tb.Helper()
	t := &table{TB: tb, Tables: open(tb)}
	if t.Settle == nil {
		t.Settle = func() {}
	}
	return t
}

// now reads the clock that the table commits by.
func (t *table) now() time.Time {
	if t.Clock != nil {
		return t.Clock.Now()
	}
	return clock.System{}.Now()
}

// tx makes a transaction with a fresh token.
func tx(ops ...store.Op) store.Tx { return store.Tx{Ops: ops, Token: rand.Text()} }

// commit applies operations through client A and wants success.
func (t *table) commit(ops ...store.Op) {
	t.Helper()
	wantErr(t, "commit", t.A.Commit(t.Context(), tx(ops...)), nil)
}

// refused applies operations through client A and wants them refused, because of exactly the failed ones. It returns what
// they found.
func (t *table) refused(failed []int, ops ...store.Op) []store.Failure {
	t.Helper()
	err := t.A.Commit(t.Context(), tx(ops...))
	conflict, ok := errors.AsType[*store.Conflict](err)
	if !ok {
		t.Fatalf("commit: got error %v, want a conflict", err)
	}
	wantErr(t, "a conflict", err, store.ErrConflict)
	var got []int
	for _, f := range conflict.Failed {
		got = append(got, f.Op)
	}
	if !slices.Equal(got, failed) {
		t.Fatalf("commit: refused by operations %v, want %v", got, failed)
	}
	return conflict.Failed
}

// invalid applies a transaction through client A and wants ErrInvalid.
func (t *table) invalid(what string, x store.Tx) {
	t.Helper()
	wantErr(t, what, t.A.Commit(t.Context(), x), store.ErrInvalid)
}

// row reads one row through client B, nil where there is none.
func (t *table) row(k store.Key) store.Row {
	t.Helper()
	rows, err := t.B.Get(t.Context(), k)
	wantErr(t, "get", err, nil)
	if len(rows) != 1 {
		t.Fatalf("get of one key: got %d rows", len(rows))
	}
	return rows[0]
}

// wantRow reads one row and compares it.
func (t *table) wantRow(k store.Key, want store.Row) {
	t.Helper()
	if got := t.row(k); !got.Equal(want) {
		t.Fatalf("row %s: got %v, want %v", k, describe(got), describe(want))
	}
}

// describe makes a row readable in failures.
func describe(r store.Row) string {
	if r == nil {
		return "absent"
	}
	var b strings.Builder
	for _, a := range r {
		if a.Value.Kind() == store.KindInt {
			fmt.Fprintf(&b, " %s=%d", a.Name, a.Value.Num())
		} else {
			fmt.Fprintf(&b, " %s=%s", a.Name, brief(a.Value.Text()))
		}
	}
	return "{" + strings.TrimPrefix(b.String(), " ") + "}"
}

// brief quotes a text, or tells the size of a long one.
func brief(s string) string {
	if len(s) > 64 {
		return fmt.Sprintf("%d bytes", len(s))
	}
	return strconv.Quote(s)
}

// bucket is a [Buckets] with the calls that tests make most.
type bucket struct {
	testing.TB
	Buckets
}

func openBucket(tb testing.TB, open func(testing.TB) Buckets) *bucket {
	tb.Helper()
	return &bucket{TB: tb, Buckets: open(tb)}
}

// put stores an object through client A.
func (b *bucket) put(key, data string) {
	b.Helper()
	wantErr(b, "put "+key, b.A.Objects.Put(b.Context(), key, strings.NewReader(data), int64(len(data))), nil)
}

// read opens a range of an object through client B and reads it.
func (b *bucket) read(key string, offset, length int64) string {
	b.Helper()
	r, err := b.B.Objects.Open(b.Context(), key, offset, length)
	wantErr(b, "open "+key, err, nil)
	data, err := io.ReadAll(r)
	wantErr(b, "read "+key, err, nil)
	wantErr(b, "close "+key, r.Close(), nil)
	return string(data)
}

// wantObject reads a whole object and its size and compares them.
func (b *bucket) wantObject(key, want string) {
	b.Helper()
	if got := b.read(key, 0, -1); got != want {
		b.Fatalf("object %s: got %s, want %s", key, brief(got), brief(want))
	}
	info, err := b.B.Objects.Stat(b.Context(), key)
	wantErr(b, "stat "+key, err, nil)
	if want := (store.ObjectInfo{Key: key, Size: int64(len(want))}); info != want {
		b.Fatalf("stat %s: got %+v, want %+v", key, info, want)
	}
}

// wantAbsent sees that no client finds an object.
func (b *bucket) wantAbsent(key string) {
	b.Helper()
	for _, client := range []Bucket{b.A, b.B} {
		_, err := client.Objects.Stat(b.Context(), key)
		wantErr(b, "stat of an absent object", err, store.ErrNotFound)
		_, err = client.Objects.Open(b.Context(), key, 0, -1)
		wantErr(b, "open of an absent object", err, store.ErrNotFound)
	}
	infos, err := b.B.Objects.List(b.Context(), key, "", 1)
	wantErr(b, "list", err, nil)
	if len(infos) > 0 && infos[0].Key == key {
		b.Fatalf("list shows %s, which is absent", key)
	}
}
