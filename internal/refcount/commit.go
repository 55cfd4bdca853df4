// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"tare/internal/store"
)

// txn collects the operations of one transaction.
type txn struct {
	ops []store.Op
}

func (t *txn) add(op store.Op) int {
	t.ops = append(t.ops, op)
	return len(t.ops) - 1
}

// put, update, remove and check append an operation and return its index, by which a refusal names it; whether a removal
// is refused nobody asks.

func (t *txn) put(k store.Key, r store.Row, conds ...store.Cond) int {
	return t.add(store.Op{Key: k, Kind: store.OpPut, Row: r, If: conds})
}

func (t *txn) update(k store.Key, c change, conds ...store.Cond) int {
	return t.add(store.Op{Key: k, Kind: store.OpUpdate, Set: c.set, Add: c.add, Remove: c.remove, If: conds})
}

func (t *txn) remove(k store.Key, conds ...store.Cond) {
	t.add(store.Op{Key: k, Kind: store.OpDelete, If: conds})
}

func (t *txn) check(k store.Key, conds ...store.Cond) int {
	return t.add(store.Op{Key: k, Kind: store.OpCheck, If: conds})
}

// change is what an update does.
type change struct {
	set, add []store.Attr
	remove   []string
}

// errAgain tells an operation to go back to its first read: what it read is no longer so, or its clock reading is too
// old.
var errAgain = errors.New("read again")

// maxTries bounds how often an operation reads again, and how often one transaction is sent. A loser of a race reads
// again at once; only contention waits.
const maxTries = 64

// retry runs an attempt until it ends otherwise than with errAgain. Each attempt reads the clock and the rows anew.
func (l *Ledger) retry(ctx context.Context, attempt func(now time.Time) error) error {
	for try := range maxTries {
		if try > 1 {
			if err := l.pause(ctx, try); err != nil {
				return err
			}
		}
		err := attempt(l.clock.Now())
		if !errors.Is(err, errAgain) {
			return err
		}
	}
	return &store.Error{Op: "commit", Outcome: store.ErrContended, Cause: errors.New("too many others at the same rows")}
}

// pause waits a random time that grows with the tries, at most 256 ms.
func (l *Ledger) pause(ctx context.Context, try int) error {
	most := time.Millisecond << min(try, 8)
	return l.clock.Pause(ctx, rand.N(most))
}

// commit applies a transaction that relies on the clock reading now. It answers nil, a *store.Conflict, errAgain when
// the reading grew too old before anything happened, or an error of the store.
//
// After an unknown outcome the same operations go again under the same token, so that at most one of them takes
// effect (C8), until the outcome is known: by tx.Before at the latest it is, for then a transaction that was not
// applied never will be. That a refusal makes it known is A9; a table for which that does not hold is Distant, and then a
// refusal, and a moment that is too late, say nothing of the sending that is still unknown.
func (l *Ledger) commit(ctx context.Context, now time.Time, t *txn) error {
	tx := store.Tx{Ops: t.ops, Token: l.cfg.NewToken(), Before: now.Add(l.cfg.Margins.MaxStep)}
	var err, unknown error
	for try := range maxTries {
		if try > 0 {
			if perr := l.pause(ctx, try); perr != nil {
				return errors.Join(perr, err, unknown)
			}
		}
		err = l.table.Commit(ctx, tx)
		switch {
		case errors.Is(err, store.ErrUnknownOutcome):
			unknown = err
		case mayGoAgain(err):
		case err != nil && unknown != nil && l.cfg.Distant:
			return unknown
		case errors.Is(err, store.ErrExpired):
			return errAgain
		default:
			return err
		}
	}
	if unknown != nil {
		return unknown // what was sent first may have been applied, whatever became of the last
	}
	return err
}

// mayGoAgain tells whether nothing has come of a commit and the same may be sent again.
func mayGoAgain(err error) bool {
	return errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrFull) && !errors.Is(err, store.ErrExpired)
}

// apply commits and turns any refusal into errAgain, for operations to which a refusal says nothing else.
func (l *Ledger) apply(ctx context.Context, now time.Time, t *txn) error {
	err := l.commit(ctx, now, t)
	if errors.Is(err, store.ErrConflict) {
		return errAgain
	}
	return err
}

// refused returns the conflict in err, or nil.
func refused(err error) *store.Conflict {
	var c *store.Conflict
	if errors.As(err, &c) {
		return c
	}
	return nil
}
