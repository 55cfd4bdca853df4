// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
)

// Write appends a body to an upload, as [oci.Pusher.WriteUpload] says. A small one costs one commit; a larger one a
// commit before its bytes and one after. An empty one changes nothing.
//
// What came of a body that breaks off is kept for a resume, as far as the store kept it. Of one that has more bytes than
// announced nothing is, but for pieces that were stored before that came out.
func (u *Uploads) Write(ctx context.Context, repo oci.Repository, id string, offset int64, body io.Reader, size int64) (oci.Upload, error) {
	t, err := u.check(ctx, repo, id)
	if err != nil {
		return oci.Upload{}, err
	}
	in, err := u.accept(body, size)
	if err != nil {
		return u.at(id, 0), err
	}
	defer in.release()
	s, err := u.write(ctx, t, offset, in)
	return u.at(id, s.Offset), err
}

func (u *Uploads) write(ctx context.Context, t ticket, offset int64, in *incoming) (s refcount.Session, err error) {
	if in.err != nil {
		var done context.CancelFunc
		ctx, done = outlive(ctx)
		defer done()
	}
	s = t.unwritten()
	if offset > 0 || in.empty() || u.gathers() && !u.brief(s, in) {
		if s, err = u.ledger.Session(ctx, t.repo, t.row); err != nil {
			return s, err
		}
	}
	if in.empty() {
		if err := u.admit(s, offset, in); err != nil {
			return s, err
		}
		return s, in.err
	}
	if u.gathers() {
		return u.writeGathered(ctx, t, s, offset, in)
	}
	begun := u.clock.Now()
	s, turn, err := u.take(ctx, s, offset, in)
	if err != nil || s.Object == "" {
		return s, firstError(err, in.err)
	}
	return u.writePart(ctx, s, turn, in, begun)
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// writePart stores the body as a part of the session's object, and records how far that came.
func (u *Uploads) writePart(ctx context.Context, s refcount.Session, turn int64, in *incoming, begun time.Time) (refcount.Session, error) {
	h := sha256.New()
	if s.Multipart != "" {
		h = unmarshal(s.Hash)
	}
	next, n, err := u.part(ctx, s, turn, in, h, begun)
	if err != nil && (next.Offset <= s.Offset || n != next.Offset) {
		// Nothing new was kept, or less than was hashed: the upload stands where it stood.
		return s, err
	}
	next.Hash = marshal(h)
	ctx, done := outlive(ctx)
	defer done()
	recorded, recordErr := u.ledger.Write(ctx, next)
	if err = firstError(err, in.err, recordErr); recordErr != nil {
		return s, err
	}
	return recorded, err
}

// part stores the session's tail and the body at its object, in an upload that is begun where there is none. It returns
// what the session is with them, and how far into the blob the bytes go that h covers. Where the error is the body's,
// that is told as well, since the store may have kept what came.
func (u *Uploads) part(ctx context.Context, s refcount.Session, turn int64, in *incoming, h hash.Hash, begun time.Time) (next refcount.Session, hashed int64, err error) {
	st := u.stream(ctx, s, in, h, begun)
	if s.Multipart == "" {
		if err := st.overdue(); err != nil {
			return s, 0, err
		}
		if s.Multipart, err = u.parts.Begin(ctx, s.Object); err != nil {
			return s, 0, err
		}
	}
	// A dead request ends the stream and not the call, which then keeps what came.
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), u.ledger.Margins().MaxPut)
	defer done()
	p, err := u.parts.Part(ctx, s.Object, s.Multipart, turn, len(s.Parts)+1, st.at, st, st.want)
	if err != nil {
		err = st.fault(err)
	}
	next = s
	next.Tail = ""
	next.Offset = st.at + p.Size
	// Parts of any size are appended to one file, so that one part stands for all of them. The row does not grow.
	next.Parts = []store.Part{{Number: 1, Size: next.Offset}}
	return next, st.at + st.n, err
}
