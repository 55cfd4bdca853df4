// SPDX-License-Identifier: Apache-2.0

package faultstore

import (
	"context"
	"slices"

	"tare/internal/store"
)

// table is a [store.Table] that asks the process's plan about each call.
type table struct {
	p     *Process
	table store.Table
}

func (t *table) Get(ctx context.Context, keys ...store.Key) ([]store.Row, error) {
	c := Call{Kind: Get, Keys: slices.Clone(keys)}
	return act(t.p, c, nil, func(Action) ([]store.Row, error) { return t.table.Get(ctx, keys...) })
}

func (t *table) Query(ctx context.Context, q store.Query) (store.Page, error) {
	c := Call{Kind: Query, Keys: []store.Key{{PK: q.PK, SK: q.Prefix}}}
	return act(t.p, c, nil, func(Action) (store.Page, error) { return t.table.Query(ctx, q) })
}

func (t *table) Due(ctx context.Context, shard int, until int64, after store.DueKey, limit int) ([]store.DueKey, error) {
	c := Call{Kind: Due, Shard: shard}
	return act(t.p, c, nil, func(a Action) ([]store.DueKey, error) {
		if a == IndexEmpty {
			return nil, nil
		}
		page, err := t.table.Due(ctx, shard, until, after, limit)
		if err != nil {
			return nil, err
		}
		t.p.opts.Index.see(int64(shard), page)
		if a == IndexGhosts {
			page = t.p.opts.Index.haunt(page, int64(shard), until, after, limit)
		}
		return page, nil
	})
}

func (t *table) Commit(ctx context.Context, tx store.Tx) error {
	c := Call{Kind: Commit, Tx: tx}
	c.Tx.Ops = slices.Clone(tx.Ops) // the trace outlives the call, and the caller may build on its slices
	for i := range tx.Ops {
		c.Keys = append(c.Keys, tx.Ops[i].Key)
	}
	return simply(ctx, t.p, c, func(ctx context.Context) error {
		err := t.table.Commit(ctx, c.Tx)
		if err == nil {
			t.p.opts.Index.learn(c.Tx)
		}
		return err
	})
}

// scanningTable is a table that is a [store.Scanner], too.
type scanningTable struct {
	*table
	scanner store.Scanner
}

func (t *scanningTable) Scan(ctx context.Context, after store.Key, limit int) (store.Page, error) {
	c := Call{Kind: Scan, Keys: []store.Key{after}}
	return act(t.p, c, nil, func(Action) (store.Page, error) { return t.scanner.Scan(ctx, after, limit) })
}
