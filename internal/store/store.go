// SPDX-License-Identifier: Apache-2.0

// Package store holds two doors to durable state and their contract: [Table], small rows with conditional
// transactions, and [Objects], bytes under a key. They are shaped like DynamoDB and S3 and no wider, and every
// implementation enforces the limits of those two, so that what runs in memory runs on AWS.
//
// Smaller roles stand beside them: [Multipart] for objects that arrive in parts, [Scanner] for whole-table walks.
// The package knows no digests, tags or manifests: a key is a key. It assumes that strong reads see every commit
// that was acknowledged before they began (A1, A3), and promises nothing about the index but that a due row
// shows up in the end (A2). Package storetest checks this contract, and each implementation runs it.
package store

import (
	"errors"
	"fmt"
	"strings"
)

// The outcomes of a store call. Each error that a store returns, other than the context's own, is one of these to
// [errors.Is].
var (
	// ErrNotFound: the object or the multipart upload is not there. An absent row is no error.
	ErrNotFound = errors.New("not found")
	// ErrConflict: a condition did not hold and nothing happened. The error is a [*Conflict].
	ErrConflict = errors.New("conflict")
	// ErrInvalid: the call breaks a limit or a rule of the contract, and nothing happened.
	ErrInvalid = errors.New("invalid")
	// ErrUnavailable: nothing happened; the same call may succeed later.
	ErrUnavailable = errors.New("unavailable")
	// ErrContended: another transaction was at one of the rows. Nothing happened. It is an [ErrUnavailable], too.
	ErrContended = fmt.Errorf("%w: contended", ErrUnavailable)
	// ErrRefused: the store does not want this call, perhaps because of this one key. Nothing happened, and it says nothing about
	// what is at the key. It is an [ErrUnavailable], too.
	ErrRefused = fmt.Errorf("%w: refused", ErrUnavailable)
	// ErrUnknownOutcome: the call may or may not have happened, or may still happen until its deadline.
	ErrUnknownOutcome = errors.New("unknown outcome")
	// ErrFull: there is no room for more bytes; nothing happened. It is an [ErrUnavailable], too.
	ErrFull = fmt.Errorf("%w: no space left", ErrUnavailable)
	// ErrExpired: the transaction reached the committer after its Before, and nothing happened.
	ErrExpired = fmt.Errorf("%w: too late to apply", ErrUnavailable)
	// ErrCorrupt: what was read is not what was written.
	ErrCorrupt = errors.New("corrupt")
)

// Error says which call on which key failed, and why. [errors.Is] finds the outcome and the cause.
type Error struct {
	Op      string // "get", "commit", "put", …
	Key     string
	Outcome error // one of the sentinels
	Cause   error // nil, or what the engine said
}

func (e *Error) Error() string {
	s := "store: " + e.Op + " " + e.Key + ": " + e.Outcome.Error()
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap gives both the outcome and the cause to [errors.Is].
func (e *Error) Unwrap() []error {
	if e.Cause == nil {
		return []error{e.Outcome}
	}
	return []error{e.Outcome, e.Cause}
}

// DamagedRow is the error of a page that would begin with a row that is there and is not what was written. It is an
// [ErrCorrupt]. Who walks over rows can go on after Key.
type DamagedRow struct {
	Key   Key
	Cause error
}

func (d *DamagedRow) Error() string { return "store: row " + d.Key.String() + ": " + d.Cause.Error() }

// Unwrap gives the outcome and the cause to [errors.Is].
func (d *DamagedRow) Unwrap() []error { return []error{ErrCorrupt, d.Cause} }

// Conflict is the error of a commit that was refused. Nothing happened.
type Conflict struct {
	// Failed names every operation whose conditions did not hold, in the order of the transaction.
	Failed []Failure
}

// Failure is one operation that was refused.
type Failure struct {
	Op  int // index into Tx.Ops
	Row Row // the row as it was found; nil where there was none
}

func (c *Conflict) Error() string {
	var b strings.Builder
	b.WriteString("store: commit: refused by operation")
	for i, f := range c.Failed {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, " %d", f.Op)
	}
	return b.String()
}

// Is makes a Conflict match [ErrConflict].
func (c *Conflict) Is(target error) bool { return target == ErrConflict }

// Refused tells whether operation op is among those that failed.
func (c *Conflict) Refused(op int) bool {
	for _, f := range c.Failed {
		if f.Op == op {
			return true
		}
	}
	return false
}
