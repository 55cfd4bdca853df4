// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"context"
	"time"

	"tare/internal/store"
)

// judge is the name of who looks at the world when all is over.
const judge = "judge"

// settle lets every margin pass, sweeping after each.
func (w *world) settle(j *client) {
	for range 5 {
		w.advance(25 * time.Hour)
		j.do(bare(sweep))
	}
}

// audit looks whether the ledger's invariants hold.
func (w *world) audit(j *client, when string) {
	ctx := context.Background()
	findings, err := j.ledger.Audit(ctx, w.store)
	if err != nil {
		w.fail("audit", "%s: %v", when, err)
	}
	for _, f := range findings {
		w.fail("audit "+f.Invariant, "%s: %s", when, f)
	}
}

// readAll asks for everything that there can be.
func (w *world) readAll(j *client, settled bool) {
	from := len(w.history.events)
	for r := range repos {
		for t := range tags {
			j.do(bare(get).ofTag(r, t))
		}
		for m := range manifests {
			j.do(bare(get).ofManifest(r, m))
		}
		for b := range blobs {
			j.do(bare(fetch).ofBlob(r, b))
		}
		j.do(bare(list).ofTag(r, none))
	}
	for _, e := range w.history.events[from:] {
		e.afterSettled = settled
	}
}

// judge looks at the world when all is over: the audit is clean; whoever was promised something finds it; when every
// margin has passed the audit is clean still, and nothing is there that nobody holds; and when all manifests are deleted
// and every margin has passed again, nothing is left at all.
func (w *world) judge() {
	j := w.alone(judge)
	w.audit(j, "at the end")
	w.readAll(j, false)
	w.settle(j)
	w.audit(j, "when every margin has passed")
	w.readAll(j, true)
	w.empty(j)
}

// empty deletes everything and looks whether anything is left.
func (w *world) empty(j *client) {
	ctx := context.Background()
	for r := range repos {
		for m := len(manifests) - 1; m >= 0; m-- { // indexes before their children
			_ = j.reg.DeleteManifest(ctx, repos[r], manifests[m].digest) // what is left is found below
		}
	}
	w.settle(j)
	w.advance(margins.History)
	w.advance(margins.History)
	j.do(bare(sweep))
	page, err := w.store.Scan(ctx, store.Key{}, store.MaxLimit)
	if err != nil {
		w.fail("leak", "%v", err)
	}
	for _, it := range page.Items {
		if it.Key.PK != "k" {
			w.fail("leak", "left: %s %v", it.Key, it.Row)
		}
	}
	objects, err := w.store.List(ctx, "", "", store.MaxLimit)
	if err != nil || len(objects) > 0 {
		w.fail("leak", "left: %v %v", objects, err)
	}
	pending, err := w.store.Pending(ctx, "")
	if err != nil || len(pending) > 0 {
		w.fail("leak", "left: %v %v", pending, err)
	}
}
