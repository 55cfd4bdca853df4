// SPDX-License-Identifier: Apache-2.0

package memstore_test

import (
	"net/http/httptest"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/store"
	"tare/internal/store/memstore"
	"tare/internal/store/storetest"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func openTables(opts memstore.Options) func(testing.TB) storetest.Tables {
	return func(testing.TB) storetest.Tables {
		clk := clock.NewManual(start)
		s := memstore.New(clk, opts)
		return storetest.Tables{A: s, B: s, Clock: clk}
	}
}

func TestTable(t *testing.T) { storetest.TestTable(t, openTables(memstore.Options{})) }

func TestTableTime(t *testing.T) { storetest.TestTableTime(t, openTables(memstore.Options{})) }

func TestTableRefusingOverlap(t *testing.T) {
	storetest.TestTable(t, openTables(memstore.Options{RefuseOverlap: true}))
}

func TestScanner(t *testing.T) { storetest.TestScanner(t, openTables(memstore.Options{})) }

func openBuckets(opts memstore.Options) func(testing.TB) storetest.Buckets {
	return func(testing.TB) storetest.Buckets {
		s := memstore.New(clock.NewManual(start), opts)
		b := storetest.Bucket{Objects: s, Multipart: s}
		return storetest.Buckets{A: b, B: b}
	}
}

func TestObjects(t *testing.T) { storetest.TestObjects(t, openBuckets(memstore.Options{})) }

func TestMultipart(t *testing.T) { storetest.TestMultipart(t, openBuckets(memstore.Options{})) }

func TestMultipartWithMinPart(t *testing.T) {
	storetest.TestMultipart(t, openBuckets(memstore.Options{MinPart: 500}))
}

func BenchmarkTable(b *testing.B)   { storetest.BenchmarkTable(b, openTables(memstore.Options{})) }
func BenchmarkObjects(b *testing.B) { storetest.BenchmarkObjects(b, openBuckets(memstore.Options{})) }

func BenchmarkMultipart(b *testing.B) {
	storetest.BenchmarkMultipart(b, openBuckets(memstore.Options{}))
}

func TestDirect(t *testing.T) {
	storetest.TestDirect(t, func(tb testing.TB) storetest.Signed {
		s := memstore.New(clock.NewManual(start), memstore.Options{MinPart: 500})
		web := httptest.NewServer(s.Handler())
		tb.Cleanup(web.Close)
		return storetest.Signed{
			Bucket:  storetest.Bucket{Objects: s, Multipart: s},
			Direct:  s.Direct(web.URL, clock.NewManual(start)),
			Earlier: func(ago time.Duration) store.Direct { return s.Direct(web.URL, clock.NewManual(start.Add(-ago))) },
		}
	})
}
