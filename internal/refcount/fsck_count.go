// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"tare/internal/store"
)

// countOf names a count: an attribute of a row.
type countOf struct {
	row  store.Key
	attr string
}

// counted is what one gathering of rows found.
type counted struct {
	of map[countOf]int64
	// partial: some rows could not be read, and may be what is missing.
	partial bool
}

// maxRounds is how often counts that change while they are taken are taken again.
const maxRounds = 3

// recount takes suspicious counts again. First each of their rows is claimed by a mark, then gather counts; every change
// of a count takes the mark of its row away, so where it is still there afterwards, all that gather met of that count was
// of one moment. What changed is taken again, a few times.
func (f *fsck) recount(ctx context.Context, suspects []countOf, gather func(context.Context) (counted, error)) error {
	rows := map[store.Key][]string{}
	for _, s := range suspects {
		rows[s.row] = append(rows[s.row], s.attr)
	}
	for range maxRounds {
		mark := f.l.cfg.NewToken()
		claimed := view{}
		for _, k := range slices.SortedFunc(maps.Keys(rows), store.Key.Compare) {
			if err := f.claim(ctx, k, mark, claimed); err != nil {
				return err
			}
		}
		got, err := gather(ctx)
		if err != nil {
			return err
		}
		for _, k := range slices.SortedFunc(maps.Keys(claimed), store.Key.Compare) {
			sure, err := f.judgeCounts(ctx, k, rows[k], mark, claimed[k], got)
			if err != nil {
				return err
			}
			if sure {
				delete(rows, k)
			}
		}
		if len(rows) == 0 {
			return nil
		}
	}
	f.report.Unjudged += len(rows)
	return nil
}

// claim marks a row whose count is to be taken, and puts it into claimed.
func (f *fsck) claim(ctx context.Context, k store.Key, mark string, claimed view) error {
	err := f.l.retry(ctx, func(now time.Time) error {
		v := view{}
		if err := f.get(ctx, v, []store.Key{k}); err != nil {
			return err
		}
		r := v[k]
		claimed[k] = r
		if r == nil {
			return nil
		}
		var t txn
		t.update(k, change{set: []store.Attr{text(attrCounting, mark)}}, asFound(r)...)
		return f.l.apply(ctx, now, &t)
	})
	if errors.Is(err, store.ErrContended) { // it changes all the time
		delete(claimed, k)
		return nil
	}
	return err
}

// judgeCounts compares a claimed row with what was counted, and takes its mark away. It is sure when nothing changed
// meanwhile. A row that rightly counts nothing has to be due; given before its count is sure, a due would let a sweep take
// away what a manifest holds.
func (f *fsck) judgeCounts(ctx context.Context, k store.Key, attrs []string, mark string, was store.Row, got counted) (sure bool, err error) {
	if was == nil {
		return true, nil
	}
	now := f.l.clock.Now()
	v := view{}
	if err := f.get(ctx, v, []store.Key{k}); err != nil {
		return false, err
	}
	r := v[k]
	if r == nil || r.Text(attrVersion) != was.Text(attrVersion) || r.Text(attrCounting) != mark {
		return false, nil
	}
	var wrong []Finding
	c := change{remove: []string{attrCounting}}
	for _, attr := range attrs {
		n := got.of[countOf{k, attr}]
		x := Finding{Kind: foundCount, Invariant: "C2", Severity: Should, Subject: k.String(), Where: where(k), Advice: adviceRepair,
			Text: fmt.Sprintf("counts %d %s; there are %d", r.Num(attr), attr, n)}
		if attr == attrTags {
			x.Invariant = "C7"
		}
		switch {
		case n > r.Num(attr):
			x.Severity = Must
		case n == r.Num(attr), got.partial:
			continue
		}
		x.Repaired = fmt.Sprintf("counts %d now", n)
		c.set = append(c.set, num(attr, n))
		wrong = append(wrong, x)
	}
	if text := unseen(k, r); text != "" && len(wrong) == 0 {
		wrong = append(wrong, Finding{Kind: foundDue, Invariant: "C6", Severity: Should, Subject: k.String(), Where: where(k), Text: text,
			Advice: adviceRepair, Repaired: "gave it a due"})
	}
	// Where links to a blob or manifests cannot be read, what counts nothing must not become due.
	mends := f.opts.Repair && len(wrong) > 0 && (len(c.set) > 0 || !got.partial)
	if mends {
		f.l.dueAfter(k, r, now, &c)
	} else {
		c.set = nil
	}
	var t txn
	t.update(k, c, append(asFound(r), is(attrCounting, mark))...)
	if err := f.l.apply(ctx, now, &t); err != nil {
		if errors.Is(err, errAgain) {
			return false, nil
		}
		return false, err
	}
	for _, x := range wrong {
		if !mends {
			x.Repaired = ""
		}
		if err := f.found(x); err != nil {
			return false, err
		}
	}
	return true, nil
}

// dueAfter adds, to a change that sets a row's counts, the due that the counts ask for (C6).
func (l *Ledger) dueAfter(k store.Key, r store.Row, now time.Time, c *change) {
	left := int64(0)
	for _, attr := range []string{attrRefs, attrLinks, attrTags, attrParents} {
		n := r.Num(attr)
		for _, set := range c.set {
			if set.Name == attr {
				n = set.Value.Num()
			}
		}
		left += n
	}
	kind, _ := kindOf(k)
	switch {
	case kind == kindManifest && r.Text(attrState) != stateVisible: // due for its own reason
	case left > 0:
		c.remove = append(c.remove, attrDue)
	case kind == kindManifest && l.cfg.Margins.Untagged > 0:
		c.set = append(c.set, due(now.Add(l.untaggedAfter())))
	case kind == kindLink:
		c.set = append(c.set, due(now.Add(l.cfg.Margins.Grace)), num(attrShard, shardOf(k)))
	case kind == kindBlob:
		c.set = append(c.set, due(now), num(attrShard, shardOf(k)))
	}
}
