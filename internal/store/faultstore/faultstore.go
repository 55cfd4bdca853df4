// SPDX-License-Identifier: Apache-2.0

// Package faultstore stands between a process under test and its stores. It records every call and, by a [Plan], lets
// calls fail in all the ways in which a store can fail: the process dies before, after or in the middle of one, the
// answer is lost, the call is, the store is busy, the index is stale.
//
// A [Process] is one life. When it has died every later call answers [ErrDead] and touches nothing. To restart, make
// another Process over the same stores, as a new process would open them again.
package faultstore

import (
	"errors"
	"slices"
	"sync"

	"tare/internal/store"
)

// ErrDead is what a dead process gets from every call. It is none of the errors of package store, so that no code under
// test takes it for one that it can handle.
var ErrDead = errors.New("faultstore: the process is dead")

// Options say what a [Process] does with the calls that pass through it. The zero value lets them pass.
type Options struct {
	// Plan decides about each call; nil lets all of them pass.
	Plan Plan

	// Done is told of every call that was let in, with the error that the process gets, just before it gets it. With a
	// Plan that blocks it makes a scheduler: one call in at a time.
	Done func(Call, error)

	// Index is the memory that [IndexGhosts] shows. Processes over one table share one; nil is one of its own.
	Index *Index
}

// Process is one life of a process, from its start to its death. It is safe for concurrent use.
type Process struct {
	opts Options

	mu    sync.Mutex // guards what follows
	dead  bool
	calls int
	trace []*Step
	late  []func() error
}

// New returns a living process. Its wrappers share one count of calls, one plan and one trace.
func New(opts Options) *Process {
	if opts.Plan == nil {
		opts.Plan = func(Call) Action { return Pass }
	}
	if opts.Done == nil {
		opts.Done = func(Call, error) {}
	}
	if opts.Index == nil {
		opts.Index = NewIndex()
	}
	return &Process{opts: opts}
}

// Table wraps a table. The wrapper is a [store.Scanner] when the table is one.
func (p *Process) Table(t store.Table) store.Table {
	w := &table{p: p, table: t}
	if s, ok := t.(store.Scanner); ok {
		return &scanningTable{table: w, scanner: s}
	}
	return w
}

// Objects wraps objects. What Open gives is not wrapped.
func (p *Process) Objects(o store.Objects) store.Objects { return &objects{p: p, objects: o} }

// Multipart wraps the multipart role.
func (p *Process) Multipart(m store.Multipart) store.Multipart { return &multipart{p: p, multipart: m} }

// Dead tells whether the process has died.
func (p *Process) Dead() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.dead
}

// Calls is the number of calls so far. Those that a dead process makes do not count.
func (p *Process) Calls() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls
}

// Trace returns the calls that were let in so far, in the order in which they were.
func (p *Process) Trace() Trace {
	p.mu.Lock()
	defer p.mu.Unlock()
	t := make(Trace, len(p.trace))
	for i, s := range p.trace {
		t[i] = *s
	}
	return t
}

// Land lets the oldest call happen that the plan made [Late], whether the process is alive or not, and returns what the
// store says to it, which nobody is told. It answers false when there is none.
func (p *Process) Land() (landed bool, err error) {
	p.mu.Lock()
	if len(p.late) == 0 {
		p.mu.Unlock()
		return false, nil
	}
	call := p.late[0]
	p.late = slices.Delete(p.late, 0, 1)
	p.mu.Unlock()
	return true, call()
}

// admit counts a call, asks the plan about it and records it.
func (p *Process) admit(c Call) (*Step, error) {
	p.mu.Lock()
	if p.dead {
		p.mu.Unlock()
		return nil, ErrDead
	}
	p.calls++
	c.N = p.calls
	p.mu.Unlock()

	action := p.opts.Plan(c)

	p.mu.Lock()
	defer p.mu.Unlock()
	if p.dead {
		return nil, ErrDead
	}
	s := &Step{Call: c, Action: action}
	p.trace = append(p.trace, s)
	return s, nil
}

func (p *Process) die() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.dead = true
}

// answer is the error that the process gets: ErrDead when it has died meanwhile.
func (p *Process) answer(s *Step, err error) error {
	p.mu.Lock()
	if p.dead {
		err = ErrDead
	}
	s.Err = err
	p.mu.Unlock()
	p.opts.Done(s.Call, err)
	return err
}

func (p *Process) putOff(call func() error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.late = append(p.late, call)
}
