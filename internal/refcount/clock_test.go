// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
)

// A delete reads its clock and sleeps. Meanwhile a look sees the blob in use. The commit must not write a due that was
// counted from before the look: the clock reading is too old, and the delete reads again (rule 5).
func TestDeleteSleepsBeforeItsCommit(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	d := w.upload(repo, big)
	image, err := w.push(repo, "image", nil, links(d))
	w.must(err)
	w.must(w.before(1, func() {
		w.clock.Advance(w.Margins().Grace)
		_, err := w.Look(ctx, repo, d)
		w.must(err)
	}).DeleteManifest(ctx, repo, image))
	w.sweep()
	w.clock.Advance(w.Margins().Lease)
	w.sweep()
	_, err = w.Look(ctx, repo, d)
	w.must(err)
	w.audit()
}

// ahead is a clock that is set wrong.
type ahead struct {
	clock.Clock
	by time.Duration
}

func (a ahead) Now() time.Time { return a.Clock.Now().Add(a.by) }

// What a look has promised holds for a sweep whose clock is as far ahead of the look's as two clocks can be.
func TestLeaseHoldsForClocksThatDiffer(t *testing.T) {
	m := refcount.DefaultMargins()
	for before := -time.Second; before <= 2*m.Skew+time.Second; before += m.Skew / 2 {
		w := newWorld(t)
		ctx := t.Context()
		sweeper, err := refcount.New(refcount.Stores{Table: w.store, Objects: w.store, Parts: w.store}, ahead{w.clock, 2 * m.Skew},
			refcount.Config{Margins: m, InlineLimit: w.InlineLimit(), NewToken: seededTokens(2)})
		w.must(err)
		d := w.upload(repo, big)
		w.clock.Advance(m.Grace - m.Lease - before) // the lease that is left is Lease and before
		_, err = w.Look(ctx, repo, d)
		w.must(err)
		w.clock.Advance(m.Lease - time.Millisecond)
		_, err = sweeper.Sweep(ctx, refcount.SweepOptions{})
		w.must(err)
		if _, err := w.Look(ctx, repo, d); err != nil {
			t.Errorf("looked at %v before a lease was left: %v", before, err)
		}
	}
}

// after is a table that calls meet when it has read.
type after struct {
	store.Table
	meet func(keys []store.Key, rows []store.Row)
}

func (a after) Get(ctx context.Context, keys ...store.Key) ([]store.Row, error) {
	rows, err := a.Table.Get(ctx, keys...)
	a.meet(keys, rows)
	return rows, err
}

// A push finds the stage of its large manifest and sleeps. When it wakes up, the stage was given up and its object deleted:
// no byte may be put there (C1).
func TestPushSleepsBeforeItPutsTheBody(t *testing.T) {
	w := newWorld(t)
	slept := false
	sleepy := w.beside(after{w.store, func(keys []store.Key, rows []store.Row) {
		for i, k := range keys {
			if !slept && strings.HasPrefix(k.PK, "y#") && rows[i] != nil {
				slept = true
				for range 3 { // the stage, the body, its object
					w.clock.Advance(w.Margins().TombstoneDelay)
					w.sweep()
				}
			}
		}
	}})
	body := strings.Repeat(" ", refcount.MaxInlineBody+1)
	push := refcount.Push{Repo: repo, Digest: digestOf(body), MediaType: oci.MediaTypeManifest, Body: []byte(body)}
	w.must(second(sleepy.Push(t.Context(), push)))
	if !slept {
		t.Fatal("it did not sleep")
	}
	w.audit()
	_, err := w.FindManifest(t.Context(), repo, push.Digest)
	w.must(err)
}
