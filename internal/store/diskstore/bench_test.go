// SPDX-License-Identifier: Apache-2.0

package diskstore_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"tare/internal/store"
	"tare/internal/store/diskstore"
)

// hashed spreads keys as digests do.
func hashed(n int64) string {
	sum := sha256.Sum256(strconv.AppendInt(nil, n, 10))
	return hex.EncodeToString(sum[:])
}

// share runs fn n times by some workers, each time with another number.
func share(workers, n int, fn func(i int64) error) error {
	var next atomic.Int64
	errs := make(chan error, workers)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= int64(n) {
					return
				}
				if err := fn(i); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

// benchRow is a row of about size bytes.
func benchRow(size int) store.Row {
	return store.NewRow(
		store.Attr{Name: "media", Value: store.String("application/vnd.oci.image.manifest.v1+json")},
		store.Attr{Name: "refs", Value: store.Int(1)},
		store.Attr{Name: "version", Value: store.String(rand.Text())},
		store.Attr{Name: "body", Value: store.Bytes(strings.Repeat("x", size-100))},
	)
}

func benchPut(pk, sk string, row store.Row) store.Op {
	return store.Op{Key: store.Key{PK: pk, SK: sk}, Kind: store.OpPut, Row: row, If: []store.Cond{{Is: store.Absent}}}
}

// pushTx is a transaction of the shape of a push: four small rows and one of the given size, all new.
func pushTx(i int64, large int) store.Tx {
	h := hashed(i)
	return store.Tx{Token: rand.Text(), Ops: []store.Op{
		benchPut("m#library/"+h[:12], "sha256:"+h, benchRow(300)),
		benchPut("y#library/"+h[:12], "sha256:"+h, benchRow(large)),
		benchPut("t#library/"+h[:12], h, benchRow(300)),
		benchPut("d#library/"+h[:12], "sha256:"+h+"#"+h[:8], benchRow(300)),
		benchPut("h#library/"+h[:12], h+"#1800000000000#x", benchRow(300)),
	}}
}

// BenchmarkCommit applies transactions of five new rows, keys in the order of hashes.
func BenchmarkCommit(b *testing.B) {
	for _, large := range []int{2 << 10, 16 << 10} {
		for _, writers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("row=%dKiB/writers=%d", large>>10, writers), func(b *testing.B) {
				s := openStore(b, b.TempDir(), diskstore.Options{})
				b.ResetTimer()
				if err := share(writers, b.N, func(i int64) error { return s.Commit(b.Context(), pushTx(i, large)) }); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commits/s")
				stats, err := s.Stats()
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(stats.Commits)/float64(stats.Groups), "commits/group")
			})
		}
	}
}

const benchRows = 100_000

// filled returns a store with a partition of benchRows rows of 300 bytes.
func filled(b *testing.B) *diskstore.Store {
	s := openStore(b, b.TempDir(), diskstore.Options{})
	row := benchRow(300)
	err := share(64, benchRows/store.MaxOps, func(n int64) error {
		tx := store.Tx{Token: rand.Text()}
		for i := range int64(store.MaxOps) {
			tx.Ops = append(tx.Ops, benchPut("p", hashed(n*store.MaxOps+i), row))
		}
		return s.Commit(b.Context(), tx)
	})
	if err != nil {
		b.Fatal(err)
	}
	return s
}

func BenchmarkRead(b *testing.B) {
	s := filled(b)
	b.Run("get", func(b *testing.B) {
		for i := range b.N {
			rows, err := s.Get(b.Context(), store.Key{PK: "p", SK: hashed(int64(i % benchRows))})
			if err != nil || rows[0] == nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("get/parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for i := 0; pb.Next(); i++ {
				if _, err := s.Get(b.Context(), store.Key{PK: "p", SK: hashed(int64(i % benchRows))}); err != nil {
					b.Error(err)
					return
				}
			}
		})
	})
	b.Run("query100", func(b *testing.B) {
		for i := range b.N {
			page, err := s.Query(b.Context(), store.Query{PK: "p", After: hashed(int64(i % benchRows)), Limit: 100})
			if err != nil || len(page.Items) == 0 && page.More {
				b.Fatal(err)
			}
		}
	})
}

// zeros is an endless reader that costs nothing.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

func BenchmarkPut(b *testing.B) {
	for _, writers := range []int{1, 8} {
		b.Run(fmt.Sprintf("size=64KiB/writers=%d", writers), func(b *testing.B) {
			const size = 64 << 10
			s := openStore(b, b.TempDir(), diskstore.Options{})
			b.SetBytes(size)
			b.ResetTimer()
			err := share(writers, b.N, func(i int64) error {
				return s.Put(b.Context(), "o"+hashed(i)[:26], io.LimitReader(zeros{}, size), size)
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	}
	b.Run("size=256MiB", func(b *testing.B) {
		const size = 256 << 20
		s := openStore(b, b.TempDir(), diskstore.Options{})
		b.SetBytes(size)
		for range b.N {
			if err := s.Put(b.Context(), "o", io.LimitReader(zeros{}, size), size); err != nil {
				b.Fatal(err)
			}
			b.StopTimer() // the disk discards what is deleted
			if err := s.Delete(b.Context(), "o"); err != nil {
				b.Fatal(err)
			}
			b.StartTimer()
		}
	})
}
