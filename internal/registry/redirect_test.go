// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/registry"
	"tare/internal/store"
	"tare/internal/store/memstore"
)

// slowSigner signs after a while.
type slowSigner struct {
	store.Direct
	clock *clock.Manual
	slow  []time.Duration // before each signature; those after them take no time
}

func (s *slowSigner) SignGet(ctx context.Context, key string, life time.Duration) (store.SignedRequest, error) {
	if len(s.slow) > 0 {
		s.clock.Advance(s.slow[0])
		s.slow = s.slow[1:]
	}
	return s.Direct.SignGet(ctx, key, life)
}

// redirecting is a world whose readers are sent to the store.
func redirecting(t *testing.T) (*world, *slowSigner) {
	t.Helper()
	w := newWorld(t, registry.Options{})
	w.store = memstore.New(w.clock, memstore.Options{MinPart: 100})
	server := httptest.NewServer(w.store.Handler())
	t.Cleanup(server.Close)
	signer := &slowSigner{Direct: w.store.Direct(server.URL, w.clock), clock: w.clock}
	w.opts.Direct = signer
	w.start(nil)
	return w, signer
}

func TestReadersAreSentToTheStore(t *testing.T) {
	w, _ := redirecting(t)
	content := pattern(1, 1000)
	d := w.upload(repo, content)
	blob, err := w.Blob(t.Context(), repo, d)
	w.must(err)
	req, err := http.NewRequest(http.MethodGet, blob.Location, nil)
	w.must(err)
	req.Header.Set("Range", "bytes=100-199")
	resp, err := http.DefaultClient.Do(req)
	w.must(err)
	part, err := io.ReadAll(resp.Body)
	w.must(errors.Join(err, resp.Body.Close()))
	if resp.StatusCode != http.StatusPartialContent || string(part) != content[100:200] {
		t.Errorf("status %d with %d bytes", resp.StatusCode, len(part))
	}
	head, err := w.ResolveBlob(t.Context(), repo, d)
	w.must(err)
	resp, err = http.Head(head.Location)
	w.must(err)
	w.must(resp.Body.Close())
	if resp.StatusCode != http.StatusOK || resp.ContentLength != 1000 || head.Location == blob.Location {
		t.Errorf("HEAD is answered %d, with a length of %d", resp.StatusCode, resp.ContentLength)
	}
	small := w.upload(repo, "small")
	blob, err = w.Blob(t.Context(), repo, small)
	w.must(err)
	head, err = w.ResolveBlob(t.Context(), repo, small)
	w.must(err)
	if blob.Location != "" || head.Location != "" {
		t.Error("what the table keeps is in the store")
	}
	_, err = w.Blob(t.Context(), "team/other", d)
	w.mustBe(err, oci.BlobUnknown)
}

// A URL is given out only if it was signed within MaxStep of the look at the blob, and lives for as long as its object does
// (C9).
func TestURLsEndBeforeTheirObject(t *testing.T) {
	w, signer := redirecting(t)
	m := w.ledger.Margins()
	d := w.upload(repo, pattern(1, 1000))
	signer.slow = []time.Duration{m.MaxStep + time.Second, 0}
	_, err := w.Blob(t.Context(), repo, d)
	w.must(err)
	if len(signer.slow) > 0 {
		t.Error("a URL was given out that was signed too late")
	}
	signer.slow = []time.Duration{time.Hour, time.Hour, time.Hour}
	_, err = w.Blob(t.Context(), repo, d)
	w.mustBe(err, oci.Unavailable)

	blob, err := w.Blob(t.Context(), repo, d)
	w.must(err)
	w.must(w.DeleteBlob(t.Context(), repo, d))
	w.sweep()
	w.sweep()
	w.clock.Advance(m.URLLife - time.Second)
	w.sweep()
	resp, err := http.Get(blob.Location)
	w.must(err)
	w.must(resp.Body.Close())
	if resp.StatusCode != http.StatusOK {
		t.Errorf("a URL that is good is answered %d", resp.StatusCode)
	}
	w.clock.Advance(2 * time.Second)
	resp, err = http.Get(blob.Location)
	w.must(err)
	w.must(resp.Body.Close())
	if resp.StatusCode == http.StatusOK {
		t.Error("a URL that has ended brings the blob")
	}
	w.clock.Advance(m.TombstoneDelay)
	report, err := w.ledger.Sweep(t.Context(), refcount.SweepOptions{})
	w.must(err)
	if report.Objects != 1 {
		t.Errorf("the sweep did %+v", report)
	}
}
