// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// Session is an upload that has bytes. While it is open it owns the objects that it names.
type Session struct {
	ID   string
	Repo oci.Repository
	// Tail is what came last, while that is little and in no object.
	Tail string
	// Object is where the bytes are or will be; "" while others hold them.
	Object string
	// Multipart and Parts are the object's multipart upload; "" where none was begun.
	Multipart string
	Parts     []store.Part
	// Burnt is the highest number of a part that was given to a request. A number is given once.
	Burnt int
	// TailObject has the TailSize bytes between those of Parts and those of Tail: too few for a part. "" where there are none.
	TailObject string
	TailSize   int64
	// NextTail is where a request writes what may become the TailObject, or wrote what did not.
	NextTail string
	// Offset counts the bytes that came: those of Parts, TailObject and Tail.
	Offset int64
	// Hash is the state of the running hash over the bytes of Parts.
	Hash string

	version string // token of the write that made this state
	named   owned  // by the row
}

// States of a session row.
const stateClosed = "closed" // canceled; the row stays until no request can carry its id any more

// errUploadUnknown is what a session that is not there, not open or of another repository looks like.
var errUploadUnknown = oci.Errorf(oci.BlobUploadUnknown, "the upload is not known, is finished, or has ended")

func readSession(id string, r store.Row) (Session, error) {
	s := Session{
		ID:        id,
		Repo:      oci.Repository(r.Text(attrRepo)),
		Tail:      r.Text(attrTail),
		Object:    r.Text(attrObject),
		Multipart: r.Text(attrMultipart),
		Offset:    r.Num(attrOffset),
		Hash:      r.Text(attrHash),
		version:   r.Text(attrVersion),

		TailObject: r.Text(attrTailObject),
		TailSize:   r.Num(attrTailSize),
		NextTail:   r.Text(attrNextTail),
		Burnt:      int(r.Num(attrBurnt)),
	}
	s.named = sessionOwns(r)
	if parts := r.Text(attrParts); parts != "" {
		if err := json.Unmarshal([]byte(parts), &s.Parts); err != nil {
			return Session{}, &store.Error{Op: "read", Key: sessionKey(id).String(), Outcome: store.ErrCorrupt, Cause: err}
		}
	}
	return s, nil
}

// row encodes an open session whose last touch was at now.
func (s Session) row(now time.Time, m Margins) (store.Row, error) {
	k := sessionKey(s.ID)
	attrs := []store.Attr{
		text(attrState, stateOpen), text(attrVersion, s.version), text(attrRepo, string(s.Repo)),
		text(attrObject, s.Object), text(attrMultipart, s.Multipart), num(attrOffset, s.Offset),
		data(attrHash, s.Hash), due(now.Add(m.UploadTTL)),
	}
	if s.Tail != "" {
		attrs = append(attrs, data(attrTail, s.Tail))
	}
	if s.TailObject != "" {
		attrs = append(attrs, text(attrTailObject, s.TailObject), num(attrTailSize, s.TailSize))
	}
	if s.NextTail != "" {
		attrs = append(attrs, text(attrNextTail, s.NextTail))
	}
	if s.Burnt > 0 {
		attrs = append(attrs, num(attrBurnt, int64(s.Burnt)))
	}
	if len(s.Parts) > 0 {
		b, err := json.Marshal(s.Parts)
		if err != nil {
			return nil, fmt.Errorf("refcount: session: %w", err)
		}
		attrs = append(attrs, data(attrParts, string(b)))
	}
	return row(k, attrs...), nil
}

// maxParts is the most bytes of the list of parts in a row, which has room for what else a session says (store.MaxRow). It is
// about 2,500 parts with the marks of S3.
const maxParts = 320 << 10

// TakesPart tells whether the row of s can list one part more.
func (s Session) TakesPart() bool {
	n := 0
	for _, p := range s.Parts {
		n += len(p.Mark) + partBesides
	}
	return n < maxParts
}

// partBesides is what the list has for a part, besides its mark: numbers of five and of eleven digits, and their names.
const partBesides = len(`{"Number":10000,"Size":10000000000,"Mark":""},`)

// Session reads an upload. A session that was never written is the zero Session with its id and repository, and open: a
// POST writes nothing. Errors: BlobUploadUnknown for one that is closed or belongs to another repository.
func (l *Ledger) Session(ctx context.Context, repo oci.Repository, id string) (Session, error) {
	r, err := l.get(ctx, sessionKey(id))
	if err != nil {
		return Session{}, err
	}
	return openSession(repo, id, r)
}

// openSession turns a row that was read into a session.
func openSession(repo oci.Repository, id string, r store.Row) (Session, error) {
	if r == nil {
		return Session{ID: id, Repo: repo}, nil
	}
	if r.Text(attrState) != stateOpen || r.Text(attrRepo) != string(repo) {
		return Session{}, errUploadUnknown
	}
	return readSession(id, r)
}

// Begun tells whether the session has a row.
func (s Session) Begun() bool { return s.version != "" }

// Stands tells whether o, another reading of the same upload, has the same bytes as s. What requests have named, and came no
// further with, may differ. Where parts have no numbers of their own, who wrote the row may be writing to them.
func (s Session) Stands(o Session) bool {
	apart := s.Multipart == "" || s.Object == o.Object && s.Burnt > 0
	return apart && s.Multipart == o.Multipart && slices.Equal(s.Parts, o.Parts) && s.Hash == o.Hash &&
		s.TailObject == o.TailObject && s.TailSize == o.TailSize && s.Tail == o.Tail && s.Offset == o.Offset
}

// again is the session as its row is now, if it still stands as it was read.
func (s Session) again(r store.Row) (next Session, stands bool, err error) {
	switch {
	case r.Text(attrVersion) == s.version:
		return s, true, nil
	case !isOpen(r):
		return s, false, nil
	}
	next, err = readSession(s.ID, r)
	return next, err == nil && s.Stands(next), err
}

func isOpen(r store.Row) bool { return r != nil && r.Text(attrState) == stateOpen }

// asRead is the condition that the session is as it was read.
func (s Session) asRead() []store.Cond {
	if !s.Begun() {
		return []store.Cond{absent()}
	}
	return []store.Cond{is(attrState, stateOpen), is(attrVersion, s.version)}
}

// owned is what a session owns.
type owned struct {
	objects [3]string // Object, TailObject, NextTail; "" for none
	tail    int64     // TailSize
}

func (s Session) owns() owned {
	return owned{[3]string{s.Object, s.TailObject, s.NextTail}, s.TailSize}
}

func sessionOwns(r store.Row) owned {
	return owned{[3]string{r.Text(attrObject), r.Text(attrTailObject), r.Text(attrNextTail)}, r.Num(attrTailSize)}
}

// without leaves out what is among objects.
func (o owned) without(objects ...string) owned {
	for i, object := range o.objects {
		if slices.Contains(objects, object) {
			o.objects[i] = ""
		}
	}
	return o
}

// buryOwned hands what a session owned to tombstones. bytes and why are those of its Object.
func (l *Ledger) buryOwned(t *txn, now time.Time, o owned, bytes int64, why string) {
	if o.objects[0] != "" {
		l.bury(t, now, tombstone{object: o.objects[0], multipart: true, bytes: bytes, why: why})
	}
	for i, object := range o.objects[1:] {
		if object != "" {
			l.bury(t, now, tombstone{object: object, bytes: [2]int64{o.tail, 0}[i], why: whyPiece})
		}
	}
}

// ErrOvertaken is the cause where the row of a session is not as it was read.
var ErrOvertaken = errors.New("the session is not as it was read")

var errBusy = &oci.Error{Code: oci.BlobUploadInvalid, Message: "another request is writing to this upload", Cause: ErrOvertaken}

// Write records what s has become, provided that its row is as it was read, and touches it. It returns the session
// with the version of this write. A session that names an object names it from then on: no byte is written at a key
// before Write has recorded it (C1). An object that the row named, and s does not any more, goes to a tombstone in the
// same transaction; it may still be written by an earlier request, so that s never names it again (C12). Refused, because
// another request was faster: BlobUploadInvalid, caused by ErrOvertaken.
func (l *Ledger) Write(ctx context.Context, s Session) (Session, error) {
	next := s
	begun := l.clock.Now()
	err := l.retry(ctx, func(now time.Time) error {
		if now.After(begun.Add(l.cfg.Margins.MaxPut)) {
			// An attempt whose reply was lost may have made the row, which may have expired since: what it named has a
			// tombstone then, and must not be named again (C12).
			return oci.Errorf(oci.BlobUploadInvalid, "the request took longer than %v", l.cfg.Margins.MaxPut)
		}
		next = s
		next.version = l.cfg.NewToken()
		next.named = s.owns()
		r, err := next.row(now, l.cfg.Margins)
		if err != nil {
			return err
		}
		var t txn
		t.put(sessionKey(s.ID), r, s.asRead()...)
		l.buryOwned(&t, now, s.named.without(next.named.objects[:]...), 0, whyRestarted)
		return l.commit(ctx, now, &t)
	})
	if refused(err) != nil {
		return Session{}, errBusy
	}
	return next, err
}

// NewObject names an object that was never used before, for a session to write at.
func (l *Ledger) NewObject() string { return l.newObject() }

// Discard ends an upload and hands its object to a tombstone. Its id stays closed until until, when no request can
// carry it any more. Discarding an upload that has no row closes its id as well. Errors: BlobUploadUnknown when it was
// closed before or belongs to another repository.
func (l *Ledger) Discard(ctx context.Context, repo oci.Repository, id string, until time.Time) error {
	return l.retry(ctx, func(now time.Time) error {
		s, err := l.Session(ctx, repo, id)
		if err != nil {
			return err
		}
		k := sessionKey(id)
		var t txn
		t.put(k, row(k, text(attrState, stateClosed), text(attrRepo, string(repo)), text(attrVersion, l.cfg.NewToken()),
			due(until.Add(l.cfg.Margins.MaxStep+2*l.cfg.Margins.Skew))), s.asRead()...)
		l.buryOwned(&t, now, s.named, s.Offset-s.TailSize, whyCanceled)
		return l.apply(ctx, now, &t)
	})
}

// sweepSession ends a session that was not touched for UploadTTL, and forgets a closed one.
func (s *sweep) sweepSession(ctx context.Context, now time.Time, id string, r store.Row) error {
	var t txn
	t.remove(sessionKey(id), is(attrVersion, r.Text(attrVersion)), atMost(attrDue, now.UnixMilli()))
	s.l.buryOwned(&t, now, sessionOwns(r), r.Num(attrOffset)-r.Num(attrTailSize), whyExpired)
	if err := s.l.apply(ctx, now, &t); err != nil {
		return err
	}
	s.report.Sessions++
	return nil
}
