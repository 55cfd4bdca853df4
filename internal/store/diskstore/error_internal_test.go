// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"syscall"
	"testing"

	bbolterrors "go.etcd.io/bbolt/errors"

	"tare/internal/store"
)

func path(op string, err error) error { return &fs.PathError{Op: op, Path: "f", Err: err} }

func TestOutcomes(t *testing.T) {
	for _, c := range []struct {
		err  error
		want error
	}{
		{path("open", syscall.ENOENT), store.ErrNotFound},
		{path("write", syscall.ENOSPC), store.ErrFull},
		{path("write", syscall.EDQUOT), store.ErrFull},
		{path("write", syscall.EFBIG), store.ErrFull},
		{errNoSpace, store.ErrFull},
		{bbolterrors.ErrMaxSizeReached, store.ErrFull},
		{&failure{syscall.EIO}, store.ErrUnknownOutcome},
		{&failure{syscall.ENOSPC}, store.ErrUnknownOutcome},
		{fmt.Errorf("somewhere: %w", &failure{syscall.EIO}), store.ErrUnknownOutcome},
		{&misuse{io.ErrUnexpectedEOF}, store.ErrInvalid},
		{&misuse{context.Canceled}, store.ErrInvalid},
		{&misuse{path("read", syscall.ENOSPC)}, store.ErrInvalid},
		{corrupt(errChecksum), store.ErrCorrupt},
		{bbolterrors.ErrInvalid, store.ErrCorrupt},
		{bbolterrors.ErrChecksum, store.ErrCorrupt},
		{bbolterrors.ErrVersionMismatch, store.ErrCorrupt},
		{bbolterrors.ErrDatabaseNotOpen, store.ErrUnavailable},
		{bbolterrors.ErrInvalidMapping, store.ErrUnavailable},
		{errLate, store.ErrExpired},
		{&misuse{errToken}, store.ErrInvalid},
		{errClosed, store.ErrUnavailable},
		{errFailed, store.ErrUnavailable},
		{errOvertaken, store.ErrConflict},
		{path("open", syscall.EMFILE), store.ErrUnavailable},
		{path("open", syscall.EACCES), store.ErrUnavailable},
		{path("read", syscall.EIO), store.ErrUnavailable},
	} {
		t.Run(c.err.Error(), func(t *testing.T) {
			err := wrap("get", "k", c.err)
			if !errors.Is(err, c.want) || !errors.Is(err, c.err) {
				t.Errorf("got %v, want %v and the cause", err, c.want)
			}
		})
	}
}

func TestWhatIsNotWrapped(t *testing.T) {
	for _, err := range []error{nil, context.Canceled, context.DeadlineExceeded, &store.Conflict{}, &store.Error{Outcome: store.ErrExpired}} {
		if got := wrap("get", "k", err); got != err {
			t.Errorf("%v became %v", err, got)
		}
	}
}

// What bbolt says when it had no room, and what it says when it does not know any more.
func TestRefusedRoom(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{bbolterrors.ErrMaxSizeReached, true},
		{path("write", syscall.ENOSPC), true},
		{path("write", syscall.EDQUOT), true},
		{path("write", syscall.EIO), false},
		{syscall.ENOSPC, false}, // of a sync
		{syscall.EIO, false},
		{fmt.Errorf("file sync error: %s", syscall.ENOSPC), false},
	} {
		if got := refusedRoom(c.err); got != c.want {
			t.Errorf("%v: got %t", c.err, got)
		}
	}
}
