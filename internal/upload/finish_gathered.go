// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
)

// finishGathered makes a blob of what the session has and of the body.
func (u *Uploads) finishGathered(ctx context.Context, t ticket, s refcount.Session, d oci.Digest, offset int64, in *incoming) (oci.Descriptor, error) {
	if err := u.admit(s, offset, in); err != nil {
		return oci.Descriptor{}, err
	}
	if u.flows(s, in) {
		return u.finishFlow(ctx, t, s, d, in)
	}
	g, err := u.gather(ctx, t, s, in)
	if err != nil {
		return oci.Descriptor{}, err
	}
	defer g.release()
	if g.fill(ctx); g.fault != nil {
		return oci.Descriptor{}, g.fault
	}
	if g.ended && s.Multipart == "" {
		return g.finishPiece(ctx, d)
	}
	return g.finishParts(ctx, d)
}

// flows tells whether the body goes straight to an object: it fills a piece, says how large it is, and nothing that it
// continues is in an object.
func (u *Uploads) flows(s refcount.Session, in *incoming) bool {
	size := int64(len(s.Tail)) + in.size
	return in.size >= 0 && size == s.Offset+in.size && s.Multipart == "" && size >= u.pieceSize() && size <= store.MaxDirectPut
}

// finishFlow streams the body to a fresh object.
func (u *Uploads) finishFlow(ctx context.Context, t ticket, s refcount.Session, d oci.Digest, in *incoming) (oci.Descriptor, error) {
	c := claim{u: u, t: t, s: s}
	begun := u.clock.Now()
	if err := c.nameObject(ctx, 0); err != nil {
		return c.conclude(ctx, d, 0, false, err)
	}
	s.Object = c.s.Object
	size, right, err := u.put(ctx, s, d, in, begun)
	return c.conclude(ctx, d, size, right, err)
}

// finishPiece puts all of the blob, which is in the piece, at a fresh object. One of another digest is not stored.
func (g *gathering) finishPiece(ctx context.Context, d oci.Digest) (oci.Descriptor, error) {
	right := matches(d, g.piece)
	if right {
		begun := g.u.clock.Now()
		err := g.nameObject(ctx, 0)
		if err == nil {
			err = g.put(ctx, g.s.Object, begun)
		}
		if err != nil {
			return g.conclude(ctx, d, 0, false, err)
		}
	}
	return g.conclude(ctx, d, int64(len(g.piece)), right, nil)
}

// finishParts makes the object of the parts that count and of what is left, whose last may be of any size. None of what it
// stores counts before it is a blob: a client repeats this request from its beginning.
func (g *gathering) finishParts(ctx context.Context, d oci.Digest) (oci.Descriptor, error) {
	begun := g.s.Multipart != ""
	parts := g.s.Parts[:len(g.s.Parts):len(g.s.Parts)]
	h := newHash(d)
	if begun {
		h = runningHash(g.s)
	}
	if begun && isSHA512(d) {
		h = nil
	}
	for {
		if len(g.piece) > 0 {
			p, err := g.putPart(ctx, g.namePart)
			switch {
			case err != nil && begun && isGone(err):
				// Perhaps this request was here before and has made the object. Then that is asked what it is.
				return g.finishMade(ctx, d)
			case err != nil:
				return g.conclude(ctx, d, 0, false, lost(err))
			}
			parts = append(parts, p)
			if h != nil {
				h.Write(g.piece)
			}
			g.next()
		}
		if g.ended {
			break
		}
		if g.fill(ctx); g.fault != nil {
			return g.conclude(ctx, d, 0, false, g.fault)
		}
	}
	switch err := g.u.parts.Complete(ctx, g.s.Object, g.id, parts); {
	case isGone(err):
		return g.finishMade(ctx, d) // of these parts or of others
	case err != nil:
		return g.conclude(ctx, d, 0, false, err)
	case h == nil:
		return g.finishMade(ctx, d)
	}
	return g.conclude(ctx, d, g.at, is(h, d), nil)
}

// finishMade asks an object that was made of parts, or is being made of them, what it is.
func (g *gathering) finishMade(ctx context.Context, d oci.Digest) (oci.Descriptor, error) {
	var size int64
	var right bool
	err := g.u.whileJoined(ctx, func() (err error) {
		h := newHash(d)
		size, err = g.u.readMade(ctx, g.s.Object, h)
		right = err == nil && is(h, d)
		return err
	}, func() (bool, error) { return true, g.stands(ctx) })
	return g.conclude(ctx, d, size, right, err)
}
