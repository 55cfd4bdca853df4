// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"errors"
	"strings"

	"tare/internal/oci"
	"tare/internal/store"
)

// Referrers lists, as JSON descriptors, the manifests whose subject is d, of one artifact type or of all (""). It begins
// after the opaque position last, and stops after about size bytes; next is the position to go on from, "" at the end.
// The subject need not exist.
func (l *Ledger) Referrers(ctx context.Context, repo oci.Repository, d oci.Digest, artifactType, last string, size int) (descriptors []string, next string, err error) {
	prefix := referrerPrefix(d, artifactType)
	q := store.Query{PK: partition(kindReferrer, repo), Prefix: prefix, Limit: pageSize}
	if last != "" {
		q.After = string(d) + "#" + last
	}
	for {
		page, err := l.query(ctx, q)
		if err != nil {
			return nil, "", err
		}
		for _, it := range page.Items {
			if it.Row.Has(attrGone) {
				continue
			}
			desc := it.Row.Text(attrReferrer)
			if size -= len(desc); size < 0 && len(descriptors) > 0 {
				return descriptors, strings.TrimPrefix(q.After, string(d)+"#"), nil
			}
			descriptors = append(descriptors, desc)
			q.After = it.Key.SK
		}
		if !page.More {
			return descriptors, "", nil
		}
		q.After = page.Items[len(page.Items)-1].Key.SK
	}
}

// hasReferrers tells whether anything that is not deleted refers to d.
func (l *Ledger) hasReferrers(ctx context.Context, repo oci.Repository, d oci.Digest) (bool, error) {
	found := false
	err := l.eachReferrer(ctx, repo, d, func(_ oci.Digest, r store.Row) (bool, error) {
		found = !r.Has(attrGone)
		return !found, nil
	})
	return found, err
}

// eachReferrer visits the referrer rows of a subject until visit answers false.
func (l *Ledger) eachReferrer(ctx context.Context, repo oci.Repository, d oci.Digest, visit func(oci.Digest, store.Row) (bool, error)) error {
	q := store.Query{PK: partition(kindReferrer, repo), Prefix: referrerPrefix(d, ""), Limit: store.MaxGet}
	for {
		page, err := l.query(ctx, q)
		if err != nil {
			return err
		}
		for _, it := range page.Items {
			q.After = it.Key.SK
			referrer := oci.Digest(it.Key.SK[strings.LastIndexByte(it.Key.SK, '#')+1:])
			if more, err := visit(referrer, it.Row); err != nil || !more {
				return err
			}
		}
		if !page.More {
			return nil
		}
	}
}

// cascadeBatch is how many referrers one call of cascade deletes.
const cascadeBatch = 100

// cascade deletes the referrers of a deleted subject that were there when it was deleted and have neither a tag nor a
// parent. Each goes by a deletion of its own, on the condition that the subject is still deleted, and is marked with the
// subject's deletion, so that it comes back with it. When none is left, the subject's time to undo begins.
func (l *Ledger) cascade(ctx context.Context, repo oci.Repository, d oci.Digest, m manifest) error {
	deleted := 0
	err := l.eachReferrer(ctx, repo, d, func(referrer oci.Digest, row store.Row) (bool, error) {
		if row.Has(attrGone) {
			return true, nil
		}
		r := &removal{l: l, repo: repo, digest: referrer, deletion: l.cfg.NewToken(), mark: m.deletion,
			subject: d, conds: []store.Cond{atMost(attrPushed, m.deleted)},
			applies: func(rm, subject manifest) bool {
				return rm.tags == 0 && rm.parents == 0 && rm.pushed <= m.deleted && subject.version == m.version
			},
		}
		if err := r.run(ctx); err != nil && !errors.Is(err, errManifestUnknown) {
			return false, err
		}
		if r.flipped {
			deleted++
		}
		return deleted < cascadeBatch, nil
	})
	if err != nil {
		return err
	}
	if deleted == cascadeBatch {
		return nil
	}
	now := l.clock.Now()
	var t txn
	t.update(manifestKey(repo, d), change{
		set:    []store.Attr{due(now.Add(l.cfg.Margins.UndoWindow))},
		remove: []string{attrCascade},
	}, m.asRead()...)
	return l.apply(ctx, now, &t)
}
