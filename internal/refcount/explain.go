// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// Explanation says where content is and why, or when and why it goes. Its JSON is that of "tare explain --json".
type Explanation struct {
	Tag       *ExplainedTag       `json:"tag,omitempty"` // where a tag was asked for
	Digest    oci.Digest          `json:"digest,omitempty"`
	Manifests []ExplainedManifest `json:"manifests,omitempty"`
	Links     []ExplainedLink     `json:"links,omitempty"`
	Blob      *ExplainedBlob      `json:"blob,omitempty"`
}

// Nowhere tells that nothing of what was asked for is in these repositories, not even on its way out.
func (e Explanation) Nowhere() bool { return e.Blob == nil && len(e.Manifests)+len(e.Links) == 0 }

// Fate is why something stays, or why it goes, and when.
type Fate struct {
	Stays bool      `json:"stays"`
	Why   string    `json:"why"`
	Until time.Time `json:"until,omitzero"` // when the sweep may take it, where it goes
}

// ExplainedTag is a tag, or what is known of one that is gone.
type ExplainedTag struct {
	Repository oci.Repository `json:"repository"`
	Name       oci.Tag        `json:"name"`
	There      bool           `json:"there"`
	Digest     oci.Digest     `json:"digest,omitempty"` // what it points to, or pointed to last
	Moved      time.Time      `json:"moved,omitzero"`   // when it was pushed or taken away
	Expires    time.Time      `json:"expires,omitzero"`
}

// ExplainedManifest is a manifest of one repository.
type ExplainedManifest struct {
	Repository oci.Repository `json:"repository"`
	State      string         `json:"state"` // visible, staged or undoing
	Fate
	Size      int64        `json:"size"`
	Pushed    time.Time    `json:"pushed"`
	Tags      []oci.Tag    `json:"tags,omitempty"`    // the first hundred
	Parents   []oci.Digest `json:"parents,omitempty"` // indexes that list it, the first hundred
	Subject   oci.Digest   `json:"subject,omitempty"`
	Referrers int          `json:"referrers"`
	Deleted   time.Time    `json:"deleted,omitzero"`
	Undelete  time.Time    `json:"undelete,omitzero"` // until when it can be brought back
}

// ExplainedLink is a blob of one repository.
type ExplainedLink struct {
	Repository oci.Repository `json:"repository"`
	Fate
	References int64        `json:"references"`
	Manifests  []oci.Digest `json:"manifests,omitempty"` // that list it, the first hundred
}

// ExplainedBlob is the bytes that all repositories share.
type ExplainedBlob struct {
	Fate
	Size   int64     `json:"size"`
	Object string    `json:"object"` // where its bytes are
	Inline bool      `json:"inline"` // in the table
	Links  int64     `json:"links"`  // repositories that have it
	Freed  time.Time `json:"freed,omitzero"`
}

// maxNamed bounds the lists of an explanation.
const maxNamed = 100

// ExplainTag explains a tag and what it points to, or pointed to last. A tag that nothing is known of has no digest.
func (l *Ledger) ExplainTag(ctx context.Context, repo oci.Repository, name oci.Tag, progress func(bodies int)) (Explanation, error) {
	r, err := l.get(ctx, tagKey(repo, name))
	if err != nil {
		return Explanation{}, err
	}
	t := readTag(r)
	x := &ExplainedTag{Repository: repo, Name: name, There: t.live(l.clock.Now()), Digest: t.digest, Moved: fromMilli(t.pushed), Expires: fromMilli(t.expires)}
	if !t.there {
		moves, err := l.History(ctx, repo, name)
		if err != nil {
			return Explanation{}, err
		}
		for _, mv := range moves {
			x.Moved = mv.At
			if mv.Digest != "" {
				x.Digest = mv.Digest
			}
		}
	}
	if x.Digest == "" {
		return Explanation{Tag: x}, nil
	}
	out, err := l.Explain(ctx, x.Digest, []oci.Repository{repo}, progress)
	out.Tag = x
	return out, err
}

// Explain explains a digest in each of the repositories: as a manifest, and as a blob. Which manifests list a blob or a
// manifest no row says, so the bodies of a repository that has it are read until all are found; progress is told how many.
// A digest that is nowhere has neither manifests nor links.
func (l *Ledger) Explain(ctx context.Context, d oci.Digest, repos []oci.Repository, progress func(bodies int)) (Explanation, error) {
	out := Explanation{Digest: d}
	x := &explainer{l: l, d: d, progress: progress}
	for batch := range slices.Chunk(repos, store.MaxGet/2) {
		var keys []store.Key
		for _, repo := range batch {
			keys = append(keys, linkKey(repo, d), manifestKey(repo, d))
		}
		rows, err := l.read(ctx, keys...)
		if err != nil {
			return out, err
		}
		for i, repo := range batch {
			if err := x.repository(ctx, repo, readLink(rows[2*i]), readManifest(rows[2*i+1]), &out); err != nil {
				return out, err
			}
		}
	}
	r, err := l.get(ctx, blobKey(d))
	if err != nil || r == nil || len(out.Links) == 0 && r.Num(attrLinks) > 0 { // others have it
		return out, err
	}
	out.Blob = l.explainBlob(r, out.Links)
	return out, nil
}

// explainer is one Explain under way.
type explainer struct {
	l        *Ledger
	d        oci.Digest
	bodies   int
	progress func(int)
}

func (x *explainer) repository(ctx context.Context, repo oci.Repository, found link, m manifest, out *Explanation) error {
	if !found.there && !m.there {
		return nil
	}
	lists, parents, err := x.holders(ctx, repo, found.refs, m.parents)
	if err != nil {
		return err
	}
	if found.there {
		out.Links = append(out.Links, ExplainedLink{repo, linkFate(found, lists), found.refs, lists})
	}
	if !m.there {
		return nil
	}
	one := ExplainedManifest{Repository: repo, State: m.state, Size: m.size, Pushed: fromMilli(m.pushed), Subject: m.subject,
		Parents: parents, Deleted: fromMilli(m.deleted)}
	if m.visible() {
		one.Deleted = time.Time{} // a deletion that was undone
	}
	if one.Tags, err = x.tags(ctx, repo); err != nil {
		return err
	}
	err = x.l.eachReferrer(ctx, repo, x.d, func(_ oci.Digest, r store.Row) (bool, error) {
		if !r.Has(attrGone) {
			one.Referrers++
		}
		return true, nil
	})
	if err != nil {
		return err
	}
	var subject manifest
	if m.subject != "" {
		r, err := x.l.get(ctx, manifestKey(repo, m.subject))
		if err != nil {
			return err
		}
		subject = readManifest(r)
	}
	one.Fate = x.l.manifestFate(m, one, subject.visible())
	if m.state == stateUndoing && m.deletion != "" && m.cursor == 0 && !m.cascade {
		one.Undelete = one.Until
	}
	out.Manifests = append(out.Manifests, one)
	return nil
}

// tags names the tags that point to the manifest, or that went with it.
func (x *explainer) tags(ctx context.Context, repo oci.Repository) ([]oci.Tag, error) {
	var tags []oci.Tag
	prefix := string(x.d) + "#"
	q := store.Query{PK: partition(kindTagOf, repo), Prefix: prefix, Limit: maxNamed}
	page, err := x.l.query(ctx, q)
	for _, it := range page.Items {
		tags = append(tags, oci.Tag(strings.TrimPrefix(it.Key.SK, prefix)))
	}
	return tags, err
}

// holders looks among the bodies of a repository for the manifests that hold d, as many as its counts say: as a blob, and
// as a child.
func (x *explainer) holders(ctx context.Context, repo oci.Repository, refs, parents int64) (lists, indexes []oci.Digest, err error) {
	if refs == 0 && parents == 0 {
		return nil, nil, nil
	}
	list, child := edge{false, x.d}, edge{true, x.d}
	packed := packEdges([]edge{list})[1:]
	err = x.l.eachPage(ctx, store.Query{PK: partition(kindBody, repo), Limit: store.MaxGet}, func(items []store.Item) (bool, error) {
		x.bodies += len(items)
		x.progress(x.bodies)
		items = slices.DeleteFunc(slices.Clone(items), func(it store.Item) bool { return !strings.Contains(it.Row.Text(attrEdges), packed) })
		keys := make([]store.Key, len(items))
		for i, it := range items {
			keys[i] = manifestKey(repo, oci.Digest(it.Key.SK))
		}
		rows, err := x.l.read(ctx, keys...)
		if err != nil {
			return false, err
		}
		for i, it := range items {
			m := readManifest(rows[i])
			b, err := m.body(it.Row)
			if err != nil {
				continue // it changes just now, or fsck has to tell what is wrong with it
			}
			held := b.edges[:m.cursor]
			if slices.Contains(held, list) && len(lists) < maxNamed {
				lists = append(lists, oci.Digest(it.Key.SK))
			}
			if slices.Contains(held, child) && len(indexes) < maxNamed {
				indexes = append(indexes, oci.Digest(it.Key.SK))
			}
		}
		return int64(len(lists)) < min(refs, maxNamed) || int64(len(indexes)) < min(parents, maxNamed), nil
	})
	return lists, indexes, err
}

func linkFate(found link, lists []oci.Digest) Fate {
	if found.refs == 0 {
		return Fate{Why: "no manifest of the repository lists it; it is kept for pushes that count on it", Until: fromMilli(found.due)}
	}
	if found.refs == 1 && len(lists) == 1 {
		return Fate{Stays: true, Why: fmt.Sprintf("the manifest %s lists it", lists[0])}
	}
	return Fate{Stays: true, Why: fmt.Sprintf("%d manifests list it", found.refs)}
}

// manifestFate says why a manifest stays, or goes.
func (l *Ledger) manifestFate(m manifest, x ExplainedManifest, subjectVisible bool) Fate {
	due := fromMilli(m.due)
	switch {
	case m.state == stateStaged:
		return Fate{Why: "its push is under way, and is given up when it makes no progress", Until: due}
	case m.state == stateUndoing && m.deletion == "":
		return Fate{Why: "its push was given up", Until: due}
	case m.state == stateUndoing && (m.cursor > 0 || m.cascade):
		return Fate{Why: "it was deleted, and what it holds is being given back", Until: due}
	case m.state == stateUndoing:
		return Fate{Why: "it was deleted, and can be undeleted until then", Until: due}
	case m.tags == 1 && len(x.Tags) == 1:
		return Fate{Stays: true, Why: fmt.Sprintf("the tag %s points to it", x.Tags[0])}
	case m.tags > 0:
		return Fate{Stays: true, Why: fmt.Sprintf("%d tags point to it", m.tags)}
	case m.parents == 1 && len(x.Parents) == 1:
		return Fate{Stays: true, Why: fmt.Sprintf("the index %s lists it", x.Parents[0])}
	case m.parents > 0:
		return Fate{Stays: true, Why: fmt.Sprintf("%d indexes list it", m.parents)}
	case subjectVisible:
		return Fate{Stays: true, Why: fmt.Sprintf("it refers to %s, which is here, and goes with it", m.subject)}
	case m.due != 0 && l.cfg.Margins.Untagged > 0:
		return Fate{Why: "no tag points to it, and the rule about untagged manifests removes it", Until: due}
	}
	return Fate{Stays: true, Why: "no tag points to it; manifests without a tag are kept until somebody deletes them"}
}

// explainBlob says when the bytes go: after the last link of those that were found.
func (l *Ledger) explainBlob(r store.Row, links []ExplainedLink) *ExplainedBlob {
	b := &ExplainedBlob{Size: r.Num(attrSize), Object: r.Text(attrObject), Inline: isInline(r.Text(attrObject)), Links: r.Num(attrLinks)}
	last := fromMilli(r.Num(attrDue))
	if b.Links > 0 {
		b.Fate = Fate{Stays: true, Why: fmt.Sprintf("%d repositories have it", b.Links)}
		for _, x := range links {
			if x.Stays || int64(len(links)) < b.Links {
				return b
			}
			if x.Until.After(last) {
				last = x.Until
			}
		}
		b.Fate = Fate{Why: "no manifest of any repository lists it", Until: last}
	} else {
		b.Fate = Fate{Why: "no repository has it", Until: last}
	}
	b.Freed = last
	if !b.Inline {
		b.Freed = last.Add(l.cfg.Margins.TombstoneDelay)
	}
	return b
}
