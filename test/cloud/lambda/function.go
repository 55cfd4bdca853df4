// SPDX-License-Identifier: Apache-2.0

package lambda

import (
	"fmt"
	"sync"
	"time"
)

// settleLimit is how long an event waits for a process that has answered the last one and has not yet asked for the next,
// before another is started. Ours: between the two lie microseconds, unless the function works on after its answer.
const settleLimit = 20 * time.Millisecond

// function is a function with its processes. Each handles one event at a time. dg lambda-concurrency: "your execution
// environment ... can process only one request at a time".
type function struct {
	Function
	service *Service

	mu       sync.Mutex
	idle     []*process // stopped, the latest last: it is taken first
	settling int        // have answered, and have not asked for the next event
	count    int        // all that have not ended
	started  int
	retired  int // how often the processes were retired
	closed   bool
	changed  chan struct{} // closed, and another, whenever the above changes
	all      map[*process]struct{}
}

func newFunction(s *Service, f Function) *function {
	return &function{Function: f, service: s, changed: make(chan struct{}), all: map[*process]struct{}{}}
}

// change wakes those who wait for a process; the lock is held.
func (f *function) change() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// invoke hands the event to a process and waits until it has answered, ended, or run out of time.
func (f *function) invoke(id string, event []byte) (result Result, err error) {
	p, cold, err := f.acquire()
	if err != nil {
		return Result{}, err
	}
	result.ID = id
	if observe := f.service.options.Observe; observe != nil {
		defer func() { observe(f.Name, result) }()
	}
	if cold {
		begin := time.Now()
		if fault := p.start(); fault != nil {
			result.Error, result.Payload = "Unhandled", fault.payload(id)
			p.end()
			return result, nil
		}
		result.Init = time.Since(begin)
	}
	p.handle(&result, event, f.Timeout)
	return result, nil
}

// acquire returns a process that waits for an event, or a place for one that has to be started, or ErrThrottled.
func (f *function) acquire() (p *process, cold bool, err error) {
	patience := time.NewTimer(settleLimit)
	defer patience.Stop()
	waited := false
	f.mu.Lock()
	defer f.mu.Unlock()
	for {
		if f.closed {
			return nil, false, fmt.Errorf("%w: %s is gone", ErrNotFound, f.Name)
		}
		if n := len(f.idle); n > 0 {
			p, f.idle = f.idle[n-1], f.idle[:n-1]
			p.idleSince = time.Time{}
			return p, false, nil
		}
		if f.settling == 0 || waited {
			break
		}
		changed := f.changed
		f.mu.Unlock()
		select {
		case <-changed:
		case <-patience.C:
			waited = true
		}
		f.mu.Lock()
	}
	if f.Concurrency > 0 && f.count >= f.Concurrency || !f.service.take() {
		return nil, false, ErrThrottled
	}
	f.count++
	f.started++
	p = newProcess(f, f.started)
	p.since = f.retired
	f.all[p] = struct{}{}
	return p, true, nil
}

// settle puts a process that has answered back among those that wait, once it asks for the next event; it has until the
// deadline of the last one for that. dg lambda-runtime-environment: the invoke phase ends when the runtime "signals that
// they are done by sending a Next API request", and the timeout holds for the whole phase.
func (f *function) settle(p *process, deadline time.Time) {
	f.mu.Lock()
	f.settling++
	f.mu.Unlock()
	go func() {
		late := time.NewTimer(time.Until(deadline))
		defer late.Stop()
		asked := false
		select {
		case <-p.asks:
			asked = true
		case <-late.C:
		case <-p.gone:
		}
		p.events++
		worn := f.service.options.Recycle > 0 && p.events >= f.service.options.Recycle
		f.mu.Lock()
		f.settling--
		keep := asked && !worn && !f.closed && p.since == f.retired
		if keep {
			p.idleSince = time.Now()
			f.idle = append(f.idle, p)
			time.AfterFunc(f.service.options.Idle, func() { f.reap(p) })
		}
		f.change()
		f.mu.Unlock()
		if !keep {
			p.end()
		}
	}()
}

// reap ends a process that has waited too long.
func (f *function) reap(p *process) {
	f.mu.Lock()
	old := !p.idleSince.IsZero() && time.Since(p.idleSince) >= f.service.options.Idle
	if old {
		f.forget(p)
	}
	f.mu.Unlock()
	if old {
		p.end()
	}
}

// forget takes a process out of those that wait; the lock is held.
func (f *function) forget(p *process) {
	for i, other := range f.idle {
		if other == p {
			f.idle = append(f.idle[:i], f.idle[i+1:]...)
			return
		}
	}
}

// ended gives the place of a process back.
func (f *function) ended(p *process) {
	f.mu.Lock()
	f.forget(p)
	delete(f.all, p)
	f.count--
	f.change()
	f.mu.Unlock()
	f.service.give()
}

// retire ends the processes that wait, and has the others end when they have asked for their next event.
func (f *function) retire() {
	f.mu.Lock()
	f.retired++
	waiting := f.idle
	f.idle = nil
	f.mu.Unlock()
	for _, p := range waiting {
		p.end()
	}
}

func (f *function) close() {
	f.mu.Lock()
	f.closed = true
	var all []*process
	for p := range f.all {
		all = append(all, p)
	}
	f.mu.Unlock()
	for _, p := range all {
		p.end()
	}
}
