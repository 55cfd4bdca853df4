// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"context"
	"encoding"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/memstore"
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
	w.settle()
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
			w.settle()
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
	w.settle()
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
	w.settle()
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
	w.settle()
}
