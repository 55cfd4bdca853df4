// SPDX-License-Identifier: Apache-2.0

package diskstore

import "errors"

// decision is what a transaction does.
type decision struct {
	applies bool // false: it was applied before
	edits   []edit
	growth  int   // of the rows, in bytes
	bytes   int64 // in the overlay
	size    int   // in a record
}

// decide looks at a transaction over all that was decided before. Its error is the outcome.
func (c *committer) decide(r *request) (d decision, err error) {
	if a, known := c.tokens.applied[r.tx.Token]; known {
		if a.fingerprint != r.fingerprint {
			return d, &misuse{errToken}
		}
		return d, nil
	}
	if !r.tx.Before.IsZero() && !c.clock.Now().Before(r.tx.Before) {
		return d, errLate
	}
	v, err := c.overlay.beginOver(c.active)
	if err != nil {
		return d, err
	}
	defer v.close()
	var changes []change
	err = guarded(func() (err error) {
		changes, err = r.changes(v)
		return err
	})
	if err != nil {
		return d, err
	}
	d.applies = true
	d.growth = growth(changes)
	for i := range changes {
		d.edits = changes[i].edits(d.edits)
	}
	for _, e := range d.edits {
		d.bytes += e.cost()
		d.size += editSize(e)
	}
	return d, nil
}

// take decides about a transaction and adds it to the group. Where there is no place for it, what is durable is written
// into the table first, which makes some.
func (c *committer) take(r *request) {
	for try := 0; ; try++ {
		d, err := c.decide(r)
		if err == nil && len(d.edits) > 0 {
			err = c.admit(d)
		}
		switch {
		case errors.Is(err, errLogFull):
			err = c.clear(d)
		case errors.Is(err, errNoSpace) && try < maxTries && c.behind():
			err = c.checkpoint().wait()
		default:
			if err == nil && d.applies {
				c.add(r, d)
			}
			c.group.join(r, err)
			return
		}
		if err != nil {
			c.group.join(r, err)
			return
		}
	}
}

// maxTries is how often the table is brought up to the log for a transaction. Pages that one update frees are there for
// the next but one.
const maxTries = 2

// behind tells whether the table lacks something that was decided.
func (c *committer) behind() bool { return !c.active.empty() || c.frozen != nil }

// add applies a decision.
func (c *committer) add(r *request, d decision) {
	for _, e := range d.edits {
		c.active.set(e)
		c.group.record = appendEdit(c.group.record, e)
	}
	c.tokens.add(r.tx.Token, r.fingerprint, c.clock.Now())
	c.group.applied++
}

// What a transaction waits for: errLogFull for the other file of the log, errNoSpace for room in the table.
var errLogFull = errors.New("the log is full")

const (
	// pageShare is how many bytes of the table a byte of the overlay takes at most: pages are at least half full.
	pageShare = 2
	// smallShare is the part of the headroom that small changes may have before what they free is freed.
	smallShare = 4
)

// admit tells whether there is place for a decision: in the current segment of the log, in memory, and in the table when
// it is written there. With only the headroom left in the table, a transaction may do no more than a small change.
func (c *committer) admit(d decision) error {
	limit := c.log.segments[c.log.current].size
	if !c.log.fits(recordSize(len(c.group.record)+d.size)) || !c.active.empty() && c.active.bytes+d.bytes > limit {
		return errLogFull
	}
	owed := c.active.bytes + d.bytes
	if f := c.overlay.now.Load().frozen; f != nil {
		owed += f.bytes
	}
	room := c.overlay.engine.room
	short, err := room.promise(pageShare * owed)
	if err != nil {
		return c.die(err)
	}
	if short && (d.growth > smallChange || pageShare*owed > room.headroom/smallShare) {
		return errNoSpace
	}
	return nil
}

// clear begins a segment for a decision, or makes the one that has begun long enough for it.
func (c *committer) clear(d decision) error {
	if !c.active.empty() || !c.group.empty() || c.synced != nil {
		if cp := c.checkpoint(); c.log.at > 0 {
			return cp.wait()
		}
	}
	return c.die(c.log.provide(recordSize(recordHeader + d.size)))
}
