// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"hash"
	"io"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
)

// Push takes a whole blob in one request, as [oci.Pusher.PushBlob] says.
func (u *Uploads) Push(ctx context.Context, repo oci.Repository, d oci.Digest, body io.Reader, size int64) (oci.Descriptor, error) {
	in, err := u.accept(body, size)
	if err != nil {
		return oci.Descriptor{}, err
	}
	defer in.release()
	if in.err != nil {
		return oci.Descriptor{}, in.err
	}
	if in.whole && u.inline(refcount.Session{}, in) {
		if !matches(d, in.lead) {
			return oci.Descriptor{}, errDigest(d)
		}
		_, err := u.ledger.FinishWhole(ctx, repo, "", d, string(in.lead))
		return descriptor(d, int64(len(in.lead))), err
	}
	t, err := u.anonymous(repo)
	if err != nil {
		return oci.Descriptor{}, err
	}
	return u.finishObject(ctx, t, t.unwritten(), d, 0, in)
}

// Finish appends a body to an upload and makes it a blob, as [oci.Pusher.FinishUpload] says. The whole of a small blob
// costs a batch of reads and a commit, that of a large one a commit before its bytes, and the same after them.
//
// A body that breaks off leaves the upload where it stood: clients repeat this request from its beginning.
func (u *Uploads) Finish(ctx context.Context, repo oci.Repository, id string, d oci.Digest, offset int64, body io.Reader, size int64) (oci.Descriptor, error) {
	t, err := u.check(ctx, repo, id)
	if err != nil {
		return oci.Descriptor{}, err
	}
	in, err := u.accept(body, size)
	if err != nil {
		return oci.Descriptor{}, err
	}
	defer in.release()
	if in.err != nil {
		return oci.Descriptor{}, in.err
	}
	return u.finish(ctx, t, d, offset, in)
}

func (u *Uploads) finish(ctx context.Context, t ticket, d oci.Digest, offset int64, in *incoming) (_ oci.Descriptor, err error) {
	s := t.unwritten()
	switch {
	case offset <= 0 && u.inline(s, in) && matches(d, in.lead):
		s, err = u.ledger.FinishWhole(ctx, t.repo, t.row, d, string(in.lead))
		if err != nil || !s.Begun() {
			return descriptor(d, int64(len(in.lead))), err
		}
	case offset > 0 || in.whole || u.gathers():
		if s, err = u.ledger.Session(ctx, t.repo, t.row); err != nil {
			return oci.Descriptor{}, err
		}
		if !s.Begun() && (offset > 0 || u.inline(s, in)) {
			return u.finishNothing(ctx, t, d, offset, in)
		}
	}
	if !s.Begun() || !u.inline(s, in) {
		return u.finishObject(ctx, t, s, d, offset, in)
	}
	if err := u.admit(s, offset, in); err != nil {
		return oci.Descriptor{}, err
	}
	content := s.Tail + string(in.lead)
	if !matches(d, []byte(content)) {
		return u.reject(ctx, t, d)
	}
	return descriptor(d, int64(len(content))), u.ledger.FinishInline(ctx, s, d, content)
}

// finishNothing answers for an upload without a session to a body that is not all of d. Where the body may have been the
// end of an upload that is finished by now, the blob is looked for: the client repeats its last request.
func (u *Uploads) finishNothing(ctx context.Context, t ticket, d oci.Digest, offset int64, in *incoming) (oci.Descriptor, error) {
	if offset <= 0 && !in.empty() {
		return oci.Descriptor{}, errDigest(d)
	}
	found, err := u.ledger.Look(ctx, t.repo, d)
	switch {
	case oci.CodeOf(err) != oci.BlobUnknown:
		return descriptor(d, found.Size), err
	case offset > 0:
		return oci.Descriptor{}, u.admit(t.unwritten(), offset, in)
	}
	return oci.Descriptor{}, errNoUpload
}

// finishObject brings the body to an object, together with what the session has, and makes that the blob.
func (u *Uploads) finishObject(ctx context.Context, t ticket, s refcount.Session, d oci.Digest, offset int64, in *incoming) (oci.Descriptor, error) {
	if u.gathers() {
		return u.finishGathered(ctx, t, s, d, offset, in)
	}
	begun := u.clock.Now()
	var turn int64
	if s.Multipart != "" && in.empty() {
		if err := u.admit(s, offset, in); err != nil {
			return oci.Descriptor{}, err
		}
	} else {
		var err error
		if s, turn, err = u.take(ctx, s, offset, in); err != nil {
			return oci.Descriptor{}, err
		}
	}
	var size int64
	var right bool
	var err error
	if s.Multipart == "" && (in.whole || in.size >= 0) {
		size, right, err = u.put(ctx, s, d, in, begun)
	} else {
		size, right, err = u.assemble(ctx, s, turn, d, in, begun)
	}
	return (&claim{u: u, t: t, s: s}).conclude(ctx, d, size, right, err)
}

// put makes the object in one piece, and tells its size and whether it has the digest d.
func (u *Uploads) put(ctx context.Context, s refcount.Session, d oci.Digest, in *incoming, begun time.Time) (size int64, right bool, err error) {
	h := newHash(d)
	st := u.stream(ctx, s, in, h, begun)
	ctx, done := context.WithTimeout(ctx, u.ledger.Margins().MaxPut)
	defer done()
	if err := u.objects.Put(ctx, s.Object, st, st.want); err != nil {
		return 0, false, st.fault(err)
	}
	return st.n, is(h, d), nil
}

// assemble makes the object from the parts that are there and the body, and tells its size and whether it has the digest
// d.
func (u *Uploads) assemble(ctx context.Context, s refcount.Session, turn int64, d oci.Digest, in *incoming, begun time.Time) (size int64, right bool, err error) {
	h := newHash(d)
	if s.Multipart != "" {
		h = unmarshal(s.Hash)
	}
	if s.Multipart != "" && isSHA512(d) {
		h = nil
	}
	if s.Multipart == "" || !in.empty() {
		next, _, err := u.part(ctx, s, turn, in, h, begun)
		switch {
		case err == nil:
			s = next
		case s.Multipart != "" && isGone(err):
			// Perhaps this request was here before and has made the object. Then that is asked what it is.
			h = nil
		default:
			return 0, false, err
		}
	}
	switch err := u.parts.Complete(ctx, s.Object, s.Multipart, s.Parts); {
	case isGone(err):
		// An earlier request has made the object, of these parts or of others: the object is asked what it is.
		h = nil
	case err != nil:
		return 0, false, err
	}
	if h != nil {
		return s.Offset, is(h, d), nil
	}
	h = newHash(d)
	size, err = u.readBack(ctx, s.Object, h)
	return size, err == nil && is(h, d), lost(err)
}

// readBack hashes an object and returns its size.
func (u *Uploads) readBack(ctx context.Context, object string, h hash.Hash) (int64, error) {
	r, err := u.objects.Open(ctx, object, 0, -1)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	buffer := u.buffers.Get().(*[]byte)
	defer u.buffers.Put(buffer)
	size := int64(0)
	for {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		n, err := r.Read(*buffer)
		h.Write((*buffer)[:n])
		size += int64(n)
		if err == io.EOF {
			return size, nil
		}
		if err != nil {
			return 0, err
		}
	}
}

// reject ends an upload whose content has another digest than d, and keeps nothing of it.
func (u *Uploads) reject(ctx context.Context, t ticket, d oci.Digest) (oci.Descriptor, error) {
	err := u.ledger.Discard(ctx, t.repo, t.row, t.end)
	if err != nil && oci.CodeOf(err) != oci.BlobUploadUnknown { // somebody has ended it already
		return oci.Descriptor{}, err
	}
	return oci.Descriptor{}, errDigest(d)
}

func errDigest(d oci.Digest) error {
	return oci.Errorf(oci.DigestInvalid, "the content has another digest than %s", d)
}

func descriptor(d oci.Digest, size int64) oci.Descriptor {
	return oci.Descriptor{MediaType: oci.MediaTypeBlob, Digest: d, Size: size}
}
