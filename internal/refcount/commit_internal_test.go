// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"errors"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/store"
)

// answers is a table whose commits are answered as a script says.
type answers struct {
	store.Table
	left   []error
	tokens map[string]bool
}

func (a *answers) Commit(_ context.Context, tx store.Tx) error {
	a.tokens[tx.Token] = true
	err := a.left[0]
	a.left = a.left[1:]
	return err
}

func TestWhatSettlesAnUnknownOutcome(t *testing.T) {
	answer := func(outcome error) error { return &store.Error{Op: "commit", Outcome: outcome} }
	lost, busy, late := answer(store.ErrUnknownOutcome), answer(store.ErrContended), answer(store.ErrExpired)
	invalid, refusal := answer(store.ErrInvalid), &store.Conflict{}
	for name, c := range map[string]struct {
		answers       []error
		near, distant error // nil: success
	}{
		"success":                   {[]error{lost, busy, nil}, nil, nil},
		"a refusal":                 {[]error{lost, refusal}, store.ErrConflict, store.ErrUnknownOutcome},
		"a refusal after others":    {[]error{busy, lost, busy, lost, refusal}, store.ErrConflict, store.ErrUnknownOutcome},
		"too late":                  {[]error{lost, late}, errAgain, store.ErrUnknownOutcome},
		"invalid":                   {[]error{lost, invalid}, store.ErrInvalid, store.ErrUnknownOutcome},
		"the context's end":         {[]error{lost, context.Canceled}, context.Canceled, store.ErrUnknownOutcome},
		"a refusal of what is sure": {[]error{busy, refusal}, store.ErrConflict, store.ErrConflict},
		"too late and sure":         {[]error{busy, late}, errAgain, errAgain},
	} {
		for _, distant := range []bool{false, true} {
			table := &answers{left: c.answers, tokens: map[string]bool{}}
			l, err := New(Stores{Table: table}, clock.NewManual(time.Unix(0, 0)), Config{Margins: DefaultMargins(), Distant: distant})
			if err != nil {
				t.Fatal(err)
			}
			want := c.near
			if distant {
				want = c.distant
			}
			got := l.commit(t.Context(), l.clock.Now(), &txn{})
			if !errors.Is(got, want) || len(table.left) > 0 || len(table.tokens) != 1 {
				t.Errorf("%s, distant %v: got %v, want %v; %d answers left, %d tokens", name, distant, got, want, len(table.left), len(table.tokens))
			}
			if errors.Is(want, store.ErrUnknownOutcome) && refused(got) != nil {
				t.Errorf("%s, distant %v: an unknown outcome that names a refusal", name, distant)
			}
		}
	}
}
