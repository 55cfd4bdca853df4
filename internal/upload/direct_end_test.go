// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/refcount"
)

func TestDirectGivenUp(t *testing.T) {
	w := newDirect(t, true)
	content := pattern(1, 3*minPart)
	d := digest.FromString(content)
	put := w.open(oci.DirectOpen{Digest: d, Size: 3 * minPart})
	up := w.openParts(content, d)
	w.bring(up.ID, content)
	verified := w.openParts(content, d)
	w.bring(verified.ID, content)
	_, err := w.complete(verified.ID)
	w.must(err)
	for _, id := range []string{put.ID, up.ID, verified.ID} {
		w.must(w.CancelDirect(t.Context(), repo, id))
		w.mustBe(w.CancelDirect(t.Context(), repo, id), oci.BlobUploadUnknown)
		_, err := w.complete(id)
		w.mustBe(err, oci.BlobUploadUnknown)
		_, err = w.DirectStatus(t.Context(), repo, id, 0)
		w.mustBe(err, oci.BlobUploadUnknown)
		_, err = w.SignDirect(t.Context(), repo, id, nil)
		w.mustBe(err, oci.BlobUploadUnknown)
		w.settleNow(id)
	}
	w.sent(*put.Put, content) // a URL outlives the upload, and what it brings is buried
	w.audit()
	w.absent(d)
	w.settle()
}

func TestDirectExpires(t *testing.T) {
	w := newDirect(t, true)
	content := pattern(1, 3*minPart)
	d := digest.FromString(content)
	put := w.open(oci.DirectOpen{Digest: d, Size: 3 * minPart})
	up := w.openParts(content, d)
	w.clock.Advance(20 * time.Hour)
	w.bring(up.ID, content) // which touches it
	w.sweep()
	w.clock.Advance(4*time.Hour - time.Minute)
	_, err := w.DirectStatus(t.Context(), repo, put.ID, 0)
	w.must(err)
	w.clock.Advance(2 * time.Minute)
	w.sweep()
	for _, id := range []string{put.ID, up.ID} {
		_, err := w.complete(id)
		w.mustBe(err, oci.BlobUploadUnknown)
	}
	if w.row(put.ID).State != refcount.DirectGone || w.row(up.ID).State != refcount.DirectOpen {
		t.Errorf("the uploads are %+v and %+v", w.row(put.ID), w.row(up.ID))
	}
	w.audit()
	w.settle()
}

func (w *direct) sweep() {
	w.t.Helper()
	_, err := w.ledger.Sweep(w.t.Context(), refcount.SweepOptions{})
	w.must(err)
}

// An id is good in its repository, as it is.
func TestDirectTickets(t *testing.T) {
	w := newDirect(t, false)
	up := w.open(oci.DirectOpen{Digest: digest.FromString("x"), Size: 1})
	long := w.open(oci.DirectOpen{Digest: sha512Of("x"), Size: 1})
	ordinary := w.id()
	for _, id := range []string{up.ID, long.ID} {
		_, err := w.DirectStatus(t.Context(), repo, id, 0)
		w.must(err)
		_, err = w.DirectStatus(t.Context(), "team/other", id, 0)
		w.mustBe(err, oci.BlobUploadUnknown)
		_, err = w.Resume(t.Context(), repo, id)
		w.mustBe(err, oci.BlobUploadUnknown)
		for i := range id {
			for _, c := range []byte("Aa\n") {
				if other := id[:i] + string(c) + id[i+1:]; other != id {
					_, err := w.DirectStatus(t.Context(), repo, other, 0)
					w.mustBe(err, oci.BlobUploadUnknown)
				}
			}
		}
	}
	for _, id := range []string{"", "x", ordinary, up.ID + "A", up.ID[1:], strings.Repeat("A", len(up.ID)), strings.Repeat("-", 1000)} {
		_, err := w.DirectStatus(t.Context(), repo, id, 0)
		w.mustBe(err, oci.BlobUploadUnknown)
	}
	w.clock.Advance(24 * time.Hour)
	_, err := w.DirectStatus(t.Context(), repo, up.ID, 0)
	w.mustBe(err, oci.BlobUploadUnknown)
}

// Giving the margins up, a sweep still waits for what a URL can bring: else it comes back after its tombstone has gone, and is
// nobody's.
func TestGivingUpWaitsForURLs(t *testing.T) {
	w := newDirect(t, true)
	content := pattern(1, 100)
	d := digest.FromString(content)
	first, second := w.open(oci.DirectOpen{Digest: d, Size: 100}), w.open(oci.DirectOpen{Digest: d, Size: 100})
	for _, up := range []oci.DirectUpload{first, second} {
		w.sent(*up.Put, content)
		_, err := w.complete(up.ID)
		w.must(err)
	}
	parts := pattern(2, 100)
	inParts := w.openParts(parts, digest.FromString(parts))
	w.bring(inParts.ID, parts)
	_, err := w.complete(inParts.ID)
	w.must(err)
	w.settleNow(inParts.ID)
	w.must(w.ledger.DeleteBlob(t.Context(), repo, d))
	w.must(w.ledger.DeleteBlob(t.Context(), repo, digest.FromString(parts)))
	report, err := w.ledger.Sweep(t.Context(), refcount.SweepOptions{GiveUpMargins: true})
	w.must(err)
	if report.Objects != 1 {
		t.Errorf("the sweep did %+v; no URL can bring the object that came in parts, but those of the others can", report)
	}
	w.sent(*first.Put, content)
	w.sent(*second.Put, content)
	w.audit()
	m := w.ledger.Margins()
	w.clock.Advance(m.URLLife + m.MaxPut + m.MaxStep + 2*m.Skew + time.Second)
	report, err = w.ledger.Sweep(t.Context(), refcount.SweepOptions{GiveUpMargins: true})
	w.must(err)
	if report.Objects != 2 {
		t.Errorf("the sweep did %+v", report)
	}
	w.settle()
}

// Two requests for URLs at once: the later touch counts, whichever comes last.
func TestTouchesMeet(t *testing.T) {
	w := newDirect(t, true)
	up := w.open(oci.DirectOpen{Digest: digest.FromString("x"), Size: 1})
	earlier := w.row(up.ID)
	w.clock.Advance(time.Minute)
	w.must(w.ledger.TouchDirect(t.Context(), earlier))
	w.clock.Advance(-30 * time.Second)
	w.must(w.ledger.TouchDirect(t.Context(), earlier))
	w.clock.Advance(30*time.Second + 24*time.Hour - time.Millisecond)
	w.sweep()
	if w.row(up.ID).State != refcount.DirectOpen {
		t.Error("the earlier touch made the time shorter")
	}
	w.clock.Advance(time.Millisecond)
	w.sweep()
	if w.row(up.ID).State != refcount.DirectGone {
		t.Error("the upload stays")
	}
	w.mustBe(w.ledger.TouchDirect(t.Context(), earlier), oci.BlobUploadUnknown)
	w.settle()
}
