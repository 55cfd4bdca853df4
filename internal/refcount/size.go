// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"

	"tare/internal/oci"
	"tare/internal/store"
)

// Size is what the blobs of a repository take.
type Size struct {
	Blobs     int
	Bytes     int64 // of all blobs that it links
	Exclusive int64 // of those that no other repository links: what deleting the repository would free
	Manifests int   // visible ones
	Tags      int
}

// Size adds up a repository, at the cost of reading all its rows. Errors: NameUnknown where there is neither a row of the
// repository nor a blob in it.
func (l *Ledger) Size(ctx context.Context, repo oci.Repository) (Size, error) {
	var out Size
	err := l.eachPage(ctx, store.Query{PK: partition(kindLink, repo), Limit: store.MaxGet}, func(items []store.Item) (bool, error) {
		keys := make([]store.Key, len(items))
		for i, it := range items {
			keys[i] = blobKey(oci.Digest(it.Key.SK))
		}
		blobs, err := l.read(ctx, keys...)
		if err != nil {
			return false, err
		}
		for i, it := range items {
			size := it.Row.Num(attrSize)
			out.Blobs++
			out.Bytes += size
			if blobs[i].Num(attrLinks) <= 1 {
				out.Exclusive += size
			}
		}
		return true, nil
	})
	if err != nil {
		return out, err
	}
	err = l.eachPage(ctx, store.Query{PK: partition(kindManifest, repo), Limit: pageSize}, func(items []store.Item) (bool, error) {
		for _, it := range items {
			if m := readManifest(it.Row); m.visible() {
				out.Manifests++
				out.Tags += int(m.tags)
			}
		}
		return true, nil
	})
	if err != nil || out != (Size{}) {
		return out, err
	}
	r, err := l.get(ctx, repositoryKey(repo))
	if err == nil && r == nil {
		err = oci.Errorf(oci.NameUnknown, "there is no repository %s", repo)
	}
	return out, err
}
