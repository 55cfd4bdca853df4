// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package diskstore

import "os"

// datasync makes f durable.
func datasync(f *os.File) error { return f.Sync() }

// startWriteback is a hint that only Linux takes.
func startWriteback(*os.File, int64, int64) {}
