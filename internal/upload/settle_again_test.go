// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"slices"
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

// Whoever saved how far it is and does not know whether that came to pass cannot tell its own save from another's: it says so,
// and what calls it again a minute later goes on.
func TestSettleOfAnUnknownSave(t *testing.T) {
	w := newDirect(t, true)
	content := pattern(1, 3*8<<20)
	d := digest.FromString(content)
	up := w.open(oci.DirectOpen{Digest: d, Size: int64(len(content)), Parts: true, PartSize: 6 << 20})
	for number, body := range slices.Collect(slices.Chunk([]byte(content), 6<<20)) {
		signed, err := w.SignDirect(t.Context(), repo, up.ID, []oci.DirectPart{{Number: number + 1, Size: int64(len(body)), Digest: digest.FromBytes(body)}})
		w.must(err)
		w.sent(signed[0], string(body))
	}
	_, err := w.complete(up.ID)
	w.must(err)
	var mu sync.Mutex // guards commits
	commits := 0
	proc := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		if c.Kind != faultstore.Commit {
			return faultstore.Pass
		}
		mu.Lock()
		defer mu.Unlock()
		switch commits++; {
		case commits == 2:
			return faultstore.LoseReply // the save in mid-read
		case commits > 2 && commits <= 65:
			return faultstore.LoseCall // as often as it is sent again
		}
		return faultstore.Pass
	}})
	objects := &slowObjects{w.store, func() { w.clock.Advance(11 * time.Second) }}
	ledger, err := refcount.New(refcount.Stores{Table: proc.Table(w.store), Objects: objects, Parts: w.store}, w.clock,
		refcount.Config{Margins: refcount.DefaultMargins(), NewToken: w.tokens, Distant: true})
	w.must(err)
	unlucky, err := upload.New(ledger, objects, w.store, w.clock, w.opts)
	w.must(err)
	if _, err := unlucky.Settle(t.Context(), w.object(up.ID), far); !errors.Is(err, store.ErrUnknownOutcome) {
		t.Fatalf("after %d commits: %v", commits, err)
	}
	if x := w.row(up.ID); x.Hashed == 0 || x.Lease.IsZero() {
		t.Fatalf("the save did not come to pass: %+v", x)
	}
	w.clock.Advance(time.Minute)
	w.settleNow(up.ID)
	got, err := w.complete(up.ID)
	w.must(err)
	w.done(got, d, content)
	w.settle()
}

// met is a store that is asked for a sum while another request is at work.
type met struct {
	store.Direct
	meanwhile func()
}

func (m met) Sum(ctx context.Context, key string) (size int64, sum [sha256.Size]byte, known bool, err error) {
	size, sum, known, err = m.Direct.Sum(ctx, key)
	m.meanwhile()
	return size, sum, known, err
}

// The store's event can come before the client's request has marked the upload as complete. That the row is another then is no
// reason to leave it: the client may be no more, and have asked nobody.
func TestSettleMeetsTheEnd(t *testing.T) {
	w := newDirect(t, true)
	w.opts.Settle = func(context.Context, string) error { return errors.New("too many calls") }
	w.start(nil)
	content := pattern(1, 3*minPart)
	d := digest.FromString(content)
	up := w.openParts(content, d)
	w.bring(up.ID, content)
	x := w.row(up.ID)
	parts, err := w.opts.Direct.Parts(t.Context(), x.Object, x.Multipart, 0, 10)
	w.must(err)
	w.must(w.store.Complete(t.Context(), x.Object, x.Multipart, parts))
	looks := 0
	opts := w.opts
	opts.Direct = met{w.opts.Direct, func() {
		if looks++; looks > 1 {
			return
		}
		_, err := w.complete(up.ID)
		w.mustBe(err, oci.Unavailable)
	}}
	event, err := upload.New(w.ledger, w.store, w.store, w.clock, opts)
	w.must(err)
	left, err := event.Settle(t.Context(), x.Object, far)
	w.must(err)
	if left || looks != 2 {
		t.Errorf("left %v, %d looks", left, looks)
	}
	got, err := w.complete(up.ID)
	w.must(err)
	w.done(got, d, content)
	w.settle()
}

// An ask that fails is the registry's trouble for a moment. The upload is complete all the same, and who comes back is told so.
func TestAskFails(t *testing.T) {
	w := newDirect(t, true)
	asked, refused := 0, errors.New("too many calls")
	w.opts.Settle = func(context.Context, string) error {
		if asked++; asked < 3 {
			return refused
		}
		return nil
	}
	w.start(nil)
	content := pattern(1, 3*minPart)
	d := digest.FromString(content)
	up := w.openParts(content, d)
	w.bring(up.ID, content)
	fails := func(err error) {
		t.Helper()
		w.mustBe(err, oci.Unavailable)
		if !errors.Is(err, refused) {
			t.Errorf("the cause is not told: %v", err)
		}
	}
	_, err := w.complete(up.ID)
	fails(err)
	got, err := w.complete(up.ID)
	w.must(err)
	if got.State != oci.DirectVerifying {
		t.Fatalf("the upload is %+v", got)
	}
	w.clock.Advance(10 * time.Second)
	_, err = w.DirectStatus(t.Context(), repo, up.ID, 0)
	fails(err)
	w.clock.Advance(10 * time.Second)
	_, err = w.DirectStatus(t.Context(), repo, up.ID, 0)
	w.must(err)
	if asked != 3 {
		t.Errorf("asked %d times", asked)
	}
	w.settleNow(up.ID)
	got, err = w.complete(up.ID)
	w.must(err)
	w.done(got, d, content)
	w.settle()
}

// A request that was given up while it asks is no trouble of the registry's.
func TestAskGivenUp(t *testing.T) {
	w := newDirect(t, true)
	w.opts.Settle = func(ctx context.Context, _ string) error { return ctx.Err() }
	w.start(nil)
	up := w.completed(pattern(1, 3*minPart))
	w.clock.Advance(10 * time.Second)
	ctx, cancel := context.WithCancel(t.Context())
	w.opts.Settle = func(ctx context.Context, _ string) error { cancel(); return ctx.Err() }
	w.start(nil)
	if _, err := w.DirectStatus(ctx, repo, up.ID, 0); !errors.Is(err, context.Canceled) || oci.CodeOf(err) == oci.Unavailable {
		t.Errorf("it is told %v", err)
	}
}

// However many come and look, one of them asks, and another only when nothing has come of that for a while.
func TestAskSeldom(t *testing.T) {
	w := newDirect(t, true)
	var asked atomic.Int64
	w.opts.Settle = func(context.Context, string) error { asked.Add(1); return nil }
	w.start(nil)
	content := pattern(1, 3*minPart)
	up := w.completed(content)
	for want := int64(1); want < 4; want++ {
		var looks sync.WaitGroup
		for range 20 {
			looks.Go(func() {
				if _, err := w.DirectStatus(t.Context(), repo, up.ID, 0); err != nil {
					t.Error(err)
				}
			})
		}
		looks.Wait()
		_, err := w.complete(up.ID)
		w.must(err)
		if asked.Load() != want {
			t.Fatalf("asked %d times, want %d", asked.Load(), want)
		}
		w.clock.Advance(10 * time.Second)
	}
	w.settleNow(up.ID)
	got, err := w.complete(up.ID)
	w.must(err)
	w.done(got, digest.FromString(content), content)
	w.settle()
}

// Who verifies is not disturbed by an ask, though its lease has ended by then.
func TestAskWhileItIsRead(t *testing.T) {
	w := newDirect(t, true)
	content := pattern(1, 3*minPart)
	up := w.completed(content)
	var clk *clock.Manual
	var slow *upload.Uploads
	slow, clk = w.settler(0, func() {
		clk.Advance(time.Minute)
		w.clock.Advance(time.Minute)
		if _, err := w.DirectStatus(t.Context(), repo, up.ID, 0); err != nil {
			t.Error(err)
		}
	})
	if left, err := slow.Settle(t.Context(), w.object(up.ID), far); left || err != nil {
		t.Errorf("left %v, %v", left, err)
	}
	if len(w.asked) != 2 {
		t.Errorf("asked %v", w.asked)
	}
	got, err := w.complete(up.ID)
	w.must(err)
	w.done(got, digest.FromString(content), content)
	w.settle()
}

// After a restore the row of an upload that was being verified is there, and its object is not: nobody knows the upload.
func TestSettleWithoutTheObject(t *testing.T) {
	content := pattern(1, 3*minPart)
	for name, hashed := range map[string]int{"not begun": 0, "begun": 20} {
		t.Run(name, func(t *testing.T) {
			w := newDirect(t, true)
			up := w.completed(content)
			if hashed > 0 {
				x, h := w.row(up.ID), sha256.New()
				h.Write([]byte(content[:hashed]))
				x.Hashed, x.Hash = int64(hashed), marshalled(t, h)
				_, _, err := w.ledger.WriteDirect(t.Context(), x)
				w.must(err)
			}
			w.must(w.store.Delete(t.Context(), w.object(up.ID)))
			w.settleNow(up.ID)
			_, err := w.complete(up.ID)
			w.mustBe(err, oci.BlobUploadUnknown)
			_, err = w.DirectStatus(t.Context(), repo, up.ID, 0)
			w.mustBe(err, oci.BlobUploadUnknown)
			w.audit()
			w.settle()
		})
	}
}
