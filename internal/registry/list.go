// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"unicode/utf8"

	"tare/internal/oci"
	"tare/internal/store"
)

// Tags implements [oci.Lister] with one query a thousand tags.
func (r *Registry) Tags(ctx context.Context, repo oci.Repository, last string, n int) ([]string, bool, error) {
	tags, more, err := r.ledger.Tags(ctx, repo, clip(last, oci.MaxTag), n)
	return tags, more, translate(err)
}

// Repositories implements [oci.Lister] with one query a thousand names.
func (r *Registry) Repositories(ctx context.Context, last string, n int, keep func(oci.Repository) bool) ([]string, bool, error) {
	names, more, err := r.ledger.Repositories(ctx, clip(last, oci.MaxRepository), n, keep)
	return names, more, translate(err)
}

// clip shortens a position that is longer than any name to one that lies between the same two names.
func clip(last string, longest int) string { return spell(last[:min(len(last), longest+1)]) }

// spell returns a position that lies between the same two names and is UTF-8, as those of a table are. Names are ASCII:
// what is not sorts after all that go on otherwise at its place, as the last of all characters does.
func spell(last string) string {
	for i, r := range last {
		if r == utf8.RuneError && !strings.HasPrefix(last[i:], string(utf8.RuneError)) {
			return last[:i] + string(utf8.MaxRune)
		}
	}
	return last
}

// referrersRoom is what is kept free in a page of referrers for the index around them, and a comma after each.
const referrersRoom = 64 << 10

// maxPosition is more than any position in a list of referrers has: a hash and a digest.
const maxPosition = 256

// Referrers implements [oci.Lister].
func (r *Registry) Referrers(ctx context.Context, repo oci.Repository, d oci.Digest, artifactType, last string) ([]oci.Descriptor, string, error) {
	if len(last) > maxPosition {
		return nil, "", oci.Errorf(oci.PaginationInvalid, "this is no position in a list of referrers")
	}
	rows, next, err := r.ledger.Referrers(ctx, repo, d, artifactType, spell(last), oci.MaxReferrers-referrersRoom)
	if err != nil {
		return nil, "", translate(err)
	}
	referrers := make([]oci.Descriptor, len(rows))
	for i, row := range rows {
		if err := json.Unmarshal([]byte(row), &referrers[i]); err != nil {
			return nil, "", translate(fmt.Errorf("%w: a referrer of %s in %s: %w", store.ErrCorrupt, d, repo, err))
		}
	}
	return referrers, next, nil
}
