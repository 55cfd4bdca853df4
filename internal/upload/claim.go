// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"errors"

	"tare/internal/oci"
	"tare/internal/refcount"
)

// claim is what a request has of an upload. Where parts have a least size, a closing request loses nothing to another one: each
// stores what it needs, the first whose object is whole ends the upload, and the others find the blob. So that they do not take
// each other's objects away, an object is named in the upload's row where that names none, and else in the row of a session of
// the request's own, which ends with it.
type claim struct {
	u *Uploads
	t ticket
	s refcount.Session // as it was written or read last

	// aside is the upload where s is a session of the request's own; else zero.
	aside refcount.Session

	tries int // of again
}

// claimTries bounds how often a closing request asks again: each time another request got what it asked for.
const claimTries = 32

// errEnded is the error of a closing request whose upload was ended by another one.
var errEnded = errors.New("the upload was ended meanwhile")

// write records what the session becomes. A row that was never written is not begun by a request that outlived its id.
func (c *claim) write(ctx context.Context, next refcount.Session) error {
	if !c.s.Begun() && c.t.id != "" && !c.u.clock.Now().Before(c.t.end) {
		return errNoUpload
	}
	s, err := c.u.ledger.Write(ctx, next)
	if err == nil {
		c.s = s
	}
	return err
}

// nameObject names a fresh object for all of the blob, which has burnt numbers of parts.
func (c *claim) nameObject(ctx context.Context, burnt int) error {
	for again := true; again; {
		if c.s.Object != "" {
			return c.stepAside(ctx, burnt)
		}
		next := unclaimed(c.s)
		next.Object, next.Burnt = c.u.ledger.NewObject(), burnt
		var err error
		if again, err = c.again(ctx, c.write(ctx, next)); err != nil {
			return err
		}
	}
	return nil
}

// stepAside names a fresh object in the row of a session of the request's own.
func (c *claim) stepAside(ctx context.Context, burnt int) error {
	t, err := c.u.anonymous(c.t.repo)
	if err != nil {
		return err
	}
	next := t.unwritten()
	next.Object, next.Burnt = c.u.ledger.NewObject(), burnt
	if next, err = c.u.ledger.Write(ctx, next); err != nil {
		return err
	}
	c.s, c.aside = next, c.s
	return nil
}

// nameNumber names the next number of a part of the session's object.
func (c *claim) nameNumber(ctx context.Context) error {
	for again := true; again; {
		next := c.s
		next.NextTail = ""
		next.Burnt++
		var err error
		if again, err = c.again(ctx, c.write(ctx, next)); err != nil {
			return err
		}
		if c.s.Object != next.Object {
			return errBusy
		}
	}
	return nil
}

// again tells whether a write that had the outcome err was refused and can be asked for again, since the upload stands as it did.
// Whoever wrote instead got what it asked for, and a closing request asks for little, so that this ends.
func (c *claim) again(ctx context.Context, err error) (bool, error) {
	if !errors.Is(err, refcount.ErrOvertaken) {
		return false, err
	}
	s, readErr := c.u.ledger.Session(ctx, c.s.Repo, c.s.ID)
	c.tries++
	switch {
	case readErr != nil:
		return false, readErr
	case !s.Begun():
		return false, errEnded
	case !c.s.Stands(s), c.tries == claimTries:
		return false, err
	}
	c.s = s
	return true, nil
}

// stands looks whether the upload has the bytes that it had. Errors: errEnded; BlobUploadUnknown of one that was canceled; of one
// that went on, that another request is writing to it.
func (c *claim) stands(ctx context.Context) error {
	s, err := c.u.ledger.Session(ctx, c.s.Repo, c.s.ID)
	switch {
	case err != nil:
		return err
	case !s.Begun():
		return errEnded
	case !c.s.Stands(s):
		return errBusy
	}
	return nil
}

// conclude makes the session's object, of which size, right and err are told, the blob d.
func (c *claim) conclude(ctx context.Context, d oci.Digest, size int64, right bool, err error) (oci.Descriptor, error) {
	switch {
	case err == nil && right && c.aside.Begun():
		return descriptor(d, size), c.u.ledger.FinishAside(ctx, c.s, c.aside, d, size)
	case err == nil && right:
		return descriptor(d, size), c.u.ledger.Finish(ctx, c.s, d, size)
	}
	c.drop(ctx)
	switch {
	case errors.Is(err, errEnded):
		return c.u.ended(ctx, c.t, d)
	case err != nil:
		return oci.Descriptor{}, err
	case c.t.id == "" && !c.s.Begun():
		return oci.Descriptor{}, errDigest(d)
	}
	return c.u.reject(ctx, c.t, d)
}

// drop ends a session of the request's own. Where it cannot, the sweep does when its time is over.
func (c *claim) drop(ctx context.Context) {
	if !c.aside.Begun() {
		return
	}
	ctx, done := outlive(ctx)
	defer done()
	_ = c.u.ledger.Discard(ctx, c.s.Repo, c.s.ID, c.u.clock.Now())
}

// ended answers a closing request whose upload another one has ended: as the blob, where that is there.
func (u *Uploads) ended(ctx context.Context, t ticket, d oci.Digest) (oci.Descriptor, error) {
	found, err := u.ledger.Look(ctx, t.repo, d)
	if oci.CodeOf(err) == oci.BlobUnknown {
		err = errNoUpload
	}
	return descriptor(d, found.Size), err
}
