// SPDX-License-Identifier: Apache-2.0

// Package clock is the only room that asks what time it is. Every other room is handed a [Clock], so that a test
// can hold time still and move it by hand.
package clock

import (
	"context"
	"sync"
	"time"
)

// Clock tells the wall-clock time. Implementations are safe for concurrent use.
//
// Readings carry no monotonic part: a frozen process (a suspended laptop, a Lambda between two calls) must see that
// time has passed, and Go's monotonic clock stands still meanwhile.
type Clock interface {
	Now() time.Time

	// Pause waits for d, or until ctx ends, whose error it returns. On a [Manual] clock it does not wait: a test's time
	// moves only by the test.
	Pause(ctx context.Context, d time.Duration) error
}

// System is the machine's wall clock.
type System struct{}

// Now returns the present time in UTC without its monotonic part.
func (System) Now() time.Time { return time.Now().Round(0).UTC() }

// Pause waits for d or until ctx ends.
func (System) Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Manual is a clock that moves only when told to. The zero value is not ready; use [NewManual].
type Manual struct {
	mu  sync.Mutex // guards now
	now time.Time
}

// NewManual returns a clock that stands at t.
func NewManual(t time.Time) *Manual { return &Manual{now: t.Round(0).UTC()} }

// Now returns the moment at which the clock stands.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.now
}

// Pause returns at once, with the context's error if it has one.
func (m *Manual) Pause(ctx context.Context, _ time.Duration) error { return ctx.Err() }

// Advance moves the clock by d, which may be negative: a wall clock can be set back.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
}
