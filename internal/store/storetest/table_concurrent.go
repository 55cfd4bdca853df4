// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"tare/internal/store"
)

// attempts bounds the retries of a contended commit; a store that contends for longer makes no progress.
const attempts = 100_000

// persist sends a transaction until its fate is known: applied or refused.
func persist(t *table, client store.Table, x store.Tx) error {
	var err error
	for range attempts {
		err = client.Commit(t.Context(), x)
		if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknownOutcome) {
			return err
		}
	}
	return err
}

// race runs n goroutines that all begin together, every other one with client B, and waits for them.
func (t *table) race(n int, run func(i int, client store.Table)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		client := t.A
		if i%2 == 1 {
			client = t.B
		}
		wg.Go(func() {
			<-start
			run(i, client)
		})
	}
	close(start)
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

var concurrentTests = []tableTest{
	{"IncrementsSumUp", func(t *table) {
		const clients, each = 8, 100
		k := key("p", "a")
		t.race(clients, func(i int, client store.Table) {
			own := key("p", fmt.Sprintf("own %d", i))
			for range each {
				if err := persist(t, client, tx(increment(k), increment(own))); err != nil {
					t.Errorf("commit: %v", err)
					return
				}
			}
		})
		t.wantRow(k, row(num("n", clients*each)))
		for i := range clients {
			t.wantRow(key("p", fmt.Sprintf("own %d", i)), row(num("n", each)))
		}
	}},
	{"OneMakesTheRow", func(t *table) {
		for round := range 10 {
			k := key("p", fmt.Sprint(round))
			won := make([]bool, 8)
			t.race(len(won), func(i int, client store.Table) {
				err := persist(t, client, tx(where(put(k, num("by", int64(i))), absent)))
				won[i] = err == nil
				if err != nil && !errors.Is(err, store.ErrConflict) {
					t.Errorf("commit: %v", err)
				}
			})
			t.wantRow(k, row(num("by", int64(t.winner(won)))))
		}
	}},
	{"CompareAndSwapHasOneWinner", func(t *table) {
		k := key("p", "a")
		t.commit(put(k, num("version", 0)))
		for round := range int64(10) {
			won := make([]bool, 8)
			t.race(len(won), func(i int, client store.Table) {
				swap := store.Op{Key: k, Kind: store.OpUpdate, Set: []store.Attr{num("version", round+1), num("by", int64(i))}}
				err := persist(t, client, tx(where(swap, is("version", store.Equal, store.Int(round)))))
				won[i] = err == nil
				if err != nil && !errors.Is(err, store.ErrConflict) {
					t.Errorf("commit: %v", err)
				}
			})
			t.wantRow(k, row(num("version", round+1), num("by", int64(t.winner(won)))))
		}
	}},
	{"OneTokenIsAppliedOnce", func(t *table) {
		for round := range 10 {
			k := key("p", fmt.Sprint(round))
			x := tx(increment(k))
			t.race(8, func(_ int, client store.Table) {
				if err := persist(t, client, x); err != nil {
					t.Errorf("commit: %v", err)
				}
			})
			t.wantRow(k, row(num("n", 1)))
		}
	}},
	{"CrossingTransfersLoseNothing", func(t *table) {
		// Each transaction takes from one row and gives to another, in crossing orders: a lock order that depends on the
		// order of the operations would be a deadlock, and a partial apply would change the sum.
		const accounts, each, start = 4, 20, 1000
		account := func(i int) store.Key { return key(fmt.Sprint("p", i%accounts), "account") }
		for i := range accounts {
			t.commit(put(account(i), num("n", start)))
		}
		add := func(k store.Key, n int64) store.Op {
			return where(store.Op{Key: k, Kind: store.OpUpdate, Add: []store.Attr{num("n", n)}}, exists)
		}
		t.race(8, func(i int, client store.Table) {
			for j := range each {
				if err := persist(t, client, tx(add(account(i+j), -1), add(account(i+j+1+i%2), 1))); err != nil {
					t.Errorf("commit: %v", err)
					return
				}
			}
		})
		sum := int64(0)
		for i := range accounts {
			sum += t.row(account(i)).Num("n")
		}
		if sum != accounts*start {
			t.Fatalf("the rows sum up to %d, want %d", sum, accounts*start)
		}
	}},
	{"ReadersSeeWhatWasAcknowledged", func(t *table) {
		// The writer hands on what was acknowledged; the reader, who reads later, must find no less.
		const last = 100
		k := key("p", "a")
		acknowledged := make(chan int64)
		t.race(2, func(i int, client store.Table) {
			if i == 0 {
				defer close(acknowledged)
				for n := range int64(last) {
					if err := persist(t, client, tx(put(k, num("n", n)))); err != nil {
						t.Errorf("commit: %v", err)
						return
					}
					acknowledged <- n
				}
				return
			}
			for n := range acknowledged {
				rows, err := client.Get(t.Context(), k)
				if err != nil || rows[0].Num("n") < n {
					t.Errorf("get after %d was acknowledged: %v, error %v", n, rows, err)
				}
				page, err := client.Query(t.Context(), store.Query{PK: k.PK, Limit: 1})
				if err != nil || len(page.Items) != 1 || page.Items[0].Row.Num("n") < n {
					t.Errorf("query after %d was acknowledged: %v, error %v", n, page, err)
				}
			}
		})
	}},
	{"WalksBesideCommits", func(t *table) {
		// Some rows stay while others come and go: every walk sees those that stay once and in order.
		const stay, each = 40, 60
		name := func(i int) string { return fmt.Sprintf("%02d stays", i) }
		for i := range stay {
			t.commit(due(key("p", name(i)), 0, int64(i)))
		}
		t.race(4, func(i int, client store.Table) {
			for j := range each {
				k := key("p", fmt.Sprintf("%02d passes", (i*11+j)%stay))
				op := due(k, 0, int64(j))
				if j%2 == 1 {
					op = store.Op{Key: k, Kind: store.OpDelete}
				}
				if err := persist(t, client, tx(op)); err != nil {
					t.Errorf("commit: %v", err)
				}
				seen := 0
				err := eachPage(t, client, store.Query{PK: "p", Limit: 9}, func(it store.Item) {
					if strings.HasSuffix(it.Key.SK, "stays") {
						if it.Key.SK != name(seen) {
							t.Errorf("a walk sees %q after %d rows that stay", it.Key.SK, seen)
						}
						seen++
					}
				})
				if err != nil || seen != stay {
					t.Errorf("a walk sees %d rows that stay, want %d; error %v", seen, stay, err)
				}
				if _, err := client.Due(t.Context(), 0, stay, store.DueKey{}, 9); err != nil {
					t.Errorf("due: %v", err)
				}
			}
		})
	}},
}

// eachPage calls see with each row of all pages of a query.
func eachPage(t *table, client store.Table, q store.Query, see func(store.Item)) error {
	for {
		page, err := client.Query(t.Context(), q)
		if err != nil {
			return err
		}
		for _, it := range page.Items {
			see(it)
		}
		if !page.More {
			return nil
		}
		q.After = page.Items[len(page.Items)-1].Key.SK
	}
}

// winner returns the index of the only one that won.
func (t *table) winner(won []bool) int {
	t.Helper()
	winner := -1
	for i, w := range won {
		if w && winner >= 0 {
			t.Fatalf("both %d and %d won", winner, i)
		}
		if w {
			winner = i
		}
	}
	if winner < 0 {
		t.Fatal("nobody won")
	}
	return winner
}
