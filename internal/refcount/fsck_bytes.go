// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// place is a key under which bytes are, or should be.
type place struct {
	there  bool
	size   int64 // of what is there
	want   int64 // that the last owner says
	owners int32 // rows that own it
}

// odd tells whether a place has not the one owner that it should have. An object that its blob lacks, the blob's row tells;
// bytes in the table are read after it, so that they are compared here.
func (p place) odd(inline, pending bool) bool {
	switch {
	case p.owners != 1:
		return p.there || pending || p.owners > 1
	case inline:
		return !p.there || p.size != p.want
	}
	return false
}

// linkCount is how many links of a blob there are, and how many its row counts.
type linkCount struct {
	there, counts int64
	unseen        bool // no sweep would find it
}

// listObjects lists the objects and unfinished uploads of the store.
func (f *fsck) listObjects(ctx context.Context) error {
	after := ""
	for {
		page, err := f.l.objects.List(ctx, "", after, pageSize)
		if err != nil {
			return err
		}
		for _, o := range page {
			f.places[o.Key] = place{there: true, size: o.Size}
			f.report.Objects++
			f.report.Bytes += o.Size
			after = o.Key
		}
		f.progress("listing objects", int64(f.report.Objects), 0, "objects")
		if len(page) < pageSize {
			break
		}
	}
	pending, err := f.l.parts.Pending(ctx, "")
	for _, p := range pending {
		f.pending[p.Key] = true
		if _, listed := f.places[p.Key]; !listed {
			f.places[p.Key] = place{} // which wants an owner as an object does
		}
	}
	return err
}

// readRows walks over all rows, and gathers what is compared over the whole registry.
func (f *fsck) readRows(ctx context.Context) error {
	rows := 0
	defer func() { f.report.Rows = rows }()
	return f.walkTable(ctx, "reading rows", func(k store.Key, r store.Row) {
		rows++
		if malformedKey(k) != "" {
			f.suspects[k] = true
			return
		}
		kind, rest := kindOf(k)
		switch kind {
		case kindTag, kindTagOf, kindManifest, kindBody, kindReferrer, kindLink:
			f.repos[oci.Repository(rest)] = true
		default: // what is compared with nothing, or with bytes
			if len(f.faults(k, view{k: r})) > 0 {
				f.suspects[k] = true
			}
		}
		switch kind {
		case kindRepository:
			f.repos[oci.Repository(k.SK)] = true
		case kindLink:
			n := f.links[oci.Digest(k.SK)]
			n.there++
			f.links[oci.Digest(k.SK)] = n
		case kindBlob:
			n := f.links[oci.Digest(rest)]
			n.counts, n.unseen = r.Num(attrLinks), unseen(k, r) != ""
			f.links[oci.Digest(rest)] = n
			if f.unlisted(k, view{k: r}) {
				f.suspects[k] = true
			}
			f.sample.offer(k, r.Num(attrSize))
		case kindBody:
			f.sample.offer(k, int64(len(r.Text(attrBody))))
		case kindContent:
			p := f.places[rest]
			p.there, p.size = true, int64(len(r.Text(attrBytes)))
			f.places[rest] = p
		}
		f.own(k, r)
	})
}

// own notes that a row owns bytes.
func (f *fsck) own(k store.Key, r store.Row) {
	for _, object := range ownedBy(k, r) {
		object = strings.Clone(object) // a part of the row, which would be kept with it
		p := f.places[object]
		p.owners++
		p.want = r.Num(attrSize)
		f.places[object] = p
	}
}

// unlisted tells whether the object of a blob or a visible manifest was not among those listed, or had another length.
func (f *fsck) unlisted(k store.Key, v view) bool {
	object, size := kept(k, v)
	if object == "" || isInline(object) {
		return false
	}
	p := f.places[object]
	return !p.there || p.size != size
}

// kept names the bytes that a blob or a visible manifest has in an object or a content row, and their length.
func kept(k store.Key, v view) (object string, size int64) {
	kind, rest := kindOf(k)
	switch kind {
	case kindBlob:
		return v[k].Text(attrObject), v[k].Num(attrSize)
	case kindManifest:
		if m := readManifest(v[k]); m.visible() {
			return v[bodyKey(oci.Repository(rest), oci.Digest(k.SK))].Text(attrObject), m.size
		}
	}
	return "", 0
}

// strongFaults is faults, and a look at the bytes.
func (f *fsck) strongFaults(ctx context.Context, k store.Key, v view) ([]fault, error) {
	faults := f.faults(k, v)
	object, size := kept(k, v)
	if object == "" || v[k] == nil {
		return faults, nil
	}
	x := &examination{l: f.l, key: k, v: v}
	var beside []store.Key
	kind, rest := kindOf(k)
	there, n := false, int64(0)
	switch {
	case isInline(object):
		ck := contentKey(object)
		beside = append(beside, ck)
		there, n = v[ck] != nil, int64(len(v[ck].Text(attrBytes)))
	default:
		info, err := f.l.objects.Stat(ctx, object)
		if err != nil && !errors.Is(err, store.ErrNotFound) && !errors.Is(err, store.ErrInvalid) {
			return nil, err
		}
		there, n = err == nil, info.Size
	}
	if kind == kindManifest {
		beside = append(beside, bodyKey(oci.Repository(rest), oci.Digest(k.SK)))
	}
	switch {
	case !there:
		x.find(foundBytes, "C3", Must, adviceDelete, fmt.Sprintf("its bytes, %s, are not there", object), beside...)
	case n != size:
		x.find(foundBytes, "C3", Must, adviceDelete, fmt.Sprintf("its bytes, %s, are %d; it says %d", object, n, size), beside...)
	}
	if !f.anyUnreadable(beside) {
		faults = append(faults, x.faults...)
	}
	return faults, nil
}

// judgeShared looks again at what the walk over all rows left suspicious: counts of links, and bytes with no owner or two.
func (f *fsck) judgeShared(ctx context.Context) error {
	var blobs []countOf
	for d, n := range f.links {
		if n.there != n.counts || n.unseen {
			blobs = append(blobs, countOf{blobKey(d), attrLinks})
		}
	}
	f.links = nil
	owners := map[string][]store.Key{}
	for object, p := range f.places {
		if p.odd(isInline(object), f.pending[object]) {
			owners[object] = nil
		}
	}
	if len(blobs)+len(owners) == 0 {
		return nil
	}
	wanted := map[store.Key]bool{}
	for _, c := range blobs {
		wanted[c.row] = true
	}
	gather := func(ctx context.Context) (counted, error) {
		got := counted{of: map[countOf]int64{}}
		for object := range owners {
			owners[object] = nil
		}
		err := f.walkTable(ctx, "reading rows again", func(k store.Key, r store.Row) {
			if kind, _ := kindOf(k); kind == kindLink && wanted[blobKey(oci.Digest(k.SK))] {
				got.of[countOf{blobKey(oci.Digest(k.SK)), attrLinks}]++
			}
			for _, object := range ownedBy(k, r) {
				if ks, ok := owners[object]; ok {
					owners[object] = append(ks, k)
				}
			}
		})
		got.partial = f.unread[kindLink]
		return got, err
	}
	err := f.recount(ctx, blobs, gather)
	if err == nil && len(blobs) == 0 {
		_, err = gather(ctx)
	}
	if err != nil {
		return err
	}
	for _, object := range slices.Sorted(maps.Keys(owners)) {
		if err := f.judgeOwners(ctx, object, owners[object]); err != nil {
			return err
		}
	}
	return nil
}

// judgeOwners looks at bytes for which the last walk found these owners.
func (f *fsck) judgeOwners(ctx context.Context, object string, owners []store.Key) error {
	if len(owners) == 1 {
		f.suspects[owners[0]] = true // whether its bytes are there
		return nil
	}
	return f.untilSure(func() error { return f.judgeOwned(ctx, object, owners) })
}

// untilSure tries again while what is judged changes.
func (f *fsck) untilSure(judge func() error) error {
	for range maxLooks {
		if err := judge(); !errors.Is(err, errAgain) {
			return err
		}
	}
	f.report.Unjudged++
	return nil
}

func (f *fsck) judgeOwned(ctx context.Context, object string, owners []store.Key) error {
	var ft fault
	v := view{}
	var err error
	switch {
	case len(owners) > 1:
		ft, err = f.twoOwners(ctx, v, object, owners)
	case isInline(object):
		ft, err = f.orphanContent(ctx, v, object)
	default:
		ft, err = f.orphan(ctx, v, object)
	}
	if err != nil || ft.rows == nil {
		return err
	}
	return f.confirm(ctx, f.l.clock.Now(), ft, v)
}

func (f *fsck) twoOwners(ctx context.Context, v view, object string, owners []store.Key) (ft fault, err error) {
	if err := f.get(ctx, v, owners); err != nil {
		return ft, err
	}
	owners = slices.DeleteFunc(slices.Clone(owners), func(k store.Key) bool { return !slices.Contains(ownedBy(k, v[k]), object) })
	if len(owners) < 2 {
		return ft, nil
	}
	names := make([]string, len(owners))
	for i, k := range owners {
		names[i] = k.String()
	}
	ft.Finding = Finding{Kind: foundOwners, Invariant: "C1", Severity: Must, Subject: object, Where: "object " + object,
		Text: "owned by " + strings.Join(names, " and "), Advice: adviceLeave}
	ft.rows = owners[:2]
	return ft, nil
}

// orphanContent judges bytes in the table that no blob was found to own: theirs comes and goes with them.
func (f *fsck) orphanContent(ctx context.Context, v view, object string) (ft fault, err error) {
	k := contentKey(object)
	if err := f.get(ctx, v, []store.Key{k}); err != nil || v[k] == nil {
		return ft, err
	}
	ft.Finding = Finding{Kind: foundOrphan, Invariant: "C1", Severity: Should, Subject: k.String(), Where: where(k),
		Text: "bytes in the table without an owner", Advice: adviceRepair}
	ft.rows = []store.Key{k}
	if f.mayOwn() {
		ft.Advice = "mend the rows that cannot be read first: one of them may own it"
		return ft, nil
	}
	ft.mend("removed them", func(time.Time) []store.Op {
		var t txn
		t.remove(k)
		return t.ops
	})
	return ft, nil
}

// orphan judges an object, or an unfinished upload, that no row was found to own: it may have got a tombstone since.
func (f *fsck) orphan(ctx context.Context, v view, object string) (ft fault, err error) {
	if !store.ValidObjectKey(object) {
		return ft, nil
	}
	k := tombstoneKey(object)
	if err := f.get(ctx, v, []store.Key{k}); err != nil || v[k] != nil || f.unreadable[k] != nil {
		return ft, err
	}
	info, err := f.l.objects.Stat(ctx, object)
	gone := errors.Is(err, store.ErrNotFound)
	if err != nil && !gone {
		return ft, err
	}
	what := "an object without an owner"
	if gone {
		pending, err := f.l.parts.Pending(ctx, object)
		if err != nil || !slices.ContainsFunc(pending, func(p store.PendingUpload) bool { return p.Key == object }) {
			return ft, err
		}
		what = "an unfinished upload without an owner"
	}
	ft.Finding = Finding{Kind: foundOrphan, Invariant: "C1", Severity: Should, Subject: object,
		Where: "object " + object, Text: what, Advice: adviceRepair}
	ft.rows = []store.Key{k}
	if f.mayOwn() {
		ft.Advice = "mend the rows that cannot be read first: one of them may own it"
		return ft, nil
	}
	ft.mend("gave it a tombstone", func(now time.Time) []store.Op {
		var t txn
		f.l.bury(&t, now, tombstone{object: object, multipart: true, bytes: info.Size, why: whyOrphan})
		return t.ops
	})
	return ft, nil
}

// mayOwn tells whether a row that cannot be read may own something.
func (f *fsck) mayOwn() bool {
	for _, kind := range []string{kindBlob, kindBody, kindSession, kindDirect, kindTombstone} {
		if f.unread[kind] {
			return true
		}
	}
	return false
}
