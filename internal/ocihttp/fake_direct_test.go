// SPDX-License-Identifier: Apache-2.0

package ocihttp_test

import (
	"context"
	"fmt"
	"time"

	"tare/internal/oci"
)

// fakeDirect is a direct upload. Its bytes have come when it is completed.
type fakeDirect struct {
	repo  oci.Repository
	open  oci.DirectOpen
	state oci.DirectState
	waits int // how many completions and looks it takes to be verified
}

func (f *fake) HaveBlobs(ctx context.Context, repo oci.Repository, digests []oci.Digest) ([]oci.Descriptor, error) {
	if err := f.enter(ctx, "HaveBlobs"); err != nil {
		return nil, err
	}
	var have []oci.Descriptor
	for _, d := range digests {
		if b, err := f.blob(repo, d); err == nil {
			have = append(have, oci.Descriptor{Digest: d, Size: int64(len(b))})
		}
	}
	return have, nil
}

func (f *fake) TakesDirect() bool { return !f.notDirect }

func (f *fake) OpenDirect(ctx context.Context, repo oci.Repository, o oci.DirectOpen) (oci.DirectUpload, error) {
	if err := f.enter(ctx, "OpenDirect"); err != nil {
		return oci.DirectUpload{}, err
	}
	if b, err := f.blob(repo, o.Digest); err == nil {
		return oci.DirectUpload{State: oci.DirectDone, Digest: o.Digest, Size: int64(len(b))}, nil
	}
	if o.Size < 1 {
		return oci.DirectUpload{}, oci.Errorf(oci.SizeInvalid, "a direct upload of %d bytes", o.Size)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.last++
	id := fmt.Sprintf("direct-%d", f.last)
	f.directs[id] = &fakeDirect{repo: repo, open: o, state: oci.DirectOpened, waits: f.waits}
	up := f.describe(id)
	if !o.Parts {
		put := fakeSigned("whole")
		up.Put = &put
	}
	return up, nil
}

func fakeSigned(what string) oci.SignedRequest {
	return oci.SignedRequest{Method: "PUT", URL: "https://store.example/" + what, Header: map[string]string{"X-Sum": what}, Ends: time.Unix(1_800_000_000, 0).UTC()}
}

// describe tells the state of an upload. The caller holds the lock.
func (f *fake) describe(id string) oci.DirectUpload {
	d := f.directs[id]
	up := oci.DirectUpload{State: d.state, Digest: d.open.Digest, Size: d.open.Size, ID: id, Ends: time.Unix(1_800_000_000, 0).UTC()}
	if d.open.Parts {
		up.PartSize = 10
		up.Parts = int((d.open.Size + 9) / 10)
	}
	return up
}

func (f *fake) direct(repo oci.Repository, id string) (*fakeDirect, error) {
	d := f.directs[id]
	if d == nil || d.repo != repo {
		return nil, oci.Errorf(oci.BlobUploadUnknown, "no such upload")
	}
	return d, nil
}

func (f *fake) SignDirect(ctx context.Context, repo oci.Repository, id string, parts []oci.DirectPart) ([]oci.SignedRequest, error) {
	if err := f.enter(ctx, "SignDirect"); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	d, err := f.direct(repo, id)
	switch {
	case err != nil:
		return nil, err
	case d.open.Parts != (len(parts) > 0):
		return nil, oci.Errorf(oci.BlobUploadInvalid, "an upload of another kind")
	case !d.open.Parts:
		return []oci.SignedRequest{fakeSigned("whole")}, nil
	}
	var signed []oci.SignedRequest
	for _, p := range parts {
		signed = append(signed, fakeSigned(fmt.Sprintf("%d-%d-%s", p.Number, p.Size, p.Digest)))
	}
	return signed, nil
}

func (f *fake) DirectParts(ctx context.Context, repo oci.Repository, id string, after, limit int) ([]oci.DirectPart, bool, error) {
	if err := f.enter(ctx, "DirectParts"); err != nil {
		return nil, false, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.direct(repo, id); err != nil {
		return nil, false, err
	}
	var parts []oci.DirectPart
	for n := after + 1; n <= f.describe(id).Parts && len(parts) < limit; n++ {
		parts = append(parts, oci.DirectPart{Number: n, Size: 10})
	}
	return parts, after+len(parts) < f.describe(id).Parts, nil
}

func (f *fake) CompleteDirect(ctx context.Context, repo oci.Repository, id string, wait time.Duration) (oci.DirectUpload, error) {
	if err := f.enter(ctx, "CompleteDirect"); err != nil {
		return oci.DirectUpload{}, err
	}
	return f.verify(repo, id, wait, true)
}

func (f *fake) DirectStatus(ctx context.Context, repo oci.Repository, id string, wait time.Duration) (oci.DirectUpload, error) {
	if err := f.enter(ctx, "DirectStatus"); err != nil {
		return oci.DirectUpload{}, err
	}
	return f.verify(repo, id, wait, false)
}

func (f *fake) verify(repo oci.Repository, id string, wait time.Duration, complete bool) (oci.DirectUpload, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d, err := f.direct(repo, id)
	if err != nil {
		return oci.DirectUpload{}, err
	}
	f.waited = append(f.waited, wait)
	switch {
	case d.state == oci.DirectOpened && !complete:
	case d.waits > 0:
		d.state, d.waits = oci.DirectVerifying, d.waits-1
	default:
		d.state = oci.DirectDone
	}
	return f.describe(id), nil
}

func (f *fake) CancelDirect(ctx context.Context, repo oci.Repository, id string) error {
	if err := f.enter(ctx, "CancelDirect"); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.direct(repo, id); err != nil {
		return err
	}
	delete(f.directs, id)
	return nil
}
