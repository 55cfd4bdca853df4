// SPDX-License-Identifier: Apache-2.0

// Package upload takes blobs in: the ids of uploads, their sessions, parts and hashes, and the finish that makes a blob
// of them. Bytes are streamed; what is held in memory is at most one small blob a request, or two parts where the store
// wants parts of a least size.
//
// Where the bytes of an upload are depends on how many came. While they fit the ledger's InlineLimit they are a part of
// the session's row, its tail. A larger upload has an object, which the row names before the first byte is written (C1):
// put in one piece where one request brings all of it and says how much that is, put together from parts otherwise. Where
// parts may have any size, a session is in one of these states, and [Uploads.plan] knows all ways between them (where they
// may not, see gather.go):
//
//	nothing   no row: a POST writes none
//	tail      all bytes are in Tail
//	claimed   Object is named, and a request writes or wrote there; what counts is in Tail
//	parts     Object is being put together; its first Offset bytes count, Hash covers them, Tail is empty
//
// A claimed object may still be written by the request that claimed it, however long ago its client went away. So the
// next request that brings bytes takes a fresh object and buries this one (C12).
//
// Errors for the client are *[oci.Error]; those of package store and of contexts pass through.
package upload

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
)

// Uploads takes blobs in. It is safe for concurrent use, by any number of processes on one ledger.
type Uploads struct {
	ledger  *refcount.Ledger
	objects store.Objects
	parts   store.Multipart
	clock   clock.Clock
	least   int64 // of a part
	opts    Options
	keys    *refcount.Keyring // sign ids
	buffers sync.Pool         // *[]byte of bufferSize
	pieces  sync.Pool         // *[]byte of pieceSize
}

// Options are what a deployment decides. The zero value accepts everything.
type Options struct {
	// MaxBlob is the most bytes of a blob; 0: no limit.
	MaxBlob int64

	// Room is asked before the bytes of a request are taken, whether n more may come; n is -1 where their number is not
	// known. Its error goes to the client. Nil: always.
	Room func(n int64) error

	// Direct lets clients bring bytes to the store themselves, for objects of the same store. Nil: they cannot.
	Direct store.Direct

	// Settle asks that [Uploads.Settle] be called for a direct upload, soon and elsewhere. It does not wait for that. Nil:
	// who completes an upload, or asks after it, settles it meanwhile.
	Settle func(ctx context.Context, id string) error

	// Random makes the names of uploads. Nil: crypto/rand. Tests give a seeded one.
	Random io.Reader
}

// New returns uploads that end in l's blobs. Where parts have a least size, a request holds at most two such parts in
// memory. The error says that l keeps blobs in its table that are larger than that least size.
func New(l *refcount.Ledger, objects store.Objects, parts store.Multipart, c clock.Clock, o Options) (*Uploads, error) {
	least := parts.MinPart()
	if least > 0 && int64(l.InlineLimit()) >= least {
		return nil, fmt.Errorf("upload: the store takes parts of at least %d bytes, and the table would keep %d", least, l.InlineLimit())
	}
	if o.Random == nil {
		o.Random = rand.Reader
	}
	u := &Uploads{keys: l.Keyring("upload"), ledger: l, objects: objects, parts: parts, clock: c, least: least, opts: o}
	size := max(l.InlineLimit()+1, minBuffer)
	u.buffers.New = func() any { b := make([]byte, size); return &b }
	u.pieces.New = func() any { b := make([]byte, u.pieceSize()); return &b }
	return u, nil
}

// Start returns a new upload. It writes nothing.
func (u *Uploads) Start(ctx context.Context, repo oci.Repository) (oci.Upload, error) {
	t, err := u.issue(ctx, repo)
	return u.at(t.id, 0), err
}

// Resume tells how far an upload has come. Errors: BlobUploadUnknown.
func (u *Uploads) Resume(ctx context.Context, repo oci.Repository, id string) (oci.Upload, error) {
	t, err := u.check(ctx, repo, id)
	if err != nil {
		return oci.Upload{}, err
	}
	s, err := u.ledger.Session(ctx, repo, t.row)
	return u.at(id, s.Offset), err
}

// at describes an upload.
func (u *Uploads) at(id string, offset int64) oci.Upload {
	return oci.Upload{ID: id, Offset: offset, MinChunk: u.minChunk()}
}

// Cancel gives an upload up, whether or not it has bytes. Its id stays unknown from then on. Errors: BlobUploadUnknown.
func (u *Uploads) Cancel(ctx context.Context, repo oci.Repository, id string) error {
	t, err := u.check(ctx, repo, id)
	if err != nil {
		return err
	}
	return u.ledger.Discard(ctx, repo, t.row, t.end)
}

// unwritten is the session of an upload of which nothing is known: most have no row yet, and the write that is made on
// this assumption is refused where one has.
func (t ticket) unwritten() refcount.Session { return refcount.Session{ID: t.row, Repo: t.repo} }

// take makes the first write of a request that brings bytes to s: it appends a small body to the tail, or names the
// object that the bytes go to, or says at least that somebody is at work. From there on no other request can write to
// the session without this one's losing it; and the turn that is returned, taken between the reading of the session and
// that write, is above those of all requests that had the upload before, so that none of them cuts off what comes now.
//
// A session that was only assumed not to be there is read when it is. A negative offset means wherever the upload
// stands. Errors: RangeInvalid, with the session as it is; TooLarge.
func (u *Uploads) take(ctx context.Context, s refcount.Session, offset int64, in *incoming) (next refcount.Session, turn int64, err error) {
	for {
		if err := u.admit(s, offset, in); err != nil {
			return s, 0, err
		}
		turn := u.parts.Turn()
		next, err := u.ledger.Write(ctx, u.plan(s, in))
		if s.Begun() || !errors.Is(err, refcount.ErrOvertaken) {
			return next, turn, err
		}
		if s, err = u.ledger.Session(ctx, s.Repo, s.ID); err != nil {
			return s, 0, err
		}
		if !s.Begun() {
			return s, 0, errBusy // it ended meanwhile
		}
	}
}

var errBusy = oci.Errorf(oci.BlobUploadInvalid, "another request is writing to this upload")

// admit refuses a body that does not continue the upload where it stands, or that makes it too large.
func (u *Uploads) admit(s refcount.Session, offset int64, in *incoming) error {
	if offset >= 0 && offset != s.Offset {
		return oci.Errorf(oci.RangeInvalid, "the upload stands at byte %d, not at %d", s.Offset, offset)
	}
	return u.fits(s.Offset + max(in.size, int64(len(in.lead))))
}

func (u *Uploads) fits(size int64) error {
	if u.opts.MaxBlob > 0 && size > u.opts.MaxBlob {
		return oci.Errorf(oci.TooLarge, "the blob has more than the %d bytes that this registry takes", u.opts.MaxBlob)
	}
	return nil
}

// plan says what the session becomes before the bytes of in are taken.
func (u *Uploads) plan(s refcount.Session, in *incoming) refcount.Session {
	switch {
	case s.Multipart != "":
	case u.inline(s, in):
		s.Object = ""
		s.Tail += string(in.lead)
		s.Offset = int64(len(s.Tail))
	default:
		s.Object = u.ledger.NewObject()
	}
	return s
}

// inline tells whether all that came, and in, fit the table.
func (u *Uploads) inline(s refcount.Session, in *incoming) bool {
	return s.Multipart == "" && s.TailObject == "" && in.whole && len(s.Tail)+len(in.lead) <= u.ledger.InlineLimit()
}

// outlive returns a context for what has to be written although the request may be dead. Where the request had a
// deadline, the write ends soon after it.
func outlive(ctx context.Context) (context.Context, context.CancelFunc) {
	live, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordTimeout)
	deadline, ok := ctx.Deadline()
	if !ok {
		return live, cancel
	}
	live, end := context.WithDeadline(live, deadline.Add(Overtime))
	return live, func() { end(); cancel() }
}

// recordTimeout bounds the write that records what a dead request has brought.
const recordTimeout = 30 * time.Second

// Overtime is for how long after the deadline of its context a call may still record what a dead request has brought.
const Overtime = 3 * time.Second
