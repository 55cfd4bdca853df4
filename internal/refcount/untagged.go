// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"errors"
	"slices"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// ApplyUntagged gives a due to every manifest without tags, parents and a visible subject that has none: the one bounded walk after the
// rule was turned on. It does nothing while the rule is off; the sweep clears the dues that a rule left behind.
func (l *Ledger) ApplyUntagged(ctx context.Context) error {
	if l.cfg.Margins.Untagged == 0 {
		return nil
	}
	_, _, err := l.walkUntagged(ctx, "", time.Time{})
	return err
}

// walkUntagged goes through the repositories after last, until the time until (the zero time: to the end). It returns the
// last one that it went through, and whether that is the end of all.
func (l *Ledger) walkUntagged(ctx context.Context, last string, until time.Time) (at string, end bool, err error) {
	for {
		repos, more, err := l.Repositories(ctx, last, pageSize, nil)
		if err != nil {
			return last, false, err
		}
		for _, repo := range repos {
			if !until.IsZero() && !l.clock.Now().Before(until) {
				return last, false, nil
			}
			if err := l.applyUntagged(ctx, oci.Repository(repo)); err != nil {
				return last, false, err
			}
			last = repo
		}
		if !more {
			return "", true, nil
		}
	}
}

// GoOnUntagged is ApplyUntagged for processes that live for minutes: it goes as far as the time until allows, keeps in the
// table where it stopped, and says whether a further call has to go on. It is to be called again and again, whether the
// rule is on or off. Once the rule has been applied it costs one read: the row is kept until the rule is turned off.
//
// It goes round twice, an hour apart: while a new setting reaches all processes, one that does not have it yet can take a
// tag away without giving a due.
func (l *Ledger) GoOnUntagged(ctx context.Context, until time.Time) (left bool, err error) {
	r, err := l.get(ctx, walkKey())
	if err != nil {
		return false, err
	}
	now := l.clock.Now()
	on := l.cfg.Margins.Untagged > 0
	switch {
	case !on && r == nil:
		return false, nil
	case !on:
		var t txn
		t.remove(walkKey(), is(attrVersion, r.Text(attrVersion)))
		return false, met(l.apply(ctx, now, &t))
	case r.Num(attrRounds) >= walkRounds:
		return false, nil
	case r.Num(attrRounds) > 0 && now.Sub(fromMilli(r.Num(attrCreated))) < walkPause:
		return true, nil
	}
	conds, began, rounds := []store.Cond{absent()}, now.UnixMilli(), int64(0)
	if r != nil {
		conds = []store.Cond{is(attrVersion, r.Text(attrVersion))}
		began, rounds = r.Num(attrCreated), r.Num(attrRounds)
	}
	last, end, err := l.walkUntagged(ctx, r.Text(attrLast), until)
	if err != nil {
		return true, err
	}
	if end {
		rounds++
	}
	now = l.clock.Now()
	var t txn
	t.put(walkKey(), plainRow(text(attrLast, last), num(attrRounds, rounds), num(attrCreated, began), text(attrVersion, l.cfg.NewToken())), conds...)
	return rounds < walkRounds, met(l.apply(ctx, now, &t))
}

// met passes over the refusal that another call was at the same: it goes on from there.
func met(err error) error {
	if errors.Is(err, errAgain) {
		return nil
	}
	return err
}

// The rounds of GoOnUntagged, and how long after the beginning of the first one the second begins.
const (
	walkRounds = 2
	walkPause  = time.Hour
)

func (l *Ledger) applyUntagged(ctx context.Context, repo oci.Repository) error {
	q := store.Query{PK: partition(kindManifest, repo), Limit: pageSize}
	return l.eachPage(ctx, q, func(items []store.Item) (bool, error) {
		items = slices.DeleteFunc(slices.Clone(items), func(it store.Item) bool {
			m := readManifest(it.Row)
			return !m.visible() || m.tags > 0 || m.parents > 0 || m.due != 0
		})
		subjects, err := l.subjects(ctx, repo, items)
		if err != nil {
			return false, err
		}
		for i, it := range items {
			m := readManifest(it.Row)
			if subjects[i].visible() {
				continue
			}
			now := l.clock.Now()
			at := max(fromMilli(m.untagged).Add(l.cfg.Margins.Untagged).UnixMilli(), now.Add(l.cfg.Margins.Grace).UnixMilli())
			var t txn
			t.update(it.Key, change{set: []store.Attr{num(attrDue, at)}},
				append(m.asRead(), equals(attrTags, 0), equals(attrParents, 0), without(attrDue))...)
			if err := l.apply(ctx, now, &t); err != nil && !errors.Is(err, errAgain) {
				return false, err
			}
		}
		return true, nil
	})
}

// subjects reads the subjects of manifests; one that has none has the zero manifest.
func (l *Ledger) subjects(ctx context.Context, repo oci.Repository, items []store.Item) ([]manifest, error) {
	var keys []store.Key
	var of []int
	for i, it := range items {
		if subject := readManifest(it.Row).subject; subject != "" {
			keys = append(keys, manifestKey(repo, subject))
			of = append(of, i)
		}
	}
	rows, err := l.read(ctx, keys...)
	subjects := make([]manifest, len(items))
	for i, r := range rows {
		subjects[of[i]] = readManifest(r)
	}
	return subjects, err
}
