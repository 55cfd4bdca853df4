// SPDX-License-Identifier: Apache-2.0

package store_test

import (
	"errors"
	"fmt"
	"io"
	"testing"

	"tare/internal/store"
)

func TestBusyOutcomesAreUnavailable(t *testing.T) {
	for _, err := range []error{store.ErrContended, store.ErrFull, store.ErrExpired} {
		if !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%v is no ErrUnavailable", err)
		}
	}
	if errors.Is(store.ErrUnavailable, store.ErrContended) || errors.Is(store.ErrUnknownOutcome, store.ErrUnavailable) {
		t.Error("an outcome is taken for a narrower one")
	}
}

func TestError(t *testing.T) {
	plain := &store.Error{Op: "stat", Key: "a/b", Outcome: store.ErrNotFound}
	caused := fmt.Errorf("outer: %w", &store.Error{Op: "put", Key: "k", Outcome: store.ErrInvalid, Cause: io.ErrUnexpectedEOF})
	if got, want := plain.Error(), "store: stat a/b: not found"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := caused.Error(), "outer: store: put k: invalid: unexpected EOF"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, c := range []struct {
		err, target error
		want        bool
	}{
		{plain, store.ErrNotFound, true}, {plain, store.ErrInvalid, false}, {plain, io.ErrUnexpectedEOF, false},
		{caused, store.ErrInvalid, true}, {caused, io.ErrUnexpectedEOF, true}, {caused, store.ErrNotFound, false},
	} {
		if errors.Is(c.err, c.target) != c.want {
			t.Errorf("%v is %v: want %v", c.err, c.target, c.want)
		}
	}
}

func TestConflict(t *testing.T) {
	c := &store.Conflict{Failed: []store.Failure{{Op: 0}, {Op: 3, Row: store.Row{}}}}
	err := fmt.Errorf("outer: %w", c)
	if !errors.Is(err, store.ErrConflict) || errors.Is(err, store.ErrInvalid) {
		t.Errorf("%v is no conflict, or something else", err)
	}
	if got, want := c.Error(), "store: commit: refused by operation 0, 3"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for op, want := range []bool{true, false, false, true, false} {
		if c.Refused(op) != want {
			t.Errorf("operation %d refused: %v", op, !want)
		}
	}
}
