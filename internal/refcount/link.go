// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// Link is a blob as a repository sees it: the permission to read it, and the way to its bytes.
type Link struct {
	Size   int64
	Object string
	Read   time.Time // a clock reading from before the look
}

// link is the row.
type link struct {
	there  bool
	refs   int64
	size   int64
	object string
	due    int64 // milliseconds; 0 for none
}

func readLink(r store.Row) link {
	return link{r != nil, r.Num(attrRefs), r.Num(attrSize), r.Text(attrObject), r.Num(attrDue)}
}

func linkRow(k store.Key, size int64, object string, dueAt time.Time) store.Row {
	return row(k, num(attrRefs, 0), num(attrSize, size), text(attrObject, object), due(dueAt))
}

// Look finds a blob in a repository. A link without references whose lease runs low is renewed by it, so that whoever
// was told of the blob can still push a manifest with it a Lease from now (C4). Absent, or taken by the sweep in
// between: BlobUnknown.
func (l *Ledger) Look(ctx context.Context, repo oci.Repository, d oci.Digest) (Link, error) {
	var out Link
	err := l.retry(ctx, func(now time.Time) error {
		r, err := l.get(ctx, linkKey(repo, d))
		if err != nil {
			return err
		}
		found := readLink(r)
		out = Link{found.size, found.object, now}
		return l.renew(ctx, now, repo, d, found)
	})
	return out, err
}

// LookAll is Look for up to [store.MaxGet] blobs, with one batch of reads, and one commit where leases run low. It tells of
// those that are there; one that is named twice is told once.
func (l *Ledger) LookAll(ctx context.Context, repo oci.Repository, digests []oci.Digest) (map[oci.Digest]Link, error) {
	var out map[oci.Digest]Link
	keys := make([]store.Key, len(digests))
	for i, d := range digests {
		keys[i] = linkKey(repo, d)
	}
	err := l.retry(ctx, func(now time.Time) error {
		rows, err := l.read(ctx, keys...)
		if err != nil {
			return err
		}
		out = make(map[oci.Digest]Link, len(digests))
		var t txn
		for i, d := range digests {
			found := readLink(rows[i])
			if _, told := out[d]; !found.there || told {
				continue
			}
			out[d] = Link{found.size, found.object, now}
			if l.runsLow(now, found) {
				l.extend(&t, now, repo, d)
			}
		}
		if len(t.ops) == 0 {
			return nil
		}
		return l.apply(ctx, now, &t)
	})
	return out, err
}

// renew makes the promise of Lease for a link that was just read.
func (l *Ledger) renew(ctx context.Context, now time.Time, repo oci.Repository, d oci.Digest, found link) error {
	if !found.there {
		return oci.Errorf(oci.BlobUnknown, "the blob is not in this repository")
	}
	if !l.runsLow(now, found) {
		return nil
	}
	var t txn
	l.extend(&t, now, repo, d)
	return l.apply(ctx, now, &t)
}

// runsLow tells whether a link must be renewed before somebody is told of it.
func (l *Ledger) runsLow(now time.Time, found link) bool {
	return found.refs == 0 && found.due < l.leaseEnd(now)
}

// extend adds the renewal of a link without references.
func (l *Ledger) extend(t *txn, now time.Time, repo oci.Repository, d oci.Digest) {
	fresh := now.Add(l.cfg.Margins.Grace)
	t.update(linkKey(repo, d), change{set: []store.Attr{due(fresh)}},
		exists(), equals(attrRefs, 0), under(attrDue, fresh.UnixMilli()))
}

// leaseEnd is the due below which a look must renew: a promise of Lease, kept by clocks that differ by Skew.
func (l *Ledger) leaseEnd(now time.Time) int64 {
	return now.Add(l.cfg.Margins.Lease + 2*l.cfg.Margins.Skew).UnixMilli()
}

// Mount makes the blob that from links visible in repo. It answers false where from does not have it.
//
// No condition stands on the source's link: naming the object as read is enough, for the blob's row is its owner.
func (l *Ledger) Mount(ctx context.Context, repo oci.Repository, d oci.Digest, from oci.Repository) (bool, error) {
	mounted := false
	err := l.retry(ctx, func(now time.Time) error {
		rows, err := l.read(ctx, linkKey(repo, d), linkKey(from, d))
		if err != nil {
			return err
		}
		target, source := readLink(rows[0]), readLink(rows[1])
		switch {
		case target.there:
			mounted = true
			return l.renew(ctx, now, repo, d, target)
		case !source.there:
			mounted = false
			return nil
		}
		mounted = true
		var t txn
		l.addLink(&t, now, repo, d, source.size, source.object)
		return l.apply(ctx, now, &t)
	})
	return mounted && err == nil, err
}

// addLink links a blob that is there, as read, to a repository that does not link it.
func (l *Ledger) addLink(t *txn, now time.Time, repo oci.Repository, d oci.Digest, size int64, object string) {
	t.update(blobKey(d), change{add: []store.Attr{num(attrLinks, 1)}, remove: []string{attrCounting, attrDue}},
		exists(), is(attrObject, object))
	k := linkKey(repo, d)
	t.put(k, linkRow(k, size, object, now.Add(l.cfg.Margins.Grace)), absent())
}

// DeleteBlob takes an unreferenced blob out of a repository. Errors: BlobUnknown; InUse while a manifest lists it.
func (l *Ledger) DeleteBlob(ctx context.Context, repo oci.Repository, d oci.Digest) error {
	return l.retry(ctx, func(now time.Time) error {
		rows, err := l.read(ctx, linkKey(repo, d), blobKey(d), repositoryKey(repo))
		if err != nil {
			return err
		}
		found := readLink(rows[0])
		switch {
		case !found.there:
			return oci.Errorf(oci.BlobUnknown, "the blob is not in this repository")
		case found.refs > 0:
			return oci.Errorf(oci.InUse, "%d manifests of this repository list the blob: delete them first", found.refs)
		}
		var t txn
		if err := l.dropLink(ctx, &t, now, repo, d, rows, equals(attrRefs, 0)); err != nil {
			return err
		}
		return l.apply(ctx, now, &t)
	})
}

// dropLink removes a link under conds and takes it off its blob. rows are the link, the blob and the repository.
func (l *Ledger) dropLink(ctx context.Context, t *txn, now time.Time, repo oci.Repository, d oci.Digest, rows []store.Row, conds ...store.Cond) error {
	if rows[1] == nil {
		return l.linkWithoutBlob(ctx, now, repo, d, rows[0])
	}
	t.remove(linkKey(repo, d), append(conds, exists())...)
	takeOne(t, blobKey(d), attrLinks, rows[1].Num(attrLinks), now)
	l.lookAtRepository(t, now, repo, rows[2])
	return nil
}

// linkWithoutBlob says what to make of a link that was read beside no blob: a batch is not a snapshot, so another sweep may
// have taken both in between, and another upload have made both again. A link that at one moment has no blob is corrupt
// (C2).
func (l *Ledger) linkWithoutBlob(ctx context.Context, now time.Time, repo oci.Repository, d oci.Digest, r store.Row) error {
	var t txn
	t.check(linkKey(repo, d), is(attrObject, r.Text(attrObject)))
	t.check(blobKey(d), absent())
	if err := l.apply(ctx, now, &t); err != nil {
		return err
	}
	return &store.Error{Op: "read", Key: blobKey(d).String(), Outcome: store.ErrCorrupt}
}

// takeOne takes one reference off a row that has n of them. Who takes the last one writes the due (C6); the range
// makes a wrong reading refuse the transaction instead of losing the due.
func takeOne(t *txn, k store.Key, attr string, n int64, dueAt time.Time) {
	c := change{add: []store.Attr{num(attr, -1)}, remove: []string{attrCounting}}
	if n <= 1 {
		c.set = []store.Attr{due(dueAt)}
		t.update(k, c, exists(), equals(attr, 1))
		return
	}
	t.update(k, c, exists(), over(attr, 1))
}
