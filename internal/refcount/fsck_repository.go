// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"maps"
	"slices"
	"strings"

	"tare/internal/oci"
	"tare/internal/store"
)

// judgeRepositories compares the rows of each repository with one another.
func (f *fsck) judgeRepositories(ctx context.Context) error {
	names := slices.Sorted(maps.Keys(f.repos))
	f.report.Repositories = len(names)
	for i, repo := range names {
		f.progress("comparing the rows of repositories", int64(i), int64(len(names)), "repositories")
		if err := f.judgeRepository(ctx, repo); err != nil {
			return err
		}
	}
	return nil
}

func (f *fsck) judgeRepository(ctx context.Context, repo oci.Repository) error {
	v, err := f.repository(ctx, repo)
	if err != nil {
		return err
	}
	keys := slices.SortedFunc(maps.Keys(v), store.Key.Compare)
	got, err := f.count(ctx, repo, v)
	if err != nil {
		return err
	}
	var miscounted []countOf
	for _, k := range keys {
		if v[k] == nil || malformedKey(k) != "" { // which the walk over all rows has noted
			continue
		}
		if kind, rest := kindOf(k); rest == string(repo) {
			if len(f.faults(k, v)) > 0 || kind == kindManifest && f.unlisted(k, v) {
				f.suspects[k] = true
			}
			for _, attr := range countsOf(kind) {
				if got.of[countOf{k, attr}] != v[k].Num(attr) || unseen(k, v[k]) != "" {
					miscounted = append(miscounted, countOf{k, attr})
				}
			}
		}
	}
	// Broken rows first: a manifest that lacks a row is told before the counts that are wrong by it.
	if err := f.examineAll(ctx); err != nil {
		return err
	}
	clear(f.suspects)
	if len(miscounted) == 0 {
		return nil
	}
	return f.recount(ctx, miscounted, func(ctx context.Context) (counted, error) {
		v, err := f.repository(ctx, repo)
		if err != nil {
			return counted{}, err
		}
		return f.count(ctx, repo, v)
	})
}

// countsOf names the counts of a repository's row.
func countsOf(kind string) []string {
	switch kind {
	case kindLink:
		return []string{attrRefs}
	case kindManifest:
		return []string{attrParents, attrTags}
	}
	return nil
}

// repository reads the rows of a repository, without the bytes of its manifests, and the blobs that it links.
func (f *fsck) repository(ctx context.Context, repo oci.Repository) (view, error) {
	v := view{}
	beside := []store.Key{repositoryKey(repo)}
	for _, kind := range []string{kindManifest, kindBody, kindTag, kindTagOf, kindReferrer, kindLink} {
		q := store.Query{PK: partition(kind, repo), Limit: pageSize}
		err := f.walk(func(after store.Key) (store.Page, error) {
			q.After = after.SK
			return f.l.table.Query(ctx, q)
		}, func(items []store.Item) error {
			for _, it := range items {
				f.see(v, it.Key, slim(it.Row))
				if kind == kindLink {
					beside = append(beside, blobKey(oci.Digest(it.Key.SK)))
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return v, f.get(ctx, v, beside)
}

// slim copies a row without the bytes of a manifest. Names and values may be parts of one string with them.
func slim(r store.Row) store.Row {
	if !r.Has(attrBody) {
		return r
	}
	out := slices.Clone(r)
	for i, a := range out {
		v := a.Value
		switch {
		case a.Name == attrBody:
			v = store.Bytes("")
		case v.Kind() == store.KindBytes:
			v = store.Bytes(strings.Clone(v.Text()))
		case v.Kind() == store.KindString:
			v = store.String(strings.Clone(v.Text()))
		}
		out[i] = store.Attr{Name: strings.Clone(a.Name), Value: v}
	}
	return out
}

// count counts the references of links and the parents and tags of manifests, from what manifests hold and tags point to.
func (f *fsck) count(ctx context.Context, repo oci.Repository, v view) (counted, error) {
	got := counted{of: map[countOf]int64{}}
	for _, kind := range []string{kindManifest, kindBody, kindTag} {
		got.partial = got.partial || f.unread[kind]
	}
	for k, r := range v {
		switch kind, _ := kindOf(k); {
		case r == nil:
		case kind == kindTag:
			got.of[countOf{manifestKey(repo, readTag(r).digest), attrTags}]++
		case kind == kindManifest:
			es, known, err := f.holds(ctx, repo, k, v)
			if err != nil {
				return got, err
			}
			got.partial = got.partial || !known
			for _, e := range es {
				attr := attrRefs
				if e.child {
					attr = attrParents
				}
				got.of[countOf{e.key(repo), attr}]++
			}
		}
	}
	return got, nil
}

// holds tells what a manifest holds. Where its row and its body were read at two moments, they are read again; where they
// do not fit together for good, it is not known.
func (f *fsck) holds(ctx context.Context, repo oci.Repository, k store.Key, v view) (es []edge, known bool, err error) {
	pair := v
	for range maxLooks {
		if pair[k] == nil {
			return nil, true, nil
		}
		m := readManifest(pair[k])
		if b, err := m.body(pair[bodyKey(repo, oci.Digest(k.SK))]); err == nil {
			return b.edges[:max(0, m.cursor)], true, nil
		}
		pair = view{}
		if err := f.get(ctx, pair, []store.Key{k, bodyKey(repo, oci.Digest(k.SK))}); err != nil {
			return nil, false, err
		}
	}
	return nil, false, nil
}
