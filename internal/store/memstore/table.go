// SPDX-License-Identifier: Apache-2.0

package memstore

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"math"
	"strings"
	"time"

	"tare/internal/store"
)

func itemLess(a, b store.Item) bool { return a.Key.Compare(b.Key) < 0 }

// dueEntry is the place of a row in the index.
type dueEntry struct {
	shard int64
	store.DueKey
}

func dueLess(a, b dueEntry) bool {
	return cmp.Or(cmp.Compare(a.shard, b.shard), cmp.Compare(a.Due, b.Due), a.Key.Compare(b.Key)) < 0
}

// indexed returns the entry that a row has in the index, if it has one.
func indexed(k store.Key, r store.Row) (e dueEntry, ok bool) {
	due, shard := r.Get(store.AttrDue), r.Get(store.AttrShard)
	return dueEntry{shard.Num(), store.DueKey{Due: due.Num(), Key: k}}, due.Kind() == store.KindInt && shard.Kind() == store.KindInt
}

// applied is what the store remembers of a transaction.
type applied struct {
	fingerprint [sha256.Size]byte
	at          time.Time
}

// Get implements [store.Table]. The batch is of one moment, which is more than the contract promises.
func (s *Store) Get(ctx context.Context, keys ...store.Key) ([]store.Row, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := store.ValidateGet(keys); err != nil {
		return nil, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	rows := make([]store.Row, len(keys))
	for i, k := range keys {
		rows[i] = s.row(k)
	}
	return rows, nil
}

// row returns the row at k, nil where there is none. The caller holds mu.
func (s *Store) row(k store.Key) store.Row {
	it, _ := s.rows.Get(store.Item{Key: k})
	return it.Row
}

// Query implements [store.Table].
func (s *Store) Query(ctx context.Context, q store.Query) (store.Page, error) {
	if err := ctx.Err(); err != nil {
		return store.Page{}, err
	}
	if err := q.Validate(); err != nil {
		return store.Page{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := pager{limit: q.Limit}
	s.rows.Ascend(store.Item{Key: store.Key{PK: q.PK, SK: max(q.Prefix, q.After)}}, func(it store.Item) bool {
		if it.Key.PK != q.PK || !strings.HasPrefix(it.Key.SK, q.Prefix) {
			return false
		}
		return it.Key.SK == q.After || p.add(it)
	})
	return p.page, nil
}

// Scan implements [store.Scanner]. The order is that of the keys.
func (s *Store) Scan(ctx context.Context, after store.Key, limit int) (store.Page, error) {
	if err := ctx.Err(); err != nil {
		return store.Page{}, err
	}
	if err := store.ValidateLimit("scan", limit); err != nil {
		return store.Page{}, err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	p := pager{limit: limit}
	s.rows.Ascend(store.Item{Key: after}, func(it store.Item) bool {
		return it.Key == after || p.add(it)
	})
	return p.page, nil
}

// pager fills a page until it has limit rows or the next one would bring it over MaxPage bytes.
type pager struct {
	page  store.Page
	limit int
	bytes int
}

// add puts a row on the page, or says on the page that there are more. It tells whether to go on.
func (p *pager) add(it store.Item) bool {
	p.bytes += it.Row.Size(it.Key)
	if n := len(p.page.Items); n == p.limit || n > 0 && p.bytes > store.MaxPage {
		p.page.More = true
		return false
	}
	p.page.Items = append(p.page.Items, it)
	return true
}

// Due implements [store.Table]. The index is never behind.
func (s *Store) Due(ctx context.Context, shard int, until int64, after store.DueKey, limit int) ([]store.DueKey, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := store.ValidateLimit("due", limit); err != nil {
		return nil, err
	}
	from := dueEntry{int64(shard), after}
	if after == (store.DueKey{}) {
		from.Due = math.MinInt64
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	var keys []store.DueKey
	s.due.Ascend(from, func(e dueEntry) bool {
		if e.shard != from.shard || e.Due > until || len(keys) == limit {
			return false
		}
		if e != from {
			keys = append(keys, e.DueKey)
		}
		return true
	})
	return keys, nil
}

// Commit implements [store.Table].
func (s *Store) Commit(ctx context.Context, tx store.Tx) error {
	if err := tx.Validate(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	fingerprint := tx.Fingerprint()
	if s.opts.RefuseOverlap {
		if err := s.enter(tx); err != nil {
			return err
		}
		defer s.leave(tx)
		if s.opts.Hold != nil {
			s.opts.Hold(tx)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.apply(tx, fingerprint)
}

// enter puts the transaction's rows in flight, all or none.
func (s *Store) enter(tx store.Tx) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range tx.Ops {
		if _, busy := s.inFlight[tx.Ops[i].Key]; busy {
			return fail("commit", tx.Ops[i].Key.String(), store.ErrContended, nil)
		}
	}
	for i := range tx.Ops {
		s.inFlight[tx.Ops[i].Key] = struct{}{}
	}
	return nil
}

func (s *Store) leave(tx store.Tx) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range tx.Ops {
		delete(s.inFlight, tx.Ops[i].Key)
	}
}

// apply does the transaction or refuses it. The caller holds mu for writing.
func (s *Store) apply(tx store.Tx, fingerprint [sha256.Size]byte) error {
	now := s.clock.Now()
	s.forgetTokens(now)
	first := tx.Ops[0].Key.String()
	if a, known := s.tokens[tx.Token]; known {
		if a.fingerprint != fingerprint {
			return fail("commit", first, store.ErrInvalid, errors.New("the token of another transaction"))
		}
		return nil
	}
	if !tx.Before.IsZero() && !now.Before(tx.Before) {
		return fail("commit", first, store.ErrExpired, nil)
	}
	rows, err := s.outcome(tx)
	if err != nil {
		return err
	}
	for i, row := range rows {
		s.replace(tx.Ops[i].Key, row)
	}
	s.tokens[tx.Token] = applied{fingerprint, now}
	s.applied = append(s.applied, tx.Token)
	return nil
}

// outcome returns the rows that the transaction would leave, one for each operation, or why it is refused.
func (s *Store) outcome(tx store.Tx) ([]store.Row, error) {
	rows := make([]store.Row, len(tx.Ops))
	var failed []store.Failure
	for i := range tx.Ops {
		rows[i] = s.row(tx.Ops[i].Key)
		if !store.Holds(rows[i], tx.Ops[i].If) {
			failed = append(failed, store.Failure{Op: i, Row: rows[i]})
		}
	}
	if failed != nil {
		return nil, &store.Conflict{Failed: failed}
	}
	for i := range tx.Ops {
		var err error
		if rows[i], err = tx.Ops[i].Apply(rows[i]); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// replace puts row at k, or nothing where row is nil, and keeps the index in step.
func (s *Store) replace(k store.Key, row store.Row) {
	var old store.Row
	if row == nil {
		it, _ := s.rows.Delete(store.Item{Key: k})
		old = it.Row
	} else {
		it, _ := s.rows.Set(store.Item{Key: k, Row: row})
		old = it.Row
	}
	if e, ok := indexed(k, old); ok {
		s.due.Delete(e)
	}
	if e, ok := indexed(k, row); ok {
		s.due.Set(e)
	}
}

// forgetTokens drops the tokens that were applied more than TokenLife ago.
func (s *Store) forgetTokens(now time.Time) {
	n := 0
	for n < len(s.applied) && now.Sub(s.tokens[s.applied[n]].at) > store.TokenLife {
		delete(s.tokens, s.applied[n])
		n++
	}
	s.applied = s.applied[n:]
}
