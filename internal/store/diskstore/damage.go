// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"go.etcd.io/bbolt"
)

// guarded calls fn, in which bbolt reads pages, and makes a corruption of the panic that it ends in when one of them is not
// what was written. Any other panic goes on. Where a page names bytes that are behind the end of the file, to read them is
// a fault in the map, which is a panic only while the goroutine asks for that.
//
// [bbolt.DB.Begin] is not to be called within on a table that is in use: it panics, where both of the first two pages were
// lost, with locks held for which every later call would wait for ever. That ends the process.
func guarded(fn func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			if !ofTable(p) {
				panic(p)
			}
			err = corrupt(fmt.Errorf("a page of the table is damaged: %v", p))
		}
	}()
	return fn()
}

// viewed is [bbolt.DB.View] of a table that nobody else has open, guarded.
func viewed(db *bbolt.DB, fn func(*bbolt.Tx) error) error {
	return guarded(func() error { return db.View(fn) })
}

// ofTable tells whether a panic, by whose recovery it is called, is about the table: a fault at an address, which no
// memory but the map has, or a panic that began in bbolt and not in a function of ours that it called.
func ofTable(p any) bool {
	if _, ok := p.(interface{ Addr() uintptr }); ok {
		return true
	}
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(0, pcs)])
	panicked := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			panicked = true
		case panicked && strings.HasPrefix(f.Function, "go.etcd.io/bbolt"):
			return true
		case panicked && strings.HasPrefix(f.Function, "tare/"):
			return false
		}
		if !more {
			return false
		}
	}
}
