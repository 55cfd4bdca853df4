// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"errors"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// Restored says what an undelete brought back, and names what it could not.
type Restored struct {
	Manifests []oci.Digest `json:"manifests,omitempty"`
	Tags      []oci.Tag    `json:"tags,omitempty"`
	Lost      []Loss       `json:"lost,omitempty"`
}

// Loss is something that did not come back.
type Loss struct {
	Name   string `json:"name"`   // a tag or a digest
	Reason string `json:"reason"` // in words
}

func loss(name string, err error) Loss {
	var e *oci.Error
	if errors.As(err, &e) {
		return Loss{name, e.Message} // the code is for clients
	}
	return Loss{name, err.Error()}
}

// Undelete brings a deleted manifest back while its UndoWindow lasts: its bytes, the referrers that went with it, and
// those of its tags whose names are still free. It is a push of the kept body through the cursor that staging uses.
// Repeating it after a crash goes on where it stopped. Errors: ManifestUnknown when nothing deleted is there any more;
// ManifestBlobUnknown when a blob that it needs was deleted by hand since.
func (l *Ledger) Undelete(ctx context.Context, repo oci.Repository, d oci.Digest) (Restored, error) {
	var out Restored
	if err := l.undelete(ctx, repo, d, &out); err != nil {
		return out, err
	}
	return out, nil
}

func (l *Ledger) undelete(ctx context.Context, repo oci.Repository, root oci.Digest, out *Restored) error {
	for work := []oci.Digest{root}; len(work) > 0; work = work[1:] {
		d := work[0]
		deletion, err := l.bringBack(ctx, repo, d)
		if err != nil {
			if d == root || oci.CodeOf(err) == oci.Internal {
				return err
			}
			out.Lost = append(out.Lost, loss(string(d), err))
			continue
		}
		out.Manifests = append(out.Manifests, d)
		if err := l.restoreTags(ctx, repo, d, deletion, out); err != nil {
			return err
		}
		err = l.eachReferrer(ctx, repo, d, func(referrer oci.Digest, r store.Row) (bool, error) {
			if r.Text(attrGone) == deletion {
				work = append(work, referrer)
			}
			return true, nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// bringBack makes a deleted manifest visible again and returns the token of its deletion, which its row keeps until the
// next one: a repeated undelete finds by it what it has not restored yet.
func (l *Ledger) bringBack(ctx context.Context, repo oci.Repository, d oci.Digest) (deletion string, err error) {
	for {
		done := false
		err := l.retry(ctx, func(now time.Time) error {
			rows, err := l.read(ctx, manifestKey(repo, d), bodyKey(repo, d), repositoryKey(repo))
			if err != nil {
				return err
			}
			m := readManifest(rows[0])
			if deletion == "" {
				deletion = m.deletion
			}
			if m.deletion != deletion || deletion == "" {
				return oci.Errorf(oci.ManifestUnknown, "no deleted manifest %s is here that could come back", d)
			}
			switch m.state {
			case stateVisible:
				done = true
				return nil
			case stateUndoing:
				return l.turnRound(ctx, now, repo, d, m)
			}
			b, err := m.body(rows[1])
			if err != nil {
				return err
			}
			if int(m.cursor) < len(b.edges) {
				_, err := l.holdBatch(ctx, now, repo, d, m, b.edges)
				return err
			}
			err = l.flipBack(ctx, now, repo, d, m, rows[2])
			done = err == nil
			return err
		})
		if err != nil || done {
			return deletion, err
		}
	}
}

// flipBack makes a staged manifest visible without a tag, together with its referrer row.
func (l *Ledger) flipBack(ctx context.Context, now time.Time, repo oci.Repository, d oci.Digest, m manifest, repository store.Row) error {
	c := change{
		set: []store.Attr{
			text(attrState, stateVisible), text(attrVersion, l.cfg.NewToken()), num(attrUntagged, now.UnixMilli()),
			num(attrPushed, now.UnixMilli()), // a cascade of its subject that is under way spares it
		},
		remove: []string{attrCascade},
	}
	if l.cfg.Margins.Untagged > 0 {
		c.set = append(c.set, due(now.Add(l.untaggedAfter())))
	} else {
		c.remove = append(c.remove, attrDue)
	}
	var t txn
	t.update(manifestKey(repo, d), c, append(m.asRead(), equals(attrCursor, m.cursor))...)
	if m.subject != "" {
		t.update(referrerKey(repo, m.subject, m.artifact, d), change{remove: []string{attrGone}}, exists())
	}
	l.openRepository(&t, now, repo, repository)
	return l.apply(ctx, now, &t)
}

// restoreTags points the tags that went with a deletion to the manifest again, where their names are free.
func (l *Ledger) restoreTags(ctx context.Context, repo oci.Repository, d oci.Digest, deletion string, out *Restored) error {
	prefix := string(d) + "#"
	items, err := l.queryAll(ctx, partition(kindTagOf, repo), prefix)
	if err != nil {
		return err
	}
	for _, it := range items {
		if it.Row.Text(attrGone) != deletion {
			continue
		}
		name := oci.Tag(strings.TrimPrefix(it.Key.SK, prefix))
		switch err := l.retag(ctx, repo, name, d); {
		case err == nil:
			out.Tags = append(out.Tags, name)
		case errors.Is(err, errTagTaken):
			out.Lost = append(out.Lost, loss(string(name), err))
		default:
			return err
		}
	}
	return nil
}

var errTagTaken = oci.Errorf(oci.PreconditionFailed, "the tag is in use")

// retag points a free tag to a visible manifest. Errors: PreconditionFailed when the name is taken; ManifestUnknown.
func (l *Ledger) retag(ctx context.Context, repo oci.Repository, name oci.Tag, d oci.Digest) error {
	w := &pusher{l: l, operation: l.cfg.NewToken(), at: l.clock.Now().UnixMilli(), p: Push{Repo: repo, Digest: d, Tags: []oci.Tag{name}}}
	return l.retry(ctx, func(now time.Time) error {
		s, err := w.look(ctx, nil, nil)
		if err != nil || w.landed(s) {
			return err
		}
		switch {
		case !s.manifest.visible():
			return errManifestUnknown
		case s.tags[0].live(now):
			return oci.Errorf(oci.PreconditionFailed, "the tag points to %s by now", s.tags[0].digest)
		}
		w.size = s.manifest.size
		return w.moveTags(ctx, now, s)
	})
}

// UndeleteTag gives a name back that was taken away: to the manifest that it pointed to last, which comes back with it
// when it was deleted. Errors: PreconditionFailed when the name is taken; ManifestUnknown when its history knows no
// manifest, or the manifest cannot come back.
func (l *Ledger) UndeleteTag(ctx context.Context, repo oci.Repository, name oci.Tag) (Restored, error) {
	var out Restored
	moves, err := l.History(ctx, repo, name)
	if err != nil {
		return out, err
	}
	var d oci.Digest
	for _, mv := range moves {
		if mv.Digest != "" {
			d = mv.Digest
		}
	}
	if d == "" {
		return out, oci.Errorf(oci.ManifestUnknown, "the history of the tag knows no manifest")
	}
	r, err := l.get(ctx, manifestKey(repo, d))
	if err != nil {
		return out, err
	}
	if !readManifest(r).visible() {
		if err := l.undelete(ctx, repo, d, &out); err != nil {
			return out, err
		}
	}
	for _, t := range out.Tags {
		if t == name {
			return out, nil
		}
	}
	if err := l.retag(ctx, repo, name, d); err != nil {
		return out, err
	}
	out.Tags = append(out.Tags, name)
	return out, nil
}
