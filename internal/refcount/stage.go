// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"bytes"
	"context"
	"slices"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// stageBatch is how many edges one transaction of a stage or an undoing moves, beside the manifest's own row. Taking an
// edge back needs no further row.
const stageBatch = store.MaxOps - 1

// stage pushes a manifest in several transactions: a staged row with a lease and a cursor, batches of references that
// move the cursor in the same transaction, then one flip that makes it visible with its tags. A crash leaves a staged
// row, which the sweep unwinds by its cursor. Anyone may continue anyone's stage: the body row has the edges.
func (w *pusher) stage(ctx context.Context) error {
	w.unsure = true // the edges are recorded before a commit looks at them
	for {
		done := false
		err := w.l.retry(ctx, func(now time.Time) (err error) {
			done, err = w.stageStep(ctx, now)
			return err
		})
		if err != nil || done {
			return err
		}
	}
}

// stageStep reads where the manifest stands and takes it one transaction further.
func (w *pusher) stageStep(ctx context.Context, now time.Time) (done bool, err error) {
	s, err := w.look(ctx, []store.Key{bodyKey(w.p.Repo, w.p.Digest)}, nil)
	if err != nil || w.landed(s) {
		return true, err
	}
	if err := w.precondition(now, s); err != nil {
		return false, err
	}
	m := s.manifest
	switch m.state {
	case "":
		return false, w.beginStage(ctx, now)
	case stateVisible:
		if err := w.lacksBeside(s); err != nil {
			return false, err
		}
		return true, w.moveTags(ctx, now, s)
	case stateUndoing:
		return false, w.l.turnRound(ctx, now, w.p.Repo, w.p.Digest, m)
	}
	b, err := m.body(s.body)
	if err != nil {
		return false, err
	}
	if err := w.putBody(ctx, now, b); err != nil {
		return false, err
	}
	if int(m.cursor) < len(b.edges) {
		missing, err := w.l.holdBatch(ctx, now, w.p.Repo, w.p.Digest, m, b.edges)
		if missing != "" {
			return false, w.amend(ctx, now, m, b, missing)
		}
		return false, err
	}
	if err := w.lacksBeside(s); err != nil {
		return false, err
	}
	return true, w.flip(ctx, now, s, len(b.edges))
}

// beginStage writes the staged row and the body row, which names the object of a large body before a byte of it is put.
func (w *pusher) beginStage(ctx context.Context, now time.Time) error {
	found, err := w.findNow(ctx, w.sought())
	if err != nil {
		return err
	}
	es, err := w.edges(found)
	if err != nil {
		return err
	}
	content := data(attrBody, string(w.p.Body))
	if len(w.p.Body) > MaxInlineBody {
		content = text(attrObject, w.l.newObject())
	}
	var t txn
	held := w.l.cfg.NewToken()
	t.put(manifestKey(w.p.Repo, w.p.Digest), w.manifestRow(now, now.UnixMilli(), stateStaged, held, 0, 0), absent())
	t.put(bodyKey(w.p.Repo, w.p.Digest), bodyRow(content, es, held), absent())
	return w.l.apply(ctx, now, &t)
}

// putBody puts the bytes of a large body, once per push: whoever flips has put them himself. The put begins within
// MaxStep of the reading of its key, so that it lands before the key's tombstone can be gone (C1).
func (w *pusher) putBody(ctx context.Context, now time.Time, b body) error {
	if b.object == "" || w.put == b.object {
		return nil
	}
	if w.l.clock.Now().Sub(now) > w.l.cfg.Margins.MaxStep {
		return errAgain
	}
	ctx, cancel := context.WithTimeout(ctx, w.l.cfg.Margins.MaxPut)
	defer cancel()
	if err := w.l.objects.Put(ctx, b.object, bytes.NewReader(w.p.Body), int64(len(w.p.Body))); err != nil {
		return err
	}
	w.put = b.object
	return errAgain // the put may have taken long: the clock reading is old
}

// turnRound makes a stage of a manifest that is being undone, at its cursor. What it was deleted by stays recorded
// until it is visible again.
func (l *Ledger) turnRound(ctx context.Context, now time.Time, repo oci.Repository, d oci.Digest, m manifest) error {
	var t txn
	t.update(manifestKey(repo, d), change{set: []store.Attr{
		text(attrState, stateStaged), text(attrVersion, l.cfg.NewToken()), due(now.Add(l.cfg.Margins.StageLease)),
	}}, append(m.asRead(), equals(attrCursor, m.cursor))...)
	return l.apply(ctx, now, &t)
}

// holdBatch takes a staged manifest's cursor over the next edges, and a reference on each. A blob or child that is not
// there is ManifestBlobUnknown, and missing; the stage is left to the sweep, or to a push that comes after the blob.
func (l *Ledger) holdBatch(ctx context.Context, now time.Time, repo oci.Repository, d oci.Digest, m manifest, es []edge) (missing oci.Digest, err error) {
	to := min(int(m.cursor)+stageBatch, len(es))
	pub := &publication{tally: tally{}, links: map[int]oci.Digest{}}
	pub.update(manifestKey(repo, d), change{set: []store.Attr{num(attrCursor, int64(to)), due(now.Add(l.cfg.Margins.StageLease))}},
		append(m.asRead(), equals(attrCursor, m.cursor))...)
	pub.hold(repo, es[m.cursor:to])
	pub.addManifests(l, now, repo)
	err = l.commit(ctx, now, &pub.txn)
	c := refused(err)
	if c == nil {
		return "", err
	}
	if missing = pub.missing(c); missing == "" || c.Refused(0) {
		return "", errAgain
	}
	return missing, blobMissing(missing)
}

// amend changes an edge that a stage does not hold yet and that a batch was refused by: what was there when the stage
// began has gone since. What is a blob now and was a manifest then, or the other way round, is held as what it is; an edge
// that the push can do without is taken out; any other is ManifestBlobUnknown.
//
// The edges below the cursor, which were counted, stay as they are, so that each is taken back where it was counted (C2);
// behind it they are in order again. The new version refuses whoever has read the old ones.
func (w *pusher) amend(ctx context.Context, now time.Time, m manifest, b body, missing oci.Digest) error {
	i := int(m.cursor) + slices.IndexFunc(b.edges[m.cursor:], func(e edge) bool { return e.digest == missing })
	sought := slices.DeleteFunc(w.sought(), func(e edge) bool { return e.digest != missing })
	found, err := w.findNow(ctx, sought)
	if err != nil {
		return err
	}
	e, there := found[missing]
	es := slices.Clone(b.edges)
	switch {
	case there && e == es[i]:
		return errAgain // it came back
	case there:
		es[i] = e
	case w.optional(missing):
		es = slices.Delete(es, i, i+1)
	default:
		return blobMissing(missing)
	}
	ordered(es[m.cursor:])
	held := w.l.cfg.NewToken()
	var t txn
	t.update(manifestKey(w.p.Repo, w.p.Digest), change{set: []store.Attr{text(attrVersion, w.l.cfg.NewToken()), text(attrHeld, held)}},
		append(m.asRead(), equals(attrCursor, m.cursor))...)
	t.update(bodyKey(w.p.Repo, w.p.Digest), change{set: []store.Attr{data(attrEdges, packEdges(es)), text(attrVersion, held)}}, exists())
	return w.l.apply(ctx, now, &t)
}

// flip makes a staged manifest visible, provided that its cursor is at the end, together with its tags.
func (w *pusher) flip(ctx context.Context, now time.Time, s sight, edges int) error {
	pub := w.publish(now, s)
	own := pub.tally.of(w.p.Digest).tags
	delete(pub.tally, w.p.Digest)
	c := change{
		set: []store.Attr{
			text(attrState, stateVisible), text(attrVersion, w.l.cfg.NewToken()), num(attrPushed, w.moment(now, s)),
			text(attrMediaType, w.p.MediaType), // what a deleted manifest was called before does not count
		},
		add:    []store.Attr{num(attrTags, own)},
		remove: []string{attrDeletion, attrDeleted, attrCascade},
	}
	if own == 0 {
		c.set = append(c.set, num(attrUntagged, now.UnixMilli()))
	}
	if own == 0 && w.l.cfg.Margins.Untagged > 0 {
		c.set = append(c.set, due(now.Add(w.l.untaggedAfter())))
	} else {
		c.remove = append(c.remove, attrDue)
	}
	pub.update(manifestKey(w.p.Repo, w.p.Digest), c, append(s.manifest.asRead(), equals(attrCursor, int64(edges)))...)
	pub.addManifests(w.l, now, w.p.Repo)
	return pub.judge(w.l.commit(ctx, now, &pub.txn), s)
}
