// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"slices"

	"tare/internal/oci"
	"tare/internal/store"
)

// sought are the edges that the push has to look for before it knows what the manifest holds: those that it can do
// without, and its children once a commit has shown that one of them is no manifest. Until then a child is taken for one,
// and the commit's condition looks: an index of manifests costs no read for each.
func (w *pusher) sought() []edge {
	var es []edge
	for _, d := range w.p.Foreign {
		es = append(es, edge{false, d})
	}
	for _, d := range w.p.Sparse {
		es = append(es, edge{true, d})
	}
	if w.unsure {
		for _, d := range w.p.Children {
			es = append(es, edge{true, d})
		}
	}
	return es
}

// find says by which edge what is sought can be held; rows are those of sought. A child that is no visible manifest is a
// link where a blob of its digest is there (BuildKit's caches are such indexes), which takes a second batch of reads. What
// is neither is not in the answer.
//
// Which of the two it is is decided by these reads, strong and made after the push began. The commit that counts an edge
// says again that its row is there; that the other row is not it need not say: one that comes later comes after the push
// began.
func (w *pusher) find(ctx context.Context, sought []edge, rows []store.Row) (map[oci.Digest]edge, error) {
	found := make(map[oci.Digest]edge, len(sought))
	var links []edge
	for i, e := range sought {
		switch {
		case !e.child && rows[i] != nil, e.child && readManifest(rows[i]).visible():
			found[e.digest] = e
		case e.child:
			links = append(links, edge{false, e.digest})
		}
	}
	if len(links) == 0 {
		return found, nil
	}
	rows, err := w.l.read(ctx, keysOf(w.p.Repo, links)...)
	if err != nil {
		return nil, err
	}
	for i, e := range links {
		if rows[i] != nil {
			found[e.digest] = e
		}
	}
	return found, nil
}

// findNow is find with its first reads.
func (w *pusher) findNow(ctx context.Context, sought []edge) (map[oci.Digest]edge, error) {
	rows, err := w.l.read(ctx, keysOf(w.p.Repo, sought)...)
	if err != nil {
		return nil, err
	}
	return w.find(ctx, sought, rows)
}

// optional tells whether the push can do without an edge to d.
func (w *pusher) optional(d oci.Digest) bool {
	return !slices.Contains(w.p.Links, d) && (slices.Contains(w.p.Foreign, d) || slices.Contains(w.p.Sparse, d))
}

// lacks lists what the push can do without and has to, in the order in which the manifest lists it.
func (w *pusher) lacks(found map[oci.Digest]edge) []oci.Digest {
	var absent []oci.Digest
	seen := map[oci.Digest]bool{}
	for _, list := range [][]oci.Digest{w.p.Foreign, w.p.Sparse} {
		for _, d := range list {
			if _, there := found[d]; !there && !seen[d] {
				seen[d] = true
				absent = append(absent, d)
			}
		}
	}
	return absent
}

// lacksBeside is lacks for a manifest that is recorded: its edges decide, whatever has come or gone since.
func (w *pusher) lacksBeside(s sight) error {
	b, err := s.manifest.body(s.body)
	if err != nil {
		return err
	}
	held := map[oci.Digest]edge{}
	for _, e := range b.edges {
		held[e.digest] = e
	}
	w.absent = w.lacks(held)
	return nil
}
