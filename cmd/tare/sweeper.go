// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"time"

	"tare/internal/clock"
	"tare/internal/refcount"
)

// sweeper takes care that one thing at a time happens in this process to what is due: a sweep, or a backup, during
// which no object may go.
type sweeper struct {
	ledger  *refcount.Ledger
	clock   clock.Clock
	log     *slog.Logger
	observe func(refcount.Report, time.Duration, error) // nil: nobody
	turn    chan struct{}                               // holds one value, which whoever is at work has
}

func newSweeper(ledger *refcount.Ledger, c clock.Clock, log *slog.Logger, observe func(refcount.Report, time.Duration, error)) *sweeper {
	s := &sweeper{ledger: ledger, clock: c, log: log, observe: observe, turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	return s
}

// hold keeps all sweeps away until release is called.
func (s *sweeper) hold(ctx context.Context) (release func(), err error) {
	select {
	case <-s.turn:
		return func() { s.turn <- struct{}{} }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// sweepBatch is how many due rows are looked at before the others get a word.
const sweepBatch = 1000

// sweep sweeps until nothing is due, and tells after each batch what was done so far.
func (s *sweeper) sweep(ctx context.Context, giveUp bool, tell func(refcount.Report) error) (refcount.Report, error) {
	var total refcount.Report
	for {
		batch, err := s.batch(ctx, giveUp)
		total = plus(total, batch)
		// A batch that did nothing met rows that cannot be handled, and the next one would meet them again.
		if err != nil || !batch.Left || work(batch) == 0 {
			return total, err
		}
		if err := tell(total); err != nil {
			return total, err
		}
	}
}

func (s *sweeper) batch(ctx context.Context, giveUp bool) (refcount.Report, error) {
	release, err := s.hold(ctx)
	if err != nil {
		return refcount.Report{Left: true}, err
	}
	defer release()
	begun := s.clock.Now()
	report, err := s.ledger.Sweep(ctx, refcount.SweepOptions{Limit: sweepBatch, GiveUpMargins: giveUp})
	if s.observe != nil {
		s.observe(report, s.clock.Now().Sub(begun), err)
	}
	return report, err
}

// run sweeps at once and then at every interval, until the context ends.
func (s *sweeper) run(ctx context.Context, interval time.Duration) {
	if err := s.ledger.ApplyUntagged(ctx); err != nil && ctx.Err() == nil {
		s.log.Error("The rule for untagged manifests could not be applied to those that were there before it.", "error", err)
	}
	for ctx.Err() == nil {
		report, err := s.sweep(ctx, false, func(refcount.Report) error { return nil })
		s.tell(ctx, report, err)
		if s.clock.Pause(ctx, interval) != nil {
			return
		}
	}
}

func (s *sweeper) tell(ctx context.Context, r refcount.Report, err error) {
	if err != nil && ctx.Err() == nil {
		s.log.Error("A sweep ended early.", "error", err)
	}
	for _, failure := range r.Errors {
		s.log.Error("The sweep could not handle a row.", "error", failure)
	}
	if work(r) > 0 {
		s.log.Info("Swept.", "links", r.Links, "blobs", r.Blobs, "objects", r.Objects, "bytes", r.Bytes, "uploads", r.Sessions,
			"manifests", r.Manifests, "tags", r.Tags, "repositories", r.Repositories, "failed", r.Failed)
	}
}

// work counts what a sweep changed.
func work(r refcount.Report) int {
	return r.Links + r.Blobs + r.Objects + r.Sessions + r.Manifests + r.Tags + r.Repositories
}

// plus adds up two sweeps, of which b was the later one.
func plus(a, b refcount.Report) refcount.Report {
	return refcount.Report{
		Looked:       a.Looked + b.Looked,
		Links:        a.Links + b.Links,
		Blobs:        a.Blobs + b.Blobs,
		Objects:      a.Objects + b.Objects,
		Bytes:        a.Bytes + b.Bytes,
		Sessions:     a.Sessions + b.Sessions,
		Manifests:    a.Manifests + b.Manifests,
		Tags:         a.Tags + b.Tags,
		Repositories: a.Repositories + b.Repositories,
		Left:         b.Left,
		Failed:       b.Failed,
		Errors:       b.Errors,
	}
}
