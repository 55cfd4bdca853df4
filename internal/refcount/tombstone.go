// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"time"

	"tare/internal/store"
)

// Why an object was condemned.
const (
	whyBlob      = "blob without links"
	whyManifest  = "manifest deleted"
	whyLost      = "another upload of the same blob was first"
	whyCanceled  = "upload canceled"
	whyExpired   = "upload expired"
	whyRestarted = "upload began again"
	whyRejected  = "content with another digest"
	whyGone      = "object that the store does not have"
	whyPiece     = "piece of an upload"
	whyOrphan    = "object without an owner"
)

// tombstone owns an object that has to be deleted.
type tombstone struct {
	object    string
	multipart bool // parts of it may be lying about
	bytes     int64
	why       string
	late      int64 // milliseconds; until when a put that was allowed may come; 0: see inFlight
}

// bury adds a tombstone to the transaction that takes the object from its owner. Its due is TombstoneDelay away: every
// URL that was signed for the object has ended by then (C9), and every put that began has landed (C1).
func (l *Ledger) bury(t *txn, now time.Time, ts tombstone) {
	k := tombstoneKey(ts.object)
	attrs := []store.Attr{
		text(attrWhy, ts.why), num(attrSince, now.UnixMilli()), num(attrBytes, ts.bytes),
		text(attrVersion, l.cfg.NewToken()), due(now.Add(l.cfg.Margins.TombstoneDelay)), some(attrLate, ts.late),
	}
	if ts.multipart {
		attrs = append(attrs, num(attrMultipart, 1))
	}
	t.put(k, row(k, attrs...), absent())
}

// inFlight tells whether a put of the tombstone's object may still be under way. Whoever finished an upload has put its
// object himself, and nobody else does, unless a URL for a put was given out; all others may have a writer who does not know
// yet that he is too late. A sweep that gives the margins up still waits for these.
func inFlight(now time.Time, r store.Row) bool {
	switch r.Text(attrWhy) {
	case whyBlob, whyLost:
		return r.Num(attrLate) > now.UnixMilli()
	}
	return true
}

// sweepTombstone deletes an object: first its unfinished parts, so that a late completion finds nothing, then the
// object, then the row, so that a crash in between leaves a row that names what is left.
func (s *sweep) sweepTombstone(ctx context.Context, now time.Time, object string, r store.Row) error {
	l := s.l
	if r.Has(attrMultipart) {
		pending, err := l.parts.Pending(ctx, object)
		if err != nil {
			return err
		}
		for _, p := range pending {
			if p.Key != object {
				continue
			}
			if err := l.parts.Abort(ctx, p.Key, p.ID); err != nil {
				return err
			}
		}
	}
	if err := l.objects.Delete(ctx, object); err != nil {
		return err
	}
	var t txn
	t.remove(tombstoneKey(object), is(attrVersion, r.Text(attrVersion)))
	if err := l.apply(ctx, now, &t); err != nil {
		return err
	}
	s.report.Objects++
	s.report.Bytes += r.Num(attrBytes)
	return nil
}
