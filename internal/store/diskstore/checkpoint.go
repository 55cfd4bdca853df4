// SPDX-License-Identifier: Apache-2.0

package diskstore

import "context"

// A checkpoint writes a layer into the table in slices, each in the order of the keys, so that changes to neighbors
// share pages. A slice bounds the pages that one update holds in memory and, after many deletions, the list of free pages
// that the next ones write.
const (
	maxSlice = 8 << 20
	minSlice = 16 << 10
)

// need is more than the pages that an update with the entry can take: for its bytes beside their old form, a leaf of
// its own and part of a branch.
func (e entry) need() int64 {
	const pages = 8 << 10
	return 2*int64(len(e.key)+len(e.value)) + pages
}

// apply writes a layer into the table, and the marks with the last of it. Readers see parts of it before, and have to
// read over the layer until it is done. Out of room, part of it may be written, and it can be tried again; another error
// is a failure.
func (e *engine) apply(l *layer, m marks) error {
	e.applying.Lock()
	defer e.applying.Unlock()
	from := edit{in: inRows}
	for limit := int64(maxSlice); ; {
		next, done, err := e.applySlice(l, from, m, limit)
		switch {
		case outOfRoom(err) && limit > minSlice:
			limit /= 4
		case err != nil || done:
			return err
		default:
			from = next
		}
	}
}

// applySlice writes the edits of a layer from one on up to the limit, and returns the next one.
func (e *engine) applySlice(l *layer, from edit, m marks, limit int64) (next edit, done bool, err error) {
	err = e.update(func(w *writer) error {
		done = true
		var err error
		l.ascend(from, func(at edit) bool {
			if w.need > 0 && w.need+at.need() > limit {
				next, done = at, false
				return false
			}
			w.need += at.need()
			err = w.apply(at)
			return err == nil
		})
		if err != nil || !done {
			return err
		}
		return m.write(w.tx)
	})
	return next, done, err
}

// ascend calls fn with the edits of a layer from one on, in their order, until it returns false.
func (l *layer) ascend(from edit, fn func(edit) bool) {
	for in := from.in; in <= inDue; in++ {
		more := true
		l.buckets[in].Ascend(entry{key: from.key}, func(e entry) bool {
			more = fn(edit{in, e})
			return more
		})
		if !more {
			return
		}
		from.key = nil
	}
}

// apply makes an edit.
func (w *writer) apply(e edit) error {
	b := w.rows
	if e.in == inDue {
		b = w.due
	}
	if e.value == nil {
		return b.Delete(e.key)
	}
	return b.Put(e.key, e.value)
}

// checkpoint is a frozen layer on its way into the table.
type checkpoint struct {
	layer *layer // nil when the table has it
	marks marks
	done  chan struct{}
	err   error // set before done is closed
}

// wait returns when the layer is in the table, or why it is not.
func (c *checkpoint) wait() error {
	<-c.done
	return c.err
}

// checkpoint freezes what was decided when it is durable, begins the other segment, and starts to write it into the table.
// It waits for the checkpoint before, and returns the last one: where the one before cannot be written, that one.
func (c *committer) checkpoint() *checkpoint {
	c.drain()
	if c.frozen != nil && c.frozen.wait() != nil {
		c.freeze(c.frozen.layer, c.frozen.marks) // there may be room again
	}
	if c.frozen != nil && c.frozen.wait() != nil {
		return c.frozen
	}
	c.frozen = nil
	m := marks{c.log.epoch, c.log.sequence}
	if c.active.empty() {
		written := &checkpoint{marks: m, done: make(chan struct{})}
		close(written.done)
		return written
	}
	c.active = newLayer()
	c.log.turn()
	c.freeze(c.overlay.freeze(), m)
	return c.frozen
}

// freeze starts to write a frozen layer into the table.
func (c *committer) freeze(l *layer, m marks) {
	cp := &checkpoint{layer: l, marks: m, done: make(chan struct{})}
	c.frozen = cp
	go func() {
		defer close(cp.done)
		if cp.err = c.die(c.overlay.engine.apply(l, m)); cp.err == nil {
			c.overlay.thaw()
			cp.layer = nil // it is memory
		}
	}()
}

// settled returns when the table has what is durable now.
func (c *committer) settled(ctx context.Context) error {
	answer := make(chan *checkpoint, 1)
	select {
	case c.asked <- answer:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case cp := <-answer:
		return cp.wait()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// watch asks for a checkpoint when nothing was committed for a while, so that the log is short when the process is killed,
// and memory is given back.
func (c *committer) watch(ctx context.Context) {
	for {
		select {
		case <-c.dirty:
		case <-ctx.Done():
			return
		}
		for seen := int64(-1); seen != c.written.Load(); {
			seen = c.written.Load()
			if c.clock.Pause(ctx, idle) != nil {
				return
			}
		}
		_ = c.settled(ctx) // what cannot be written now is tried again by the next one
	}
}
