// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// States of a repository row.
const (
	stateOpen    = "open"
	stateClosing = "closing" // empty when last looked at; goes at its due unless something arrived
)

// openRepository adds, to a push that read r, what makes the repository's row stand (C11): nothing, for one that is
// open, so that pushes do not meet at it.
func (l *Ledger) openRepository(t *txn, now time.Time, repo oci.Repository, r store.Row) {
	k := repositoryKey(repo)
	switch {
	case r == nil:
		t.put(k, row(k, text(attrState, stateOpen), num(attrCreated, now.UnixMilli()), text(attrVersion, l.cfg.NewToken())), absent())
	case r.Text(attrState) == stateClosing:
		t.update(k, change{
			set:    []store.Attr{text(attrState, stateOpen), text(attrVersion, l.cfg.NewToken())},
			remove: []string{attrDue},
		}, is(attrVersion, r.Text(attrVersion)))
	}
}

// lookAtRepository adds, to a transaction that takes a manifest or a link away, a due for the repository, so that the
// sweep looks whether that was the last one. It is a part of the same transaction: made before, the look could come
// too early; made after, a crash would lose it.
func (l *Ledger) lookAtRepository(t *txn, now time.Time, repo oci.Repository, r store.Row) {
	k := repositoryKey(repo)
	if r == nil {
		t.check(k, absent())
		return
	}
	t.update(k, change{set: []store.Attr{text(attrVersion, l.cfg.NewToken()), due(now.Add(l.cfg.Margins.CloseGrace))}}, exists())
}

// sweepRepository handles a repository row that is due: claim first, look second, put back if something is there. Safe
// because a push takes less than CloseGrace from its read of this row to its commit.
func (s *sweep) sweepRepository(ctx context.Context, now time.Time, repo oci.Repository, r store.Row) error {
	k, asRead := repositoryKey(repo), is(attrVersion, r.Text(attrVersion))
	empty, err := s.l.isEmpty(ctx, repo)
	if err != nil {
		return err
	}
	var t txn
	removed := 0
	switch {
	case !empty:
		// By a new version: a removal that looked before something arrived must not find the row as it was.
		t.update(k, change{set: []store.Attr{text(attrState, stateOpen), text(attrVersion, s.l.cfg.NewToken())}, remove: []string{attrDue}}, asRead)
	case r.Text(attrState) != stateClosing:
		t.update(k, change{set: []store.Attr{
			text(attrState, stateClosing), text(attrVersion, s.l.cfg.NewToken()), due(now.Add(s.l.cfg.Margins.CloseGrace)),
		}}, asRead)
	default:
		t.remove(k, asRead)
		removed = 1
	}
	if err := s.l.apply(ctx, now, &t); err != nil {
		return err
	}
	s.report.Repositories += removed
	return nil
}

// isEmpty looks for a manifest or a link.
func (l *Ledger) isEmpty(ctx context.Context, repo oci.Repository) (bool, error) {
	for _, kind := range []string{kindManifest, kindLink} {
		page, err := l.query(ctx, store.Query{PK: partition(kind, repo), Limit: 1})
		if err != nil || len(page.Items) > 0 {
			return false, err
		}
	}
	return true, nil
}

// Repositories lists up to n names after last that keep accepts; more says that there are further ones. A repository
// that is empty stays listed until the sweep has removed it.
func (l *Ledger) Repositories(ctx context.Context, last string, n int, keep func(oci.Repository) bool) (names []string, more bool, err error) {
	return l.names(ctx, kindRepository, last, n, func(it store.Item) bool {
		return keep == nil || keep(oci.Repository(it.Key.SK))
	})
}

// names lists up to n sort keys of a partition after last whose rows keep accepts, and looks one further to say
// whether there are more.
func (l *Ledger) names(ctx context.Context, pk, last string, n int, keep func(store.Item) bool) (names []string, more bool, err error) {
	for {
		page, err := l.query(ctx, store.Query{PK: pk, After: last, Limit: min(n-len(names)+1, pageSize)})
		if err != nil {
			return nil, false, err
		}
		for _, it := range page.Items {
			last = it.Key.SK
			if !keep(it) {
				continue
			}
			if len(names) == n {
				return names, true, nil
			}
			names = append(names, last)
		}
		if !page.More {
			return names, false, nil
		}
	}
}
