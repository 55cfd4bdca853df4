// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"fmt"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// States of a manifest row.
const (
	stateVisible = "visible"
	stateStaged  = "staged"  // being pushed in batches; no reader sees it
	stateUndoing = "undoing" // deleted, or a stage given up; its edges are given back from the end
)

// Manifest is what a reader learns of a manifest without its bytes.
type Manifest struct {
	Digest       oci.Digest
	MediaType    string
	Size         int64
	ArtifactType string
	Pushed       time.Time
}

// manifest is the row.
type manifest struct {
	there     bool
	state     string
	version   string
	mediaType string
	artifact  string
	subject   oci.Digest
	size      int64
	cursor    int64  // it holds its first cursor edges
	held      string // version of its body: the edges that cursor counts
	tags      int64
	parents   int64
	pushed    int64
	untagged  int64 // when a tag was last taken away, or the push without one
	due       int64
	deletion  string // token of the deletion that can be undone
	deleted   int64
	cascade   bool // its referrers have still to go
}

func readManifest(r store.Row) manifest {
	return manifest{
		there:     r != nil,
		state:     r.Text(attrState),
		version:   r.Text(attrVersion),
		mediaType: r.Text(attrMediaType),
		artifact:  r.Text(attrArtifact),
		subject:   oci.Digest(r.Text(attrSubject)),
		size:      r.Num(attrSize),
		cursor:    r.Num(attrCursor),
		held:      r.Text(attrHeld),
		tags:      r.Num(attrTags),
		parents:   r.Num(attrParents),
		pushed:    r.Num(attrPushed),
		untagged:  r.Num(attrUntagged),
		due:       r.Num(attrDue),
		deletion:  r.Text(attrDeletion),
		deleted:   r.Num(attrDeleted),
		cascade:   r.Has(attrCascade),
	}
}

func (m manifest) visible() bool { return m.state == stateVisible }

// asRead is the condition that the manifest is in the state that was read. A version is new at every change of state.
func (m manifest) asRead() []store.Cond {
	if !m.there {
		return []store.Cond{absent()}
	}
	return []store.Cond{is(attrState, m.state), is(attrVersion, m.version)}
}

func (m manifest) public(d oci.Digest) Manifest {
	return Manifest{d, m.mediaType, m.size, m.artifact, fromMilli(m.pushed)}
}

// body is a manifest's bytes, or the object that has them, and its edges.
type body struct {
	there  bool
	bytes  string
	object string
	edges  []edge
}

func readBody(r store.Row) (body, error) {
	es, err := unpackEdges(r.Text(attrEdges))
	return body{r != nil, r.Text(attrBody), r.Text(attrObject), es}, err
}

// body reads the body that was read beside the manifest. A batch is not a snapshot: where the two are of different moments
// the body's edges are not those that the cursor counts, and both have to be read again.
func (m manifest) body(r store.Row) (body, error) {
	if r == nil || r.Text(attrVersion) != m.held {
		return body{}, errAgain
	}
	b, err := readBody(r)
	if err == nil && int(m.cursor) > len(b.edges) {
		err = fmt.Errorf("%w: a cursor at %d of %d edges", store.ErrCorrupt, m.cursor, len(b.edges))
	}
	return b, err
}

// bodyRow makes the row of a body; held is its version.
func bodyRow(content store.Attr, es []edge, held string) store.Row {
	return plainRow(content, data(attrEdges, packEdges(es)), text(attrVersion, held))
}

// MaxInlineBody is the largest manifest that is kept in the table; a larger one is an object. With 10,000 packed edges
// it still fits a row.
const MaxInlineBody = 32 << 10

// FindTag finds the manifest that a tag points to. An expired tag is gone the moment it expires. Absent:
// ManifestUnknown.
func (l *Ledger) FindTag(ctx context.Context, repo oci.Repository, name oci.Tag) (Manifest, error) {
	r, err := l.get(ctx, tagKey(repo, name))
	if err != nil {
		return Manifest{}, err
	}
	t := readTag(r)
	if !t.live(l.clock.Now()) {
		return Manifest{}, errManifestUnknown
	}
	return Manifest{t.digest, t.mediaType, t.size, "", fromMilli(t.pushed)}, nil
}

// FindManifest finds a manifest by its digest. One that a rule would remove is renewed as a blob is: who was told of it
// can still push an index with it a Lease from now. Absent: ManifestUnknown.
func (l *Ledger) FindManifest(ctx context.Context, repo oci.Repository, d oci.Digest) (Manifest, error) {
	var out Manifest
	err := l.retry(ctx, func(now time.Time) error {
		r, err := l.get(ctx, manifestKey(repo, d))
		if err != nil {
			return err
		}
		m := readManifest(r)
		out = m.public(d)
		return l.renewManifest(ctx, now, repo, d, m)
	})
	return out, err
}

// renewManifest makes the promise of Lease for a manifest that was just read.
func (l *Ledger) renewManifest(ctx context.Context, now time.Time, repo oci.Repository, d oci.Digest, m manifest) error {
	if !m.visible() {
		return errManifestUnknown
	}
	if m.due == 0 || m.tags > 0 || m.parents > 0 || m.due >= l.leaseEnd(now) {
		return nil
	}
	fresh := now.Add(l.cfg.Margins.Grace)
	var t txn
	t.update(manifestKey(repo, d), change{set: []store.Attr{due(fresh)}},
		append(m.asRead(), under(attrDue, fresh.UnixMilli()))...)
	return l.apply(ctx, now, &t)
}

// Body is the bytes of a manifest: here, or in an object.
type Body struct {
	Bytes  string
	Object string // "" when Bytes has them
}

// ReadBody reads the bytes of a manifest that a tag was just seen to point to: such a manifest is visible (C7). Absent,
// because it was deleted since: ManifestUnknown.
func (l *Ledger) ReadBody(ctx context.Context, repo oci.Repository, d oci.Digest) (Body, error) {
	r, err := l.get(ctx, bodyKey(repo, d))
	if err != nil {
		return Body{}, err
	}
	if r == nil {
		return Body{}, errManifestUnknown
	}
	return Body{r.Text(attrBody), r.Text(attrObject)}, nil
}

// ReadManifest reads a manifest and its bytes by digest, in one batch. Absent: ManifestUnknown.
func (l *Ledger) ReadManifest(ctx context.Context, repo oci.Repository, d oci.Digest) (Manifest, Body, error) {
	var out Manifest
	var b Body
	err := l.retry(ctx, func(now time.Time) error {
		rows, err := l.read(ctx, manifestKey(repo, d), bodyKey(repo, d))
		if err != nil {
			return err
		}
		m := readManifest(rows[0])
		if m.visible() && (rows[1] == nil || rows[1].Text(attrVersion) != m.held) {
			return errAgain // the batch saw two moments
		}
		out, b = m.public(d), Body{rows[1].Text(attrBody), rows[1].Text(attrObject)}
		return l.renewManifest(ctx, now, repo, d, m)
	})
	return out, b, err
}

// tally collects what one transaction does to manifest rows: a row can be a tag's old manifest, its new one and a child
// at once, and a transaction may name it only once.
type tally map[oci.Digest]*delta

type delta struct {
	tags, parents int64
	child         bool  // it must be visible
	pushed        int64 // 0, or when it was pushed again: it is none of those that a cascade is to take
	op            int   // index in the transaction, once added
}

func (ts tally) of(d oci.Digest) *delta {
	if ts[d] == nil {
		ts[d] = &delta{}
	}
	return ts[d]
}

// add appends the operation for one manifest that is there. untagged says since when a manifest that loses a tag may
// be without one: its reader takes it for the truth only where no tag is left.
func (dt *delta) add(l *Ledger, t *txn, now time.Time, repo oci.Repository, d oci.Digest, conds ...store.Cond) {
	c := change{remove: []string{attrCounting}}
	if dt.tags != 0 {
		c.add = append(c.add, num(attrTags, dt.tags))
	}
	if dt.parents != 0 {
		c.add = append(c.add, num(attrParents, dt.parents))
	}
	if dt.tags < 0 {
		c.set = append(c.set, num(attrUntagged, now.UnixMilli()))
	}
	if dt.pushed > 0 {
		c.set = append(c.set, num(attrPushed, dt.pushed))
	}
	switch {
	case dt.parents > 0 || dt.tags > 0:
		c.remove = append(c.remove, attrDue)
	case l.cfg.Margins.Untagged > 0 && (dt.tags < 0 || dt.parents < 0):
		// A hint: the sweep clears it where a tag or a parent is left.
		c.set = append(c.set, due(now.Add(l.untaggedAfter())))
	}
	if dt.child || len(conds) == 0 {
		conds = append(conds, is(attrState, stateVisible))
	}
	if len(c.add) == 0 && len(c.set) == 0 {
		dt.op = t.check(manifestKey(repo, d), conds...)
		return
	}
	dt.op = t.update(manifestKey(repo, d), c, conds...)
}

// untaggedAfter is the rule's time, and never less than what a client was promised by a look.
func (l *Ledger) untaggedAfter() time.Duration {
	return max(l.cfg.Margins.Untagged, l.cfg.Margins.Grace)
}
