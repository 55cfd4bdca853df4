// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// SweepOptions says how far a sweep goes.
type SweepOptions struct {
	// Limit is the most due rows that the sweep looks at; 0: all.
	Limit int
	// Until is when the sweep begins nothing more; the zero time: whenever.
	Until time.Time
	// GiveUpMargins removes now what waits only for the promises of Lease, UndoWindow and URLLife: unreferenced blobs that
	// a push under way may count on, and deleted manifests that could be brought back. What waits for its safety, such as
	// the object of an upload that may still be written, waits on.
	GiveUpMargins bool
}

// Report is what a sweep did.
type Report struct {
	Looked       int // due rows
	Links        int
	Blobs        int
	Objects      int
	Bytes        int64
	Sessions     int
	Manifests    int // dropped or sent on their way
	Tags         int
	Repositories int
	Left         bool // it stopped at its limit or its deadline
	Failed       int  // rows that it could not handle; Errors has the first of them
	Errors       []error
}

// maxErrors bounds Report.Errors.
const maxErrors = 10

// sweep is one Sweep under way.
type sweep struct {
	l       *Ledger
	opts    SweepOptions
	report  Report
	horizon time.Time // what is due by then may go, where only a promise stands against it
}

// Sweep takes away what is due (design §3). It reads the index shard by shard, reads each row that is due strongly, and
// acts by one conditional transaction per row; the index is only a place to look. It goes round until nothing is due,
// since what it removes makes other rows due. It holds no lock: any number may run beside each other and beside all
// traffic, and each may stop between any two calls.
//
// A row that cannot be handled is counted and does not stop the others, and so is one whose object the store refuses to give
// away: it comes first again in every sweep, since it has been due for longest. The error is the context's, where it ended
// before the sweep did, or ErrUnavailable when the store is not there; the report says what was done until then.
func (l *Ledger) Sweep(ctx context.Context, opts SweepOptions) (Report, error) {
	s := &sweep{l: l, opts: opts}
	for {
		before := s.report
		for shard := range Shards {
			if err := s.sweepShard(ctx, shard); err != nil {
				s.report.Left = true
				return s.report, err
			}
			if s.report.Left {
				return s.report, nil
			}
		}
		if s.report.done() == before.done() {
			return s.report, nil
		}
	}
}

// done counts what makes another round worth its while.
func (r *Report) done() int {
	return r.Links + r.Blobs + r.Objects + r.Sessions + r.Manifests + r.Tags + r.Repositories
}

// until is the due time up to which the index is read.
func (s *sweep) until(now time.Time) int64 {
	if s.opts.GiveUpMargins {
		return math.MaxInt64
	}
	return now.UnixMilli()
}

// sweepShard goes once through what a slice of the index shows as due.
func (s *sweep) sweepShard(ctx context.Context, shard int) error {
	var after store.DueKey
	for {
		now := s.l.clock.Now()
		hits, err := s.l.table.Due(ctx, shard, s.until(now), after, store.MaxGet)
		if err != nil || len(hits) == 0 {
			return err
		}
		after = hits[len(hits)-1]
		keys := make([]store.Key, len(hits))
		for i, h := range hits {
			keys[i] = h.Key
		}
		rows, err := s.l.table.Get(ctx, keys...)
		if err != nil {
			return err
		}
		for i, r := range rows {
			if s.over() {
				s.report.Left = true
				return nil
			}
			if err := s.sweepRow(ctx, keys[i], r); err != nil {
				return err
			}
		}
		if len(hits) < store.MaxGet {
			return nil
		}
	}
}

// over tells whether the sweep has gone as far as it may.
func (s *sweep) over() bool {
	return s.opts.Limit > 0 && s.report.Looked >= s.opts.Limit || !s.opts.Until.IsZero() && !s.l.clock.Now().Before(s.opts.Until)
}

// sweepRow handles one row, if it is due. Its error ends the sweep.
func (s *sweep) sweepRow(ctx context.Context, k store.Key, r store.Row) error {
	if !r.Has(attrDue) {
		return nil
	}
	now := s.l.clock.Now()
	s.horizon = now
	if s.opts.GiveUpMargins && onlyPromised(now, k, r) {
		s.horizon = time.UnixMilli(math.MaxInt64)
	}
	if r.Num(attrDue) > s.horizon.UnixMilli() {
		return nil
	}
	s.report.Looked++
	err := checkFormat(k, r)
	if err == nil {
		err = s.dispatch(ctx, now, k, r)
	}
	switch {
	case err == nil, errors.Is(err, errAgain): // changed under our hands: the next look sees what it is now
		return nil
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrContended) && !errors.Is(err, store.ErrRefused):
		return err
	}
	s.report.Failed++
	if len(s.report.Errors) < maxErrors {
		s.report.Errors = append(s.report.Errors, fmt.Errorf("%s: %w", k, err))
	}
	return nil
}

// onlyPromised tells whether nothing but a promise to a client stands between a row and its removal.
func onlyPromised(now time.Time, k store.Key, r store.Row) bool {
	switch kind, _ := kindOf(k); kind {
	case kindLink:
		return true
	case kindManifest:
		return r.Text(attrState) == stateUndoing
	case kindTombstone:
		return !inFlight(now, r)
	}
	return false
}

func (s *sweep) dispatch(ctx context.Context, now time.Time, k store.Key, r store.Row) error {
	kind, rest := kindOf(k)
	switch kind {
	case kindRepository:
		return s.sweepRepository(ctx, now, oci.Repository(k.SK), r)
	case kindTag:
		return s.sweepTag(ctx, now, oci.Repository(rest), oci.Tag(k.SK), r)
	case kindHistory:
		return s.sweepHistory(ctx, now, k)
	case kindManifest:
		return s.sweepManifest(ctx, now, oci.Repository(rest), oci.Digest(k.SK), r)
	case kindLink:
		return s.sweepLink(ctx, now, oci.Repository(rest), oci.Digest(k.SK), r)
	case kindBlob:
		return s.sweepBlob(ctx, now, oci.Digest(rest), r)
	case kindSession:
		return s.sweepSession(ctx, now, rest, r)
	case kindDirect:
		return s.sweepDirect(ctx, now, rest, r)
	case kindTombstone:
		return s.sweepTombstone(ctx, now, rest, r)
	}
	return &store.Error{Op: "sweep", Key: k.String(), Outcome: store.ErrCorrupt, Cause: errors.New("a row of an unknown kind")}
}

// sweepManifest takes a manifest one step further on its way out, or clears the due of one that stays.
func (s *sweep) sweepManifest(ctx context.Context, now time.Time, repo oci.Repository, d oci.Digest, r store.Row) error {
	m := readManifest(r)
	var err error
	switch {
	case m.state == stateStaged:
		err = s.giveUpStage(ctx, now, repo, d, m)
	case m.state == stateUndoing && m.cursor > 0:
		err = s.l.unwind(ctx, now, repo, d, m)
	case m.state == stateUndoing && m.cascade:
		err = s.l.cascade(ctx, repo, d, m)
	case m.state == stateUndoing:
		err = s.dropManifest(ctx, repo, d, m)
	case m.tags > 0 || m.parents > 0 || s.l.cfg.Margins.Untagged == 0:
		return s.keepManifest(ctx, now, repo, d, m)
	default:
		return s.sweepUntagged(ctx, now, repo, d, m)
	}
	if err == nil {
		s.report.Manifests++
	}
	return err
}

// sweepUntagged deletes a manifest to which the rule applies. One that refers to a visible subject stays for as long as
// that does: its due is cleared, and the deletion of the subject takes it along.
func (s *sweep) sweepUntagged(ctx context.Context, now time.Time, repo oci.Repository, d oci.Digest, m manifest) error {
	l := s.l
	if m.subject != "" {
		r, err := l.get(ctx, manifestKey(repo, m.subject))
		if err != nil {
			return err
		}
		if subject := readManifest(r); subject.visible() {
			var t txn
			t.update(manifestKey(repo, d), change{remove: []string{attrDue}}, append(m.asRead(), equals(attrDue, m.due))...)
			t.check(manifestKey(repo, m.subject), subject.asRead()...)
			return l.apply(ctx, now, &t)
		}
	}
	rm := &removal{l: l, repo: repo, digest: d, deletion: l.cfg.NewToken(), subject: m.subject,
		applies: func(m, subject manifest) bool {
			return m.tags == 0 && m.parents == 0 && m.due != 0 && m.due <= now.UnixMilli() && !subject.visible()
		},
		conds: []store.Cond{atMost(attrDue, now.UnixMilli())},
	}
	rm.mark = rm.deletion
	if err := rm.run(ctx); err != nil {
		if errors.Is(err, errManifestUnknown) {
			return errAgain
		}
		return err
	}
	if rm.flipped {
		s.report.Manifests++
	}
	return nil
}

// giveUpStage begins to undo a stage that made no progress for StageLease.
func (s *sweep) giveUpStage(ctx context.Context, now time.Time, repo oci.Repository, d oci.Digest, m manifest) error {
	next := now
	if m.cursor == 0 && m.deletion != "" && !m.cascade {
		next = now.Add(s.l.cfg.Margins.UndoWindow)
	}
	var t txn
	t.update(manifestKey(repo, d), change{set: []store.Attr{
		text(attrState, stateUndoing), text(attrVersion, s.l.cfg.NewToken()), due(next),
	}}, append(m.asRead(), atMost(attrDue, now.UnixMilli()))...)
	return s.l.apply(ctx, now, &t)
}

// keepManifest clears a due that has no reason any more, under the condition that says why.
func (s *sweep) keepManifest(ctx context.Context, now time.Time, repo oci.Repository, d oci.Digest, m manifest) error {
	conds := m.asRead()
	switch {
	case m.tags > 0:
		conds = append(conds, over(attrTags, 0))
	case m.parents > 0:
		conds = append(conds, over(attrParents, 0))
	}
	var t txn
	t.update(manifestKey(repo, d), change{remove: []string{attrDue}}, conds...)
	return s.l.apply(ctx, now, &t)
}

// dropManifest removes the rows of a manifest that holds nothing any more and that nobody can bring back: first the
// names that its deletion kept, where they are many, then the rest in one transaction.
func (s *sweep) dropManifest(ctx context.Context, repo oci.Repository, d oci.Digest, m manifest) error {
	now := s.l.clock.Now()
	rows, err := s.l.read(ctx, bodyKey(repo, d), repositoryKey(repo))
	if err != nil {
		return err
	}
	names, err := s.l.queryAll(ctx, partition(kindTagOf, repo), string(d)+"#")
	if err != nil {
		return err
	}
	conds := append(m.asRead(), equals(attrCursor, 0), atMost(attrDue, s.horizon.UnixMilli()))
	const besides = 5 // manifest, body, referrer, tombstone, repository
	for len(names) > store.MaxOps-besides {
		var t txn
		t.check(manifestKey(repo, d), conds...)
		for _, it := range names[:store.MaxOps-besides] {
			t.remove(it.Key)
		}
		if err := s.l.apply(ctx, now, &t); err != nil {
			return err
		}
		names = names[store.MaxOps-besides:]
	}
	var t txn
	t.remove(manifestKey(repo, d), conds...)
	t.remove(bodyKey(repo, d))
	for _, it := range names {
		t.remove(it.Key)
	}
	if m.subject != "" {
		t.remove(referrerKey(repo, m.subject, m.artifact, d))
	}
	if object := rows[0].Text(attrObject); object != "" {
		s.l.bury(&t, now, tombstone{object: object, bytes: m.size, why: whyManifest})
	}
	s.l.lookAtRepository(&t, now, repo, rows[1])
	return s.l.apply(ctx, now, &t)
}

// where names a row for a person.
func where(k store.Key) string {
	kind, repo, name := describe(k)
	switch {
	case name == "":
		return kind + " " + string(repo)
	case repo == "":
		return kind + " " + name
	case strings.Contains(name, ":"):
		return kind + " " + string(repo) + "@" + name
	}
	return kind + " " + string(repo) + ":" + name
}

// describe names a row for a person.
func describe(k store.Key) (kind string, repo oci.Repository, name string) {
	kind, rest := kindOf(k)
	switch kind {
	case kindRepository:
		return "repository", oci.Repository(k.SK), ""
	case kindTag:
		return "tag", oci.Repository(rest), k.SK
	case kindHistory:
		name, _, _ := strings.Cut(k.SK, "#")
		return "tag history", oci.Repository(rest), name
	case kindManifest:
		return "manifest", oci.Repository(rest), k.SK
	case kindLink:
		return "blob in repository", oci.Repository(rest), k.SK
	case kindBlob:
		return "blob", "", rest
	case kindSession:
		return "upload", "", rest
	case kindDirect:
		return "direct upload", "", rest
	case kindTombstone:
		return "object", "", rest
	case kindBody:
		return "body of manifest", oci.Repository(rest), k.SK
	case kindTagOf:
		d, name, _ := strings.Cut(k.SK, "#")
		return "reverse row of tag " + name + " at", oci.Repository(rest), d
	case kindReferrer:
		subject, _, _ := strings.Cut(k.SK, "#")
		return "referrer " + k.SK[strings.LastIndexByte(k.SK, '#')+1:] + " of", oci.Repository(rest), subject
	case kindContent:
		return "content", "", rest
	case kindCredential:
		return "credential", "", k.SK
	case kindWalk:
		return "progress of a walk", "", k.SK
	}
	return "row " + k.PK, "", k.SK
}
