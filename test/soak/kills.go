// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"strings"
	"time"
)

const (
	sample  = 30 // manifests read after each restart
	checked = 5  // deaths between two comparisons of everything with everything
)

// kill kills the process at random moments of its life, also before it serves.
func (s *soak) kill(ctx context.Context) (err error) {
	r, err := s.newRig("kills", "", nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Kill()) }()
	for n := range s.kills {
		switch r.random.IntN(8) {
		case 0:
			if err := s.killAtStart(ctx, r); err != nil {
				return err
			}
		case 1:
			if n > 0 { // there is a folder
				s.killAtWork(ctx, r)
			}
		}
		if err := r.up(ctx); err != nil {
			return err
		}
		if err := r.verify(ctx, sample); err != nil {
			return err
		}
		err := r.during(ctx, func() error {
			if err := sleep(ctx, r.between(50*time.Millisecond, 3*time.Second)); err != nil {
				return err
			}
			return r.Kill()
		})
		if err != nil {
			return err
		}
		r.ledger.Dead()
		s.sums.kills++
		if n%checked == checked-1 {
			r.fsck(ctx)
			if err := r.judge(); err != nil {
				return err
			}
			s.log.Info("Killed.", "kills", s.sums.kills, "live", r.ledger.Live(), "losses", r.ledger.Counts().Losses)
		}
	}
	return errors.Join(r.end(ctx), r.wantQuietLog())
}

// killAtStart kills the process again and again while it starts.
func (s *soak) killAtStart(ctx context.Context, r *rig) error {
	for range 1 + r.random.IntN(4) {
		if err := errors.Join(r.Start(), sleep(ctx, r.between(time.Millisecond, 60*time.Millisecond)), r.Kill()); err != nil {
			return err
		}
		s.sums.kills++
	}
	return nil
}

// killAtWork kills a command that works on the folder while no server does, unless it has come to its end by then.
func (s *soak) killAtWork(ctx context.Context, r *rig) {
	command := []string{"gc", "compact", "backup -"}[r.random.IntN(3)]
	ctx, cancel := context.WithTimeout(ctx, r.between(time.Millisecond, 100*time.Millisecond))
	defer cancel()
	_, err := r.Command(ctx, strings.Fields(command)...)
	switch {
	case err != nil && ctx.Err() == nil:
		r.ledger.Lose("%v", err)
	case err != nil:
		s.sums.kills++
	}
}

// end starts the registry a last time, reads everything, deletes everything, and judges.
func (r *rig) end(ctx context.Context) error {
	if err := r.up(ctx); err != nil {
		return err
	}
	if err := r.verify(ctx, everything); err != nil {
		return err
	}
	r.fsck(ctx)
	if err := r.judge(); err != nil {
		return err
	}
	if err := r.empty(ctx); err != nil {
		return err
	}
	r.fsck(ctx)
	return r.judge()
}
