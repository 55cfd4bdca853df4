// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// Direct is an upload whose bytes its client brings to the store itself. It has one object, named before any URL for it is
// signed, and its row is named after that object: who knows an object's key, as an event of the store does, has its upload.
// An object is named once, when its row is made, and no request that carries the name makes a row again (C12).
//
// What a client may send to the object later than this row stays is owned by who has it then, the blob or a tombstone: both
// stay for longer than a URL and the put that it allows.
type Direct struct {
	Object string
	Repo   oci.Repository
	Digest oci.Digest
	Size   int64
	State  DirectState
	// Part is the size of every part but the last; 0: the object comes in one PUT.
	Part      int64
	Multipart string // the multipart upload; "" before it was begun, and for one PUT
	// Hashed counts the bytes that were verified so far, and Hash is the state of their hash.
	Hashed int64
	Hash   string
	// Lease is until when whoever verifies has the upload to itself; zero: nobody does.
	Lease time.Time
	// Asked is when somebody was last asked to verify the upload; zero: nobody was.
	Asked time.Time

	version string // token of the write that made this state
}

// DirectState is how far a direct upload has come.
type DirectState string

// The states. An upload that became a blob, or expired, has no row.
const (
	DirectGone      DirectState = ""
	DirectOpen      DirectState = stateOpen
	DirectVerifying DirectState = "verifying" // the object is complete
	DirectRejected  DirectState = "rejected"  // its content was another; the object is buried, the row stays to say so
	DirectClosed    DirectState = stateClosed // given up; the row stays until no request can carry its id
)

// Parts returns into how many parts the object is cut, 0 where it comes in one PUT.
func (x Direct) Parts() int {
	if x.Part == 0 {
		return 0
	}
	return int((x.Size + x.Part - 1) / x.Part)
}

func readDirect(object string, r store.Row) Direct {
	return Direct{
		Object:    object,
		Repo:      oci.Repository(r.Text(attrRepo)),
		Digest:    oci.Digest(r.Text(attrDigest)),
		Size:      r.Num(attrSize),
		State:     DirectState(r.Text(attrState)),
		Part:      r.Num(attrPart),
		Multipart: r.Text(attrMultipart),
		Hashed:    r.Num(attrOffset),
		Hash:      r.Text(attrHash),
		Lease:     fromMilli(r.Num(attrLease)),
		Asked:     fromMilli(r.Num(attrAsked)),
		version:   r.Text(attrVersion),
	}
}

// row encodes the upload. It names the object for as long as it owns it.
func (x Direct) row(dueAt store.Attr) store.Row {
	attrs := []store.Attr{
		text(attrState, string(x.State)), text(attrVersion, x.version), text(attrRepo, string(x.Repo)),
		text(attrDigest, string(x.Digest)), num(attrSize, x.Size), dueAt,
	}
	if x.owns() {
		attrs = append(attrs, text(attrObject, x.Object), num(attrPart, x.Part), text(attrMultipart, x.Multipart))
	}
	if x.State == DirectVerifying {
		attrs = append(attrs, num(attrOffset, x.Hashed), data(attrHash, x.Hash))
	}
	if x.State == DirectVerifying && !x.Lease.IsZero() {
		attrs = append(attrs, num(attrLease, x.Lease.UnixMilli()))
	}
	if x.State == DirectVerifying && !x.Asked.IsZero() {
		attrs = append(attrs, num(attrAsked, x.Asked.UnixMilli()))
	}
	return row(directKey(x.Object), attrs...)
}

func (x Direct) owns() bool { return x.State == DirectOpen || x.State == DirectVerifying }

func (x Direct) asRead() []store.Cond { return []store.Cond{exists(), is(attrVersion, x.version)} }

// OpenDirect begins a direct upload of d, in parts of the size part, or in one PUT where that is 0. sign is told of the upload
// before it has its row, perhaps several times, and may sign URLs for it, which must not be given out before OpenDirect has
// succeeded. Where the repository has the blob already there is nothing to upload: it is looked at, as by Look, and found is
// true.
func (l *Ledger) OpenDirect(ctx context.Context, repo oci.Repository, d oci.Digest, size, part int64, sign func(Direct) error) (x Direct, there Link, found bool, err error) {
	err = l.retry(ctx, func(now time.Time) error {
		r, err := l.get(ctx, linkKey(repo, d))
		if err != nil {
			return err
		}
		if ln := readLink(r); ln.there {
			there, found = Link{ln.size, ln.object, now}, true
			return l.renew(ctx, now, repo, d, ln)
		}
		found = false
		x = Direct{Object: l.newObject(), Repo: repo, Digest: d, Size: size, State: DirectOpen, Part: part, version: l.cfg.NewToken()}
		if err := sign(x); err != nil {
			return err
		}
		var t txn
		t.put(directKey(x.Object), x.row(due(now.Add(l.cfg.Margins.UploadTTL))), absent())
		return l.apply(ctx, now, &t)
	})
	return x, there, found && err == nil, err
}

// Direct reads the direct upload of an object. One that became a blob, has expired or never was is DirectGone.
func (l *Ledger) Direct(ctx context.Context, object string) (Direct, error) {
	r, err := l.get(ctx, directKey(object))
	if err != nil || r == nil {
		return Direct{Object: object}, err
	}
	return readDirect(object, r), nil
}

// TouchDirect puts the end of an open upload off: whoever signs URLs for its object does so first, touches it, and gives
// them out only if that succeeded. So the row stays for UploadTTL from a moment after the signing, and what takes the object
// from it commits later (C1). Errors: BlobUploadUnknown when the upload is not open any more.
func (l *Ledger) TouchDirect(ctx context.Context, x Direct) error {
	return l.retry(ctx, func(now time.Time) error {
		fresh := now.Add(l.cfg.Margins.UploadTTL)
		var t txn
		t.update(directKey(x.Object), change{set: []store.Attr{due(fresh)}}, is(attrState, stateOpen), atMost(attrDue, fresh.UnixMilli()))
		err := l.apply(ctx, now, &t)
		if err == nil {
			return nil
		}
		r, readErr := l.get(ctx, directKey(x.Object))
		switch {
		case readErr != nil:
			return readErr
		case r.Text(attrState) != stateOpen:
			return errUploadUnknown
		case r.Num(attrDue) >= fresh.UnixMilli():
			return nil // another touch, later than this one
		}
		return err
	})
}

// WriteDirect records what x has become, open or verifying, provided that its row is as it was read, and touches it. It
// returns x as written. taken tells that the row was not as it was read: somebody else was faster, and x is as it is now.
func (l *Ledger) WriteDirect(ctx context.Context, x Direct) (next Direct, taken bool, err error) {
	err = l.retry(ctx, func(now time.Time) error {
		next, taken = x, false
		next.version = l.cfg.NewToken()
		var t txn
		t.put(directKey(x.Object), next.row(due(now.Add(l.cfg.Margins.UploadTTL))), x.asRead()...)
		err := l.commit(ctx, now, &t)
		if refused(err) == nil {
			return err
		}
		taken = true
		next, err = l.Direct(ctx, x.Object)
		return err
	})
	return next, taken, err
}

// AskDirect records that somebody is asked now to verify an upload, provided that nobody has recorded that, or written the
// upload, since it was read: asks tells. That makes no new incarnation of the row, so whoever verifies it meanwhile goes on, and
// does not touch it.
func (l *Ledger) AskDirect(ctx context.Context, x Direct) (asks bool, err error) {
	before := without(attrAsked)
	if !x.Asked.IsZero() {
		before = equals(attrAsked, x.Asked.UnixMilli())
	}
	err = l.retry(ctx, func(now time.Time) error {
		var t txn
		t.update(directKey(x.Object), change{set: []store.Attr{num(attrAsked, now.UnixMilli())}}, append(x.asRead(), before)...)
		err := l.commit(ctx, now, &t)
		asks = err == nil
		if refused(err) != nil {
			return nil
		}
		return err
	})
	return asks, err
}

// FinishDirect makes the object of a direct upload the blob that it was opened for, provided that the upload is as it was
// read. The object is complete, and its size and content were verified. If the blob is there already, the object goes to a
// tombstone instead. After success the blob stays for Lease (C4).
//
// When the upload is gone the call looks for the blob, as Finish does. Errors: BlobUploadUnknown when there is neither, or the
// upload was given up; BlobUploadInvalid when somebody else changed it.
func (l *Ledger) FinishDirect(ctx context.Context, x Direct) error {
	k := directKey(x.Object)
	return l.retry(ctx, func(now time.Time) error {
		rows, err := l.read(ctx, linkKey(x.Repo, x.Digest), blobKey(x.Digest), k)
		if err != nil {
			return err
		}
		found := readLink(rows[0])
		switch r := rows[2]; {
		case r == nil:
			return l.finishedBefore(ctx, now, x.Repo, x.Digest, found)
		case !readDirect(x.Object, r).owns():
			return errUploadUnknown
		case r.Text(attrVersion) != x.version:
			return oci.Errorf(oci.BlobUploadInvalid, "another request is at work on this upload")
		}
		late := l.late(rows[2])
		var t txn
		t.remove(k, append(x.asRead(), equals(attrDue, rows[2].Num(attrDue)))...)
		object := l.settle(&t, now, x.Repo, x.Digest, x.Size, found, rows[1], func(*txn) (string, int64) { return x.Object, late })
		if object != x.Object {
			l.bury(&t, now, tombstone{object: x.Object, multipart: x.Part > 0, bytes: x.Size, why: whyLost, late: late})
		}
		return l.apply(ctx, now, &t)
	})
}

// late is until when a URL that was given out for the object of a direct upload may still bring a put, 0 where none can: a
// multipart upload that was completed takes no part any more. Each giving out touched the row.
func (l *Ledger) late(r store.Row) int64 {
	if r.Num(attrPart) > 0 {
		return 0
	}
	m := l.cfg.Margins
	touched := fromMilli(r.Num(attrDue)).Add(-m.UploadTTL)
	return touched.Add(m.URLLife + m.MaxPut + m.MaxStep + 2*m.Skew).UnixMilli()
}

// RejectDirect ends an upload whose content was another than it was opened for, provided that it is as it was read: the
// object goes to a tombstone, and the row stays for its time to tell the client. An upload that changed meanwhile is left.
func (l *Ledger) RejectDirect(ctx context.Context, x Direct) error {
	return l.failDirect(ctx, x, DirectRejected, whyRejected)
}

// LoseDirect ends an upload that is complete and whose object the store does not have, as after a restore, which has no bytes of
// uploads. It is given up as by DiscardDirect, provided that it is as it was read. An upload that changed meanwhile is left.
func (l *Ledger) LoseDirect(ctx context.Context, x Direct) error {
	return l.failDirect(ctx, x, DirectClosed, whyGone)
}

// failDirect ends an upload for good. Its row was touched since its id was made, so it stays for longer than that is good.
func (l *Ledger) failDirect(ctx context.Context, x Direct, end DirectState, why string) error {
	return l.retry(ctx, func(now time.Time) error {
		r, err := l.get(ctx, directKey(x.Object))
		if err != nil || r.Text(attrVersion) != x.version {
			return err
		}
		return l.endDirect(ctx, now, x, r, end, fromMilli(r.Num(attrDue)), why)
	})
}

// DiscardDirect gives a direct upload up and hands its object to a tombstone. Its row stays until until, when no request can
// carry its id any more. Errors: BlobUploadUnknown when it is gone, was given up before, or belongs to another repository.
func (l *Ledger) DiscardDirect(ctx context.Context, repo oci.Repository, object string, until time.Time) error {
	return l.retry(ctx, func(now time.Time) error {
		r, err := l.get(ctx, directKey(object))
		if err != nil {
			return err
		}
		x := readDirect(object, r)
		if r == nil || x.Repo != repo || x.State == DirectClosed {
			return errUploadUnknown
		}
		return l.endDirect(ctx, now, x, r, DirectClosed, until.Add(l.cfg.Margins.MaxStep+2*l.cfg.Margins.Skew), whyCanceled)
	})
}

// endDirect makes x what it is to be at its end, and buries the object if it owns one.
func (l *Ledger) endDirect(ctx context.Context, now time.Time, x Direct, r store.Row, end DirectState, stays time.Time, why string) error {
	next := x
	next.State, next.version = end, l.cfg.NewToken()
	var t txn
	t.put(directKey(x.Object), next.row(due(stays)), x.asRead()...)
	if x.owns() {
		l.bury(&t, now, tombstone{object: x.Object, multipart: x.Part > 0, bytes: arrived(r), why: why})
	}
	return l.apply(ctx, now, &t)
}

// arrived is how many bytes an upload is known to have in the store.
func arrived(r store.Row) int64 {
	if r.Text(attrState) == string(DirectVerifying) {
		return r.Num(attrSize)
	}
	return 0
}

// sweepDirect ends a direct upload that was not touched for UploadTTL, and forgets one that ended.
func (s *sweep) sweepDirect(ctx context.Context, now time.Time, object string, r store.Row) error {
	x := readDirect(object, r)
	var t txn
	t.remove(directKey(object), append(x.asRead(), atMost(attrDue, now.UnixMilli()))...)
	if x.owns() {
		s.l.bury(&t, now, tombstone{object: object, multipart: x.Part > 0, bytes: arrived(r), why: whyExpired})
	}
	if err := s.l.apply(ctx, now, &t); err != nil {
		return err
	}
	s.report.Sessions++
	return nil
}
