// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/upload"
)

// slowObjects are objects whose reading takes time.
type slowObjects struct {
	store.Objects
	opened func()
}

func (o *slowObjects) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	o.opened()
	return o.Objects.Open(ctx, key, offset, length)
}

// An object that one call cannot finish goes on in the next from where the row says, and a call that comes meanwhile does
// nothing.
func TestSettleGoesOn(t *testing.T) {
	w := newDirect(t, true)
	content := pattern(1, 3*8<<20)
	d := digest.FromString(content)
	var mu sync.Mutex // guards opened
	opened, slow := 0, time.Duration(0)
	objects := &slowObjects{w.store, func() {
		mu.Lock()
		defer mu.Unlock()
		opened++
		w.clock.Advance(slow)
	}}
	ledger, err := refcount.New(refcount.Stores{Table: w.store, Objects: objects, Parts: w.store}, w.clock, refcount.Config{Margins: refcount.DefaultMargins(), NewToken: w.tokens})
	w.must(err)
	w.ledger = ledger
	w.Uploads, err = upload.New(ledger, objects, w.store, w.clock, w.opts)
	w.must(err)

	up := w.open(oci.DirectOpen{Digest: d, Size: int64(len(content)), Parts: true, PartSize: 6 << 20})
	for number, body := range slices.Collect(slices.Chunk([]byte(content), 6<<20)) {
		signed, err := w.SignDirect(t.Context(), repo, up.ID, []oci.DirectPart{{Number: number + 1, Size: int64(len(body)), Digest: digest.FromBytes(body)}})
		w.must(err)
		w.sent(signed[0], string(body))
	}
	_, err = w.complete(up.ID)
	w.must(err)
	object := w.object(up.ID)
	slow = 3 * time.Second
	left, err := w.Settle(t.Context(), object, w.clock.Now().Add(2*slow))
	w.must(err)
	if x := w.row(up.ID); !left || x.State != refcount.DirectVerifying || !x.Lease.IsZero() || x.Hashed == 0 || x.Hashed == x.Size {
		t.Fatalf("left %v, the upload is %+v", left, x)
	}
	w.absent(d)
	w.audit()
	slow, opened = 0, 0
	left, err = w.Settle(t.Context(), object, far)
	w.must(err)
	if left {
		t.Fatal("something is left")
	}
	got, err := w.complete(up.ID)
	w.must(err)
	w.done(got, d, content)
	if opened != 2 {
		t.Errorf("the second call read %d blocks", opened)
	}
}

// While one call reads, others let it be; when it is no more, its lease ends, and another goes on from what it saved.
func TestSettleLease(t *testing.T) {
	w := newDirect(t, true)
	content := pattern(1, 3*minPart)
	d := digest.FromString(content)
	up := w.openParts(content, d)
	w.bring(up.ID, content)
	_, err := w.complete(up.ID)
	w.must(err)
	x := w.row(up.ID)
	x.Lease = w.clock.Now().Add(time.Minute)
	h := sha256.New()
	h.Write([]byte(content[:20]))
	x.Hashed, x.Hash = 20, marshalled(t, h)
	held, taken, err := w.ledger.WriteDirect(t.Context(), x)
	w.must(err)
	if taken {
		t.Fatal("taken")
	}
	w.settleNow(up.ID)
	got, err := w.complete(up.ID)
	w.must(err)
	if got.State != oci.DirectVerifying || got.Verified != 20 || len(w.asked) != 1 {
		t.Fatalf("the upload is %+v; asked %v", got, w.asked)
	}
	w.clock.Advance(time.Minute)
	got, err = w.DirectStatus(t.Context(), repo, up.ID, 3*time.Second)
	w.must(err)
	if got.State != oci.DirectVerifying || len(w.asked) != 2 {
		t.Fatalf("the upload is %+v; asked %v", got, w.asked)
	}
	w.settleNow(up.ID)
	if _, taken, err := w.ledger.WriteDirect(t.Context(), held); err != nil || !taken {
		t.Errorf("who had the lease goes on: %v", err)
	}
	got, err = w.complete(up.ID)
	w.must(err)
	w.done(got, d, content)
	w.settle()
}

// A client, or the function that completes for it, can be no more at any moment after the store has put the parts together:
// the store's event alone settles.
func TestSettleByEvent(t *testing.T) {
	w := newDirect(t, true)
	content := pattern(1, 3*minPart)
	d := digest.FromString(content)
	up := w.openParts(content, d)
	w.settleNow(up.ID) // an event of nothing that is there
	w.bring(up.ID, content)
	x := w.row(up.ID)
	parts, err := w.opts.Direct.Parts(t.Context(), x.Object, x.Multipart, 0, 10)
	w.must(err)
	w.must(w.store.Complete(t.Context(), x.Object, x.Multipart, parts))
	w.settleNow(up.ID)
	got, err := w.complete(up.ID)
	w.must(err)
	w.done(got, d, content)
	for _, key := range []string{"", "x", "o12345678901234567890123456", string(bytes.Repeat([]byte("o"), 1000))} {
		if left, err := w.Settle(t.Context(), key, far); left || err != nil {
			t.Errorf("an event of %q: left %v, %v", key, left, err)
		}
	}
	w.settle()
}

// Who examines a registry leaves an upload to the store's event, unless the registry verifies it itself.
func TestLeaveToEvent(t *testing.T) {
	for name, elsewhere := range map[string]bool{"settled elsewhere": true, "settled in the request": false} {
		t.Run(name, func(t *testing.T) {
			w := newDirect(t, elsewhere)
			content := pattern(1, 3*minPart)
			d := digest.FromString(content)
			up := w.openParts(content, d)
			w.bring(up.ID, content)
			got, err := w.CompleteDirect(t.Context(), repo, up.ID, oci.LeaveToEvent)
			w.must(err)
			if elsewhere {
				if got.State != oci.DirectVerifying {
					t.Fatalf("the upload is %+v", got)
				}
				got, err = w.DirectStatus(t.Context(), repo, up.ID, oci.LeaveToEvent)
				w.must(err)
				if got.State != oci.DirectVerifying || len(w.asked) > 0 {
					t.Fatalf("the upload is %+v, and was asked for: %v", got, w.asked)
				}
				w.settleNow(up.ID)
				got, err = w.DirectStatus(t.Context(), repo, up.ID, oci.LeaveToEvent)
				w.must(err)
			}
			w.done(got, d, content)
			w.settle()
		})
	}
}

// A reading that breaks off is repeated.
func TestReadAheadRepeats(t *testing.T) {
	w := newDirect(t, false)
	content := pattern(1, 3*minPart)
	d := digest.FromString(content)
	up := w.openParts(content, d)
	w.bring(up.ID, content)
	opens := 0
	w.start(func(c faultstore.Call) faultstore.Action {
		if c.Kind == faultstore.Open {
			if opens++; opens < 3 {
				return faultstore.Unavailable
			}
		}
		return faultstore.Pass
	})
	got, err := w.complete(up.ID)
	w.must(err)
	w.done(got, d, content)
	if opens < 3 {
		t.Errorf("opened %d times", opens)
	}
}

// settler is another process that settles, with a clock of its own, whose objects call read before each reading.
func (w *direct) settler(skew time.Duration, read func()) (*upload.Uploads, *clock.Manual) {
	w.t.Helper()
	clk := clock.NewManual(w.clock.Now().Add(skew))
	objects := &slowObjects{w.store, read}
	ledger, err := refcount.New(refcount.Stores{Table: w.store, Objects: objects, Parts: w.store}, clk,
		refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: inline, NewToken: w.tokens})
	w.must(err)
	uploads, err := upload.New(ledger, objects, w.store, clk, w.opts)
	w.must(err)
	return uploads, clk
}

// completed opens an upload in parts, brings it and completes it; it is to be settled elsewhere.
func (w *direct) completed(content string) oci.DirectUpload {
	w.t.Helper()
	up := w.openParts(content, digest.FromString(content))
	w.bring(up.ID, content)
	got, err := w.complete(up.ID)
	w.must(err)
	if got.State != oci.DirectVerifying {
		w.t.Fatalf("the upload is %+v", got)
	}
	return up
}

// Of events that come at once, one reads.
func TestSettleOnce(t *testing.T) {
	w := newDirect(t, true)
	content := pattern(1, 3*minPart)
	up := w.completed(content)
	var reads atomic.Int64
	var others sync.WaitGroup
	for range 8 {
		settler, _ := w.settler(0, func() { reads.Add(1) })
		others.Go(func() {
			if left, err := settler.Settle(t.Context(), w.object(up.ID), far); left || err != nil {
				t.Errorf("left %v, %v", left, err)
			}
		})
	}
	others.Wait()
	if reads.Load() != 1 {
		t.Errorf("the object was read %d times", reads.Load())
	}
	got, err := w.complete(up.ID)
	w.must(err)
	w.done(got, digest.FromString(content), content)
	w.settle()
}

// An event may come when the upload, or its blob, is no more, and of objects that are no direct uploads.
func TestSettleLate(t *testing.T) {
	w := newDirect(t, true)
	content := pattern(1, 3*minPart)
	d := digest.FromString(content)
	up := w.completed(content)
	w.settleNow(up.ID)
	w.settleNow(up.ID)
	got, err := w.complete(up.ID)
	w.must(err)
	w.done(got, d, content)
	w.must(w.ledger.DeleteBlob(t.Context(), repo, d))
	w.settleNow(up.ID)
	w.absent(d)
	m := w.ledger.Margins()
	for _, wait := range []time.Duration{m.Grace, m.TombstoneDelay} {
		w.clock.Advance(wait + time.Second)
		w.sweep()
		w.settleNow(up.ID)
	}
	w.absent(d)

	id, chunk := w.id(), pattern(2, 3*minPart)
	w.write(id, 0, chunk, -1, len(chunk))
	session := w.session(id)
	for _, object := range []string{session.Object, session.TailObject} {
		if left, err := w.Settle(t.Context(), object, far); left || err != nil {
			t.Errorf("an event of an ordinary upload: left %v, %v", left, err)
		}
	}
	w.finish(id, int64(len(chunk)), "end", -1, chunk+"end")
	link, err := w.ledger.Look(t.Context(), repo, digest.FromString(chunk+"end"))
	w.must(err)
	if left, err := w.Settle(t.Context(), link.Object, far); left || err != nil {
		t.Errorf("an event of an ordinary blob: left %v, %v", left, err)
	}
	w.audit()
	if got := w.read(digest.FromString(chunk + "end")); got != chunk+"end" {
		t.Error("the blob is another")
	}
	w.settle()
}

// A process can be frozen while it reads, for longer than its lease, and thaw when others have gone on.
func TestSettleFrozen(t *testing.T) {
	content := pattern(1, 3*minPart)
	d := digest.FromString(content)
	for name, c := range map[string]struct {
		meanwhile func(w *direct, up oci.DirectUpload)
		there     bool
	}{
		"nothing": {func(*direct, oci.DirectUpload) {}, true},
		"settled by another": {func(w *direct, up oci.DirectUpload) {
			w.settleNow(up.ID)
		}, true},
		"in another's hands": {func(w *direct, up oci.DirectUpload) {
			x := w.row(up.ID)
			x.Lease = w.clock.Now().Add(time.Minute)
			_, _, err := w.ledger.WriteDirect(w.t.Context(), x)
			w.must(err)
		}, false},
		"settled, and deleted": {func(w *direct, up oci.DirectUpload) {
			w.settleNow(up.ID)
			w.must(w.ledger.DeleteBlob(w.t.Context(), repo, d))
		}, false},
		"given up": {func(w *direct, up oci.DirectUpload) {
			w.must(w.CancelDirect(w.t.Context(), repo, up.ID))
		}, false},
		"expired": {func(w *direct, _ oci.DirectUpload) {
			w.clock.Advance(24 * time.Hour)
			w.sweep()
		}, false},
		"expired, and its object is gone": {func(w *direct, _ oci.DirectUpload) {
			w.clock.Advance(24 * time.Hour)
			w.sweep()
			w.clock.Advance(w.ledger.Margins().TombstoneDelay + time.Second)
			w.sweep()
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newDirect(t, true)
			up := w.completed(content)
			var frozen *upload.Uploads
			var clk *clock.Manual
			froze := false
			frozen, clk = w.settler(0, func() {
				if froze {
					return
				}
				froze = true
				w.clock.Advance(2 * time.Minute)
				c.meanwhile(w, up)
				clk.Advance(w.clock.Now().Sub(clk.Now()))
			})
			if left, err := frozen.Settle(t.Context(), w.object(up.ID), far); left || err != nil {
				t.Errorf("left %v, %v", left, err)
			}
			if c.there {
				got, err := w.complete(up.ID)
				w.must(err)
				w.done(got, d, content)
			} else {
				w.absent(d)
				w.audit()
			}
			w.settle()
		})
	}
}

// A lease is as long as both clocks say. Where they differ by more than that, both read, and one of them makes the blob.
func TestSettleSkew(t *testing.T) {
	skew := refcount.DefaultMargins().Skew
	for _, c := range []struct {
		skew  time.Duration
		reads bool
	}{{-skew, false}, {0, false}, {skew, false}, {2 * time.Minute, true}} {
		w := newDirect(t, true)
		content := pattern(1, 3*minPart)
		up := w.completed(content)
		reads, began := 0, false
		second, _ := w.settler(c.skew, func() { reads++ })
		first, _ := w.settler(0, func() {
			if began {
				return
			}
			began = true
			if left, err := second.Settle(t.Context(), w.object(up.ID), far); left || err != nil {
				t.Errorf("%v: left %v, %v", c.skew, left, err)
			}
		})
		if left, err := first.Settle(t.Context(), w.object(up.ID), far); left || err != nil {
			t.Errorf("%v: left %v, %v", c.skew, left, err)
		}
		if (reads > 0) != c.reads {
			t.Errorf("%v: the second one read %d times", c.skew, reads)
		}
		got, err := w.complete(up.ID)
		w.must(err)
		w.done(got, digest.FromString(content), content)
		w.settle()
	}
}

// A call whose time is over before it reads leaves all of it; a state of a hash that is none begins anew.
func TestSettleBegins(t *testing.T) {
	w := newDirect(t, true)
	content := pattern(1, 3*minPart)
	up := w.completed(content)
	reads := 0
	settler, clk := w.settler(0, func() { reads++ })
	if left, err := settler.Settle(t.Context(), w.object(up.ID), clk.Now()); !left || err != nil || reads > 0 {
		t.Errorf("left %v, %v, %d reads", left, err, reads)
	}
	x := w.row(up.ID)
	x.Hashed, x.Hash = 20, "the state of another program"
	_, _, err := w.ledger.WriteDirect(t.Context(), x)
	w.must(err)
	w.settleNow(up.ID)
	got, err := w.complete(up.ID)
	w.must(err)
	w.done(got, digest.FromString(content), content)
	w.settle()
}

// An object of another size than was said is not read: it is rejected at once, and not again and again.
func TestSettleOfAnotherSize(t *testing.T) {
	for name, size := range map[string]int{"fewer bytes": minPart, "more bytes": 3 * minPart} {
		t.Run(name, func(t *testing.T) {
			w := newDirect(t, true)
			up := w.completed(pattern(1, 2*minPart))
			w.putTogether(w.object(up.ID), pattern(1, size))
			settler, _ := w.settler(0, func() { t.Error("the object was read") })
			left, err := settler.Settle(t.Context(), w.object(up.ID), far)
			w.must(err)
			if state := w.row(up.ID).State; left || state != refcount.DirectRejected {
				t.Errorf("left %v, the upload is %q", left, state)
			}
			w.settle()
		})
	}
}

// putTogether makes an object of one part, of which the store has no sum.
func (w *direct) putTogether(object, content string) {
	w.t.Helper()
	ctx := w.t.Context()
	id, err := w.store.Begin(ctx, object)
	w.must(err)
	p, err := w.store.Part(ctx, object, id, w.store.Turn(), 1, 0, strings.NewReader(content), int64(len(content)))
	w.must(err)
	w.must(w.store.Complete(ctx, object, id, []store.Part{p}))
}
