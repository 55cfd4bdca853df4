// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/store"
	"tare/internal/store/storetest"
	"tare/test/standin"
)

// The requests of DynamoDB that change something, and those that do not.
var (
	writes = []string{"TransactWriteItems"}
	reads  = []string{"GetItem", "BatchGetItem", "Query", "Scan"}
)

// The store hides what certainly has not happened. Where faults are rare enough to be hidden, the whole suite of the
// tables holds behind them: conflicts of transactions that overlap, throttles, failed reads, batches and pages that end
// early.
func TestTableBehindFaults(t *testing.T) {
	hidden := func(seed uint64) standin.Plan {
		return standin.First(
			standin.Sometimes(seed, 0.1, []string{"BatchGetItem"}, standin.Unprocessed(0), standin.Unprocessed(1), standin.Unprocessed(7)),
			standin.Sometimes(seed+1, 0.1, []string{"Query", "Scan"}, standin.ShortPage(1), standin.ShortPage(3), standin.ShortPage(0)),
			standin.Sometimes(seed+2, 0.1, reads, standin.Throttle, standin.LoseCall, standin.LoseReply, standin.Reset, standin.CutAnswer(10),
				standin.DynamoError(500, "InternalServerError", "internal"), standin.DynamoErrorAfter(503, "ServiceUnavailable", "unavailable")),
			standin.Sometimes(seed+3, 0.1, writes, standin.Throttle, standin.Cancel(map[int]string{0: "TransactionConflict"}),
				standin.Cancel(map[int]string{0: "ThrottlingError"}),
				standin.DynamoError(400, "ProvisionedThroughputExceededException", "exceeded")),
			standin.Overlap(0),
		)
	}
	storetest.TestTable(t, startEngine(t).tables(hidden))
}

func TestScannerBehindFaults(t *testing.T) {
	storetest.TestScanner(t, startEngine(t).tables(func(seed uint64) standin.Plan {
		return standin.Sometimes(seed, 0.2, reads, standin.ShortPage(1), standin.ShortPage(0), standin.Throttle, standin.LoseCall)
	}))
}

// token names a transaction as no other is named, also by earlier runs in one account.
func token() string { return crand.Text() }

// A commit whose reply is lost is told to be unknown, and the same again says what became of it.
func TestLostReplies(t *testing.T) {
	for name, fault := range map[string]standin.Fault{
		"call lost":              standin.LoseCall,
		"reply lost":             standin.LoseReply,
		"reset":                  standin.Reset,
		"half an answer":         standin.CutAnswer(1),
		"500 instead":            standin.DynamoError(500, "InternalServerError", "internal"),
		"500 all the same":       standin.DynamoErrorAfter(500, "InternalServerError", "internal"),
		"503 all the same":       standin.DynamoErrorAfter(503, "ServiceUnavailable", "unavailable"),
		"the same under way yet": standin.DynamoErrorAfter(400, "TransactionInProgressException", "in progress"),
	} {
		t.Run(name, func(t *testing.T) {
			e := startEngine(t)
			p := e.proxy(t)
			s := e.store(t, e.table(t), p)
			k := store.Key{PK: "p", SK: "a"}
			tx := store.Tx{Token: token(), Ops: []store.Op{{Key: k, Kind: store.OpUpdate, Add: []store.Attr{{Name: "n", Value: store.Int(1)}}}}}
			p.Use(standin.On("TransactWriteItems", 1, fault))
			if err := s.Commit(t.Context(), tx); !errors.Is(err, store.ErrUnknownOutcome) {
				t.Fatalf("got %v, want an unknown outcome", err)
			}
			for range 3 {
				if err := s.Commit(t.Context(), tx); err != nil {
					t.Fatalf("the same again: %v", err)
				}
			}
			if rows, err := s.Get(t.Context(), k); err != nil || rows[0].Num("n") != 1 {
				t.Errorf("it is applied %v times, error %v", rows, err)
			}
			if n := p.Seen()["TransactWriteItems"]; n != 4 {
				t.Errorf("%d requests: what may have happened was sent again", n)
			}
		})
	}
}

// What is late lands after it was refused (A9): the store cannot exclude it, and does not say so.
func TestALateTransactionLands(t *testing.T) {
	e := startEngine(t)
	p := e.proxy(t)
	s := e.store(t, e.table(t), p)
	k := store.Key{PK: "p", SK: "a"}
	put := func(token string, n int64) store.Tx {
		return store.Tx{Token: token, Ops: []store.Op{{Key: k, Kind: store.OpPut, Row: store.NewRow(store.Attr{Name: "n", Value: store.Int(n)}),
			If: []store.Cond{{Is: store.Absent}}}}}
	}
	late := put(token(), 1)
	p.Use(standin.On("TransactWriteItems", 1, standin.Late))
	if err := s.Commit(t.Context(), late); !errors.Is(err, store.ErrUnknownOutcome) {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), put(token(), 2)); err != nil {
		t.Fatal(err)
	}
	if err := s.Commit(t.Context(), late); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("the first again: %v", err)
	}
	if err := s.Commit(t.Context(), store.Tx{Token: token(), Ops: []store.Op{{Key: k, Kind: store.OpDelete}}}); err != nil {
		t.Fatal(err)
	}
	if landed, err := p.Land(); !landed || err != nil {
		t.Fatal(landed, err)
	}
	if rows, err := s.Get(t.Context(), k); err != nil || rows[0].Num("n") != 1 {
		t.Errorf("the late one did not land: %v, %v", rows, err)
	}
}

// Contended rows make progress: clients that all want one row, as DynamoDB refuses those that meet.
func TestContention(t *testing.T) {
	const clients, each = 16, 12
	e := startEngine(t)
	p := e.proxy(t)
	p.Use(standin.Overlap(2 * time.Millisecond))
	table := e.table(t)
	hot := store.Key{PK: "p", SK: "hot"}
	var wg sync.WaitGroup
	began := time.Now()
	for i := range clients {
		s := e.store(t, table, p)
		wg.Go(func() {
			for n := range each {
				tx := store.Tx{Token: token(), Ops: []store.Op{
					{Key: hot, Kind: store.OpUpdate, Add: []store.Attr{{Name: "n", Value: store.Int(1)}}},
					{Key: store.Key{PK: "p", SK: fmt.Sprint(i, n)}, Kind: store.OpPut, If: []store.Cond{{Is: store.Absent}}},
				}}
				if err := settle(t.Context(), s, tx); err != nil {
					t.Errorf("client %d: %v", i, err)
					return
				}
			}
		})
	}
	wg.Wait()
	s := e.store(t, table, p)
	if rows, err := s.Get(t.Context(), hot); err != nil || rows[0].Num("n") != clients*each {
		t.Errorf("got %v, error %v, want %d", rows, err, clients*each)
	}
	t.Logf("%d clients, %d commits on one row in %s, %d conflicts", clients, clients*each, time.Since(began).Round(time.Millisecond), p.Hurt())
}

// Clients that push images with the same ten layers at once all come through, also where transactions that are canceled are
// in the way of others.
func TestManyAtTenRows(t *testing.T) {
	const clients, shared = 50, 10
	e := startEngine(t)
	p := e.proxy(t)
	table := e.table(t)
	for name, plan := range map[string]standin.Plan{"the later one is canceled": standin.Overlap(5 * time.Millisecond), "both may be": standin.Collide(5 * time.Millisecond)} {
		p.Use(plan)
		before, hurt := p.Seen()["TransactWriteItems"], p.Hurt()
		took := make([]time.Duration, clients)
		var wg sync.WaitGroup
		for i := range clients {
			s := e.store(t, table, p)
			wg.Go(func() {
				tx := store.Tx{Token: token(), Ops: []store.Op{{Key: store.Key{PK: name, SK: fmt.Sprint("own ", i)}, Kind: store.OpPut, If: []store.Cond{{Is: store.Absent}}}}}
				for n := range shared {
					tx.Ops = append(tx.Ops, store.Op{Key: store.Key{PK: name, SK: fmt.Sprint("layer ", n)}, Kind: store.OpUpdate, Add: []store.Attr{{Name: "refs", Value: store.Int(1)}}})
				}
				began := time.Now()
				if err := settle(t.Context(), s, tx); err != nil {
					t.Errorf("%s: client %d: %v", name, i, err)
				}
				took[i] = time.Since(began)
			})
		}
		wg.Wait()
		rows, err := e.store(t, table, nil).Get(t.Context(), store.Key{PK: name, SK: "layer 0"})
		if err != nil || rows[0].Num("refs") != clients {
			t.Errorf("%s: got %v, error %v, want %d", name, rows, err, clients)
		}
		slices.Sort(took)
		t.Logf("%s: %d clients, %d transactions sent, %d canceled, median %s, most %s", name, clients, p.Seen()["TransactWriteItems"]-before, p.Hurt()-hurt,
			took[clients/2].Round(time.Millisecond), took[clients-1].Round(time.Millisecond))
	}
}

// settle sends a transaction as the ledger does, until it is known.
func settle(ctx context.Context, s store.Table, tx store.Tx) error {
	var err error
	for try := range 64 {
		if err = s.Commit(ctx, tx); !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknownOutcome) {
			return err
		}
		if err := (clock.System{}).Pause(ctx, rand.N(time.Millisecond<<min(try, 8))); err != nil {
			return err
		}
	}
	return err
}
