// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// Finish makes the object of a session the blob d of its repository, provided that the session is as it was read. The
// object is complete, has size bytes, and its content was verified to be d's. If the blob is there already, the
// session's object goes to a tombstone instead, and both uploaders have succeeded. After success the blob stays for
// Lease (C4). A session as it was read has the same bytes at the same object; what other requests named beside goes to
// tombstones.
//
// When the session is gone the call looks for the blob: the reply of an earlier Finish may have been lost. Errors:
// BlobUploadUnknown when there is neither.
func (l *Ledger) Finish(ctx context.Context, s Session, d oci.Digest, size int64) error {
	_, err := l.finish(ctx, s, Session{}, d, size, func(*txn) (string, int64) { return s.Object, 0 }, whyLost)
	return err
}

// FinishAside is Finish for an object that a session of its own names, since another request has named one in the row of the
// upload that it is all of. It ends both. Where that upload is finished, so is this request; where it has other bytes than as it
// was read, the object goes to a tombstone.
func (l *Ledger) FinishAside(ctx context.Context, s, upload Session, d oci.Digest, size int64) error {
	_, err := l.finish(ctx, s, upload, d, size, func(*txn) (string, int64) { return s.Object, 0 }, whyLost)
	return err
}

// FinishInline is Finish for an upload whose whole content is at hand and within InlineLimit: it is kept in the table.
// An object that the session named goes to a tombstone.
func (l *Ledger) FinishInline(ctx context.Context, s Session, d oci.Digest, content string) error {
	_, err := l.finish(ctx, s, Session{}, d, int64(len(content)), l.inline(content), whyRestarted)
	return err
}

// FinishWhole makes content a blob of the repository in one batch of reads and one commit, or none when it is there.
// id is the upload that it came by, "" for none. If the upload has bytes already, nothing happens, and the session that
// has them is returned, begun, to be finished with them.
func (l *Ledger) FinishWhole(ctx context.Context, repo oci.Repository, id string, d oci.Digest, content string) (Session, error) {
	return l.finish(ctx, Session{ID: id, Repo: repo}, Session{}, d, int64(len(content)), l.inline(content), whyRestarted)
}

// owner adds the row that owns the bytes of a first arrival, if it needs one, and names its object, and the time until which
// a put may still come to it, 0 for none.
type owner func(*txn) (object string, late int64)

func (l *Ledger) inline(content string) owner {
	return func(t *txn) (string, int64) {
		object := l.newInline()
		t.put(contentKey(object), plainRow(data(attrBytes, content)), absent())
		return object, 0
	}
}

// finish passes ownership. why is said of the session's object where it does not become the blob. What it returns is a
// session that was found begun where s was not.
func (l *Ledger) finish(ctx context.Context, s, upload Session, d oci.Digest, size int64, own owner, why string) (begun Session, err error) {
	err = l.retry(ctx, func(now time.Time) error {
		keys := []store.Key{linkKey(s.Repo, d), blobKey(d)}
		if s.ID != "" {
			keys = append(keys, sessionKey(s.ID))
		}
		if upload.Begun() {
			keys = append(keys, sessionKey(upload.ID))
		}
		rows, err := l.read(ctx, keys...)
		if err != nil {
			return err
		}
		found := readLink(rows[0])
		switch {
		case s.Begun():
			next, stands, err := s.again(rows[2])
			if err != nil {
				return err
			}
			if !stands || next.Object != s.Object {
				return l.finished(ctx, now, s, d, rows[2], found)
			}
			s = next
		case s.ID != "" && rows[2] != nil:
			begun, err = openSession(s.Repo, s.ID, rows[2])
			return err
		}
		var t txn
		if s.Begun() {
			t.remove(sessionKey(s.ID), s.asRead()...)
		}
		if upload.Begun() {
			next, stands, err := upload.again(rows[3])
			switch {
			case err != nil:
				return err
			case stands:
				t.remove(sessionKey(upload.ID), next.asRead()...)
				l.buryOwned(&t, now, next.named, 0, whyRestarted)
			case !found.there || isOpen(rows[3]):
				l.buryOwned(&t, now, s.named, size, whyLost)
				if err := l.apply(ctx, now, &t); err != nil {
					return err
				}
				return l.finished(ctx, now, upload, d, rows[3], found)
			}
		}
		object := l.settle(&t, now, s.Repo, d, size, found, rows[1], own)
		l.buryOwned(&t, now, s.named.without(object), size, why)
		if len(t.ops) == 0 {
			return nil
		}
		return l.apply(ctx, now, &t)
	})
	return begun, err
}

// settle adds what makes d a blob of repo with a promise of Lease, and returns the object that it then has. Where all
// that holds already it adds nothing but, beside other operations, the check that it still does.
func (l *Ledger) settle(t *txn, now time.Time, repo oci.Repository, d oci.Digest, size int64, found link, blob store.Row, own owner) string {
	fresh := now.Add(l.cfg.Margins.Grace)
	lk := linkKey(repo, d)
	switch {
	case !found.there && blob == nil:
		object, late := own(t)
		bk := blobKey(d)
		t.put(bk, row(bk, num(attrLinks, 1), num(attrSize, size), text(attrObject, object), some(attrLate, late)), absent())
		t.put(lk, linkRow(lk, size, object, fresh), absent())
		return object
	case !found.there:
		l.addLink(t, now, repo, d, blob.Num(attrSize), blob.Text(attrObject))
		return blob.Text(attrObject)
	case found.refs > 0:
		if len(t.ops) > 0 {
			t.check(lk, over(attrRefs, 0))
		}
	case found.due < l.leaseEnd(now) || len(t.ops) > 0:
		t.update(lk, change{set: []store.Attr{num(attrDue, max(found.due, fresh.UnixMilli()))}}, exists(), equals(attrRefs, 0))
	}
	return found.object
}

// finished answers for a session that is not as it was read: gone, perhaps by our own commit, or at work for another
// request.
func (l *Ledger) finished(ctx context.Context, now time.Time, s Session, d oci.Digest, r store.Row, found link) error {
	if isOpen(r) {
		return errBusy
	}
	return l.finishedBefore(ctx, now, s.Repo, d, found)
}

// finishedBefore answers for an upload that is gone: by a commit that made the blob, or otherwise. The batch that found it gone
// may have read the link before that commit.
func (l *Ledger) finishedBefore(ctx context.Context, now time.Time, repo oci.Repository, d oci.Digest, found link) error {
	if !found.there {
		r, err := l.get(ctx, linkKey(repo, d))
		if err != nil {
			return err
		}
		if found = readLink(r); !found.there {
			return errUploadUnknown
		}
	}
	return l.renew(ctx, now, repo, d, found)
}

// Content reads the bytes of a blob that is kept in the table. An object that is not there is ErrNotFound: its blob was
// condemned since the link was read.
func (l *Ledger) Content(ctx context.Context, object string) (string, error) {
	k := contentKey(object)
	r, err := l.get(ctx, k)
	if err != nil {
		return "", err
	}
	if r == nil {
		return "", &store.Error{Op: "get", Key: k.String(), Outcome: store.ErrNotFound}
	}
	return r.Text(attrBytes), nil
}

// Inline tells whether an object's bytes are kept in the table, where [Ledger.Content] reads them.
func Inline(object string) bool { return isInline(object) }

// sweepLink removes a link that nothing references, and clears the due of one that something does.
func (s *sweep) sweepLink(ctx context.Context, now time.Time, repo oci.Repository, d oci.Digest, r store.Row) error {
	k := linkKey(repo, d)
	var t txn
	if r.Num(attrRefs) > 0 {
		t.update(k, change{remove: []string{attrDue}}, over(attrRefs, 0))
		return s.l.apply(ctx, now, &t)
	}
	rows, err := s.l.read(ctx, blobKey(d), repositoryKey(repo))
	if err != nil {
		return err
	}
	err = s.l.dropLink(ctx, &t, now, repo, d, []store.Row{r, rows[0], rows[1]}, equals(attrRefs, 0), atMost(attrDue, s.horizon.UnixMilli()))
	if err != nil {
		return err
	}
	if err := s.l.apply(ctx, now, &t); err != nil {
		return err
	}
	s.report.Links++
	return nil
}

// sweepBlob condemns a blob without links, and clears the due of one that has some. The object as read is the blob's
// incarnation: another upload may have become the blob since.
func (s *sweep) sweepBlob(ctx context.Context, now time.Time, d oci.Digest, r store.Row) error {
	k, object := blobKey(d), r.Text(attrObject)
	var t txn
	if r.Num(attrLinks) > 0 {
		t.update(k, change{remove: []string{attrDue}}, over(attrLinks, 0))
		return s.l.apply(ctx, now, &t)
	}
	t.remove(k, equals(attrLinks, 0), is(attrObject, object))
	if isInline(object) {
		t.remove(contentKey(object))
	} else {
		s.l.bury(&t, now, tombstone{object: object, bytes: r.Num(attrSize), why: whyBlob, late: r.Num(attrLate)})
	}
	if err := s.l.apply(ctx, now, &t); err != nil {
		return err
	}
	s.report.Blobs++
	if isInline(object) {
		s.report.Bytes += r.Num(attrSize)
	}
	return nil
}
