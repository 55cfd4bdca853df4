// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"time"

	"tare/internal/oci"
)

// HaveBlobs implements [oci.DirectPusher] with one batch of reads.
func (r *Registry) HaveBlobs(ctx context.Context, repo oci.Repository, digests []oci.Digest) ([]oci.Descriptor, error) {
	if len(digests) > oci.MaxHave {
		return nil, oci.Errorf(oci.TooLarge, "%d digests at once, more than %d", len(digests), oci.MaxHave)
	}
	links, err := r.ledger.LookAll(ctx, repo, digests)
	if err != nil {
		return nil, translate(err)
	}
	var have []oci.Descriptor
	for _, d := range digests {
		if link, there := links[d]; there {
			have = append(have, blobDescriptor(d, link))
			delete(links, d)
		}
	}
	return have, nil
}

// TakesDirect implements [oci.DirectPusher].
func (r *Registry) TakesDirect() bool { return r.uploads.TakesDirect() }

// OpenDirect implements [oci.DirectPusher].
func (r *Registry) OpenDirect(ctx context.Context, repo oci.Repository, o oci.DirectOpen) (oci.DirectUpload, error) {
	up, err := r.uploads.OpenDirect(ctx, repo, o)
	return up, translate(err)
}

// SignDirect implements [oci.DirectPusher].
func (r *Registry) SignDirect(ctx context.Context, repo oci.Repository, id string, parts []oci.DirectPart) ([]oci.SignedRequest, error) {
	signed, err := r.uploads.SignDirect(ctx, repo, id, parts)
	return signed, translate(err)
}

// DirectParts implements [oci.DirectPusher].
func (r *Registry) DirectParts(ctx context.Context, repo oci.Repository, id string, after, limit int) ([]oci.DirectPart, bool, error) {
	parts, more, err := r.uploads.DirectParts(ctx, repo, id, after, limit)
	return parts, more, translate(err)
}

// CompleteDirect implements [oci.DirectPusher].
func (r *Registry) CompleteDirect(ctx context.Context, repo oci.Repository, id string, wait time.Duration) (oci.DirectUpload, error) {
	up, err := r.uploads.CompleteDirect(ctx, repo, id, wait)
	return up, translate(err)
}

// DirectStatus implements [oci.DirectPusher].
func (r *Registry) DirectStatus(ctx context.Context, repo oci.Repository, id string, wait time.Duration) (oci.DirectUpload, error) {
	up, err := r.uploads.DirectStatus(ctx, repo, id, wait)
	return up, translate(err)
}

// CancelDirect implements [oci.DirectPusher].
func (r *Registry) CancelDirect(ctx context.Context, repo oci.Repository, id string) error {
	return translate(r.uploads.CancelDirect(ctx, repo, id))
}
