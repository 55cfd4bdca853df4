// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package diskstore

import "os"

// datasync makes f durable.
func datasync(f *os.File) error { return f.Sync() }

// allocate makes f n bytes longer, and has blocks for them.
func allocate(f *os.File, size, n int64) error { return writeZeros(f, size, n) }

// allocateHoles does nothing: it is Linux that can.
func allocateHoles(*os.File, int64) error { return nil }

// startWriteback is a hint that only Linux takes.
func startWriteback(*os.File, int64, int64) {}
