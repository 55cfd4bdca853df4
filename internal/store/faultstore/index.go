// SPDX-License-Identifier: Apache-2.0

package faultstore

import (
	"cmp"
	"slices"
	"sync"

	"tare/internal/store"
)

// Index remembers what was ever in the index of a table, as far as the calls that passed show it: what Due answered,
// and what commits wrote. It is safe for concurrent use. Processes that work on one table share one, so that one of them
// can be shown what another has long removed.
type Index struct {
	mu     sync.Mutex // guards what follows
	shards map[store.Key]int64
	seen   map[int64]map[store.DueKey]struct{} // by shard
}

// NewIndex returns a memory that is empty.
func NewIndex() *Index {
	return &Index{shards: make(map[store.Key]int64), seen: make(map[int64]map[store.DueKey]struct{})}
}

// learn remembers the entries that a transaction made. An update that brings no shard keeps the one that is known.
func (x *Index) learn(tx store.Tx) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for i := range tx.Ops {
		op := &tx.Ops[i]
		written := op.Row
		if op.Kind == store.OpUpdate {
			written = store.NewRow(op.Set...)
		}
		if written.Has(store.AttrShard) {
			x.shards[op.Key] = written.Num(store.AttrShard)
		}
		if shard, ok := x.shards[op.Key]; ok && written.Has(store.AttrDue) {
			x.add(shard, store.DueKey{Due: written.Num(store.AttrDue), Key: op.Key})
		}
	}
}

// add remembers an entry. The caller holds mu.
func (x *Index) add(shard int64, d store.DueKey) {
	if x.seen[shard] == nil {
		x.seen[shard] = make(map[store.DueKey]struct{})
	}
	x.seen[shard][d] = struct{}{}
}

// see remembers a page of the index.
func (x *Index) see(shard int64, page []store.DueKey) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for _, d := range page {
		x.add(shard, d)
		x.shards[d.Key] = shard
	}
}

// haunt returns a page with all that was ever there between after and until. A full page stays in order and without
// gaps: what comes behind its last entry is cut.
func (x *Index) haunt(page []store.DueKey, shard, until int64, after store.DueKey, limit int) []store.DueKey {
	x.mu.Lock()
	defer x.mu.Unlock()
	page = slices.Clone(page)
	for d := range x.seen[shard] {
		if d.Due <= until && (after == store.DueKey{} || compareDue(d, after) > 0) {
			page = append(page, d)
		}
	}
	slices.SortFunc(page, compareDue)
	page = slices.Compact(page)
	return page[:min(limit, len(page))]
}

func compareDue(a, b store.DueKey) int {
	return cmp.Or(cmp.Compare(a.Due, b.Due), a.Key.Compare(b.Key))
}
