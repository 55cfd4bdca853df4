// SPDX-License-Identifier: Apache-2.0

// Package memstore keeps rows and objects in memory. It is the reference for the contract of package store: it refuses
// whatever DynamoDB or S3 would refuse, so that what runs on it runs on them, and it is never faster and looser at once.
//
// A [Store] is the durable state itself. A test that wants to crash a process drops everything that it built on the
// Store and builds it again on the same Store, or on a [Store.Clone] that was made before.
package memstore

import (
	"maps"
	"slices"
	"sync"

	"github.com/tidwall/btree"

	"tare/internal/clock"
	"tare/internal/store"
)

// Options choose which of the two worlds the store plays. The zero value is the embedded one: commits wait for one
// another, and the parts of an upload are appended to one file.
type Options struct {
	// RefuseOverlap refuses a commit with ErrContended while another that shares a row with it is in flight, as
	// DynamoDB does. A row that is only checked counts as shared.
	RefuseOverlap bool

	// Hold is called with RefuseOverlap, for each commit that was let in, between the moment when its rows are in flight
	// and the one at which it is applied or refused. A test that blocks in it holds the transaction in flight.
	Hold func(store.Tx)

	// MinPart is the least size of every part of an upload but the last. Above 0, parts are kept apart by number as on
	// S3: their offset is not looked at, their size must be known, and one whose reader fails is not kept.
	MinPart int64
}

// Store is a [store.Table], [store.Scanner], [store.Objects] and [store.Multipart] in memory. It is safe for concurrent
// use. Where both mutexes are held, mu is taken first.
type Store struct {
	clock clock.Clock
	opts  Options

	mu       sync.RWMutex // guards the table: rows, due, tokens, applied and inFlight
	rows     *btree.BTreeG[store.Item]
	due      *btree.BTreeG[dueEntry]
	tokens   map[string]applied
	applied  []string // the keys of tokens in the order in which they were applied
	inFlight map[store.Key]struct{}

	bytesMu sync.RWMutex // guards the objects: objects, uploads, begun and turns
	objects *btree.BTreeG[object]
	uploads map[string]*upload
	begun   int   // uploads ever begun; the last one's id
	turns   int64 // the last one that was taken
}

var (
	_ store.Table     = (*Store)(nil)
	_ store.Scanner   = (*Store)(nil)
	_ store.Objects   = (*Store)(nil)
	_ store.Multipart = (*Store)(nil)
)

// New returns an empty store that asks clk for the time at which a transaction is applied.
func New(clk clock.Clock, opts Options) *Store {
	return &Store{
		clock:    clk,
		opts:     opts,
		rows:     btree.NewBTreeGOptions(itemLess, btree.Options{NoLocks: true}),
		due:      btree.NewBTreeGOptions(dueLess, btree.Options{NoLocks: true}),
		tokens:   make(map[string]applied),
		inFlight: make(map[store.Key]struct{}),
		objects:  btree.NewBTreeGOptions(objectLess, btree.Options{NoLocks: true}),
		uploads:  make(map[string]*upload),
	}
}

// Clone returns a store of its own with the same rows, tokens, objects and unfinished uploads, at one moment. It asks
// clk for the time. Transactions in flight are not in it. The cost does not depend on the number of rows and objects.
func (s *Store) Clone(clk clock.Clock) *Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bytesMu.Lock()
	defer s.bytesMu.Unlock()
	c := &Store{
		clock:    clk,
		opts:     s.opts,
		rows:     s.rows.Copy(),
		due:      s.due.Copy(),
		tokens:   maps.Clone(s.tokens),
		applied:  slices.Clone(s.applied),
		inFlight: make(map[store.Key]struct{}),
		objects:  s.objects.Copy(),
		uploads:  make(map[string]*upload, len(s.uploads)),
		begun:    s.begun,
	}
	for id, u := range s.uploads {
		c.uploads[id] = u.clone()
	}
	return c
}

func fail(op, key string, outcome, cause error) error {
	return &store.Error{Op: op, Key: key, Outcome: outcome, Cause: cause}
}
