// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"fmt"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// DeleteManifest removes a manifest, the tags that point to it, and those of its referrers that have neither a tag nor a
// parent. Its edges are given back at once, so that its blobs can be deleted right after; its rows stay, with the names
// of the tags, so that [Ledger.Undelete] can bring it back until UndoWindow has passed.
//
// Errors: ManifestUnknown; InUse while a live index lists it. Repeating it after a lost reply is safe: it deletes the
// incarnation that it found first, never one that was pushed since (C8).
func (l *Ledger) DeleteManifest(ctx context.Context, repo oci.Repository, d oci.Digest) error {
	r := &removal{l: l, repo: repo, digest: d, deletion: l.cfg.NewToken()}
	r.mark = r.deletion
	if err := r.run(ctx); err != nil {
		return err
	}
	// The manifest is deleted. What is left to give back the sweep does as well, so an error here changes nothing for
	// the client.
	_ = l.giveBack(ctx, repo, d, r.deletion)
	return nil
}

// removal is a deletion under way.
type removal struct {
	l        *Ledger
	repo     oci.Repository
	digest   oci.Digest
	deletion string // its token: the tags that go with the manifest are marked with it
	mark     string // what its own referrer row is marked with: the deletion that it is a part of
	version  string // of the incarnation that it found first
	flipped  bool   // the manifest went by this removal
	after    string // sort key of the last reverse row of a tag that it took away

	// A deletion that the sweep makes goes on only while applies holds of what was read, and while the manifest keeps conds
	// and its subject is as it was read when it commits.
	subject oci.Digest // "" where it does not depend on one
	applies func(m, subject manifest) bool
	conds   []store.Cond
}

// run takes the removal to its end: the flip to undoing.
func (r *removal) run(ctx context.Context) error {
	for {
		done := false
		err := r.l.retry(ctx, func(now time.Time) (err error) {
			done, err = r.step(ctx, now)
			return err
		})
		if err != nil || done {
			return err
		}
	}
}

// tagBatch is how many tags one transaction takes away: each is three rows, and the manifest, its referrer row and a
// guard stand beside them.
const tagBatch = (store.MaxOps - 4) / 3

// step is one transaction: a batch of tags while there are more than fit, then the flip.
func (r *removal) step(ctx context.Context, now time.Time) (done bool, err error) {
	keys := []store.Key{manifestKey(r.repo, r.digest), bodyKey(r.repo, r.digest)}
	if r.subject != "" {
		keys = append(keys, manifestKey(r.repo, r.subject))
	}
	rows, err := r.l.read(ctx, keys...)
	if err != nil {
		return false, err
	}
	m := readManifest(rows[0])
	var subject manifest
	if r.subject != "" {
		subject = readManifest(rows[2])
	}
	switch {
	case r.version == "" && !m.visible():
		return true, errManifestUnknown
	case r.version != "" && (!m.visible() || m.version != r.version):
		return true, nil // done by an earlier attempt; or someone else's new one, which is not ours to delete
	case r.applies != nil && !r.applies(m, subject):
		return true, nil
	case m.parents > 0:
		return true, r.l.inUse(ctx, r.repo, r.digest)
	}
	r.version = m.version
	tags, err := r.tags(ctx)
	if err != nil {
		return false, err
	}
	t := &txn{}
	for i := range tags[:min(len(tags), tagBatch)] {
		r.untag(t, now, tags[i])
	}
	if len(tags) > tagBatch {
		t.update(manifestKey(r.repo, r.digest), change{add: []store.Attr{num(attrTags, -tagBatch)}, remove: []string{attrCounting}}, m.asRead()...)
		if err := r.l.apply(ctx, now, t); err != nil {
			return false, err
		}
		r.after = tagOfKey(r.repo, r.digest, tags[tagBatch-1].name).SK
		return false, nil
	}
	if int64(len(tags)) != m.tags {
		r.after = "" // a tag came behind our back
		return false, errAgain
	}
	if r.subject != "" {
		t.check(manifestKey(r.repo, r.subject), subject.asRead()...)
	}
	if err := r.flip(ctx, now, t, m, rows[1], int64(len(tags))); err != nil {
		return false, err
	}
	if err := r.l.apply(ctx, now, t); err != nil {
		return false, err
	}
	r.flipped = true
	return true, nil
}

// namedTag is a tag with its row as read.
type namedTag struct {
	name oci.Tag
	row  tag
}

// tags reads tags that point to the manifest, behind those that the removal took away: one more than a batch, where there
// are as many. One that moved between the two reads makes the transaction refuse.
func (r *removal) tags(ctx context.Context) ([]namedTag, error) {
	prefix := string(r.digest) + "#"
	var tags []namedTag
	var keys []store.Key
	q := store.Query{PK: partition(kindTagOf, r.repo), Prefix: prefix, After: r.after, Limit: pageSize}
	err := r.l.eachPage(ctx, q, func(items []store.Item) (more bool, err error) {
		for _, it := range items {
			if it.Row.Has(attrGone) {
				continue
			}
			name := oci.Tag(strings.TrimPrefix(it.Key.SK, prefix))
			tags = append(tags, namedTag{name: name})
			keys = append(keys, tagKey(r.repo, name))
			if len(tags) > tagBatch {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	rows, err := r.l.read(ctx, keys...)
	if err != nil {
		return nil, err
	}
	for i := range tags {
		tags[i].row = readTag(rows[i])
	}
	return tags, nil
}

// untag takes one tag away and leaves its name with the manifest.
func (r *removal) untag(t *txn, now time.Time, nt namedTag) {
	move{nt.name, r.deletion, now.UnixMilli()}.receipt(r.l, t, r.repo, movedAway, nt.row.version)
	t.remove(tagKey(r.repo, nt.name), is(attrVersion, nt.row.version), is(attrDigest, string(r.digest)))
	t.put(tagOfKey(r.repo, r.digest, nt.name), plainRow(text(attrGone, r.deletion)), exists())
}

// flip adds what makes the manifest invisible, and gives its edges back as far as they fit the same transaction.
func (r *removal) flip(ctx context.Context, now time.Time, t *txn, m manifest, bodyRow store.Row, tags int64) error {
	l := r.l
	b, err := m.body(bodyRow)
	if err != nil {
		return err
	}
	referred, err := l.hasReferrers(ctx, r.repo, r.digest)
	if err != nil {
		return err
	}
	conds := append(m.asRead(), equals(attrTags, tags), equals(attrParents, 0))
	conds = append(conds, r.conds...)
	if m.subject != "" {
		t.update(referrerKey(r.repo, m.subject, m.artifact, r.digest), change{set: []store.Attr{text(attrGone, r.mark)}}, exists())
	}
	cursor := m.cursor
	if len(t.ops)+1+len(b.edges) <= store.MaxOps {
		if err := l.takeBack(ctx, now, t, r.repo, b.edges); err != nil {
			return err
		}
		cursor = 0
	}
	c := change{set: []store.Attr{
		text(attrState, stateUndoing), text(attrVersion, l.cfg.NewToken()), num(attrCursor, cursor), num(attrTags, 0),
		text(attrDeletion, r.deletion), num(attrDeleted, now.UnixMilli()),
	}}
	if referred {
		c.set = append(c.set, num(attrCascade, 1))
	}
	if referred || cursor > 0 {
		c.set = append(c.set, due(now))
	} else {
		c.set = append(c.set, due(now.Add(l.cfg.Margins.UndoWindow)))
	}
	t.update(manifestKey(r.repo, r.digest), c, conds...)
	return nil
}

// takeBack adds one reference less for each edge.
func (l *Ledger) takeBack(ctx context.Context, now time.Time, t *txn, repo oci.Repository, es []edge) error {
	keys := keysOf(repo, es)
	rows, err := l.read(ctx, keys...)
	if err != nil {
		return err
	}
	for i, e := range es {
		if e.child {
			(&delta{parents: -1}).add(l, t, now, repo, e.digest)
			continue
		}
		takeOne(t, keys[i], attrRefs, rows[i].Num(attrRefs), now.Add(l.cfg.Margins.Grace))
	}
	return nil
}

// giveBackRounds bounds what a request does for a deletion after its flip; the sweep does the rest.
const giveBackRounds = 16

// giveBack unwinds the edges of a manifest that was deleted by the given deletion, and then its referrers.
func (l *Ledger) giveBack(ctx context.Context, repo oci.Repository, d oci.Digest, deletion string) error {
	for range giveBackRounds {
		done := false
		err := l.retry(ctx, func(now time.Time) error {
			r, err := l.get(ctx, manifestKey(repo, d))
			if err != nil {
				return err
			}
			m := readManifest(r)
			switch {
			case m.state != stateUndoing || m.deletion != deletion:
				done = true
				return nil
			case m.cursor > 0:
				return l.unwind(ctx, now, repo, d, m)
			case m.cascade:
				return l.cascade(ctx, repo, d, m)
			}
			done = true
			return nil
		})
		if err != nil || done {
			return err
		}
	}
	return nil
}

// unwind takes the last edges that a manifest on its way out still holds back from it, and moves its cursor in the same
// transaction (C2).
func (l *Ledger) unwind(ctx context.Context, now time.Time, repo oci.Repository, d oci.Digest, m manifest) error {
	r, err := l.get(ctx, bodyKey(repo, d))
	if err != nil {
		return err
	}
	b, err := m.body(r)
	if err != nil {
		return err
	}
	to := max(0, m.cursor-stageBatch)
	// The time to undo counts from the batch that gives the last edge back.
	next := now
	if to == 0 && m.deletion != "" && !m.cascade {
		next = now.Add(l.cfg.Margins.UndoWindow)
	}
	var t txn
	t.update(manifestKey(repo, d), change{set: []store.Attr{num(attrCursor, to), due(next)}},
		append(m.asRead(), equals(attrCursor, m.cursor))...)
	if err := l.takeBack(ctx, now, &t, repo, b.edges[to:m.cursor]); err != nil {
		return err
	}
	return l.apply(ctx, now, &t)
}

// inUse says which index lists the manifest. There is no row from child to parent: the answer is looked for among the
// repository's indexes, and goes without a name when there are very many.
func (l *Ledger) inUse(ctx context.Context, repo oci.Repository, d oci.Digest) error {
	parent, err := l.findParent(ctx, repo, d)
	if err != nil {
		return err
	}
	if parent == "" {
		return oci.Errorf(oci.InUse, "an index of this repository lists the manifest: delete the index first")
	}
	return &oci.Error{
		Code:    oci.InUse,
		Message: fmt.Sprintf("the index %s lists the manifest: delete the index first", parent),
		Detail:  map[string]string{"index": string(parent)},
	}
}

// findParentPages bounds the search for the parent of a manifest: it serves an error message.
const findParentPages = 10

func (l *Ledger) findParent(ctx context.Context, repo oci.Repository, d oci.Digest) (oci.Digest, error) {
	want := packEdges([]edge{{child: true, digest: d}})
	q := store.Query{PK: partition(kindBody, repo), Limit: store.MaxGet}
	for range findParentPages {
		page, err := l.query(ctx, q)
		if err != nil {
			return "", err
		}
		for _, it := range page.Items {
			if strings.Contains(it.Row.Text(attrEdges), want) {
				return oci.Digest(it.Key.SK), nil
			}
		}
		if !page.More {
			break
		}
		q.After = page.Items[len(page.Items)-1].Key.SK
	}
	return "", nil
}
