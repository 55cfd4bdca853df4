// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	bbolterrors "go.etcd.io/bbolt/errors"

	"tare/internal/store"
)

// What [Open] and its siblings refuse, to [errors.Is].
var (
	// ErrLocked: another process has the folder open, or another Store of this one.
	ErrLocked = errors.New("the data folder is in use")
	// ErrForeign: the folder holds something, and it is not a store.
	ErrForeign = errors.New("the folder is not empty and not a data folder")
	// ErrNotNew: the folder is a data folder already, and was to become one.
	ErrNotNew = errors.New("the folder is not empty: it is a data folder")
	// ErrVersion: the folder was written in a format that this program does not read.
	ErrVersion = errors.New("a data folder of another format")
)

var (
	errClosed   = errors.New("the store is closed")
	errFailed   = errors.New("the store has failed")
	errOverrun  = errors.New("the reader has more bytes than were announced")
	errObject   = errors.New("not an object key")
	errToken    = errors.New("the token of another transaction")
	errLate     = errors.New("the transaction came too late")
	errNegative = errors.New("a negative size, offset or number")
	errNoSpace  = fmt.Errorf("%w: the file system has less left", syscall.ENOSPC)
)

// failure is the error of a write or sync after which the disk cannot be believed: the store is dead.
type failure struct{ cause error }

func (f *failure) Error() string { return "the disk failed: " + f.cause.Error() }
func (f *failure) Unwrap() error { return f.cause }

// misuse is the error of what a caller gave: a reader that failed, a range that is not there.
type misuse struct{ cause error }

func (m *misuse) Error() string { return m.cause.Error() }
func (m *misuse) Unwrap() error { return m.cause }

// corruption is what was found on the disk and never written there.
type corruption struct{ cause error }

func (c *corruption) Error() string { return c.cause.Error() }
func (c *corruption) Unwrap() error { return c.cause }

func corrupt(cause error) error { return &corruption{cause} }

// outOfRoom tells whether err says that the disk, the quota or the file may not grow. Nothing was damaged by it.
func outOfRoom(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || errors.Is(err, syscall.EFBIG) ||
		errors.Is(err, bbolterrors.ErrMaxSizeReached)
}

// outcome is the sentinel of package store for an error of the engine, the file system or a caller's reader. What is
// not listed changed nothing: whatever may have is a [failure].
func outcome(err error) error {
	isA := func(e error) bool { return errors.Is(err, e) }
	if _, ok := errors.AsType[*failure](err); ok {
		return store.ErrUnknownOutcome
	}
	if _, ok := errors.AsType[*misuse](err); ok {
		return store.ErrInvalid
	}
	if _, ok := errors.AsType[*corruption](err); ok {
		return store.ErrCorrupt
	}
	switch {
	case isA(errOvertaken):
		return store.ErrConflict
	case isA(errLate):
		return store.ErrExpired
	case outOfRoom(err):
		return store.ErrFull
	case isA(bbolterrors.ErrInvalid), isA(bbolterrors.ErrChecksum), isA(bbolterrors.ErrVersionMismatch):
		return store.ErrCorrupt
	case isA(fs.ErrNotExist):
		return store.ErrNotFound
	}
	return store.ErrUnavailable
}

// wrap makes an error of the contract from whatever made op fail. The context's own errors stay as they are.
func wrap(op, key string, err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*misuse](err); !ok && (errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)) {
		return err
	}
	if _, ok := errors.AsType[*store.Conflict](err); ok {
		return err
	}
	if _, ok := errors.AsType[*store.DamagedRow](err); ok {
		return err
	}
	if _, ok := errors.AsType[*store.Error](err); ok {
		return err
	}
	return &store.Error{Op: op, Key: key, Outcome: outcome(err), Cause: err}
}

func invalid(op, key string, cause error) error {
	return wrap(op, key, &misuse{cause})
}
