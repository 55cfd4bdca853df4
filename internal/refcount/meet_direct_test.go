// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"strings"
	"testing"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
)

// openDirect opens a direct upload of big in one PUT. Its bytes have come where they are to.
func (w *world) openDirect(come bool) refcount.Direct {
	w.t.Helper()
	ctx := w.t.Context()
	x, _, found, err := w.OpenDirect(ctx, repo, digestOf(big), int64(len(big)), 0, func(refcount.Direct) error { return nil })
	w.must(err)
	if found {
		w.t.Fatal("the blob is there already")
	}
	if come {
		w.must(w.store.Put(ctx, x.Object, strings.NewReader(big), int64(len(big))))
	}
	return x
}

// The sweep finds a direct upload that has expired; before it commits, URLs for the object are given out. It must not end
// an upload whose client has URLs that are good (C10).
func TestDirectExpiryMeetsATouch(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	x := w.openDirect(false)
	w.clock.Advance(refcount.DefaultMargins().UploadTTL + time.Second)
	_, err := w.before(1, func() { w.must(w.TouchDirect(ctx, x)) }).Sweep(ctx, refcount.SweepOptions{})
	w.must(err)
	still, err := w.Direct(ctx, x.Object)
	w.must(err)
	if still.State != refcount.DirectOpen {
		t.Errorf("the upload is %q", still.State)
	}
	w.audit()
}

// Who is about to give URLs out is told that the upload ended, in whatever way, and does not put its end off.
func TestDirectTouchMeetsTheEnd(t *testing.T) {
	for name, end := range map[string]func(*world, refcount.Direct) error{
		"canceled": func(w *world, x refcount.Direct) error {
			return w.DiscardDirect(w.t.Context(), repo, x.Object, w.clock.Now().Add(time.Hour))
		},
		"rejected": func(w *world, x refcount.Direct) error { return w.RejectDirect(w.t.Context(), x) },
		"being verified": func(w *world, x refcount.Direct) error {
			x.State = refcount.DirectVerifying
			_, _, err := w.WriteDirect(w.t.Context(), x)
			return err
		},
		"finished": func(w *world, x refcount.Direct) error { return w.FinishDirect(w.t.Context(), x) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			x := w.openDirect(true)
			w.clock.Advance(time.Minute)
			w.mustBe(w.before(1, func() { w.must(end(w, x)) }).TouchDirect(t.Context(), x), oci.BlobUploadUnknown)
			w.audit()
		})
	}
}

// An upload is finished between the reads and the commit of its cancelation: the object is the blob's, and no tombstone's.
func TestDirectCancelMeetsTheEnd(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	x := w.openDirect(true)
	until := w.clock.Now().Add(time.Hour)
	w.mustBe(w.before(1, func() { w.must(w.FinishDirect(ctx, x)) }).DiscardDirect(ctx, repo, x.Object, until), oci.BlobUploadUnknown)
	w.audit()
	_, err := w.Look(ctx, repo, digestOf(big))
	w.must(err)
}

// And the other way about: what was canceled does not become a blob.
func TestDirectEndMeetsACancel(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	x := w.openDirect(true)
	until := w.clock.Now().Add(time.Hour)
	end := w.before(1, func() { w.must(w.DiscardDirect(ctx, repo, x.Object, until)) })
	w.mustBe(end.FinishDirect(ctx, x), oci.BlobUploadUnknown)
	w.audit()
}

// Of those who read an upload at one moment one asks, and whoever verifies it meanwhile goes on.
func TestDirectAsk(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	x := w.openDirect(true)
	x.State = refcount.DirectVerifying
	verifies, _, err := w.WriteDirect(ctx, x)
	w.must(err)
	due := func() int64 {
		rows, err := w.store.Get(ctx, store.Key{PK: "p#" + x.Object, SK: "p"})
		w.must(err)
		return rows[0].Num(store.AttrDue)
	}
	dies := due()
	w.clock.Advance(time.Second)
	for i := range 3 {
		read, err := w.Direct(ctx, x.Object)
		w.must(err)
		for _, want := range []bool{true, false} {
			w.clock.Advance(time.Second)
			asks, err := w.AskDirect(ctx, read)
			w.must(err)
			if asks != want {
				t.Errorf("ask %d: %v", i, asks)
			}
		}
		now, err := w.Direct(ctx, x.Object)
		w.must(err)
		if !now.Asked.Equal(w.clock.Now().Add(-time.Second)) {
			t.Errorf("asked at %v", now.Asked)
		}
	}
	if late := due() - dies; late != 0 {
		t.Errorf("asking put the end off by %d ms", late)
	}
	w.must(w.FinishDirect(ctx, verifies))
	asks, err := w.AskDirect(ctx, verifies)
	w.must(err)
	if asks {
		t.Error("somebody is asked to verify what is finished")
	}
	w.audit()
}

// What is found lost may have changed meanwhile: then it is left.
func TestDirectLost(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	x := w.openDirect(false)
	x.State = refcount.DirectVerifying
	found, _, err := w.WriteDirect(ctx, x)
	w.must(err)
	now, _, err := w.WriteDirect(ctx, found)
	w.must(err)
	w.must(w.LoseDirect(ctx, found))
	left, err := w.Direct(ctx, x.Object)
	w.must(err)
	if left.State != refcount.DirectVerifying {
		t.Errorf("the upload is %q", left.State)
	}
	w.must(w.LoseDirect(ctx, now))
	left, err = w.Direct(ctx, x.Object)
	w.must(err)
	if left.State != refcount.DirectClosed {
		t.Errorf("the upload is %q", left.State)
	}
	w.audit()
}
