// SPDX-License-Identifier: Apache-2.0

// Package events plays the way of a bucket's events to a function: S3 tells EventBridge, a rule picks, and Lambda is
// invoked asynchronously. Events come late, twice, and in any order, by a seed. Sources: S3 User Guide, "Using
// EventBridge" and "EventBridge event message structure" ("delivered at least once", "typically … in seconds but can
// sometimes take a minute or longer", no order); read in November 2026.
package events

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Weather is how badly the bus behaves.
type Weather struct {
	Seed      uint64
	Delay     time.Duration // an event is late by up to this
	Duplicate float64       // the chance that one comes twice, at another time
	Lose      float64       // the chance that one never comes. AWS loses none; what only the sweep repairs shows with it
}

// Bus leads events to functions by rules. Its methods may be called at once.
type Bus struct {
	weather Weather
	rules   []rule
	ctx     context.Context
	stop    context.CancelFunc
	flights sync.WaitGroup

	mu      sync.Mutex
	random  *rand.Rand
	pending int
	counts  Counts
	closed  bool
}

// Counts are what the bus has done so far.
type Counts struct {
	Told      int // events that were told to the bus
	Picked    int // by a rule
	Delivered int // to a function, duplicates included
	Lost      int
}

type rule struct {
	pattern *Pattern
	deliver func(event []byte) error
}

// NewBus returns a bus without rules.
func NewBus(w Weather) *Bus {
	b := &Bus{weather: w, random: rand.New(rand.NewPCG(w.Seed, 0))}
	b.ctx, b.stop = context.WithCancel(context.Background())
	return b
}

// Rule adds a rule: events that match go to deliver, which hands them over and does not wait for what becomes of them.
// All rules are added before the first event.
func (b *Bus) Rule(pattern *Pattern, deliver func(event []byte) error) {
	b.rules = append(b.rules, rule{pattern, deliver})
}

// Tell takes an event and returns at once.
func (b *Bus) Tell(event []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return
	}
	b.counts.Told++
	for _, r := range b.rules {
		if !r.pattern.Match(event) {
			continue
		}
		b.counts.Picked++
		if b.random.Float64() < b.weather.Lose {
			b.counts.Lost++
			continue
		}
		b.fly(r, event)
		if b.random.Float64() < b.weather.Duplicate {
			b.fly(r, event)
		}
	}
}

// fly delivers a copy of an event some time later; the lock is held.
func (b *Bus) fly(r rule, event []byte) {
	var delay time.Duration
	if b.weather.Delay > 0 {
		delay = time.Duration(b.random.Int64N(int64(b.weather.Delay)))
	}
	b.pending++
	b.flights.Go(func() {
		late := time.NewTimer(delay)
		defer late.Stop()
		var err error
		select {
		case <-late.C:
			err = r.deliver(event)
		case <-b.ctx.Done():
			err = b.ctx.Err()
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.pending--
		if err == nil {
			b.counts.Delivered++
		}
	})
}

// Pending is how many events are on their way.
func (b *Bus) Pending() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.pending
}

// Counts returns what the bus has done so far.
func (b *Bus) Counts() Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counts
}

func (c Counts) String() string {
	return fmt.Sprintf("%d events told, %d picked, %d delivered, %d lost", c.Told, c.Picked, c.Delivered, c.Lost)
}

// Close drops what is on its way.
func (b *Bus) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.stop()
	b.flights.Wait()
}
