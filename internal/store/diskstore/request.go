// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"crypto/sha256"

	"tare/internal/store"
)

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

// change is what an operation does to its row.
type change struct {
	key      []byte
	old, row store.Row
	value    []byte // the row, encoded
	oldSize  int    // of the encoded old row
}

// changes returns what the transaction would do to the rows, or why it is refused.
func (r *request) changes(v view) ([]change, error) {
	changes := make([]change, len(r.keys))
	var failed []store.Failure
	for i, key := range r.keys {
		row, size, err := v.row(key)
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

// edits appends what the change does to the table. A check, and a delete of nothing, is none.
func (c *change) edits(to []edit) []edit {
	if c.value == nil && (c.old == nil || c.row != nil) {
		return to
	}
	return append(c.reindex(to), edit{inRows, entry{c.key, c.value}})
}

// reindex appends what moves the row's entry in the index of due rows.
func (c *change) reindex(to []edit) []edit {
	oldShard, oldDue, was := indexed(c.old)
	shard, due, is := indexed(c.row)
	if was == is && oldShard == shard && oldDue == due {
		return to
	}
	if was {
		to = append(to, edit{inDue, entry{key: dueKey(oldShard, oldDue, c.key)}})
	}
	if is {
		to = append(to, edit{inDue, entry{dueKey(shard, due, c.key), []byte{}}})
	}
	return to
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
