// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/store/memstore"
	"tare/internal/upload"
)

// minPart is the least size of a part in these tests.
const minPart = inline + 8

// direct is a world whose store takes requests of clients.
type direct struct {
	*world
	asked []string // what Options.Settle was asked for
	async bool     // Options.Settle is set
}

func newDirect(t *testing.T, async bool) *direct {
	t.Helper()
	clk := clock.NewManual(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	w := &direct{async: async, world: &world{t: t, store: memstore.New(clk, memstore.Options{MinPart: minPart}), clock: clk, tokens: seededTokens(1)}}
	server := httptest.NewServer(w.store.Handler())
	t.Cleanup(server.Close)
	w.opts.Direct = w.store.Direct(server.URL, clk)
	if async {
		w.opts.Settle = func(_ context.Context, id string) error {
			w.asked = append(w.asked, id)
			return nil
		}
	}
	w.start(nil)
	return w
}

// send sends a signed request, and answers its status.
func (w *direct) send(r oci.SignedRequest, content string) int {
	w.t.Helper()
	req, err := http.NewRequest(r.Method, r.URL, strings.NewReader(content))
	w.must(err)
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	resp, err := http.DefaultClient.Do(req)
	w.must(err)
	_, err = io.Copy(io.Discard, resp.Body)
	w.must(errors.Join(err, resp.Body.Close()))
	return resp.StatusCode
}

func (w *direct) sent(r oci.SignedRequest, content string) {
	w.t.Helper()
	if status := w.send(r, content); status != http.StatusOK {
		w.t.Fatalf("the store answers %d", status)
	}
}

func (w *direct) open(o oci.DirectOpen) oci.DirectUpload {
	w.t.Helper()
	up, err := w.OpenDirect(w.t.Context(), repo, o)
	w.must(err)
	if up.State != oci.DirectOpened || up.ID == "" || up.Digest != o.Digest || up.Size != o.Size || !up.Ends.Equal(w.clock.Now().Add(24*time.Hour)) {
		w.t.Fatalf("a new upload is %+v", up)
	}
	return up
}

// openParts opens an upload in parts of minPart bytes.
func (w *direct) openParts(content string, d oci.Digest) oci.DirectUpload {
	w.t.Helper()
	up := w.open(oci.DirectOpen{Digest: d, Size: int64(len(content)), Parts: true, PartSize: minPart})
	if up.Put != nil || up.PartSize != minPart || up.Parts != (len(content)+minPart-1)/minPart {
		w.t.Fatalf("a new upload in parts is %+v", up)
	}
	return up
}

func marshalled(t *testing.T, h any) string {
	t.Helper()
	state, err := h.(encoding.BinaryMarshaler).MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	return string(state)
}

func partsOf(content string) (parts []oci.DirectPart, bodies []string) {
	for body := range slices.Chunk([]byte(content), minPart) {
		parts = append(parts, oci.DirectPart{Number: len(parts) + 1, Size: int64(len(body)), Digest: digest.FromBytes(body)})
		bodies = append(bodies, string(body))
	}
	return parts, bodies
}

// bring sends all parts of an upload, the last one first.
func (w *direct) bring(id, content string) {
	w.t.Helper()
	parts, bodies := partsOf(content)
	signed, err := w.SignDirect(w.t.Context(), repo, id, parts)
	w.must(err)
	for i := len(parts) - 1; i >= 0; i-- {
		w.sent(signed[i], bodies[i])
	}
}

func (w *direct) complete(id string) (oci.DirectUpload, error) {
	return w.CompleteDirect(w.t.Context(), repo, id, 0)
}

// done checks that an upload is a blob.
func (w *direct) done(up oci.DirectUpload, d oci.Digest, content string) {
	w.t.Helper()
	if up.State != oci.DirectDone || up.Digest != d || up.Size != int64(len(content)) {
		w.t.Fatalf("the upload is %+v", up)
	}
	if got := w.read(d); got != content {
		w.t.Fatalf("the blob has %d bytes, which are not the %d that were uploaded", len(got), len(content))
	}
	w.audit()
}

func (w *direct) object(id string) string {
	w.t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(id)
	w.must(err)
	return "o" + string(raw[:26])
}

func (w *direct) row(id string) refcount.Direct {
	w.t.Helper()
	x, err := w.ledger.Direct(w.t.Context(), w.object(id))
	w.must(err)
	return x
}

var far = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)

func (w *direct) settleNow(id string) {
	w.t.Helper()
	left, err := w.Settle(w.t.Context(), w.object(id), far)
	w.must(err)
	if left {
		w.t.Fatal("something is left")
	}
}

func TestDirectPut(t *testing.T) {
	w := newDirect(t, true)
	content := pattern(1, 100)
	d := digest.FromString(content)
	up := w.open(oci.DirectOpen{Digest: d, Size: 100})
	if up.Put == nil || up.PartSize != 0 || up.Parts != 0 {
		t.Fatalf("a new upload is %+v", up)
	}
	_, err := w.complete(up.ID)
	w.mustBe(err, oci.BlobUploadInvalid) // nothing came
	if status := w.send(*up.Put, pattern(2, 100)); status == http.StatusOK {
		t.Error("the store took other bytes")
	}
	w.absent(d)
	w.sent(*up.Put, content)
	w.absent(d)
	w.audit()
	for range 2 {
		got, err := w.complete(up.ID)
		w.must(err)
		w.done(got, d, content)
	}
	w.sent(*up.Put, content) // a replay changes nothing
	status, err := w.DirectStatus(t.Context(), repo, up.ID, 0)
	w.must(err)
	w.done(status, d, content)
	if len(w.asked) > 0 {
		t.Errorf("a PUT that the store verified is settled: %v", w.asked)
	}
	w.mustBe(w.CancelDirect(t.Context(), repo, up.ID), oci.BlobUploadUnknown)
	_, err = w.SignDirect(t.Context(), repo, up.ID, nil)
	w.mustBe(err, oci.BlobUploadUnknown)
	w.world.settle()
}

func TestDirectParts(t *testing.T) {
	for name, async := range map[string]bool{"settled elsewhere": true, "settled in the request": false} {
		t.Run(name, func(t *testing.T) {
			w := newDirect(t, async)
			content := pattern(1, 5*minPart+3)
			d := digest.FromString(content)
			up := w.openParts(content, d)
			w.bring(up.ID, content)
			parts, more, err := w.DirectParts(t.Context(), repo, up.ID, 1, 2)
			w.must(err)
			if !more || len(parts) != 2 || parts[0].Number != 2 || parts[1] != (oci.DirectPart{Number: 3, Size: minPart}) {
				t.Errorf("parts 2 and 3 are %+v, more %v", parts, more)
			}
			got, err := w.complete(up.ID)
			w.must(err)
			if async {
				if got.State != oci.DirectVerifying || !slices.Equal(w.asked, []string{w.object(up.ID)}) {
					t.Fatalf("completed, the upload is %+v, and settling was asked for %v", got, w.asked)
				}
				w.absent(d)
				w.audit()
				w.settleNow(up.ID)
				got, err = w.complete(up.ID)
				w.must(err)
			}
			w.done(got, d, content)
			w.settleNow(up.ID) // the store's event
			w.world.settle()
		})
	}
}

func TestDirectSHA512(t *testing.T) {
	w := newDirect(t, false)
	content := pattern(1, 40)
	d := sha512Of(content)
	up := w.open(oci.DirectOpen{Digest: d, Size: 40})
	if up.Put != nil || up.Parts != 1 {
		t.Fatalf("an upload of a sha512 is %+v", up)
	}
	signed, err := w.SignDirect(t.Context(), repo, up.ID, []oci.DirectPart{{Number: 1, Size: 40, Digest: digest.FromString(content)}})
	w.must(err)
	w.sent(signed[0], content)
	got, err := w.complete(up.ID)
	w.must(err)
	w.done(got, d, content)
	w.world.settle()
}

func TestDirectOfWhatIsThere(t *testing.T) {
	w := newDirect(t, false)
	content := pattern(1, 40)
	d := digest.FromString(content)
	up := w.open(oci.DirectOpen{Digest: d, Size: 40})
	second := w.open(oci.DirectOpen{Digest: d, Size: 40})
	for _, one := range []oci.DirectUpload{up, second} {
		w.sent(*one.Put, content)
		got, err := w.complete(one.ID)
		w.must(err)
		w.done(got, d, content)
	}
	there, err := w.OpenDirect(t.Context(), repo, oci.DirectOpen{Digest: d, Size: 40})
	w.must(err)
	w.done(there, d, content)
	if there.ID != "" {
		t.Error("there is an upload of what is there")
	}
	elsewhere, err := w.OpenDirect(t.Context(), "team/other", oci.DirectOpen{Digest: d, Size: 40})
	w.must(err)
	if elsewhere.State != oci.DirectOpened {
		t.Errorf("what another repository has is %+v", elsewhere)
	}
	w.world.settle()
}

func TestDirectRefusals(t *testing.T) {
	w := newDirect(t, false)
	w.opts.MaxBlob = 1 << 45
	w.start(nil)
	d := digest.FromString("x")
	for _, c := range []struct {
		open oci.DirectOpen
		code oci.Code
	}{
		{oci.DirectOpen{Digest: d}, oci.SizeInvalid},
		{oci.DirectOpen{Digest: d, Size: -1}, oci.SizeInvalid},
		{oci.DirectOpen{Digest: d, Size: 1, Parts: true, PartSize: -1}, oci.SizeInvalid},
		{oci.DirectOpen{Digest: d, Size: 1<<45 + 1}, oci.TooLarge},
		{oci.DirectOpen{Digest: d, Size: 1 << 62}, oci.TooLarge},
	} {
		_, err := w.OpenDirect(t.Context(), repo, c.open)
		w.mustBe(err, c.code)
	}
	for _, c := range []struct {
		size, wish, part int64
		parts            bool
	}{
		{store.MaxDirectPut, 0, 0, false},
		{store.MaxDirectPut + 1, 0, 16 << 20, false},
		{1 << 30, 0, 16 << 20, true},
		{1 << 30, 5 << 20, 5 << 20, true},
		{1 << 40, 5 << 20, 105 << 20, true},
		{1 << 30, 1, 0, true}, // as many parts as there may be
		{1 << 30, 1 << 50, store.MaxDirectPut, true},
		{1 << 45, 0, 3356 << 20, true},
	} {
		up, err := w.OpenDirect(t.Context(), repo, oci.DirectOpen{Digest: d, Size: c.size, Parts: c.parts, PartSize: c.wish})
		w.must(err)
		if c.wish == 1 {
			if up.Parts > store.MaxParts || up.PartSize < minPart {
				t.Errorf("%d bytes come in %d parts of %d", c.size, up.Parts, up.PartSize)
			}
		} else if up.PartSize != c.part || up.Parts > store.MaxParts || up.PartSize > 0 && int64(up.Parts)*up.PartSize < c.size {
			t.Errorf("%d bytes come in %d parts of %d, want %d", c.size, up.Parts, up.PartSize, c.part)
		}
	}
	w.opts.Direct = nil
	w.start(nil)
	_, err := w.OpenDirect(t.Context(), repo, oci.DirectOpen{Digest: d, Size: 1})
	w.mustBe(err, oci.Unsupported)
	_, err = w.complete("x")
	w.mustBe(err, oci.Unsupported)
	w.opts.Direct = w.store.Direct("http://store", w.clock)
	w.world.settle()
}

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
	w.world.settle()
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
			w.world.settle()
		})
	}
}

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
	w.world.settle()
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
	w.world.settle()
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
	w.world.settle()
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
	w.world.settle()
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
			w.world.settle()
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
	w.world.settle()
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
	for unknown, code := range map[int]oci.Code{0: "", 1: "", 3: "", 100: oci.BlobUploadUnknown} {
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
	w.mustBe(err, oci.BlobUploadUnknown)
	w.settleNow(verified.ID)
	_, err = w.complete(verified.ID)
	w.mustBe(err, oci.DigestInvalid)
	w.world.settle()
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
	w.world.settle()
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
	w.world.settle()
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
