// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"bytes"

	"github.com/tidwall/btree"
)

// bucket names one of the two buckets that a commit writes. The numbers are stored in the log and never change.
type bucket byte

const (
	inRows bucket = 1 + iota
	inDue
)

// name is the bucket's name in the table.
func (b bucket) name() []byte {
	if b == inDue {
		return []byte(dueBucket)
	}
	return []byte(rowsBucket)
}

// entry is what a bucket has under a key. It is never modified.
type entry struct{ key, value []byte } // a nil value: nothing

// edit is an entry of one of the buckets.
type edit struct {
	in bucket
	entry
}

// entryCost is what an entry takes beside its bytes, in memory as in a page, and more than that.
const entryCost = 128

func (e entry) cost() int64 { return int64(len(e.key)+len(e.value)) + entryCost }

// layer is what the buckets have anew since some moment, for whoever reads it over what they had then.
type layer struct {
	buckets [inDue + 1]*btree.BTreeG[entry] // by bucket
	bytes   int64                           // cost of all entries
}

// layerDegree makes the nodes small, since each group of commits copies those that it changes.
const layerDegree = 16

func newLayer() *layer {
	l := new(layer)
	less := func(a, b entry) bool { return bytes.Compare(a.key, b.key) < 0 }
	for _, in := range []bucket{inRows, inDue} {
		l.buckets[in] = btree.NewBTreeGOptions(less, btree.Options{Degree: layerDegree, NoLocks: true})
	}
	return l
}

// copy returns a layer that stays as l is now. It costs little: what neither of them changes, they share.
func (l *layer) copy() *layer {
	c := &layer{bytes: l.bytes}
	for _, in := range []bucket{inRows, inDue} {
		c.buckets[in] = l.buckets[in].Copy()
	}
	return c
}

// set puts an entry in the place of the one with its key.
func (l *layer) set(e edit) {
	old, replaced := l.buckets[e.in].Set(e.entry)
	l.bytes += e.cost()
	if replaced {
		l.bytes -= old.cost()
	}
}

// get tells what the layer knows of a key. A known one may have a nil value.
func (l *layer) get(in bucket, key []byte) (value []byte, known bool) {
	e, known := l.buckets[in].Get(entry{key: key})
	return e.value, known
}

func (l *layer) empty() bool { return l.bytes == 0 }
