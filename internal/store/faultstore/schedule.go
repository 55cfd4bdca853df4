// SPDX-License-Identifier: Apache-2.0

package faultstore

import "iter"

// Scheduler lets several parties take turns at their stores, so that one store call is made at a time, and which one is
// decided from outside. Whoever decides by a seeded generator has one schedule for each seed.
//
// Between two turns exactly one party runs: it is never left to the machine which of two goes on first, whatever it
// schedules beside them. The zero value is ready. A scheduler and its parties are used by one goroutine.
type Scheduler struct {
	parties []*Party
}

// Party is one of those who take turns: a function that runs until its next store call, and waits there to be let in.
type Party struct {
	call  Call
	let   Action // what happens to the call that it waits with
	ended bool

	resume  func() (Call, bool)
	dismiss func()
	yield   func(Call) bool
	gone    bool // dismissed: it is not asked any more
}

// Start adds a party and runs it up to its first call. The processes through which it reaches its stores have the party's
// Turn for their Plan. It makes its calls one after another: where two of one party overlap, Turn panics, since their
// order would be the machine's. A panic of run comes out of the call that let the party go on.
func (s *Scheduler) Start(run func(*Party)) *Party {
	p := &Party{}
	p.resume, p.dismiss = iter.Pull(func(yield func(Call) bool) {
		p.yield = yield
		run(p)
	})
	s.parties = append(s.parties, p)
	p.proceed()
	return p
}

// Waiting returns the parties that wait to be let in, in the order in which they were started. The slice is good until
// the next call of the scheduler.
func (s *Scheduler) Waiting() []*Party {
	n := 0
	for _, p := range s.parties {
		if !p.ended {
			s.parties[n] = p
			n++
		}
	}
	clear(s.parties[n:])
	s.parties = s.parties[:n]
	return s.parties
}

// Stop ends all parties that have not ended: the call that each waits with is [DieBefore], and so is every later one.
func (s *Scheduler) Stop() {
	for _, p := range s.parties {
		p.gone = true
		p.dismiss()
		p.ended = true
	}
}

// Call is the call that the party waits with.
func (p *Party) Call() Call { return p.call }

// Let lets the call in that the party waits with, has a happen to it, and runs the party up to its next call or its end.
func (p *Party) Let(a Action) {
	p.let = a
	p.proceed()
}

func (p *Party) proceed() {
	call, ok := p.resume()
	p.call, p.ended = call, !ok
}

// Gone tells the party that the scheduler was stopped, so that it does not begin another life.
func (p *Party) Gone() bool { return p.gone }

// Turn is the [Plan] of the party's processes: it holds the call back until it is let in.
func (p *Party) Turn(c Call) Action {
	if p.gone || !p.yield(c) {
		return DieBefore
	}
	return p.let
}
