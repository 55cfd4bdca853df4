// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"context"
	"time"

	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/faultstore"
)

// schedule is a script while it happens.
type schedule struct {
	*world
	sched   faultstore.Scheduler
	clients []*client
	taken   []turn
}

// run lets a script happen, by its turns where it has some, else by its seed, until nobody has anything left to do and
// every late call has landed. It returns the world with what happened in it, and the turns as they were taken.
func (sc script) run(plant func(store.Table) store.Table) (*world, []turn) {
	opts := sc.opts
	opts.plant = plant
	s := &schedule{world: newWorld(sc.seed, opts)}
	s.alone("setup", sc.setup...)
	for i, ops := range sc.clients {
		c := &client{w: s.world, name: clientName(i), todo: ops, sent: map[string]bool{}}
		s.clients = append(s.clients, c)
		s.sched.Start(func(p *faultstore.Party) {
			c.turns = p
			c.run()
		})
	}
	if sc.turns != nil {
		for _, t := range sc.turns {
			s.take(t)
		}
		s.finish()
	} else {
		s.choose(chooserOf(sc.seed))
	}
	for c := range s.clients {
		for s.take(turn{client: c, land: true}) {
		}
	}
	return s.world, s.taken
}

// maxTurns is more than any of these histories needs.
const maxTurns = 20_000

func (s *schedule) choose(ch *chooser) {
	for len(s.sched.Waiting()) > 0 {
		if len(s.taken) > maxTurns {
			s.stop()
			return
		}
		s.take(ch.choose(s))
	}
}

// finish lets everybody go on as they come.
func (s *schedule) finish() {
	for n := 0; len(s.sched.Waiting()) > 0; n++ {
		if n > maxTurns {
			s.stop()
			return
		}
		s.take(turn{client: s.place(s.waiting()[0])})
	}
}

func (s *schedule) stop() {
	s.fail("endless", "there is no end after %d turns", maxTurns)
	s.stopped = true
	s.sched.Stop()
}

// take makes a turn, if it can be made.
func (s *schedule) take(t turn) bool {
	switch {
	case t.advance > 0:
		if !s.mayAdvance(t.advance) {
			return false
		}
		s.landBefore(t.advance)
		s.advance(t.advance)
	case t.client >= len(s.clients):
		return false
	case t.land:
		if !s.land(s.clients[t.client]) {
			return false
		}
	default:
		c := s.clients[t.client]
		p := s.party(c)
		if p == nil {
			return false
		}
		c.hangUp = t.hangUp
		if t.action == faultstore.Late && p.Call().Kind.Writes() {
			c.late++
			c.sent[p.Call().Tx.Token] = true
		}
		p.Let(t.action)
	}
	s.taken = append(s.taken, t)
	return true
}

func (s *schedule) waiting() []*client {
	var cs []*client
	for _, c := range s.clients {
		if s.party(c) != nil {
			cs = append(cs, c)
		}
	}
	return cs
}

// party is the client's place in the queue; nil: it does not wait.
func (s *schedule) party(c *client) *faultstore.Party {
	for _, p := range s.sched.Waiting() {
		if p == c.turns {
			return p
		}
	}
	return nil
}

func (s *schedule) place(c *client) int {
	for i := range s.clients {
		if s.clients[i] == c {
			return i
		}
	}
	return none
}

// dues are the moments in an interval at which something is due.
func (w *world) dues(after, until time.Time) []time.Time {
	var dues []time.Time
	for shard := range refcount.Shards {
		hits, err := w.store.Due(context.Background(), shard, until.UnixMilli(), store.DueKey{}, store.MaxLimit)
		if err != nil {
			w.fail("due", "%v", err)
		}
		for _, h := range hits {
			if at := time.UnixMilli(h.Due); at.After(after) {
				dues = append(dues, at)
			}
		}
	}
	return dues
}

// late are the clients that have calls which may still land.
func (s *schedule) late() []int {
	var cs []int
	for i, c := range s.clients {
		if c.late > 0 {
			cs = append(cs, i)
		}
	}
	return cs
}

// land lets the oldest late call of a client land, whichever of its lives it is of.
func (s *schedule) land(c *client) bool {
	for _, p := range c.lives {
		if landed, _ := p.Land(); landed {
			c.late--
			return true
		}
	}
	return false
}

// landBefore lets everything land that could not any more after the clock has moved: a late call lands within MaxStep.
func (s *schedule) landBefore(d time.Duration) {
	if d < margins.MaxStep {
		return
	}
	for _, c := range s.clients {
		for s.land(c) {
		}
	}
}

// mayAdvance tells whether the clock may move by d now. The protocol assumes two things of those who stand still
// meanwhile: nobody repeats a transaction after its token was forgotten (A6), and nobody begins to write an object long
// after he has looked whether he may (A5).
func (s *schedule) mayAdvance(d time.Duration) bool {
	then := s.clock.Now().Add(d)
	for _, p := range s.sched.Waiting() {
		for _, c := range s.clients {
			if c.turns != p {
				continue
			}
			if !c.unsure.IsZero() && then.Sub(c.unsure) >= store.TokenLife {
				return false
			}
			switch p.Call().Kind {
			case faultstore.Put, faultstore.Begin, faultstore.Part, faultstore.Complete:
				if then.Sub(c.arrived) >= margins.MaxPut {
					return false
				}
			}
		}
	}
	return true
}
