// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"

	"tare/internal/oci"
)

// DeleteTag implements [oci.Deleter].
func (r *Registry) DeleteTag(ctx context.Context, repo oci.Repository, tag oci.Tag) error {
	return translate(r.ledger.DeleteTag(ctx, repo, tag))
}

// DeleteManifest implements [oci.Deleter].
func (r *Registry) DeleteManifest(ctx context.Context, repo oci.Repository, d oci.Digest) error {
	return translate(r.ledger.DeleteManifest(ctx, repo, d))
}

// DeleteBlob implements [oci.Deleter].
func (r *Registry) DeleteBlob(ctx context.Context, repo oci.Repository, d oci.Digest) error {
	return translate(r.ledger.DeleteBlob(ctx, repo, d))
}
