// SPDX-License-Identifier: Apache-2.0

package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// maxErrors ends a run whose server does nothing but fail.
const maxErrors = 100

// Plan is a closed loop: each client starts its next operation when its last is over.
type Plan struct {
	Clients    int
	Operations int           // how many in all; 0 means no bound
	Limit      time.Duration // nothing starts after it; 0 means no bound
}

// Operation is one operation that succeeded.
type Operation struct {
	Done time.Duration // since the start of the run
	Took time.Duration
}

// Result is what a run did.
type Result struct {
	Operations []Operation // in the order in which they were done
	Errors     int
	FirstError error
}

// Run runs the plan against the server at addr, with one connection for each client. Operation i of the run is op(conn, i); indices
// rise from 0 and each is used once. A failed operation is counted and not repeated, and its client goes on with a new connection.
//
// Run fails when it cannot connect, when ctx ends, and when more than a hundred operations have failed.
func (p Plan) Run(ctx context.Context, addr string, op func(conn *Conn, i int) error) (Result, error) {
	if p.Operations == 0 && p.Limit == 0 {
		return Result{}, errors.New("a plan without an end")
	}
	conns := make([]*Conn, p.Clients)
	for i := range conns {
		conn, err := Dial(ctx, addr)
		if err != nil {
			return Result{}, err
		}
		conns[i] = conn
		defer func() { conns[i].Close() }()
	}
	r := run{plan: p, ctx: ctx, addr: addr, op: op, start: time.Now()}
	var wg sync.WaitGroup
	done := make([][]Operation, p.Clients)
	for i := range conns {
		wg.Go(func() { done[i] = r.client(&conns[i]) })
	}
	wg.Wait()
	if ctx.Err() != nil {
		return Result{}, context.Cause(ctx)
	}
	if r.fatal != nil {
		return Result{}, r.fatal
	}
	result := Result{Operations: slices.Concat(done...), Errors: r.errors, FirstError: r.firstError}
	slices.SortFunc(result.Operations, func(a, b Operation) int { return cmp.Compare(a.Done, b.Done) })
	return result, nil
}

type run struct {
	plan  Plan
	ctx   context.Context
	addr  string
	op    func(conn *Conn, i int) error
	start time.Time
	next  atomic.Int64
	over  atomic.Bool

	mu         sync.Mutex // guards what follows
	errors     int
	firstError error
	fatal      error
}

// client runs one client to the end. It replaces *conn when it has ended.
func (r *run) client(conn **Conn) []Operation {
	done := make([]Operation, 0, max(1024, r.plan.Operations/r.plan.Clients*2))
	before := time.Since(r.start)
	for !r.over.Load() && (r.plan.Limit == 0 || before < r.plan.Limit) {
		i := int(r.next.Add(1) - 1)
		if r.plan.Operations > 0 && i >= r.plan.Operations {
			break
		}
		err := r.op(*conn, i)
		after := time.Since(r.start)
		if err == nil {
			done = append(done, Operation{Done: after, Took: after - before})
			before = after
			continue
		}
		if !r.failed(err) || !r.reconnect(conn) {
			break
		}
		before = time.Since(r.start)
	}
	return done
}

// failed counts err, and tells whether the run goes on.
func (r *run) failed(err error) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors++
	if r.firstError == nil {
		r.firstError = err
	}
	if r.errors > maxErrors && r.fatal == nil {
		r.fatal = fmt.Errorf("more than %d errors, the first: %w", maxErrors, r.firstError)
	}
	if r.fatal != nil || r.ctx.Err() != nil {
		r.over.Store(true)
		return false
	}
	return true
}

func (r *run) reconnect(conn **Conn) bool {
	(*conn).Close()
	fresh, err := Dial(r.ctx, r.addr)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.fatal = err
		r.over.Store(true)
		return false
	}
	*conn = fresh
	return true
}

// Rate is the operations a second from the start to the last of them.
func (r Result) Rate() float64 {
	return r.First(len(r.Operations))
}

// First is the rate of the first n operations, or of all where they are fewer.
func (r Result) First(n int) float64 {
	n = min(n, len(r.Operations))
	if n == 0 {
		return 0
	}
	return float64(n) / r.Operations[n-1].Done.Seconds()
}

// Last is the rate of the last n operations, or of all where they are no more.
func (r Result) Last(n int) float64 {
	count := len(r.Operations)
	if n >= count {
		return r.Rate()
	}
	return float64(n) / (r.Operations[count-1].Done - r.Operations[count-1-n].Done).Seconds()
}

// Quantile is the latency that the fraction q of the operations does not exceed; 0 without operations.
func (r Result) Quantile(q float64) time.Duration {
	if len(r.Operations) == 0 {
		return 0
	}
	took := make([]time.Duration, len(r.Operations))
	for i, op := range r.Operations {
		took[i] = op.Took
	}
	slices.Sort(took)
	return took[min(int(q*float64(len(took))), len(took)-1)]
}
