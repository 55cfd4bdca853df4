// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
)

// CompleteDirect ends a direct upload, as [oci.DirectPusher.CompleteDirect] says. One PUT costs two reads and a commit more
// than what the store is asked; parts are listed, put together, marked by a commit as complete, and verified by Settle.
func (u *Uploads) CompleteDirect(ctx context.Context, repo oci.Repository, id string, wait time.Duration) (oci.DirectUpload, error) {
	begun := u.clock.Now()
	t, x, err := u.find(ctx, repo, id)
	if err != nil {
		return oci.DirectUpload{}, err
	}
	if x.State == refcount.DirectOpen {
		var v verdict
		switch x, v, err = u.complete(ctx, t, x, u.asks(wait)); {
		case err != nil:
			return oci.DirectUpload{}, err
		case v == finished:
			return t.done(x.Size), nil
		}
	}
	return u.await(ctx, t, x, begun, wait)
}

// DirectStatus tells how far an upload is, as [oci.DirectPusher.DirectStatus] says: one read for every second that it waits, and
// where it asks somebody to verify the upload a commit.
func (u *Uploads) DirectStatus(ctx context.Context, repo oci.Repository, id string, wait time.Duration) (oci.DirectUpload, error) {
	begun := u.clock.Now()
	t, x, err := u.find(ctx, repo, id)
	if err != nil {
		return oci.DirectUpload{}, err
	}
	return u.await(ctx, t, x, begun, wait)
}

// complete takes an open upload one step on: what the store has verified becomes the blob; what it has not is marked as
// complete, and where asks is so somebody is asked to verify it. It returns what the upload is then.
func (u *Uploads) complete(ctx context.Context, t directTicket, x refcount.Direct, asks bool) (refcount.Direct, verdict, error) {
	if x.Part > 0 {
		if err := u.join(ctx, t, x); err != nil {
			return x, unjudged, err
		}
	} else {
		v, err := u.judge(ctx, x)
		switch {
		case isGone(err):
			return x, v, oci.Errorf(oci.BlobUploadInvalid, "the bytes have not come yet")
		case err != nil || v == finished:
			return x, v, err
		case v == rejected:
			return x, v, errDigest(t.digest)
		}
	}
	x.State = refcount.DirectVerifying
	if asks {
		x.Asked = u.clock.Now()
	}
	next, taken, err := u.ledger.WriteDirect(ctx, x)
	switch {
	case err != nil:
	case taken:
		next, err = u.current(ctx, t)
	case asks:
		err = u.ask(ctx, next)
	}
	return next, unjudged, err
}

// verdict is what became of an upload by what the store says of its object.
type verdict int

const (
	unjudged verdict = iota // the store has not verified the whole of it
	finished                // it is the blob
	rejected                // it was another
)

// judge finishes or rejects an upload by what the store itself says of its object. An absent object is [store.ErrNotFound].
func (u *Uploads) judge(ctx context.Context, x refcount.Direct) (verdict, error) {
	size, sum, known, err := u.opts.Direct.Sum(ctx, x.Object)
	switch {
	case err != nil:
		return unjudged, err
	case size != x.Size:
		return rejected, u.ledger.RejectDirect(ctx, x)
	case !known || isSHA512(x.Digest):
		return unjudged, nil
	}
	if want, err := sumOf(x.Digest); err != nil || sum != want {
		return rejected, u.ledger.RejectDirect(ctx, x)
	}
	return finished, u.ledger.FinishDirect(ctx, x)
}

// join makes the object of an upload from its parts, which are all there and have the size that they must have. An object that
// an earlier request has made will do: it is read in any case. So will an upload that has gone on since it was read.
func (u *Uploads) join(ctx context.Context, t directTicket, x refcount.Direct) error {
	return u.whileJoined(ctx, func() error { return u.joinOnce(ctx, x) }, func() (bool, error) {
		now, err := u.current(ctx, t)
		return now.State == refcount.DirectOpen, err
	})
}

func (u *Uploads) joinOnce(ctx context.Context, x refcount.Direct) error {
	parts, err := u.allParts(ctx, x)
	if err == nil {
		err = u.parts.Complete(ctx, x.Object, x.Multipart, parts)
	}
	switch {
	case isGone(err):
		_, err = u.objects.Stat(ctx, x.Object)
	case errors.Is(err, store.ErrInvalid):
		return &oci.Error{Code: oci.BlobUploadInvalid, Message: "the parts changed while they were put together: complete the upload again", Cause: err}
	}
	return err
}

// allParts lists the parts of an upload. Errors: BlobUploadInvalid where one is missing, with the first of them.
func (u *Uploads) allParts(ctx context.Context, x refcount.Direct) ([]store.Part, error) {
	if x.Multipart == "" {
		return nil, unknown(nil)
	}
	var parts []store.Part
	for after := 0; ; {
		page, err := u.opts.Direct.Parts(ctx, x.Object, x.Multipart, after, store.MaxLimit)
		if err != nil {
			return nil, err
		}
		parts = append(parts, page...)
		if len(page) < store.MaxLimit {
			break
		}
		after = page[len(page)-1].Number
	}
	if missing := missingParts(x, parts); len(missing) > 0 {
		return nil, &oci.Error{Code: oci.BlobUploadInvalid, Detail: map[string]any{"missing": missing[:min(len(missing), maxMissing)]},
			Message: fmt.Sprintf("%d of %d parts are missing, the first of them %s", len(missing), x.Parts(), someNumbers(missing))}
	}
	return parts, nil
}

// maxMissing is how many missing parts a client is told of.
const maxMissing = 100

func missingParts(x refcount.Direct, parts []store.Part) []int {
	there := make([]bool, x.Parts()+1)
	for _, p := range parts {
		if p.Number <= x.Parts() && p.Size == sizeOf(x, p.Number) {
			there[p.Number] = true
		}
	}
	var missing []int
	for number := 1; number < len(there); number++ {
		if !there[number] {
			missing = append(missing, number)
		}
	}
	return missing
}

func someNumbers(numbers []int) string {
	return strings.Trim(fmt.Sprint(numbers[:min(len(numbers), 5)]), "[]")
}

// askEvery is how often a request that waits looks whether the upload is verified.
const askEvery = time.Second

// await waits until an upload is verified, or a request that began at begun has lasted for wait: behind a gateway it has no
// longer, whatever it did before. Where nobody is at work on the upload, somebody is asked to be.
func (u *Uploads) await(ctx context.Context, t directTicket, x refcount.Direct, begun time.Time, wait time.Duration) (oci.DirectUpload, error) {
	until := begun.Add(wait)
	if x.State == refcount.DirectVerifying && !x.Lease.After(u.clock.Now()) {
		if err := u.askToSettle(ctx, x, wait); err != nil {
			return oci.DirectUpload{}, err
		}
		var err error
		if x, err = u.current(ctx, t); err != nil {
			return oci.DirectUpload{}, err
		}
	}
	for waited := askEvery; x.State == refcount.DirectVerifying && waited <= wait && u.clock.Now().Before(until); waited += askEvery {
		if err := u.clock.Pause(ctx, askEvery); err != nil {
			return oci.DirectUpload{}, err
		}
		var err error
		if x, err = u.current(ctx, t); err != nil {
			return oci.DirectUpload{}, err
		}
	}
	if x.State != refcount.DirectGone {
		return t.upload(x, nil), nil
	}
	found, err := u.ledger.Look(ctx, t.repo, t.digest)
	if oci.CodeOf(err) == oci.BlobUnknown {
		err = errNoUpload
	}
	return t.done(found.Size), err
}

// done describes an upload that is a blob.
func (t directTicket) done(size int64) oci.DirectUpload {
	return oci.DirectUpload{State: oci.DirectDone, Digest: t.digest, Size: size, ID: t.id, Ends: t.end, Verified: size}
}

// askAgain is for how long an ask is left to bring somebody, however many requests come meanwhile.
const askAgain = 10 * time.Second

// settleInRequest is for how long a request verifies an upload itself, where nobody else does.
const settleInRequest = 15 * time.Second

func (u *Uploads) askToSettle(ctx context.Context, x refcount.Direct, wait time.Duration) error {
	if u.opts.Settle == nil {
		_, err := u.Settle(ctx, x.Object, u.clock.Now().Add(max(wait, settleInRequest)))
		return err
	}
	if !u.asks(wait) || u.clock.Now().Before(x.Asked.Add(askAgain)) {
		return nil
	}
	if asks, err := u.ledger.AskDirect(ctx, x); err != nil || !asks {
		return err
	}
	return u.ask(ctx, x)
}

// asks tells whether a request that waits for so long asks somebody else to verify an upload.
func (u *Uploads) asks(wait time.Duration) bool {
	return u.opts.Settle != nil && wait != oci.LeaveToEvent
}

// ask asks. That it failed is no fault of the upload, which is complete: the store's event, or who asks again, has it verified.
func (u *Uploads) ask(ctx context.Context, x refcount.Direct) error {
	err := u.opts.Settle(ctx, x.Object)
	if err == nil || ctx.Err() != nil {
		return err
	}
	return &oci.Error{Code: oci.Unavailable, Cause: err,
		Message: "the upload is complete, and the registry cannot have it verified now: come back later"}
}
