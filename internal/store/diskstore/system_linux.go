// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// datasync makes the content and size of f durable, and leaves out its times.
func datasync(f *os.File) error {
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return os.NewSyscallError("fdatasync", err)
		}
	}
}

// startWriteback asks the kernel to begin writing a range of f, so that the datasync at the end finds little to do. It
// is a hint: an error that it meets is met again by the datasync.
func startWriteback(f *os.File, offset, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), offset, n, unix.SYNC_FILE_RANGE_WRITE)
}
