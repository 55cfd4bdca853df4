// SPDX-License-Identifier: Apache-2.0

package diskstore_test

import (
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/store/diskstore"
	"tare/internal/store/storetest"
)

// openStore opens a folder until the end of the test.
func openStore(tb testing.TB, dir string, opts diskstore.Options) *diskstore.Store {
	tb.Helper()
	s, err := diskstore.Open(dir, opts)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := s.Close(); err != nil {
			tb.Error(err)
		}
	})
	return s
}

func openTables(tb testing.TB) storetest.Tables {
	c := clock.NewManual(time.Unix(1_800_000_000, 0))
	s := openStore(tb, tb.TempDir(), diskstore.Options{Clock: c})
	return storetest.Tables{A: s, B: s, Clock: c}
}

func openBuckets(tb testing.TB) storetest.Buckets {
	s := openStore(tb, tb.TempDir(), diskstore.Options{})
	b := storetest.Bucket{Objects: s, Multipart: s}
	return storetest.Buckets{A: b, B: b, Files: true}
}

func TestTable(t *testing.T)     { storetest.TestTable(t, openTables) }
func TestTableTime(t *testing.T) { storetest.TestTableTime(t, openTables) }
func TestScanner(t *testing.T)   { storetest.TestScanner(t, openTables) }
func TestObjects(t *testing.T)   { storetest.TestObjects(t, openBuckets) }
func TestMultipart(t *testing.T) { storetest.TestMultipart(t, openBuckets) }
