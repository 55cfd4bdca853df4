// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"

	"tare/internal/store"
)

// fillBatch is how many rows a benchmark puts in one transaction before it begins.
const fillBatch = store.MaxOps

// fill puts n rows of about 300 bytes into one partition, each due.
func (t *table) fill(pk string, n int) {
	t.Helper()
	ops := make([]store.Op, 0, fillBatch)
	for i := range n {
		ops = append(ops, put(benchKey(pk, i), text("fill", strings.Repeat("f", 220)), num("n", 0), num(store.AttrShard, 0), num(store.AttrDue, int64(i))))
		if len(ops) == fillBatch || i == n-1 {
			t.commit(ops...)
			ops = ops[:0]
		}
	}
}

func benchKey(pk string, i int) store.Key { return key(pk, fmt.Sprintf("row-%08d", i)) }

// BenchmarkTable measures a [store.Table]: commits of five rows by one and by many clients, commits of a hundred rows,
// single and batched reads, and pages of small and large partitions, which must cost the same.
func BenchmarkTable(b *testing.B, open func(testing.TB) Tables) {
	b.Run("Commit/rows=5", func(b *testing.B) {
		t := openTable(b, open)
		for i := 0; b.Loop(); i++ {
			t.benchCommit(i)
		}
	})
	b.Run("CommitParallel/rows=5", func(b *testing.B) {
		t := openTable(b, open)
		var next atomic.Int64
		b.SetParallelism(4)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				t.benchCommit(int(next.Add(1)))
			}
		})
	})
	b.Run("Commit/rows=100", func(b *testing.B) {
		t := openTable(b, open)
		for i := 0; b.Loop(); i++ {
			ops := make([]store.Op, store.MaxOps)
			for j := range ops {
				ops[j] = put(benchKey("p", i*store.MaxOps+j), num("n", int64(j)))
			}
			t.commit(ops...)
		}
	})
	b.Run("Refused", func(b *testing.B) {
		t := openTable(b, open)
		op := where(put(key("p", "a")), exists)
		for b.Loop() {
			if err := t.A.Commit(b.Context(), tx(op)); !errors.Is(err, store.ErrConflict) {
				b.Fatal(err)
			}
		}
	})
	for _, rows := range []int{1_000, 100_000} {
		b.Run(fmt.Sprintf("Of=%d", rows), func(b *testing.B) {
			t := openTable(b, open)
			t.fill("p", rows)
			t.benchReads(b, rows)
		})
	}
}

// benchCommit makes one row, updates two, checks one and deletes one.
func (t *table) benchCommit(i int) {
	pk := fmt.Sprintf("p%d", i%64)
	x := store.Tx{Token: rand.Text(), Ops: []store.Op{
		put(benchKey(pk, i), text("digest", strings.Repeat("d", 200)), num("n", 1)),
		increment(benchKey(pk, i-64)),
		increment(benchKey(pk, i-128)),
		where(store.Op{Key: benchKey("none", i), Kind: store.OpCheck}, absent),
		{Key: benchKey(pk, i-640), Kind: store.OpDelete},
	}}
	if err := persist(t, t.A, x); err != nil {
		t.Errorf("commit: %v", err)
	}
}

func (t *table) benchReads(b *testing.B, rows int) {
	step := 7919 // prime to the numbers of rows
	b.Run("Get/keys=1", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			if got, err := t.B.Get(b.Context(), benchKey("p", i*step%rows)); err != nil || got[0] == nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Get/keys=10", func(b *testing.B) {
		keys := make([]store.Key, 10)
		for i := 0; b.Loop(); i++ {
			for j := range keys {
				keys[j] = benchKey("p", (i+j)*step%rows)
			}
			if _, err := t.B.Get(b.Context(), keys...); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Query/limit=100", func(b *testing.B) {
		for i := 0; b.Loop(); i++ {
			after := benchKey("p", i*step%(rows-200)).SK
			page, err := t.B.Query(b.Context(), store.Query{PK: "p", Prefix: "row-", After: after, Limit: 100})
			if err != nil || len(page.Items) != 100 {
				b.Fatal(len(page.Items), err)
			}
		}
	})
	b.Run("Due/limit=100", func(b *testing.B) {
		t.Settle()
		for b.Loop() {
			if page, err := t.B.Due(b.Context(), 0, int64(rows), store.DueKey{}, 100); err != nil || len(page) != 100 {
				b.Fatal(len(page), err)
			}
		}
	})
}

// BenchmarkObjects measures a [store.Objects]: small and large puts, reads and deletes.
func BenchmarkObjects(b *testing.B, open func(testing.TB) Buckets) {
	for _, size := range []int{16 << 10, 16 << 20} {
		data := pattern(1, size)
		b.Run(fmt.Sprintf("Put/size=%d", size), func(b *testing.B) {
			s := openBucket(b, open)
			b.SetBytes(int64(size))
			for i := 0; b.Loop(); i++ {
				s.put(fmt.Sprintf("k/%d", i%16), data)
			}
		})
		b.Run(fmt.Sprintf("Open/size=%d", size), func(b *testing.B) {
			s := openBucket(b, open)
			s.put("k", data)
			b.SetBytes(int64(size))
			for b.Loop() {
				r, err := s.B.Objects.Open(b.Context(), "k", 0, -1)
				if err != nil {
					b.Fatal(err)
				}
				if n, err := io.Copy(io.Discard, r); err != nil || n != int64(size) {
					b.Fatal(n, err)
				}
				if err := r.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("PutDelete/size=16384", func(b *testing.B) {
		s := openBucket(b, open)
		data := pattern(1, 16<<10)
		for i := 0; b.Loop(); i++ {
			key := fmt.Sprintf("k/%d", i)
			s.put(key, data)
			if err := s.A.Objects.Delete(b.Context(), key); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkMultipart measures a [store.Multipart]: an object of 64 MiB in parts of 8 MiB.
func BenchmarkMultipart(b *testing.B, open func(testing.TB) Buckets) {
	const parts = 8
	s := openBucket(b, open)
	data := pattern(1, 8<<20)
	b.SetBytes(parts * int64(len(data)))
	for b.Loop() {
		id, err := s.A.Multipart.Begin(b.Context(), "k")
		if err != nil {
			b.Fatal(err)
		}
		done := make([]store.Part, parts)
		for i := range done {
			offset := int64(i * len(data))
			if done[i], err = s.A.Multipart.Part(b.Context(), "k", id, s.A.Multipart.Turn(), i+1, offset, strings.NewReader(data), int64(len(data))); err != nil {
				b.Fatal(err)
			}
		}
		if err := s.A.Multipart.Complete(b.Context(), "k", id, done); err != nil {
			b.Fatal(err)
		}
	}
}
