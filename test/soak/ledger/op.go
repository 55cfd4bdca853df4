// SPDX-License-Identifier: Apache-2.0

package ledger

import "time"

// op is a request from its beginning to its answer.
type op struct {
	start   time.Duration
	effects []effect
}

// effect is what a request may do to a register.
type effect struct {
	register *register
	event    *event
	doubtful bool     // not even an answer makes sure that it happened
	cascade  *cascade // set if it is one
}

// begin notes that a request is about to be sent.
func (l *Ledger) begin() *op {
	o := &op{start: l.now()}
	l.inFlight[o] = true
	return o
}

// may notes that a request may set a register.
func (o *op) may(r *register, value string) *event {
	e := &event{value: value, start: o.start, end: open}
	r.add(e)
	o.effects = append(o.effects, effect{register: r, event: e})
	return e
}

// share notes that an event may change another register, too.
func (o *op) share(r *register, e *event) {
	r.add(e)
	o.effects = append(o.effects, effect{register: r, event: e})
}

// perhaps notes that a request may set a register even if it succeeds without doing so.
func (o *op) perhaps(r *register, value string) {
	o.may(r, value)
	o.effects[len(o.effects)-1].doubtful = true
}

// outcome is what became of a request.
type outcome int

const (
	acknowledged outcome = iota
	refused              // nothing happened
	lost                 // nobody knows
)

// finish notes the outcome of a request.
func (l *Ledger) finish(o *op, was outcome) {
	now := l.now()
	delete(l.inFlight, o)
	if l.frozen && len(o.effects) > 0 {
		was = lost
	}
	for _, e := range o.effects {
		switch {
		case was == refused:
			e.register.drop(e.event)
		case e.cascade != nil: // when it takes place is the sweep's affair
			if was == acknowledged {
				e.cascade.decided = now
			}
		case was == lost:
			l.unknown = append(l.unknown, e.event)
		default:
			e.event.end = now
			e.event.sure = !e.doubtful
		}
	}
	if len(o.effects) > 0 {
		l.count(was)
		horizon := l.horizon()
		for _, e := range o.effects {
			e.register.tidy(horizon)
		}
	}
}

func (l *Ledger) count(was outcome) {
	switch was {
	case acknowledged:
		l.counts.Acknowledged++
	case refused:
		l.counts.Refused++
	case lost:
		l.counts.Unknown++
	}
}

// horizon is when the oldest request in flight began.
func (l *Ledger) horizon() time.Duration {
	horizon := l.now()
	for o := range l.inFlight {
		horizon = min(horizon, o.start)
	}
	return horizon
}

// many events make a register worth pruning.
const many = 16

func (r *register) tidy(horizon time.Duration) {
	if len(r.events) > many {
		r.prune(horizon)
	}
}

// read judges what a request found in a register, and remembers it as a fact.
func (l *Ledger) read(o *op, r *register, value string, format string, args ...any) {
	if l.frozen {
		return
	}
	seen := &event{value: value, start: o.start, end: l.now(), sure: true}
	if !r.allows(value, seen.start, seen.end) {
		l.lose(format+": found %v after %v", append(args, seen, r)...)
	}
	r.add(seen)
	r.tidy(l.horizon())
}
