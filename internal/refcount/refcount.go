// SPDX-License-Identifier: Apache-2.0

// Package refcount is the ledger: who keeps which bytes alive. It alone knows rows, keys and transactions; every
// operation of the registry that changes a fact is a method of [Ledger], and so is the sweep that takes away what
// nothing references.
//
// At every moment each object in the store is owned by exactly one row: an upload session, a blob, a manifest's body or
// a tombstone (C1). Ownership passes in one transaction. Whatever may have to go carries a due time, and the sweep looks
// at due rows only. Invariants are cited by their ids, C1 to C12, which docs/consistency.md states.
//
// Four rules hold in every method. A commit repeats, as conditions, all that it took from its reads, so that it behaves
// as if it had read and written at one moment. Versions are random tokens, never counters. A clock reading is at most
// MaxStep old when a commit that relies on it is applied. After an unknown outcome the same transaction is sent again,
// never another.
package refcount

import (
	"context"
	"crypto/rand"
	"errors"
	"strings"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/store"
)

// Ledger keeps the rows. Its methods are safe for concurrent use, by any number of processes on one table.
//
// Errors are *[oci.Error] where a client did something that cannot be, the context's own, or those of package store:
// ErrUnavailable (nothing happened), ErrUnknownOutcome (repeat the call), ErrCorrupt.
type Ledger struct {
	table   store.Table
	objects store.Objects
	parts   store.Multipart
	clock   clock.Clock
	cfg     Config
}

// Config is what a deployment decides. It is checked by [New].
type Config struct {
	Margins Margins
	// InlineLimit is the most bytes of a blob that is kept in the table itself, 0 to MaxInline.
	InlineLimit int
	// NewToken makes a random name of 26 characters of [a-z2-7] that was never made before. Nil: from crypto/rand.
	// Tests give a seeded one.
	NewToken func() string
	// Distant says that the table is behind a network: where an outcome was unknown, what is sent again may be refused and
	// the first sending be applied afterwards (A9 does not hold). Then only success settles a commit whose outcome was
	// unknown; all else leaves it unknown, and clients are told 503.
	Distant bool
}

// MaxInline bounds Config.InlineLimit: a content row must stay below the row limit of DynamoDB.
const MaxInline = 256 << 10

// Shards is the number of slices of the index of due rows. It is part of the stored format.
const Shards = 16

// Stores are the doors to durable state that a ledger needs.
type Stores struct {
	Table   store.Table
	Objects store.Objects
	Parts   store.Multipart
}

// New makes a ledger. The error says which setting cannot be.
func New(s Stores, c clock.Clock, cfg Config) (*Ledger, error) {
	if err := cfg.Margins.Check(); err != nil {
		return nil, err
	}
	if cfg.InlineLimit < 0 || cfg.InlineLimit > MaxInline {
		return nil, errors.New("refcount: InlineLimit is not in 0 to MaxInline")
	}
	if cfg.NewToken == nil {
		cfg.NewToken = func() string { return strings.ToLower(rand.Text()) }
	}
	return &Ledger{table: s.Table, objects: s.Objects, parts: s.Parts, clock: c, cfg: cfg}, nil
}

// InlineLimit is the most bytes that [Ledger.FinishInline] takes.
func (l *Ledger) InlineLimit() int { return l.cfg.InlineLimit }

// Margins are the times that the ledger relies on.
func (l *Ledger) Margins() Margins { return l.cfg.Margins }

// get reads one row.
func (l *Ledger) get(ctx context.Context, k store.Key) (store.Row, error) {
	rows, err := l.read(ctx, k)
	if err != nil {
		return nil, err
	}
	return rows[0], nil
}

// read reads rows strongly, in batches of what a table allows, and refuses rows of a newer format.
func (l *Ledger) read(ctx context.Context, keys ...store.Key) ([]store.Row, error) {
	var rows []store.Row
	for at := 0; at < len(keys); at += store.MaxGet {
		batch, err := l.table.Get(ctx, keys[at:min(at+store.MaxGet, len(keys))]...)
		if err != nil {
			return nil, err
		}
		if rows == nil && len(batch) == len(keys) {
			rows = batch
		} else {
			rows = append(rows, batch...)
		}
	}
	for i, r := range rows {
		if err := checkFormat(keys[i], r); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// query reads a page of a partition and refuses rows of a newer format.
func (l *Ledger) query(ctx context.Context, q store.Query) (store.Page, error) {
	page, err := l.table.Query(ctx, q)
	if err != nil {
		return store.Page{}, err
	}
	for _, it := range page.Items {
		if err := checkFormat(it.Key, it.Row); err != nil {
			return store.Page{}, err
		}
	}
	return page, nil
}

// queryAll reads a whole range of a partition, page by page. Callers use it where the range is bounded by what one
// operation has to handle anyway.
func (l *Ledger) queryAll(ctx context.Context, pk, prefix string) ([]store.Item, error) {
	var all []store.Item
	err := l.eachPage(ctx, store.Query{PK: pk, Prefix: prefix, Limit: pageSize}, func(items []store.Item) (bool, error) {
		all = append(all, items...)
		return true, nil
	})
	return all, err
}

// eachPage visits a range of a partition page by page, none of them empty, until visit answers false.
func (l *Ledger) eachPage(ctx context.Context, q store.Query, visit func([]store.Item) (more bool, err error)) error {
	for {
		page, err := l.query(ctx, q)
		if err != nil || len(page.Items) == 0 {
			return err
		}
		if more, err := visit(page.Items); err != nil || !more || !page.More {
			return err
		}
		q.After = page.Items[len(page.Items)-1].Key.SK
	}
}

// pageSize is how many rows a walk reads at once.
const pageSize = 1000

var errManifestUnknown = oci.Errorf(oci.ManifestUnknown, "the manifest is not in this repository")
