// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"math/rand/v2"
	"slices"
	"time"

	"tare/internal/store/faultstore"
)

// generator makes operations from a seed. Most of them are about one manifest and what it lists, in one repository, so that
// those who do them meet, and of one theme.
type generator struct {
	*rand.Rand
	focus int // that manifest
	theme theme

	direct bool // the store takes direct uploads
}

// theme says what clients do mostly: how often each verb comes.
type theme map[verb]int

var themes = []theme{
	{upload: 10, cancel: 1, head: 5, fetch: 4, mount: 6, remove: 8, push: 12, pushImage: 12, get: 7, pull: 7, untag: 7, erase: 10, undelete: 8, list: 3},
	// Blobs that nothing holds come and go.
	{upload: 20, head: 15, fetch: 5, mount: 20, remove: 25, push: 8, pushImage: 5, erase: 2},
	// Tags move.
	{push: 35, get: 20, untag: 15, erase: 10, undelete: 10, list: 5},
	// Uploads come and go.
	{upload: 50, cancel: 20, head: 10, mount: 10},
	// Uploads are ended by two at once.
	{upload: 45, end: 30, head: 5, fetch: 5, mount: 5, remove: 5},
	// Manifests come and go.
	{push: 25, pushImage: 10, pull: 15, remove: 8, head: 5, erase: 25, undelete: 12},
}

// directTheme is that direct uploads come and go, where the store takes them: bytes come, and somebody or nobody completes
// them, in one process or another.
var directTheme = theme{upload: 25, begin: 20, complete: 15, settle: 20, abort: 8, head: 8, fetch: 5, mount: 4, remove: 10, push: 5, pushImage: 3, erase: 3}

// aboutManifests tells whether the theme needs manifests to begin with.
func (g generator) aboutManifests() bool { return g.theme[erase] >= 10 }

// aVerb picks a verb of the theme.
func (g generator) aVerb() verb {
	sum := 0
	for _, n := range g.theme {
		sum += n
	}
	r := g.IntN(sum)
	for _, v := range verbs {
		if r -= g.theme[v]; r < 0 {
			return v
		}
	}
	panic("a theme of no verbs")
}

func generatorOf(seed uint64) generator {
	g := generator{Rand: rand.New(rand.NewPCG(seed, 0))}
	g.focus, g.theme = g.IntN(len(manifests)), one(g, themes...)
	if g.direct = gathers(seed); g.direct && g.chance(50) {
		g.theme = directTheme
	}
	return g
}

// one picks a value.
func one[T any](g generator, of ...T) T { return of[g.IntN(len(of))] }

// chance is true in n of a hundred cases.
func (g generator) chance(n int) bool { return g.IntN(100) < n }

// aManifest picks a manifest.
func (g generator) aManifest() int {
	subject := manifests[g.focus].subject
	switch {
	case g.chance(60):
		return g.focus
	case subject != none && g.chance(75):
		return subject
	}
	return g.IntN(len(manifests))
}

// aBlob picks a blob.
func (g generator) aBlob() int {
	m := manifests[g.focus]
	if len(m.blobs) == 0 {
		m = manifests[m.children[0]]
	}
	if g.chance(75) {
		return one(g, m.blobs...)
	}
	return g.IntN(len(blobs))
}

// aTag picks a tag.
func (g generator) aTag() int {
	if g.chance(70) {
		return 0
	}
	return g.IntN(len(tags))
}

// gathers tells in which worlds parts have a least size.
func gathers(seed uint64) bool { return seed%3 == 0 }

// script makes what clients and collectors do at once, mostly where somebody has set something up.
func (g generator) script(seed uint64) script {
	sc := script{seed: seed}
	sc.opts.gathers = gathers(seed)
	sc.opts.waits = sc.opts.gathers && g.chance(50)
	sc.opts.apart = g.chance(50)
	sc.opts.backward = sc.opts.apart && g.chance(50)
	if g.chance(8) {
		return g.emptied(sc)
	}
	if g.aboutManifests() && g.chance(85) {
		sc.setup = append(sc.setup, bare(pushImage).ofManifest(0, g.focus).ofTag(0, one(g, none, 0, 0)))
	}
	for range g.IntN(4) {
		sc.setup = append(sc.setup, g.prepare())
	}
	if len(sc.setup) > 0 && g.chance(60) {
		sc.setup = append(sc.setup, pause(one(g, 11*time.Minute, 11*time.Hour, 13*time.Hour, 25*time.Hour)))
	}
	return g.clients(sc)
}

// emptied makes a script of a repository whose only manifest was deleted: its row is on its way out, and there they meet.
func (g generator) emptied(sc script) script {
	m := one(g, 0, heavy)
	sc.setup = append(sc.setup, bare(pushImage).ofManifest(0, m).ofTag(0, 0), bare(erase).ofManifest(0, m), pause(25*time.Hour))
	for range g.IntN(4) {
		sc.setup = append(sc.setup, bare(sweep), pause(11*time.Minute))
	}
	return g.clients(sc)
}

func pause(d time.Duration) operation {
	o := bare(wait)
	o.time = d
	return o
}

// clients adds what clients and collectors do.
func (g generator) clients(sc script) script {
	for range 2 + g.IntN(3) {
		var ops []operation
		for range 2 + g.IntN(4) {
			ops = append(ops, g.operation())
		}
		sc.clients = append(sc.clients, ops)
	}
	for range 2 {
		var ops []operation
		for range 1 + g.IntN(3) {
			ops = append(ops, g.sweep())
		}
		sc.clients = append(sc.clients, ops)
	}
	return sc
}

// sequence makes what one client does, with pauses and restarts.
func (g generator) sequence(n int) []operation {
	var ops []operation
	for range n {
		o := g.operation()
		switch r := g.IntN(100); {
		case r < 15:
			o = g.sweep()
		case r < 27:
			o = pause(one(g, time.Minute, 11*time.Minute, 7*time.Hour, 11*time.Hour, 13*time.Hour, 25*time.Hour))
		case r < 30:
			o = bare(restart)
		}
		ops = append(ops, o)
	}
	return ops
}

// plain is an operation of no kind yet, somewhere.
func (g generator) plain() operation {
	o := bare("").ofBlob(0, g.aBlob())
	if g.chance(15) {
		o.repo = 1
	}
	return o
}

// prepare makes an operation of a setup.
func (g generator) prepare() operation {
	o := g.plain()
	switch r := g.IntN(10); {
	case g.direct && g.chance(30):
		o.verb, o.way = begin, one(g, directly, inParts)
	case r < 3 || !g.aboutManifests():
		o.verb, o.way = upload, one(g, inOne, inTwo)
	case r < 6:
		o.verb, o.manifest = pushImage, g.aManifest()
		if g.chance(80) {
			o.tag = g.aTag()
		}
	default:
		o.verb, o.manifest = erase, g.aManifest()
	}
	return o
}

// operation makes an operation of a client.
func (g generator) operation() operation {
	o := g.plain()
	o.verb = g.aVerb()
	switch o.verb {
	case upload:
		o.way = one(g, inOne, inTwo, inChunks)
		if g.theme[end] > 0 {
			o.way = one(g, inTwo, inHalves, inHalves, inChunks)
		} else if g.direct && g.chance(60) {
			o.way = one(g, directly, inParts)
		}
	case begin:
		o.way = one(g, directly, inParts)
	case mount:
		o.repo = g.IntN(len(repos))
	case push, pushImage:
		o.manifest = g.aManifest()
		if g.chance(85) {
			o.tag = g.aTag()
			switch {
			case g.chance(20):
				o.ifAbsent = true
			case g.chance(25):
				o.ifMatch = g.aManifest()
			}
		}
	case get, pull:
		if g.chance(60) {
			o.tag = g.aTag()
		} else {
			o.manifest = g.aManifest()
		}
	case untag:
		o.tag = g.aTag()
	case erase, undelete:
		o.manifest = g.aManifest()
	}
	return o
}

func (g generator) sweep() operation {
	o := bare(sweep)
	if g.chance(30) {
		o.way = withGhosts
	}
	return o
}

// chooser decides about turns by a seed: how often another client has its turn, how often a fault meets a call, how often
// the clock moves and how often a client sleeps are drawn once for the whole schedule.
type chooser struct {
	generator
	stay   int // in a hundred: the client of the last turn goes on
	faulty int // in a thousand: a fault
	tick   int // in a thousand: the clock moves
	sleepy int // in a thousand: a client does not get a turn for a while
	last   *client
	asleep *client
	until  int // how many turns were taken when it wakes up
}

func chooserOf(seed uint64) *chooser {
	g := generator{Rand: rand.New(rand.NewPCG(seed, 1))}
	return &chooser{generator: g, stay: one(g, 0, 50, 80, 95), faulty: one(g, 0, 0, 10, 30, 80), tick: one(g, 0, 5, 20, 60), sleepy: one(g, 0, 30, 100)}
}

// steps are the ways in which the clock moves: within MaxStep, beyond it, beyond each of the margins.
var steps = []time.Duration{20 * time.Second, 50 * time.Second, 3 * time.Minute, 11 * time.Minute, 7 * time.Hour, 13 * time.Hour, 25 * time.Hour}

// step decides how far the clock moves: by one of the steps, or to the moment at which something is due, or a moment
// before.
func (ch *chooser) step(s *schedule) time.Duration {
	if ch.chance(50) {
		return one(ch.generator, steps...)
	}
	now := s.clock.Now()
	dues := s.dues(now, now.Add(25*time.Hour))
	if len(dues) == 0 {
		return 0
	}
	return one(ch.generator, dues...).Sub(now) - one(ch.generator, 0, 0, time.Second, 30*time.Second)
}

// awake are the clients that wait, but for one that sleeps while there are others.
func (ch *chooser) awake(s *schedule) []*client {
	waiting := s.waiting()
	if ch.asleep == nil && ch.IntN(1000) < ch.sleepy {
		ch.asleep, ch.until = one(ch.generator, waiting...), len(s.taken)+5+ch.IntN(60)
	}
	if len(s.taken) > ch.until {
		ch.asleep = nil
	}
	if len(waiting) == 1 {
		return waiting
	}
	return slices.DeleteFunc(waiting, func(c *client) bool { return c == ch.asleep })
}

// choose decides about the next turn.
func (ch *chooser) choose(s *schedule) turn {
	if ch.IntN(1000) < ch.tick {
		if d := ch.step(s); d > 0 && s.mayAdvance(d) {
			return turn{advance: d}
		}
	}
	if late := s.late(); len(late) > 0 && ch.chance(10) {
		return turn{client: one(ch.generator, late...), land: true}
	}
	waiting := ch.awake(s)
	c := waiting[ch.IntN(len(waiting))]
	if ch.last != nil && ch.chance(ch.stay) {
		for _, w := range waiting {
			if w == ch.last {
				c = w
			}
		}
	}
	ch.last = c
	t := turn{client: s.place(c)}
	if ch.IntN(1000) < ch.faulty {
		t.action = one(ch.generator, actions...)
		t.hangUp = ch.chance(25) && t.action != faultstore.DieBefore && t.action != faultstore.DieMidway && t.action != faultstore.DieAfter
	}
	return t
}
