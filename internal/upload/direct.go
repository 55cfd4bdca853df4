// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
)

// A direct upload brings its bytes to the store without passing here. Its object comes in one of two ways:
//
//	one PUT   of a blob whose sha256 the store itself compares with the one that was signed, and keeps: nothing is read back
//	parts     of which each is compared by the store and the whole by nobody, so that it is read once: see Settle
//
// A sha512 no store compares; such a blob comes in parts, of which there may be one.

// wantPart is the size of parts where the client has no wish: small enough that several are on their way at once and one that
// fails is no great loss.
const wantPart = 16 << 20

var errNoDirect = oci.Errorf(oci.Unsupported, "the store of this registry takes no direct uploads")

// TakesDirect tells whether direct uploads can be opened.
func (u *Uploads) TakesDirect() bool { return u.opts.Direct != nil }

// OpenDirect opens a direct upload, as [oci.DirectPusher.OpenDirect] says: one read and one commit, and for parts another
// call of the store and another commit.
func (u *Uploads) OpenDirect(ctx context.Context, repo oci.Repository, o oci.DirectOpen) (oci.DirectUpload, error) {
	if u.opts.Direct == nil {
		return oci.DirectUpload{}, errNoDirect
	}
	part, err := u.partSize(o)
	if err != nil {
		return oci.DirectUpload{}, err
	}
	if u.opts.Room != nil {
		if err := u.opts.Room(o.Size); err != nil {
			return oci.DirectUpload{}, err
		}
	}
	begun := u.clock.Now()
	var put *oci.SignedRequest
	x, there, found, err := u.ledger.OpenDirect(ctx, repo, o.Digest, o.Size, part, func(x refcount.Direct) (err error) {
		if part == 0 {
			put, err = u.signPut(ctx, x)
		}
		return err
	})
	if err != nil {
		return oci.DirectUpload{}, err
	}
	if found {
		return oci.DirectUpload{State: oci.DirectDone, Digest: o.Digest, Size: there.Size}, nil
	}
	t, err := u.issueDirect(ctx, repo, x.Object, o.Digest, begun)
	if err != nil {
		return oci.DirectUpload{}, err
	}
	if part > 0 {
		x, err = u.beginParts(ctx, x, begun)
	}
	return t.upload(x, put), err
}

// upload describes the upload.
func (t directTicket) upload(x refcount.Direct, put *oci.SignedRequest) oci.DirectUpload {
	up := oci.DirectUpload{State: oci.DirectOpened, Digest: x.Digest, Size: x.Size, ID: t.id, Ends: t.end, Put: put,
		PartSize: x.Part, Parts: x.Parts(), Verified: x.Hashed}
	if x.State == refcount.DirectVerifying {
		up.State = oci.DirectVerifying
	}
	return up
}

// partSize decides in which parts a blob comes, 0 for one PUT. Errors: SizeInvalid, TooLarge.
func (u *Uploads) partSize(o oci.DirectOpen) (int64, error) {
	const most = int64(store.MaxDirectPut) * store.MaxParts
	switch {
	case o.Size < 1:
		return 0, oci.Errorf(oci.SizeInvalid, "a direct upload has at least one byte, not %d", o.Size)
	case o.Size > most:
		return 0, oci.Errorf(oci.TooLarge, "the blob has %d bytes, more than the %d that the store takes", o.Size, most)
	case o.PartSize < 0:
		return 0, oci.Errorf(oci.SizeInvalid, "parts of %d bytes", o.PartSize)
	}
	if err := u.fits(o.Size); err != nil {
		return 0, err
	}
	if !o.Parts && o.Size <= store.MaxDirectPut && !isSHA512(o.Digest) {
		return 0, nil
	}
	want := o.PartSize
	if want == 0 {
		want = wantPart
	}
	fewest := (o.Size + store.MaxParts - 1) / store.MaxParts
	if fewest > want {
		want = (fewest + 1<<20 - 1) >> 20 << 20
	}
	return min(max(want, u.parts.MinPart(), 1), store.MaxDirectPut), nil
}

// beginParts begins the multipart upload of a new direct upload, whose row names the object by now (C1).
func (u *Uploads) beginParts(ctx context.Context, x refcount.Direct, begun time.Time) (refcount.Direct, error) {
	if u.clock.Now().After(begun.Add(u.ledger.Margins().MaxPut)) {
		return x, u.late() // what it began now could come after the object's tombstone has gone
	}
	id, err := u.parts.Begin(ctx, x.Object)
	if err != nil {
		return x, err
	}
	x.Multipart = id
	x, taken, err := u.ledger.WriteDirect(ctx, x)
	if err == nil && taken {
		err = errBusy
	}
	return x, err
}

// open reads an upload that its client may bring bytes to. Errors: those of find; BlobUploadInvalid where all came.
func (u *Uploads) open(ctx context.Context, repo oci.Repository, id string) (refcount.Direct, error) {
	_, x, err := u.find(ctx, repo, id)
	switch {
	case err != nil:
		return x, err
	case x.State == refcount.DirectGone:
		return x, errNoUpload
	case x.State != refcount.DirectOpen:
		return x, oci.Errorf(oci.BlobUploadInvalid, "the upload is complete, and is being verified")
	}
	return x, nil
}

// find reads the upload of an id. Errors: those of current, and BlobUploadUnknown of an id that is none.
func (u *Uploads) find(ctx context.Context, repo oci.Repository, id string) (directTicket, refcount.Direct, error) {
	t, err := u.checkDirect(ctx, repo, id)
	if err != nil {
		return t, refcount.Direct{}, err
	}
	x, err := u.current(ctx, t)
	return t, x, err
}

// current reads an upload that is open, verified or gone. Errors: BlobUploadUnknown, DigestInvalid.
func (u *Uploads) current(ctx context.Context, t directTicket) (refcount.Direct, error) {
	x, err := u.ledger.Direct(ctx, t.object)
	switch {
	case err != nil:
		return x, err
	case x.State == refcount.DirectGone:
		return x, nil
	case x.Repo != t.repo || x.State == refcount.DirectClosed:
		return x, errNoUpload
	case x.State == refcount.DirectRejected:
		return x, errDigest(t.digest)
	}
	return x, nil
}

// SignDirect signs requests, as [oci.DirectPusher.SignDirect] says: one read and one commit.
func (u *Uploads) SignDirect(ctx context.Context, repo oci.Repository, id string, parts []oci.DirectPart) ([]oci.SignedRequest, error) {
	if len(parts) > oci.MaxDirectParts {
		return nil, oci.Errorf(oci.TooLarge, "%d parts at once, more than %d", len(parts), oci.MaxDirectParts)
	}
	x, err := u.open(ctx, repo, id)
	switch {
	case err != nil:
		return nil, err
	case x.Part == 0 && len(parts) > 0:
		return nil, oci.Errorf(oci.BlobUploadInvalid, "the blob comes in one PUT, not in parts")
	case x.Part > 0 && len(parts) == 0:
		return nil, oci.Errorf(oci.BlobUploadInvalid, "the blob comes in parts: none is named")
	case x.Part == 0:
		put, err := u.signPut(ctx, x)
		if err != nil {
			return nil, err
		}
		return []oci.SignedRequest{*put}, u.ledger.TouchDirect(ctx, x)
	case x.Multipart == "":
		return nil, unknown(nil) // whoever opened it did not come so far as to tell its id; a restore can
	}
	signed := make([]oci.SignedRequest, len(parts))
	for i, p := range parts {
		sum, err := sumOf(p.Digest)
		if err != nil {
			return nil, err
		}
		if err := fitsPart(x, p); err != nil {
			return nil, err
		}
		r, err := u.opts.Direct.SignPart(ctx, x.Object, x.Multipart, p.Number, p.Size, sum, u.ledger.Margins().URLLife)
		if err != nil {
			return nil, err
		}
		signed[i] = oci.SignedRequest(r)
	}
	return signed, u.ledger.TouchDirect(ctx, x)
}

// fitsPart refuses what is not a part of the upload.
func fitsPart(x refcount.Direct, p oci.DirectPart) error {
	if p.Number < 1 || p.Number > x.Parts() {
		return oci.Errorf(oci.SizeInvalid, "there is no part %d: the parts are 1 to %d", p.Number, x.Parts())
	}
	if want := sizeOf(x, p.Number); p.Size != want {
		return oci.Errorf(oci.SizeInvalid, "part %d has %d bytes, not %d", p.Number, want, p.Size)
	}
	return nil
}

// sizeOf is the size that a part must have.
func sizeOf(x refcount.Direct, number int) int64 {
	return min(x.Part, x.Size-int64(number-1)*x.Part)
}

// signPut signs the one PUT of an upload.
func (u *Uploads) signPut(ctx context.Context, x refcount.Direct) (*oci.SignedRequest, error) {
	sum, err := sumOf(x.Digest)
	if err != nil {
		return nil, err
	}
	r, err := u.opts.Direct.SignPut(ctx, x.Object, x.Size, sum, u.ledger.Margins().URLLife)
	if err != nil {
		return nil, err
	}
	put := oci.SignedRequest(r)
	return &put, nil
}

// sumOf returns the sum that a sha256 digest says.
func sumOf(d oci.Digest) (sum [sha256.Size]byte, err error) {
	if d == "" || isSHA512(d) {
		return sum, oci.Errorf(oci.DigestInvalid, "the digest of a part is a sha256")
	}
	_, err = hex.Decode(sum[:], []byte(d.Encoded()))
	return sum, err
}

// DirectParts lists parts, as [oci.DirectPusher.DirectParts] says: a read and a call of the store.
func (u *Uploads) DirectParts(ctx context.Context, repo oci.Repository, id string, after, limit int) (parts []oci.DirectPart, more bool, err error) {
	x, err := u.open(ctx, repo, id)
	switch {
	case err != nil:
		return nil, false, err
	case x.Part == 0:
		return nil, false, oci.Errorf(oci.BlobUploadInvalid, "the blob comes in one PUT, not in parts")
	case x.Multipart == "":
		return nil, false, unknown(nil)
	}
	limit = min(limit, oci.MaxDirectParts)
	page, err := u.opts.Direct.Parts(ctx, x.Object, x.Multipart, after, limit)
	if isGone(err) {
		return nil, false, oci.Errorf(oci.BlobUploadInvalid, "the parts were put together: complete the upload")
	}
	for _, p := range page {
		parts = append(parts, oci.DirectPart{Number: p.Number, Size: p.Size})
	}
	return parts, len(page) == limit, err
}

// CancelDirect gives an upload up, as [oci.DirectPusher.CancelDirect] says.
func (u *Uploads) CancelDirect(ctx context.Context, repo oci.Repository, id string) error {
	t, err := u.checkDirect(ctx, repo, id)
	if err != nil {
		return err
	}
	return u.ledger.DiscardDirect(ctx, repo, t.object, t.end)
}
