// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"bytes"
	"context"

	"tare/internal/store"
)

// Get implements [store.Table]. The batch is of one moment, which is more than the contract promises.
func (s *Store) Get(ctx context.Context, keys ...store.Key) ([]store.Row, error) {
	if err := store.ValidateGet(keys); err != nil {
		return nil, err
	}
	rows := make([]store.Row, len(keys))
	var key []byte
	err := s.read(ctx, func(v view) (err error) {
		for i, k := range keys {
			key = appendKey(key[:0], k)
			if rows[i], _, err = v.row(key); err != nil {
				return wrap("get", k.String(), err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, wrap("get", "", err)
	}
	return rows, nil
}

// row returns the row under an encoded key, nil where there is none, and the size of its encoding.
func (v view) row(key []byte) (store.Row, int, error) {
	b := v.get(inRows, key)
	if b == nil {
		return nil, 0, nil
	}
	row, err := decodeRow(key, b)
	return row, len(b), err
}

// read calls fn with the rows as they are at one moment that is durable, unless the store is closed or dead.
func (s *Store) read(ctx context.Context, fn func(view) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.leave()
	v, err := s.overlay.begin()
	if err != nil {
		return err
	}
	defer v.close()
	return guarded(func() error { return fn(v) })
}

// Query implements [store.Table]. Its cost is that of the page, whatever the size of the partition.
func (s *Store) Query(ctx context.Context, q store.Query) (store.Page, error) {
	if err := q.Validate(); err != nil {
		return store.Page{}, err
	}
	partition := appendPK(nil, q.PK)
	within := append(bytes.Clone(partition), q.Prefix...)
	after := append(bytes.Clone(partition), q.After...)
	return s.page(ctx, "query", q.PK, within, after, q.Limit)
}

// Scan implements [store.Scanner]. The order is that of the keys.
func (s *Store) Scan(ctx context.Context, after store.Key, limit int) (store.Page, error) {
	if err := store.ValidateLimit("scan", limit); err != nil {
		return store.Page{}, err
	}
	return s.page(ctx, "scan", after.String(), nil, appendKey(nil, after), limit)
}

// page reads the rows whose encoded keys begin with within and come after the given one.
func (s *Store) page(ctx context.Context, op, name string, within, after []byte, limit int) (page store.Page, err error) {
	from := within
	if bytes.Compare(after, within) > 0 {
		from = after
	}
	err = s.read(ctx, func(v view) error {
		size := 0
		page.Items = make([]store.Item, 0, min(limit, 100))
		cursor := v.cursor(inRows)
		defer cursor.release()
		for k, b := cursor.seek(from); k != nil && bytes.HasPrefix(k, within); k, b = cursor.next() {
			if bytes.Equal(k, after) {
				continue
			}
			if len(page.Items) == limit {
				page.More = true
				return nil
			}
			item, err := decodeItem(k, b)
			if err != nil && len(page.Items) > 0 {
				page.More = true
				return nil
			}
			if err != nil {
				return err
			}
			if size += item.Row.Size(item.Key); size > store.MaxPage && len(page.Items) > 0 {
				page.More = true
				return nil
			}
			page.Items = append(page.Items, item)
		}
		return nil
	})
	if err != nil {
		return store.Page{}, wrap(op, name, err)
	}
	return page, nil
}

func decodeItem(k, v []byte) (item store.Item, err error) {
	if item.Key, err = decodeKey(k); err != nil {
		return item, err
	}
	if item.Row, err = decodeRow(k, v); err != nil {
		return item, &store.DamagedRow{Key: item.Key, Cause: err}
	}
	return item, nil
}

// Due implements [store.Table]. The index is never behind.
func (s *Store) Due(ctx context.Context, shard int, until int64, after store.DueKey, limit int) ([]store.DueKey, error) {
	if err := store.ValidateLimit("due", limit); err != nil {
		return nil, err
	}
	within := appendShard(nil, int64(shard))
	from := within
	if after != (store.DueKey{}) {
		from = dueKey(int64(shard), after.Due, appendKey(nil, after.Key))
	}
	var page []store.DueKey
	err := s.read(ctx, func(v view) error {
		cursor := v.cursor(inDue)
		defer cursor.release()
		for k, _ := cursor.seek(from); k != nil && bytes.HasPrefix(k, within) && len(page) < limit; k, _ = cursor.next() {
			d, err := decodeDue(k)
			if err != nil {
				return err
			}
			if d.Due > until {
				return nil
			}
			if d != after {
				page = append(page, d)
			}
		}
		return nil
	})
	if err != nil {
		return nil, wrap("due", "", err)
	}
	return page, nil
}

// Commit implements [store.Table]. Once the transaction is sent, ctx is not looked at any more: the outcome is known
// when the disk has synced, and nobody need ask again.
func (s *Store) Commit(ctx context.Context, tx store.Tx) error {
	if err := tx.Validate(); err != nil {
		return err
	}
	if err := s.enter(ctx); err != nil {
		return wrap("commit", tx.Ops[0].Key.String(), err)
	}
	defer s.leave()
	return wrap("commit", tx.Ops[0].Key.String(), s.committer.commit(&tx))
}
