// SPDX-License-Identifier: Apache-2.0

package memstore_test

import (
	"testing"
	"time"

	"tare/internal/clock"
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
