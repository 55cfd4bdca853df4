// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"bytes"
	"context"
	"errors"
	"hash"
	"io"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
)

// minBuffer is the least size of a pooled buffer: they serve reading an object back, too.
const minBuffer = 64 << 10

// incoming is a request body. So much of it as could be kept in the table is read before anything is decided.
type incoming struct {
	lead  []byte    // what came first: at most InlineLimit+1 bytes, none where size says that it is more
	whole bool      // lead is all
	rest  io.Reader // what follows
	size  int64     // of all, as announced; -1: not known
	err   error     // what broke the body off within lead, which is then whole

	release func()
}

// accept looks at the beginning of a body. The caller releases it. Errors: SizeInvalid, TooLarge, and those of
// Options.Room.
func (u *Uploads) accept(body io.Reader, size int64) (*incoming, error) {
	in := &incoming{rest: body, size: size, release: func() {}}
	if size == 0 {
		in.whole = true
		return in, nil
	}
	if err := u.fits(size); err != nil {
		return nil, err
	}
	if u.opts.Room != nil {
		if err := u.opts.Room(size); err != nil {
			return nil, err
		}
	}
	limit := u.ledger.InlineLimit()
	if size > int64(limit) {
		return in, nil
	}
	buffer := u.buffers.Get().(*[]byte)
	in.release = func() { u.buffers.Put(buffer) }
	n, err := u.fill(body, (*buffer)[:limit+1], u.clock.Now().Add(u.ledger.Margins().MaxPut))
	in.lead, in.whole = (*buffer)[:n], err != nil
	wrong := u.fits(int64(n))
	switch {
	case err != nil && err != io.EOF:
		in.err = broken(err)
	case size >= 0 && int64(n) != size:
		wrong = errSize
	}
	if wrong != nil {
		in.release()
		return nil, wrong
	}
	return in, nil
}

// empty tells whether the body has no byte.
func (in *incoming) empty() bool { return in.whole && len(in.lead) == 0 }

// fill reads until p is full, r ends or the time is over, and returns r's error as it is: [io.ReadFull] calls the end of a
// stream by the name that a torn connection has.
func (u *Uploads) fill(r io.Reader, p []byte, ends time.Time) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
		if err == nil && u.clock.Now().After(ends) {
			err = u.late()
		}
	}
	return n, err
}

// late is the error of a request that took longer than a put may.
func (u *Uploads) late() error {
	return oci.Errorf(oci.BlobUploadInvalid, "the request took longer than %v", u.ledger.Margins().MaxPut)
}

var errSize = oci.Errorf(oci.SizeInvalid, "the body has not as many bytes as announced")

// broken is the error of a request whose body failed with err. A body can have a word for the client itself.
func broken(err error) error {
	var e *oci.Error
	if errors.As(err, &e) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &oci.Error{Code: oci.BlobUploadInvalid, Message: "the request body broke off", Cause: err}
}

// stream is what a request writes at an object: the session's tail and the request's body. It hashes what it gives, and
// remembers how it ended, since a store only wraps that.
type stream struct {
	ctx  context.Context
	u    *Uploads
	src  io.Reader
	hash hash.Hash // nil: not hashed
	at   int64     // where it begins in the blob
	want int64     // how many bytes it should give; -1: not known
	ends time.Time // by when it must have

	n   int64 // bytes given
	err error // why src ended, io.EOF included
}

// stream returns the bytes of s's tail and of in. begun is a clock reading from before the row of s was written: the put
// must have landed before the row can have gone the way of its kind (C1).
func (u *Uploads) stream(ctx context.Context, s refcount.Session, in *incoming, h hash.Hash, begun time.Time) *stream {
	st := &stream{
		ctx:  ctx,
		u:    u,
		hash: h,
		at:   s.Offset - int64(len(s.Tail)),
		want: -1,
		ends: begun.Add(u.ledger.Margins().MaxPut),
	}
	src := []io.Reader{strings.NewReader(s.Tail), bytes.NewReader(in.lead)}
	switch {
	case in.whole:
		st.want = int64(len(s.Tail) + len(in.lead))
	case in.size >= 0:
		st.want = int64(len(s.Tail)) + in.size
		fallthrough
	default:
		src = append(src, in.rest)
	}
	st.src = io.MultiReader(src...)
	return st
}

func (st *stream) Read(p []byte) (int, error) {
	if st.err != nil {
		return 0, st.err
	}
	if st.err = st.ctx.Err(); st.err != nil {
		return 0, st.err
	}
	if st.err = st.overdue(); st.err != nil {
		return 0, st.err
	}
	n, err := st.src.Read(p)
	if tooLarge := st.u.fits(st.at + st.n + int64(n)); tooLarge != nil {
		n, err = 0, tooLarge
	}
	st.n += int64(n)
	if st.hash != nil {
		st.hash.Write(p[:n])
	}
	st.err = err
	return n, err
}

// overdue is the error of a request whose time is over: what it put now could land when the tombstone of its object has gone.
func (st *stream) overdue() error {
	if st.u.clock.Now().After(st.ends) {
		return st.u.late()
	}
	return nil
}

// fault is the error of a call that read the stream and failed with err: the stream's own where that was the reason.
func (st *stream) fault(err error) error {
	switch {
	case st.err != nil && st.err != io.EOF:
		return broken(st.err)
	case st.want >= 0 && (st.n > st.want || st.n < st.want && st.err == io.EOF):
		return errSize
	case errors.Is(err, store.ErrConflict):
		return errBusy // its request was later than this one
	}
	return lost(err)
}
