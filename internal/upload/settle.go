// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"encoding"
	"errors"
	"hash"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
)

// Settle verifies the object of a direct upload, once it is complete, and makes it a blob, or rejects it. id is what
// Options.Settle was given, or the key of the object that an event of the store names: they are the same.
//
// The object is read once. How far that came, and the state of the hash, is in the upload's row, under a lease: of two calls
// one reads, and one that cannot come to the end is continued by another. No byte is read after deadline, and what comes
// after it is one commit; left tells that another call has to go on. Errors are those of the stores: the call may be repeated.
// An id of no direct upload that is complete, or one that another call has, is no error and leaves nothing to do.
func (u *Uploads) Settle(ctx context.Context, id string, deadline time.Time) (left bool, err error) {
	if u.opts.Direct == nil {
		return false, errNoDirect
	}
	for range settleTries {
		if left, err = u.settle(ctx, id, deadline); !errors.Is(err, errTaken) {
			break
		}
	}
	if errors.Is(err, errTaken) {
		return false, nil
	}
	switch oci.CodeOf(err) {
	case oci.BlobUploadUnknown, oci.BlobUploadInvalid: // it ended, or another call has it
		return false, nil
	}
	return left, err
}

// settleTries is how often a call begins with an upload whose row was written since it was read: by another call, whose lease
// ends this one, or by the request that marked it as complete, which reads nothing.
const settleTries = 3

// settle is one look at an upload, and what follows. It is errTaken where the row was written meanwhile and nothing was read.
func (u *Uploads) settle(ctx context.Context, id string, deadline time.Time) (left bool, err error) {
	x, err := u.ledger.Direct(ctx, id)
	if err != nil || x.State != refcount.DirectOpen && x.State != refcount.DirectVerifying || x.Lease.After(u.clock.Now()) {
		return false, err
	}
	if x.State == refcount.DirectOpen || x.Hashed == 0 {
		// Where the client, or who completed it for the client, got no further than the store.
		v, err := u.judge(ctx, x)
		switch {
		case isGone(err) && x.State == refcount.DirectOpen:
			return false, nil
		case isGone(err):
			return false, u.ledger.LoseDirect(ctx, x)
		case err != nil || v != unjudged:
			return false, err
		}
	}
	if !u.clock.Now().Before(deadline) {
		return true, nil
	}
	v := &verification{u: u, deadline: deadline}
	return v.run(ctx, x)
}

// verification is one Settle at work.
type verification struct {
	u        *Uploads
	x        refcount.Direct
	hash     hash.Hash
	deadline time.Time
	saved    time.Time // when the row was last written
}

// A lease outlives several savings, so that who keeps it keeps it. The lease of a call that is no more has ended when AWS Lambda
// makes the call again, which it does after a minute (developer guide, "Error handling for asynchronous invocation", 2026-11):
// a call that finds a lease held ends, and is not made again.
const (
	settleLease = 45 * time.Second
	saveEvery   = 10 * time.Second
)

var (
	errTaken = errors.New("another call has the upload")
	errLater = errors.New("another call has to go on")
)

func (v *verification) run(ctx context.Context, x refcount.Direct) (left bool, err error) {
	v.x = x
	v.hash = newHash(x.Digest)
	if x.Hash != "" && !restore(v.hash, x.Hash) {
		v.hash, v.x.Hashed = newHash(x.Digest), 0 // of another program: from the beginning
	}
	if err := v.save(ctx, settleLease); err != nil {
		return false, err
	}
	read, done := context.WithTimeout(ctx, max(v.deadline.Sub(v.saved), 0))
	err = v.u.readAhead(read, v.x.Object, v.x.Hashed, v.x.Size, settleBlocks, func(p []byte) error { return v.take(ctx, p) })
	late := read.Err() != nil && ctx.Err() == nil
	done()
	switch {
	case errors.Is(err, errTaken):
		return false, nil
	case isGone(err):
		return false, v.u.ledger.LoseDirect(ctx, v.x)
	case err != nil:
		ctx, done := outlive(ctx)
		defer done()
		saveErr := v.save(ctx, 0)
		switch {
		case errors.Is(err, store.ErrUnknownOutcome):
			return true, err // a save of this call: the row that it finds changed now can be of its own making
		case errors.Is(saveErr, errTaken): // it ended, or another call has it: that this one could not read says nothing
			return false, nil
		case errors.Is(err, errLater) || late:
			return true, saveErr
		}
		return true, err
	}
	if !is(v.hash, v.x.Digest) {
		return false, v.u.ledger.RejectDirect(ctx, v.x)
	}
	return false, v.u.ledger.FinishDirect(ctx, v.x)
}

// take hashes what was read, and now and then saves how far that is.
func (v *verification) take(ctx context.Context, p []byte) error {
	v.hash.Write(p)
	v.x.Hashed += int64(len(p))
	now := v.u.clock.Now()
	switch {
	case v.x.Hashed == v.x.Size:
		return nil
	case !now.Before(v.deadline):
		return errLater
	case now.Sub(v.saved) >= saveEvery:
		return v.save(ctx, settleLease)
	}
	return nil
}

// save writes how far the verification is, and takes the upload for lease, or lets it go where that is 0.
func (v *verification) save(ctx context.Context, lease time.Duration) error {
	v.saved = v.u.clock.Now()
	v.x.State = refcount.DirectVerifying
	v.x.Hash = marshal(v.hash)
	v.x.Lease = time.Time{}
	if lease > 0 {
		v.x.Lease = v.saved.Add(lease)
	}
	next, taken, err := v.u.ledger.WriteDirect(ctx, v.x)
	switch {
	case err != nil:
		return err
	case taken:
		return errTaken
	}
	v.x = next
	return nil
}

// restore puts a fresh hash into a state that marshal gave. Where it cannot, h is to be thrown away.
func restore(h hash.Hash, state string) bool {
	m, ok := h.(encoding.BinaryUnmarshaler)
	return ok && m.UnmarshalBinary([]byte(state)) == nil
}
