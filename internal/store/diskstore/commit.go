// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"crypto/sha256"
	"sync/atomic"

	"tare/internal/clock"
	"tare/internal/store"
)

// Limits of a group: what one sync is shared by, and how long its first member waits for the others.
const (
	maxGroup      = 256
	maxGroupBytes = 8 << 20
	queueLength   = 1024
)

// committer is the goroutine that applies transactions. It takes all that wait, applies them one after the other to the
// rows that the ones before left, and syncs once. Each gets its own answer, when everything that it saw is durable.
//
// It does not wait for a group to fill: while one is synced, the next one gathers by itself.
type committer struct {
	engine *engine
	clock  clock.Clock
	die    func(error) error
	queue  chan *request
	done   chan struct{}

	tokens tokens // the goroutine's own

	applied, groups atomic.Int64
}

// request is a transaction on its way, with all that can be computed before it meets the rows.
type request struct {
	tx          *store.Tx
	fingerprint [sha256.Size]byte
	keys        [][]byte // of its operations, encoded
	values      [][]byte // of its puts, encoded
	bytes       int
	err         error
	answered    chan struct{}
}

func newRequest(tx *store.Tx) *request {
	r := &request{
		tx:          tx,
		fingerprint: tx.Fingerprint(),
		keys:        make([][]byte, len(tx.Ops)),
		values:      make([][]byte, len(tx.Ops)),
		answered:    make(chan struct{}),
	}
	for i := range tx.Ops {
		op := &tx.Ops[i]
		r.keys[i] = appendKey(make([]byte, 0, len(op.Key.PK)+len(op.Key.SK)+keySlack), op.Key)
		if op.Kind == store.OpPut {
			r.values[i] = encodeRow(r.keys[i], op.Row)
		}
		r.bytes += len(r.keys[i]) + len(r.values[i])
	}
	return r
}

func newCommitter(e *engine, c clock.Clock, die func(error) error) *committer {
	return &committer{
		engine: e,
		clock:  c,
		die:    die,
		queue:  make(chan *request, queueLength),
		done:   make(chan struct{}),
		tokens: tokens{applied: make(map[string]applied)},
	}
}

// commit applies a transaction and returns when its outcome is known.
func (c *committer) commit(tx *store.Tx) error {
	r := newRequest(tx)
	c.queue <- r
	<-r.answered
	return r.err
}

// stop ends the goroutine. No commit may be under way or follow.
func (c *committer) stop() {
	close(c.queue)
	<-c.done
}

func (c *committer) run() {
	defer close(c.done)
	for first := range c.queue {
		group := c.gather(first)
		c.apply(group)
		for _, r := range group {
			close(r.answered)
		}
	}
}

// gather takes what waits behind the first request, up to the limits of a group.
func (c *committer) gather(first *request) []*request {
	group := []*request{first}
	for n := first.bytes; len(group) < maxGroup && n < maxGroupBytes; {
		select {
		case r, ok := <-c.queue:
			if !ok {
				return group
			}
			group = append(group, r)
			n += r.bytes
		default:
			return group
		}
	}
	return group
}

// apply sets the outcome of each request of a group. Where the group as a whole runs out of room, each has a try alone.
func (c *committer) apply(group []*request) {
	fresh := 0
	err := c.engine.update(func(w *writer) error {
		for _, r := range group {
			applied, err := c.applyOne(w, r)
			if err != nil {
				return err
			}
			if applied {
				fresh++
			}
		}
		return nil
	})
	if err == nil {
		if fresh > 0 {
			c.applied.Add(int64(fresh))
			c.groups.Add(1)
		}
		return
	}
	c.tokens.undo(fresh)
	if outOfRoom(err) && len(group) > 1 {
		for _, r := range group {
			c.apply([]*request{r})
		}
		return
	}
	err = c.die(err)
	for _, r := range group {
		r.err = err
	}
}

// applyOne applies a transaction to the rows, or sets why not. Its error is the engine's and ends the group.
func (c *committer) applyOne(w *writer, r *request) (bool, error) {
	now := c.clock.Now()
	if a, known := c.tokens.applied[r.tx.Token]; known {
		r.err = nil
		if a.fingerprint != r.fingerprint {
			r.err = &misuse{errToken}
		}
		return false, nil
	}
	if !r.tx.Before.IsZero() && !now.Before(r.tx.Before) {
		r.err = errLate
		return false, nil
	}
	changes, err := r.changes(w)
	if err == nil && w.short && growth(changes) > smallChange {
		err = errNoSpace
	}
	if r.err = err; err != nil {
		return false, nil
	}
	for i := range changes {
		if err := changes[i].write(w); err != nil {
			return false, err
		}
	}
	c.tokens.add(r.tx.Token, r.fingerprint, now)
	return true, nil
}

// change is what an operation does to its row.
type change struct {
	key      []byte
	old, row store.Row
	value    []byte // the row, encoded
	oldSize  int    // of the encoded old row
}

// changes returns what the transaction would do to the rows, or why it is refused.
func (r *request) changes(w *writer) ([]change, error) {
	changes := make([]change, len(r.keys))
	var failed []store.Failure
	for i, key := range r.keys {
		row, size, err := row(w.rows, key)
		if err != nil {
			return nil, err
		}
		changes[i] = change{key: key, old: row, oldSize: size}
		if !store.Holds(row, r.tx.Ops[i].If) {
			failed = append(failed, store.Failure{Op: i, Row: row})
		}
	}
	if failed != nil {
		return nil, &store.Conflict{Failed: failed}
	}
	for i := range changes {
		c, op := &changes[i], &r.tx.Ops[i]
		var err error
		if c.row, err = op.Apply(c.old); err != nil {
			return nil, err
		}
		switch op.Kind {
		case store.OpPut:
			c.value = r.values[i]
		case store.OpUpdate:
			c.value = encodeRow(c.key, c.row)
		}
	}
	return changes, nil
}

// write makes the change. A check, and a delete of nothing, is none.
func (c *change) write(w *writer) error {
	switch {
	case c.value != nil:
		return w.put(c.key, c.old, c.row, c.value)
	case c.old != nil && c.row == nil:
		return w.remove(c.key, c.old)
	}
	return nil
}

// growth is how many bytes more the changed rows take.
func growth(changes []change) int {
	n := 0
	for i := range changes {
		c := &changes[i]
		if c.value != nil {
			n += len(c.key) + len(c.value)
		}
		if c.old != nil && (c.value != nil || c.row == nil) {
			n -= len(c.key) + c.oldSize
		}
	}
	return n
}
