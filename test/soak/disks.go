// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"time"

	"tare/test/soak/disk"
)

// on makes a rig whose data folder is on a disk. The result ends and unmounts both.
func (s *soak) on(name string, d *disk.Disk, more map[string]string) (*rig, func() error, error) {
	r, err := s.newRig(name, filepath.Join(d.Root, "data"), more)
	if err != nil {
		return nil, nil, errors.Join(err, d.Close())
	}
	return r, func() error { return errors.Join(r.Kill(), d.Close()) }, nil
}

// cut cuts the power at random moments. What is answered after the cut does not count.
func (s *soak) cut(ctx context.Context) (err error) {
	d, err := disk.New(filepath.Join(s.dir, "power"), 2<<30)
	if err != nil {
		return err
	}
	r, end, err := s.on("cuts", d, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	err = s.cutOften(ctx, r, d, func() {
		s.sums.cuts++
		r.fsck(ctx)
		s.log.Info("Cut.", "cuts", s.sums.cuts, "live", r.ledger.Live(), "losses", r.ledger.Counts().Losses)
	})
	if err != nil {
		return err
	}
	return r.end(ctx)
}

// cutOften cuts the power of a registry's disk again and again, and mounts it each time.
func (s *soak) cutOften(ctx context.Context, r *rig, d *disk.Disk, mounted func()) error {
	for range s.cuts {
		if err := r.up(ctx); err != nil {
			return err
		}
		if err := r.verify(ctx, sample); err != nil {
			return err
		}
		err := r.during(ctx, func() error {
			if err := sleep(ctx, r.between(200*time.Millisecond, 4*time.Second)); err != nil {
				return err
			}
			r.ledger.Freeze()
			return errors.Join(d.Cut(), r.Kill())
		})
		if err != nil {
			return err
		}
		r.ledger.Dead()
		if err := errors.Join(d.Unmount(), d.Mount()); err != nil {
			return err
		}
		mounted()
	}
	return nil
}

// fill fills the disk while clients push, and empties it. The registry refuses what it has no room for, serves
// everything else, and goes on by itself when there is room; every other time it is killed while there is none, and started.
func (s *soak) fill(ctx context.Context) (err error) {
	d, err := disk.New(filepath.Join(s.dir, "small"), 256<<20)
	if err != nil {
		return err
	}
	// The reserve is what keeps the registry from ever meeting a full disk: here it is to meet it.
	r, end, err := s.on("full", d, map[string]string{"min-free": "0"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	r.load.Most = 100
	if err := r.up(ctx); err != nil {
		return err
	}
	for n := range s.fills {
		var empty func() error
		err := r.during(ctx, func() (err error) {
			empty, err = s.fillOnce(ctx, r, d, n%2 == 1)
			return err
		})
		if err != nil {
			return err
		}
		s.sums.fills++
		if !r.Alive() {
			r.ledger.Dead()
			if err := errors.Join(r.up(ctx), r.verify(ctx, sample), empty()); err != nil {
				return fmt.Errorf("starting on a full disk: %w", err)
			}
		}
		if err := r.verify(ctx, everything); err != nil {
			return err
		}
		s.log.Info("Filled.", "fills", s.sums.fills, "live", r.ledger.Live(), "losses", r.ledger.Counts().Losses)
	}
	for status, times := range r.ledger.Counts().Statuses {
		if strings.HasPrefix(status, http.MethodDelete) {
			r.ledger.Lose("on a full disk: %s, %d times", status, times)
		}
	}
	if err := r.Stop(ctx); err != nil {
		return err
	}
	return errors.Join(r.end(ctx), r.wantQuietLog())
}

// fillOnce fills the disk and, when it has seen what the registry does then, empties it and waits until a push succeeds; or
// kills the registry and leaves the emptying to the caller.
func (s *soak) fillOnce(ctx context.Context, r *rig, d *disk.Disk, die bool) (empty func() error, err error) {
	if err := sleep(ctx, r.between(500*time.Millisecond, 5*time.Second)); err != nil {
		return nil, err
	}
	if empty, err = d.Fill(); err != nil {
		return nil, err
	}
	before := r.ledger.Counts().Full()
	if err := sleep(ctx, 2*time.Second); err != nil {
		return nil, err
	}
	if err := r.verify(ctx, sample); err != nil {
		return nil, fmt.Errorf("reading from a full disk: %w", err)
	}
	if r.ledger.Counts().Full() == before {
		return nil, errors.New("a full disk refused nothing")
	}
	if die {
		s.sums.kills++
		return empty, r.Kill()
	}
	return empty, errors.Join(empty(), r.recovers(ctx))
}

// recovers waits until a push succeeds again.
func (r *rig) recovers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	before := r.load.Pushed()
	for r.load.Pushed() == before {
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return errors.New("there is room again, and no push succeeds")
		}
	}
	return nil
}

// fault has the disk lose what is written to it, and say so to who syncs: it stands on less than it promises. The
// registry ends with an error, and what it acknowledged is there when the disk is well again.
func (s *soak) fault(ctx context.Context) error {
	for n := range s.faults {
		if err := s.faultOnce(ctx, fmt.Sprint("fault", n)); err != nil {
			return err
		}
	}
	return nil
}

func (s *soak) faultOnce(ctx context.Context, name string) (err error) {
	d, err := disk.NewThin(filepath.Join(s.dir, name+"-disk"), 1<<30, 256<<20)
	if err != nil {
		return err
	}
	r, end, err := s.on(name, d, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	r.load.Most = 100
	if err := r.up(ctx); err != nil {
		return err
	}
	err = r.during(ctx, func() error { return r.starve(ctx, d) })
	if err != nil {
		return err
	}
	r.ledger.Dead()
	s.sums.faults++
	if err := errors.Join(d.Unmount(), d.Repair(), d.Mount()); err != nil {
		return err
	}
	r.fsck(ctx)
	s.log.Info("Failed.", "faults", s.sums.faults, "live", r.ledger.Live(), "losses", r.ledger.Counts().Losses)
	return r.end(ctx)
}

// starve takes the store from below a thin disk, waits until the registry ends, and gives it back.
func (r *rig) starve(ctx context.Context, d *disk.Disk) error {
	if err := sleep(ctx, r.between(200*time.Millisecond, 4*time.Second)); err != nil {
		return err
	}
	feed, err := d.Starve()
	if err != nil {
		return err
	}
	patient, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	status, err := r.Ended(patient)
	if err != nil {
		return fmt.Errorf("the disk failed: %w", err)
	}
	if status != 1 || !strings.Contains(r.Tail(), "cannot be trusted any more") {
		return fmt.Errorf("the disk failed, and the registry ended with status %d: %s", status, r.Tail())
	}
	return feed()
}
