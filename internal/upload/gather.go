// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
)

// A store that keeps parts apart, as S3 does, takes none of less than MinPart bytes but the last. There a session has three
// places for its bytes, in this order:
//
//	Parts       of at least MinPart bytes each, in the multipart upload of Object; Hash covers them
//	TailObject  fewer than that, put in one piece; "" for none
//	Tail        at most InlineLimit bytes, in the row
//
// A request puts the next piece together in memory: what TailObject and Tail have, and what the body brings, up to two parts.
// As long as it stores nothing, it touches nothing. Then it writes into the row what it is about to write, a fresh key or a
// number that no request had before, stores the piece, and writes into the row that it counts. Each of the two writes wants
// the row as this request left it. So of two requests at one offset one loses before it stores a byte, and what a slower
// request stores under its own key or number after that is never taken for what counts (C3, C12).

// gathering is a request that brings bytes to an upload, piece by piece.
type gathering struct {
	claim
	in *incoming
	id string // of the multipart upload of s.Object; "" where none was begun

	body  io.Reader
	came  int64     // bytes of the body
	ends  time.Time // by when the body must have come
	ended bool      // it did, or broke off
	fault error     // why it broke off

	at      int64  // where piece begins in the blob
	piece   []byte // what is stored next; its capacity is pieceSize
	held    int    // so many bytes of it came before this request
	release func()
}

// pieceSize is the most bytes of a piece: what is too little for a part, and what makes it one.
func (u *Uploads) pieceSize() int64 { return 2 * u.least }

// MinChunk is the least size of a chunk by which two make a part; 0 where any will do.
func (u *Uploads) minChunk() int64 { return (u.least + 1) / 2 }

// gathers tells whether bytes are gathered to parts of a least size.
func (u *Uploads) gathers() bool { return u.least > 0 }

// gather begins with what the tail of s has. The caller releases it.
func (u *Uploads) gather(ctx context.Context, t ticket, s refcount.Session, in *incoming) (*gathering, error) {
	buffer := u.pieces.Get().(*[]byte)
	g := &gathering{
		claim: claim{u: u, t: t, s: s},
		in:    in,
		id:    s.Multipart,
		body:  bytes.NewReader(in.lead),
		ends:  u.clock.Now().Add(u.ledger.Margins().MaxPut),
		at:    s.Offset - int64(len(s.Tail)) - s.TailSize,

		piece:   (*buffer)[:0],
		release: func() { u.pieces.Put(buffer) },
	}
	if !in.whole {
		g.body = io.MultiReader(g.body, in.rest)
	}
	if err := g.readTail(ctx); err != nil {
		g.release()
		return nil, err
	}
	g.piece = append(g.piece, s.Tail...)
	g.held = len(g.piece)
	return g, nil
}

// readTail reads the tail object.
func (g *gathering) readTail(ctx context.Context) error {
	if g.s.TailObject == "" {
		return nil
	}
	r, err := g.u.objects.Open(ctx, g.s.TailObject, 0, -1)
	if err != nil {
		return lost(err)
	}
	defer r.Close()
	if g.s.TailSize < 0 || g.s.TailSize+int64(len(g.s.Tail)) > int64(cap(g.piece)) {
		return unknown(fmt.Errorf("a tail of %d and %d bytes", g.s.TailSize, len(g.s.Tail)))
	}
	tail := g.piece[:g.s.TailSize]
	if _, err := io.ReadFull(r, tail); err != nil {
		return fmt.Errorf("upload: the tail of an upload: %w", err)
	}
	g.piece = tail
	return nil
}

// fill reads the body until the piece is full or the body has ended.
func (g *gathering) fill(ctx context.Context) {
	for len(g.piece) < cap(g.piece) && !g.ended {
		err := ctx.Err()
		if err == nil && g.u.clock.Now().After(g.ends) {
			err = g.u.late()
		}
		if err != nil {
			g.end(err)
			return
		}
		n, err := g.body.Read(g.piece[len(g.piece):cap(g.piece)])
		if tooLarge := g.u.fits(g.at + int64(len(g.piece)+n)); tooLarge != nil {
			n, err = 0, tooLarge
		}
		g.came += int64(n)
		g.piece = g.piece[:len(g.piece)+n]
		if g.in.size >= 0 && g.came > g.in.size {
			g.piece, err = g.piece[:g.held], errSize
		}
		if err != nil {
			g.end(err)
		}
	}
}

// end notes why the body has ended.
func (g *gathering) end(err error) {
	g.ended = true
	switch {
	case err != io.EOF:
		g.fault = broken(err)
	case g.in.err != nil:
		g.fault = g.in.err
	case g.in.size >= 0 && g.came < g.in.size:
		g.fault = errSize
	}
}

// next begins the piece behind the one that was stored.
func (g *gathering) next() {
	g.at += int64(len(g.piece))
	g.piece, g.held = g.piece[:0], 0
}

// unclaimed is the session without the objects that a request named and came no further with: that request may still be
// writing there.
func unclaimed(s refcount.Session) refcount.Session {
	if s.Multipart == "" {
		s.Object = ""
	}
	s.NextTail = ""
	return s
}

// putWithin bounds a put whose row was written after begun: it must have landed before that can have gone the way of its
// kind (C1).
func (u *Uploads) putWithin(ctx context.Context, begun time.Time) (context.Context, context.CancelFunc, error) {
	left := u.ledger.Margins().MaxPut - u.clock.Now().Sub(begun)
	if left < 0 {
		return nil, nil, u.late()
	}
	ctx, done := context.WithTimeout(ctx, left)
	return ctx, done, nil
}

// put stores the piece at an object that the row has named at begun.
func (g *gathering) put(ctx context.Context, object string, begun time.Time) error {
	ctx, done, err := g.u.putWithin(ctx, begun)
	if err != nil {
		return err
	}
	defer done()
	return g.u.objects.Put(ctx, object, bytes.NewReader(g.piece), int64(len(g.piece)))
}

// putPart stores the piece as a part of the session's object, in a multipart upload that is begun where there is none. name
// writes which number it has, and before the first which object.
func (g *gathering) putPart(ctx context.Context, name func(context.Context) error) (store.Part, error) {
	if g.s.Burnt >= store.MaxParts || !g.s.TakesPart() {
		return store.Part{}, errTooManyParts
	}
	turn := g.u.parts.Turn()
	begun := g.u.clock.Now()
	if err := name(ctx); err != nil {
		return store.Part{}, err
	}
	ctx, done, err := g.u.putWithin(ctx, begun)
	if err != nil {
		return store.Part{}, err
	}
	defer done()
	if g.id == "" {
		if g.id, err = g.u.parts.Begin(ctx, g.s.Object); err != nil {
			return store.Part{}, err
		}
	}
	return g.u.parts.Part(ctx, g.s.Object, g.id, turn, g.s.Burnt, g.at, bytes.NewReader(g.piece), int64(len(g.piece)))
}

// claimPart names a part once: refused, the request has lost its place.
func (g *gathering) claimPart(ctx context.Context) error {
	next := g.s
	next.NextTail = ""
	next.Burnt++
	if g.id == "" {
		next.Object = g.u.ledger.NewObject()
		next.Burnt = 1
	}
	return g.write(ctx, next)
}

// namePart names a part of a closing request.
func (g *gathering) namePart(ctx context.Context) error {
	if g.id == "" {
		return g.nameObject(ctx, 1)
	}
	return g.nameNumber(ctx)
}

var errTooManyParts = oci.Errorf(oci.TooLarge,
	"the upload has as many parts as can be kept: send larger chunks, or upload the blob directly where that is offered")

// writeGathered appends a body to an upload. One that fits the row costs one commit.
func (u *Uploads) writeGathered(ctx context.Context, t ticket, s refcount.Session, offset int64, in *incoming) (refcount.Session, error) {
	for {
		if err := u.admit(s, offset, in); err != nil {
			return s, err
		}
		if !u.brief(s, in) {
			return u.writePieces(ctx, t, s, in)
		}
		next := unclaimed(s)
		next.Tail += string(in.lead)
		next.Offset += int64(len(in.lead))
		next, err := u.ledger.Write(ctx, next)
		if s.Begun() || !errors.Is(err, refcount.ErrOvertaken) {
			return next, firstError(err, in.err)
		}
		if s, err = u.ledger.Session(ctx, t.repo, t.row); err != nil {
			return s, err
		}
		if !s.Begun() {
			return s, errBusy // it ended meanwhile
		}
	}
}

// brief tells whether a body can stay in the row, whatever else the session has.
func (u *Uploads) brief(s refcount.Session, in *incoming) bool {
	return in.whole && len(s.Tail)+len(in.lead) <= u.ledger.InlineLimit()
}

// writePieces appends a body to an upload and keeps what came of one that breaks off.
func (u *Uploads) writePieces(ctx context.Context, t ticket, s refcount.Session, in *incoming) (refcount.Session, error) {
	g, err := u.gather(ctx, t, s, in)
	if err != nil {
		return s, err
	}
	defer g.release()
	for !g.ended {
		g.fill(ctx)
		if err := g.keep(ctx); err != nil {
			return g.s, firstError(g.fault, err)
		}
		g.next()
	}
	return g.s, g.fault
}

// keep stores the piece and records it.
func (g *gathering) keep(ctx context.Context) error {
	if len(g.piece) == g.held {
		return nil
	}
	if g.fault != nil {
		var done context.CancelFunc
		ctx, done = outlive(ctx)
		defer done()
	}
	if int64(len(g.piece)) >= g.u.least {
		return g.keepPart(ctx)
	}
	return g.keepTail(ctx)
}

// keepTail makes a piece that is too small for a part the session's tail: within the row what fits it.
func (g *gathering) keepTail(ctx context.Context) error {
	if rest := g.piece[g.s.TailSize:]; len(rest) <= g.u.ledger.InlineLimit() {
		next := unclaimed(g.s)
		next.Tail, next.Offset = string(rest), g.at+int64(len(g.piece))
		return g.write(ctx, next)
	}
	next := unclaimed(g.s)
	next.NextTail = g.u.ledger.NewObject()
	begun := g.u.clock.Now()
	if err := g.write(ctx, next); err != nil {
		return err
	}
	if err := g.put(ctx, g.s.NextTail, begun); err != nil {
		return err
	}
	next = g.s
	next.TailObject, next.TailSize, next.NextTail, next.Tail = g.s.NextTail, int64(len(g.piece)), "", ""
	next.Offset = g.at + next.TailSize
	return g.record(ctx, next)
}

// keepPart makes the piece a part that counts.
func (g *gathering) keepPart(ctx context.Context) error {
	h := runningHash(g.s)
	p, err := g.putPart(ctx, g.claimPart)
	if err != nil {
		return lost(err)
	}
	if h != nil {
		h.Write(g.piece)
	}
	next := g.s
	next.Multipart, next.Parts = g.id, append(next.Parts[:len(next.Parts):len(next.Parts)], p)
	next.TailObject, next.TailSize, next.Tail = "", 0, ""
	next.Offset, next.Hash = g.at+p.Size, marshal(h)
	return g.record(ctx, next)
}

// record writes what has been stored already, although the request may be dead.
func (g *gathering) record(ctx context.Context, next refcount.Session) error {
	ctx, done := outlive(ctx)
	defer done()
	return g.write(ctx, next)
}
