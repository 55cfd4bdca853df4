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

// allocate makes f n bytes longer, and has the blocks for them set aside. Where the file system cannot, they are written.
func allocate(f *os.File, size, n int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, size, n)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, errors.ErrUnsupported):
			return writeZeros(f, size, n)
		}
		return os.NewSyscallError("fallocate", err)
	}
}

// allocateHoles has the blocks set aside that f seems to have and has not, if they take no more than most bytes.
func allocateHoles(f *os.File, most int64) error {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return os.NewSyscallError("fstat", err)
	}
	const block = 512 // whatever the file system's blocks are
	if st.Size == 0 || st.Size-st.Blocks*block > most {
		return nil
	}
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, st.Size)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, errors.ErrUnsupported):
			return nil
		}
		return os.NewSyscallError("fallocate", err)
	}
}

// startWriteback asks the kernel to begin writing a range of f, so that the datasync at the end finds little to do. It
// is a hint: an error that it meets is met again by the datasync.
func startWriteback(f *os.File, offset, n int64) {
	_ = unix.SyncFileRange(int(f.Fd()), offset, n, unix.SYNC_FILE_RANGE_WRITE)
}
