// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"bytes"

	"github.com/tidwall/btree"
	"go.etcd.io/bbolt"
)

// cursor walks a bucket of a view in the order of the keys. It has to be released before the view is closed.
type cursor struct {
	table  *bbolt.Cursor
	layers []btree.IterG[entry] // the newest first
	at     []entry              // where the table and then each layer stands; a nil key: at its end
}

func (v view) cursor(in bucket) *cursor {
	c := &cursor{table: v.tx.Bucket(in.name()).Cursor()}
	for _, l := range v.layers {
		if l != nil && l.buckets[in].Len() > 0 {
			c.layers = append(c.layers, l.buckets[in].Iter())
		}
	}
	c.at = make([]entry, 1+len(c.layers))
	return c
}

func (c *cursor) release() {
	for i := range c.layers {
		c.layers[i].Release()
	}
}

// seek moves to the first key from the given one on. A nil key: there is none.
func (c *cursor) seek(from []byte) (key, value []byte) {
	c.standTable(c.table.Seek(from))
	for i := range c.layers {
		c.stand(i, c.layers[i].Seek(entry{key: from}))
	}
	return c.settle()
}

// next moves to the next key.
func (c *cursor) next() (key, value []byte) {
	c.step(c.least())
	return c.settle()
}

// standTable takes where the table's cursor stands. Empty values are not nil here.
func (c *cursor) standTable(key, value []byte) {
	if key != nil && value == nil {
		value = []byte{}
	}
	c.at[0] = entry{key, value}
}

func (c *cursor) stand(layer int, there bool) {
	c.at[1+layer] = entry{}
	if there {
		c.at[1+layer] = c.layers[layer].Item()
	}
}

// step moves all that stand at a key past it.
func (c *cursor) step(key []byte) {
	for i := range c.layers {
		if at := c.at[1+i].key; at != nil && bytes.Equal(at, key) {
			c.stand(i, c.layers[i].Next())
		}
	}
	if at := c.at[0].key; at != nil && bytes.Equal(at, key) {
		c.standTable(c.table.Next())
	}
}

// least is the first of the keys that the sources stand at, nil where all are at their ends.
func (c *cursor) least() []byte {
	var least []byte
	for _, e := range c.at {
		if e.key != nil && (least == nil || bytes.Compare(e.key, least) < 0) {
			least = e.key
		}
	}
	return least
}

// settle returns the next key that is there, with the value that the newest source has.
func (c *cursor) settle() (key, value []byte) {
	for {
		key := c.least()
		if key == nil {
			return nil, nil
		}
		value := c.at[0].value
		for i := len(c.layers); i > 0; i-- {
			if at := c.at[i]; at.key != nil && bytes.Equal(at.key, key) {
				value = at.value
			}
		}
		if value != nil {
			return key, value
		}
		c.step(key)
	}
}
