// SPDX-License-Identifier: Apache-2.0

package faultstore

import (
	"errors"
	"io"

	"tare/internal/store"
)

// Action is what happens to a call. A read whose answer would be lost is not made, and where an action says
// ErrUnknownOutcome it answers ErrUnavailable: nothing can have happened.
type Action uint8

// The actions.
const (
	// Pass lets the call happen and answers what the store says.
	Pass Action = iota
	// DieBefore kills the process before the call: it does not happen.
	DieBefore
	// DieMidway kills the process while Put or Part is given its bytes: the first half is taken from the reader. A Put
	// does not happen, a Part may keep what came. For other calls it is DieBefore.
	DieMidway
	// DieAfter kills the process after the call: it happens, and nobody is told.
	DieAfter
	// Unavailable does not do the call and answers ErrUnavailable. No byte of a body is read.
	Unavailable
	// Contended does not do the call and answers ErrContended; on anything but a Commit it is Unavailable.
	Contended
	// Full does not do the call and answers ErrFull. No byte of a body is read.
	Full
	// LoseReply does the call and answers ErrUnknownOutcome.
	LoseReply
	// LoseCall does not do the call and answers ErrUnknownOutcome. A body is read to its end.
	LoseCall
	// Late answers ErrUnknownOutcome and keeps the call for [Process.Land]. For a read it is LoseCall.
	Late
	// IndexEmpty makes Due answer nothing, as if the index had not seen any commit. Other calls pass.
	IndexEmpty
	// IndexGhosts makes Due answer all that was ever in the index, as far as [Index] knows, beside what is there now.
	// Other calls pass.
	IndexGhosts
)

var actionNames = [...]string{
	Pass: "pass", DieBefore: "die before", DieMidway: "die midway", DieAfter: "die after",
	Unavailable: "unavailable", Contended: "contended", Full: "full",
	LoseReply: "lose reply", LoseCall: "lose call", Late: "late",
	IndexEmpty: "index empty", IndexGhosts: "index ghosts",
}

func (a Action) String() string { return actionNames[a] }

// Plan decides what happens to a call before it does. It may be called by many goroutines at once and may block, which
// holds the call back; other calls go on meanwhile.
type Plan func(Call) Action

// At is the plan in which one action happens, at the nth call of the process, counted from 1.
func At(n int, a Action) Plan { return Script(map[int]Action{n: a}) }

// Script is the plan in which actions happen at the calls with these numbers.
func Script(actions map[int]Action) Plan {
	return func(c Call) Action { return actions[c.N] }
}

// act asks the plan about a call, which do makes, and does what the plan says. What is special to one kind of call (the
// index) is left to do.
func act[T any](p *Process, c Call, b *body, do func(Action) (T, error)) (T, error) {
	var none T
	s, err := p.admit(c)
	if err != nil {
		return none, err
	}
	writes := c.Kind.Writes()
	lost := store.ErrUnavailable
	if writes {
		lost = store.ErrUnknownOutcome
	}
	switch s.Action {
	case DieBefore:
		p.die()
	case DieMidway:
		if b != nil {
			b.midway()
		}
		p.die()
	case DieAfter:
		if writes {
			_, _ = do(s.Action) // the process does not live to see the answer
		}
		p.die()
	case Unavailable:
		err = c.fail(store.ErrUnavailable)
	case Contended:
		err = c.fail(store.ErrUnavailable)
		if c.Kind == Commit {
			err = c.fail(store.ErrContended)
		}
	case Full:
		err = c.fail(store.ErrFull)
	case LoseReply:
		if writes {
			_, _ = do(s.Action) // the answer is what gets lost
		}
		err = c.fail(lost)
	case LoseCall:
		if b != nil {
			b.read()
		}
		err = c.fail(lost)
	case Late:
		switch {
		case b != nil:
			p.putOff(b.later())
		case writes:
			p.putOff(func() error { _, err := do(s.Action); return err })
		}
		err = c.fail(lost)
	default:
		got, err := do(s.Action)
		if err = p.answer(s, err); !errors.Is(err, ErrDead) {
			return got, err
		}
		if r, ok := any(got).(io.Closer); ok {
			_ = r.Close() // nobody is left to close what Open gave
		}
		return none, err
	}
	return none, p.answer(s, err)
}
