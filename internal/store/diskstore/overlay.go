// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"
)

// overlay is what the log has and the table may not have yet: the layer that commits add to, and the one before it while
// it is written into the table. Readers see it over the table. All in it is durable: a group is published when the log is
// synced.
type overlay struct {
	engine *engine
	mu     sync.Mutex // held to replace now
	now    atomic.Pointer[generation]
}

// generation is an overlay at one moment. It is never modified.
type generation struct {
	number int    // of layers that were frozen
	active *layer // the newer one
	frozen *layer // nil when the table has all of it
}

func newOverlay(e *engine) *overlay {
	o := &overlay{engine: e}
	o.now.Store(&generation{active: newLayer()})
	return o
}

func (o *overlay) replace(next func(generation) generation) {
	o.mu.Lock()
	defer o.mu.Unlock()
	g := next(*o.now.Load())
	o.now.Store(&g)
}

// publish shows readers a new active layer, which is durable.
func (o *overlay) publish(active *layer) {
	o.replace(func(g generation) generation { return generation{g.number, active, g.frozen} })
}

// freeze begins a new active layer over the published one, which is returned. No layer may be frozen.
func (o *overlay) freeze() *layer {
	o.replace(func(g generation) generation { return generation{g.number + 1, newLayer(), g.active} })
	return o.now.Load().frozen
}

// thaw leaves out the frozen layer, which the table has.
func (o *overlay) thaw() {
	o.replace(func(g generation) generation { return generation{g.number, g.active, nil} })
}

// view is the rows at one moment. It has to be closed, soon: as long as it is open, no page of the table that it can see
// is used again.
type view struct {
	layers [2]*layer // the newest first; nil where there is none
	tx     *bbolt.Tx
}

func (v view) close() { rollback(v.tx) }

// begin starts reading what is durable. A table that is newer than the overlay would show half of what was committed in
// between; the frozen layer hides what the table has of it, so that only a table with part of a later one is too new.
func (o *overlay) begin() (view, error) { return o.beginBy(o.engine.db.Begin) }

// beginBy is begin where open begins the reading of the table.
func (o *overlay) beginBy(open func(writable bool) (*bbolt.Tx, error)) (view, error) {
	for {
		g := o.now.Load()
		tx, err := open(false)
		if err != nil {
			return view{}, err
		}
		if o.now.Load().number == g.number {
			return view{[2]*layer{g.active, g.frozen}, tx}, nil
		}
		rollback(tx)
	}
}

// beginOver starts reading over an active layer that is not yet durable. Only who freezes layers may call it.
func (o *overlay) beginOver(active *layer) (view, error) {
	frozen := o.now.Load().frozen
	tx, err := o.engine.db.Begin(false)
	return view{[2]*layer{active, frozen}, tx}, err
}

// get returns what is stored under a key, nil where there is nothing. It is good until the view is closed.
func (v view) get(in bucket, key []byte) []byte {
	for _, l := range v.layers {
		if l == nil {
			continue
		}
		if value, known := l.get(in, key); known {
			return value
		}
	}
	return v.tx.Bucket(in.name()).Get(key)
}
