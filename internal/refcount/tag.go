// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// tag is the row.
type tag struct {
	there     bool
	digest    oci.Digest
	mediaType string
	size      int64
	version   string
	pushed    int64
	expires   int64 // 0: never
}

func readTag(r store.Row) tag {
	return tag{r != nil, oci.Digest(r.Text(attrDigest)), r.Text(attrMediaType), r.Num(attrSize), r.Text(attrVersion),
		r.Num(attrPushed), r.Num(attrExpires)}
}

// live tells whether a reader sees the tag.
func (t tag) live(now time.Time) bool {
	return t.there && (t.expires == 0 || now.UnixMilli() < t.expires)
}

// asRead is the condition that the tag's row is as it was read. An expired tag is gone for readers, but its row is there.
func (t tag) asRead() store.Cond {
	if !t.there {
		return absent()
	}
	return is(attrVersion, t.version)
}

// move is one write of a tag: every attempt at it has the same operation, and puts the same receipt, so that it takes
// effect at most once however often it is sent (C8).
type move struct {
	name      oci.Tag
	operation string
	at        int64 // milliseconds: when the operation began; a part of the receipt's key
}

const movedAway = "untagged"

func (mv move) key(repo oci.Repository) store.Key {
	return historyKey(repo, mv.name, mv.at, mv.operation)
}

// receipt adds the row of history that says that the move was made, and returns its index.
func (mv move) receipt(l *Ledger, t *txn, repo oci.Repository, to, before string) int {
	k := mv.key(repo)
	return t.put(k, row(k, text(attrDigest, to), text(attrBefore, before), due(fromMilli(mv.at).Add(l.cfg.Margins.History))), absent())
}

// point adds what makes the tag point to manifest d, and counts it in ts. It returns the index of the receipt.
func (mv move) point(l *Ledger, t *txn, ts tally, repo oci.Repository, old tag, d oci.Digest, mediaType string, size int64, expires time.Time) (receipt int) {
	receipt = mv.receipt(l, t, repo, string(d), old.version)
	k := tagKey(repo, mv.name)
	attrs := []store.Attr{
		text(attrDigest, string(d)), text(attrMediaType, mediaType), num(attrSize, size),
		text(attrVersion, mv.operation), num(attrPushed, mv.at),
	}
	if !expires.IsZero() {
		attrs = append(attrs, num(attrExpires, expires.UnixMilli()), due(expires))
	}
	t.put(k, row(k, attrs...), old.asRead())
	ts.of(d).tags++
	if old.there {
		ts.of(old.digest).tags--
	}
	if old.digest != d {
		t.put(tagOfKey(repo, d, mv.name), plainRow())
		if old.there {
			t.remove(tagOfKey(repo, old.digest, mv.name))
		}
	}
	return receipt
}

// DeleteTag removes a name. Absent or expired: ManifestUnknown.
func (l *Ledger) DeleteTag(ctx context.Context, repo oci.Repository, name oci.Tag) error {
	mv := move{name: name, operation: l.cfg.NewToken(), at: l.clock.Now().UnixMilli()}
	sent := false
	return l.retry(ctx, func(now time.Time) error {
		rows, err := l.read(ctx, tagKey(repo, name), mv.key(repo))
		if err != nil {
			return err
		}
		old := readTag(rows[0])
		switch {
		case sent && rows[1] != nil: // an earlier attempt took effect although its reply was lost
			return nil
		case !old.live(now):
			return errManifestUnknown
		}
		sent = true
		t := l.untag(now, repo, mv, old)
		err = l.commit(ctx, now, t)
		if c := refused(err); c != nil {
			if c.Refused(0) { // our own receipt
				return nil
			}
			return errAgain
		}
		return err
	})
}

// untag is the transaction that takes a tag away; its first operation is the receipt. Readers of the deletion's token
// find nothing to bring back in it: the name alone went.
func (l *Ledger) untag(now time.Time, repo oci.Repository, mv move, old tag, conds ...store.Cond) *txn {
	var t txn
	mv.receipt(l, &t, repo, movedAway, old.version)
	t.remove(tagKey(repo, mv.name), append(conds, is(attrVersion, old.version))...)
	t.remove(tagOfKey(repo, old.digest, mv.name))
	(&delta{tags: -1}).add(l, &t, now, repo, old.digest)
	return &t
}

// sweepTag removes a tag that has expired.
func (s *sweep) sweepTag(ctx context.Context, now time.Time, repo oci.Repository, name oci.Tag, r store.Row) error {
	old := readTag(r)
	mv := move{name: name, operation: s.l.cfg.NewToken(), at: now.UnixMilli()}
	err := s.l.apply(ctx, now, s.l.untag(now, repo, mv, old, atMost(attrExpires, now.UnixMilli())))
	if err == nil {
		s.report.Tags++
	}
	return err
}

// Tags lists up to n tags after last; more says that there are further ones. A repository without a row, which never had
// a manifest, is NameUnknown.
func (l *Ledger) Tags(ctx context.Context, repo oci.Repository, last string, n int) (tags []string, more bool, err error) {
	now := l.clock.Now()
	tags, more, err = l.names(ctx, partition(kindTag, repo), last, n, func(it store.Item) bool { return readTag(it.Row).live(now) })
	if err != nil || len(tags) > 0 || more {
		return tags, more, err
	}
	r, err := l.get(ctx, repositoryKey(repo))
	if err == nil && r == nil {
		err = oci.Errorf(oci.NameUnknown, "the repository is not known")
	}
	return tags, more, err
}

// Move is a row of a tag's history.
type Move struct {
	At     time.Time
	Digest oci.Digest // "" when the tag was taken away
}

// History lists the moves of a tag, oldest first, as far back as Margins.History.
func (l *Ledger) History(ctx context.Context, repo oci.Repository, name oci.Tag) ([]Move, error) {
	items, err := l.queryAll(ctx, partition(kindHistory, repo), string(name)+"#")
	if err != nil {
		return nil, err
	}
	moves := make([]Move, 0, len(items))
	for _, it := range items {
		mv := Move{At: historyTime(it.Key.SK)}
		if to := it.Row.Text(attrDigest); to != movedAway {
			mv.Digest = oci.Digest(to)
		}
		moves = append(moves, mv)
	}
	return moves, nil
}

// sweepHistory forgets a move that is older than the history is kept.
func (s *sweep) sweepHistory(ctx context.Context, now time.Time, k store.Key) error {
	var t txn
	t.remove(k, atMost(attrDue, now.UnixMilli()))
	return s.l.apply(ctx, now, &t)
}
