// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/store"
	"tare/internal/store/memstore"
	"tare/internal/upload"
)

func TestDirectWrongParts(t *testing.T) {
	w := newDirect(t, true)
	content := pattern(1, 3*minPart+5)
	d := digest.FromString(content)
	up := w.openParts(content, d)
	parts, bodies := partsOf(content)
	for name, c := range map[string]struct {
		part oci.DirectPart
		code oci.Code
	}{
		"number 0":            {oci.DirectPart{Number: 0, Size: minPart, Digest: parts[0].Digest}, oci.SizeInvalid},
		"number beyond":       {oci.DirectPart{Number: 5, Size: minPart, Digest: parts[0].Digest}, oci.SizeInvalid},
		"too large":           {oci.DirectPart{Number: 1, Size: minPart + 1, Digest: parts[0].Digest}, oci.SizeInvalid},
		"last one full":       {oci.DirectPart{Number: 4, Size: minPart, Digest: parts[0].Digest}, oci.SizeInvalid},
		"without a digest":    {oci.DirectPart{Number: 1, Size: minPart}, oci.DigestInvalid},
		"with another digest": {oci.DirectPart{Number: 1, Size: minPart, Digest: sha512Of(content)}, oci.DigestInvalid},
	} {
		_, err := w.SignDirect(t.Context(), repo, up.ID, []oci.DirectPart{parts[1], c.part})
		if oci.CodeOf(err) != c.code {
			t.Errorf("%s: got %v, want %s", name, err, c.code)
		}
	}
	_, err := w.SignDirect(t.Context(), repo, up.ID, nil)
	w.mustBe(err, oci.BlobUploadInvalid)
	_, err = w.SignDirect(t.Context(), repo, up.ID, make([]oci.DirectPart, oci.MaxDirectParts+1))
	w.mustBe(err, oci.TooLarge)

	signed, err := w.SignDirect(t.Context(), repo, up.ID, parts)
	w.must(err)
	if w.send(signed[0], bodies[1]) == http.StatusOK {
		t.Error("the store took the bytes of another part")
	}
	w.sent(signed[0], bodies[0])
	w.sent(signed[3], bodies[3])
	_, err = w.complete(up.ID)
	w.mustBe(err, oci.BlobUploadInvalid)
	var e *oci.Error
	if errors.As(err, &e); !slices.Equal(e.Detail.(map[string]any)["missing"].([]int), []int{2, 3}) {
		t.Errorf("what is missing is told as %v", e.Detail)
	}
	w.clock.Advance(15*time.Minute + time.Second)
	if w.send(signed[1], bodies[1]) == http.StatusOK {
		t.Error("a URL that has ended brings a part")
	}
	w.bring(up.ID, content)
	_, err = w.complete(up.ID)
	w.must(err)
	_, err = w.SignDirect(t.Context(), repo, up.ID, parts)
	w.mustBe(err, oci.BlobUploadInvalid)
	_, _, err = w.DirectParts(t.Context(), repo, up.ID, 0, 10)
	w.mustBe(err, oci.BlobUploadInvalid)
	w.settleNow(up.ID)
	got, err := w.complete(up.ID)
	w.must(err)
	w.done(got, d, content)
	w.settle()
}

func TestDirectWrongContent(t *testing.T) {
	for name, async := range map[string]bool{"settled elsewhere": true, "settled in the request": false} {
		t.Run(name, func(t *testing.T) {
			w := newDirect(t, async)
			content := pattern(1, 3*minPart)
			d := digest.FromString(content)
			up := w.openParts(content, d)
			w.bring(up.ID, pattern(2, 3*minPart))
			_, err := w.complete(up.ID)
			if async {
				w.must(err)
				w.settleNow(up.ID)
				_, err = w.complete(up.ID)
			}
			w.mustBe(err, oci.DigestInvalid)
			w.absent(d)
			w.audit()
			_, err = w.DirectStatus(t.Context(), repo, up.ID, 0)
			w.mustBe(err, oci.DigestInvalid)
			_, err = w.SignDirect(t.Context(), repo, up.ID, nil)
			w.mustBe(err, oci.DigestInvalid)
			w.settleNow(up.ID)
			w.must(w.CancelDirect(t.Context(), repo, up.ID))
			_, err = w.complete(up.ID)
			w.mustBe(err, oci.BlobUploadUnknown)
			w.settle()
		})
	}
}

// The object is there before its client comes back, and before the event.
func TestCompleteAfterTheStoreCompleted(t *testing.T) {
	w := newDirect(t, false)
	content := pattern(1, 3*minPart)
	d := digest.FromString(content)
	up := w.openParts(content, d)
	w.bring(up.ID, content)
	x := w.row(up.ID)
	parts, err := w.opts.Direct.Parts(t.Context(), x.Object, x.Multipart, 0, 10)
	w.must(err)
	w.must(w.store.Complete(t.Context(), x.Object, x.Multipart, parts))
	_, _, err = w.DirectParts(t.Context(), repo, up.ID, 0, 10)
	w.mustBe(err, oci.BlobUploadInvalid)
	got, err := w.complete(up.ID)
	w.must(err)
	w.done(got, d, content)
	w.settle()
}

// joining is a store that puts an object together for somebody else just now: for a while it knows neither its parts nor it.
type joining struct {
	*memstore.Store
	unknown int    // looks that find no object
	end     func() // of the other request
}

func (j *joining) Complete(_ context.Context, key, id string, _ []store.Part) error {
	return &store.Error{Op: "complete", Key: key, Outcome: store.ErrNotFound}
}

func (j *joining) Stat(ctx context.Context, key string) (store.ObjectInfo, error) {
	if j.unknown--; j.unknown >= 0 {
		return store.ObjectInfo{}, &store.Error{Op: "stat", Key: key, Outcome: store.ErrNotFound}
	}
	j.end()
	j.end = func() {}
	return j.Store.Stat(ctx, key)
}

// Of two requests that complete an upload at once, none is told that its bytes are gone.
func TestCompleteWhileTheStoreCompletes(t *testing.T) {
	for unknown, code := range map[int]oci.Code{0: "", 1: "", 3: "", 100: oci.Unavailable} {
		w := newDirect(t, true)
		content := pattern(1, 3*minPart)
		d := digest.FromString(content)
		up := w.openParts(content, d)
		w.bring(up.ID, content)
		x := w.row(up.ID)
		j := &joining{Store: w.store, unknown: unknown, end: func() {
			parts, err := w.opts.Direct.Parts(t.Context(), x.Object, x.Multipart, 0, 10)
			w.must(err)
			w.must(w.store.Complete(t.Context(), x.Object, x.Multipart, parts))
		}}
		var err error
		w.Uploads, err = upload.New(w.ledger, j, j, w.clock, w.opts)
		w.must(err)
		_, err = w.complete(up.ID)
		if code != "" {
			w.mustBe(err, code)
			continue
		}
		w.must(err)
		w.settleNow(up.ID)
		got, err := w.complete(up.ID)
		w.must(err)
		w.done(got, d, content)
	}
}

// After a restore the rows of uploads are there, and their bytes are not.
func TestDirectWithoutItsBytes(t *testing.T) {
	w := newDirect(t, true)
	content := pattern(1, 3*minPart)
	d := digest.FromString(content)
	open, verified := w.openParts(content, d), w.openParts(content, d)
	w.bring(verified.ID, content)
	_, err := w.complete(verified.ID)
	w.must(err)
	x := w.row(open.ID)
	w.must(w.store.Abort(t.Context(), x.Object, x.Multipart))
	w.must(w.store.Delete(t.Context(), w.object(verified.ID)))
	_, err = w.complete(open.ID)
	w.mustBe(err, oci.Unavailable)
	w.settleNow(verified.ID)
	_, err = w.complete(verified.ID)
	w.mustBe(err, oci.BlobUploadUnknown)
	w.settle()
}

// waiting is a clock whose pauses pass.
type waiting struct {
	*clock.Manual
	meanwhile func()
}

func (c waiting) Pause(ctx context.Context, d time.Duration) error {
	c.Advance(d)
	c.meanwhile()
	return ctx.Err()
}

// slowToJoin is a store that takes its time to put an object together.
type slowToJoin struct {
	*memstore.Store
	before func()
}

func (s slowToJoin) Complete(ctx context.Context, key, id string, parts []store.Part) error {
	s.before()
	return s.Store.Complete(ctx, key, id, parts)
}

// A request that waits is answered when the upload is verified, and else when its time is over, which began with the request:
// a gateway waits no longer.
func TestCompleteWaits(t *testing.T) {
	const wait = 20 * time.Second
	for name, c := range map[string]struct {
		join     time.Duration // that the store takes
		verified time.Duration // after the beginning
		state    oci.DirectState
		took     time.Duration
	}{
		"verified at once":   {0, 0, oci.DirectDone, time.Second},
		"verified in time":   {5 * time.Second, 10 * time.Second, oci.DirectDone, 10 * time.Second},
		"verified too late":  {0, time.Hour, oci.DirectVerifying, wait},
		"slow to join":       {12 * time.Second, time.Hour, oci.DirectVerifying, wait},
		"too slow to join":   {25 * time.Second, time.Hour, oci.DirectVerifying, 25 * time.Second},
		"verified by itself": {19 * time.Second, 20 * time.Second, oci.DirectDone, wait},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDirect(t, true)
			content := pattern(1, 3*minPart)
			up := w.openParts(content, digest.FromString(content))
			w.bring(up.ID, content)
			begun, settled := w.clock.Now(), false
			clk := waiting{w.clock, func() {
				if !settled && w.clock.Now().Sub(begun) >= c.verified {
					w.settleNow(up.ID)
					settled = true
				}
			}}
			slow, err := upload.New(w.ledger, w.store, slowToJoin{w.store, func() { w.clock.Advance(c.join) }}, clk, w.opts)
			w.must(err)
			got, err := slow.CompleteDirect(t.Context(), repo, up.ID, wait)
			w.must(err)
			if took := w.clock.Now().Sub(begun); got.State != c.state || took != c.took {
				t.Errorf("after %v the upload is %+v", took, got)
			}
			if c.state == oci.DirectDone {
				return
			}
			begun = w.clock.Now()
			got, err = slow.DirectStatus(t.Context(), repo, up.ID, wait)
			w.must(err)
			if took := w.clock.Now().Sub(begun); got.State != c.state || took != wait {
				t.Errorf("after %v the upload is %+v", took, got)
			}
		})
	}
}

// A request that is given up while it waits ends, and so does its wait.
func TestWaitEnds(t *testing.T) {
	w := newDirect(t, true)
	content := pattern(1, 3*minPart)
	up := w.completed(content)
	ctx, cancel := context.WithCancel(t.Context())
	clk := waiting{w.clock, cancel}
	waits, err := upload.New(w.ledger, w.store, w.store, clk, w.opts)
	w.must(err)
	begun := w.clock.Now()
	if _, err := waits.DirectStatus(ctx, repo, up.ID, time.Hour); !errors.Is(err, context.Canceled) || w.clock.Now().Sub(begun) > 2*time.Second {
		t.Errorf("after %v: %v", w.clock.Now().Sub(begun), err)
	}
	w.settleNow(up.ID)
	w.settle()
}
