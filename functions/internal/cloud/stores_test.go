// SPDX-License-Identifier: Apache-2.0

package cloud_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"tare/functions/internal/cloud"
	"tare/internal/clock"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/memstore"
)

// forgetful is a table that does not answer the first commit, and refuses the next as if another had been quicker.
type forgetful struct {
	store.Table
	commits int
}

func (f *forgetful) Commit(context.Context, store.Tx) error {
	if f.commits++; f.commits == 1 {
		return &store.Error{Op: "commit", Outcome: store.ErrUnknownOutcome}
	}
	return &store.Conflict{Failed: []store.Failure{{Op: 0}}}
}

// The table of a function is behind a network: what a refusal says of a transaction that was sent before, and not answered,
// is nothing (docs/decisions/0023).
func TestTheTableIsDistant(t *testing.T) {
	c := clock.NewManual(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
	s := memstore.New(c, memstore.Options{})
	ledger, err := cloud.Ledger(cloud.Stores{Table: &forgetful{Table: s}, Objects: s, Parts: s}, c, 0)
	if err != nil {
		t.Fatal(err)
	}
	err = ledger.PutCredential(t.Context(), refcount.Credential{Name: "ci", Rights: "push"}, false)
	if !errors.Is(err, store.ErrUnknownOutcome) || errors.Is(err, store.ErrConflict) {
		t.Errorf("got %v, want an unknown outcome", err)
	}
}
