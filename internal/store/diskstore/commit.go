// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"tare/internal/clock"
	"tare/internal/store"
)

const (
	queueLength = 1024
	// idle is for how long nothing is committed until the table is brought up to the log.
	idle = 5 * time.Second
)

// committer applies transactions. One goroutine decides, one after the other, over the rows that the ones before left,
// synced or not, and gathers them into a group; another one writes the groups into the log. While a group is synced, the
// next one gathers by itself: it does not wait to be filled. Each transaction gets its own answer, when everything that it
// saw is durable.
type committer struct {
	overlay *overlay
	clock   clock.Clock
	die     func(error) error

	queue chan *request
	asked chan chan *checkpoint // for the table to be brought up to the log
	done  chan struct{}

	// The deciding goroutine's own.
	log    *log
	tokens tokens
	active *layer      // what was decided since the last layer was frozen, durable or not
	group  *group      // the one that gathers
	synced *group      // the one that is synced, nil while none is
	frozen *checkpoint // the last one, nil when the table is known to have it
	spare  []byte      // to write a record into

	groups  chan *group // to be synced
	flushed chan error  // what became of the one that was

	dirty     chan struct{} // full when something was committed
	stopIdler context.CancelFunc
	idler     sync.WaitGroup

	waiting, applied, written atomic.Int64 // transactions, of them applied; groups
}

func newCommitter(o *overlay, l *log, c clock.Clock, die func(error) error) *committer {
	return &committer{
		overlay: o,
		log:     l,
		clock:   c,
		die:     die,
		queue:   make(chan *request, queueLength),
		asked:   make(chan chan *checkpoint),
		done:    make(chan struct{}),
		tokens:  tokens{applied: make(map[string]applied)},
		active:  newLayer(),
		group:   newGroup(nil),
		groups:  make(chan *group, 1),
		flushed: make(chan error, 1),
		dirty:   make(chan struct{}, 1),
	}
}

func (c *committer) start() {
	ctx, cancel := context.WithCancel(context.Background())
	c.stopIdler = cancel
	c.idler.Go(func() { c.watch(ctx) })
	go c.flush()
	go c.run()
}

// commit applies a transaction and returns when its outcome is known.
func (c *committer) commit(tx *store.Tx) error {
	r := newRequest(tx)
	c.queue <- r
	c.waiting.Add(1)
	<-r.answered
	c.waiting.Add(-1)
	return r.err
}

// stop ends the goroutines, when the table has all that is in the log or cannot get it. No call may be under way or
// follow.
func (c *committer) stop() {
	c.stopIdler()
	c.idler.Wait()
	close(c.queue)
	<-c.done
}

func (c *committer) run() {
	defer close(c.done)
	for {
		if c.synced == nil && !c.group.empty() && (len(c.queue) == 0 || c.group.full()) {
			c.hand()
		}
		queue := c.queue
		if c.group.full() {
			queue = nil
		}
		select {
		case r, ok := <-queue:
			if !ok {
				// Where the table does not get all of it, it stays in the log.
				_ = c.checkpoint().wait()
				close(c.groups)
				return
			}
			c.take(r)
		case err := <-c.flushed:
			c.settle(err)
		case answer := <-c.asked:
			answer <- c.checkpoint()
		}
	}
}

// hand gives the group to be synced. None may be under way.
func (c *committer) hand() {
	g := c.group
	if g.writes() {
		g.place = c.log.take(recordSize(len(g.record)))
		g.layer = c.active.copy()
	}
	c.synced = g
	c.group = newGroup(c.spare)
	c.spare = nil
	c.groups <- g
}

// settle ends the sync of a group. Where it was not written, what was decided since did not happen either.
func (c *committer) settle(err error) {
	g := c.synced
	c.synced = nil
	c.spare = g.reuse()
	if err == nil {
		return
	}
	c.tokens.undo(g.applied + c.group.applied)
	c.log.giveBack(g.place)
	c.active = c.overlay.now.Load().active.copy()
	c.group.answer(err)
	c.group = newGroup(nil)
}

// drain returns when all that was decided is durable and answered.
func (c *committer) drain() {
	if c.synced != nil {
		c.settle(<-c.flushed)
	}
	if !c.group.empty() {
		c.hand()
		c.settle(<-c.flushed)
	}
}

// flush makes groups durable, shows them to readers and answers their members.
func (c *committer) flush() {
	for g := range c.groups {
		err := c.write(g)
		g.answer(err)
		c.flushed <- err
	}
}

// write makes a group durable and shows it to readers.
func (c *committer) write(g *group) error {
	if g.layer == nil {
		c.applied.Add(int64(g.applied))
		return nil
	}
	select {
	case <-c.overlay.engine.dead:
		return errFailed
	default:
	}
	if err := g.place.write(g.record); err != nil {
		return c.die(err)
	}
	c.overlay.publish(g.layer)
	c.applied.Add(int64(g.applied))
	c.written.Add(1)
	select {
	case c.dirty <- struct{}{}:
	default:
	}
	return nil
}
