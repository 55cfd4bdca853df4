// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store/faultstore"
	"tare/internal/upload"

	"github.com/opencontainers/go-digest"
)

// directly are the options of uploads in a world whose clients can bring bytes to the store themselves: one whose parts have a
// least size.
func (w *world) directly(p *faultstore.Process) upload.Options {
	if w.store.MinPart() == 0 {
		return upload.Options{}
	}
	o := upload.Options{Direct: p.Direct(w.store.Direct("http://store", w.clock))}
	if w.waits {
		o.Settle = func(context.Context, string) error { return nil }
	}
	return o
}

// directScenarios are direct uploads.
func directScenarios() []scenario {
	day := wait(25 * time.Hour)
	elsewhere := func(setup operation) operation {
		return all(gathering(setup), func(_ context.Context, p *process) error { p.waits = true; return nil })
	}
	sha512 := digest.SHA512.FromString(large)
	return []scenario{
		{"direct, one put", gathering(nil), directPut(repo, large), true},
		{"direct, parts", gathering(nil), directParts(repo, digest.FromString(large), large), true},
		{"direct, sha512", gathering(nil), directParts(repo, sha512, large), true},
		{"direct, settled elsewhere", elsewhere(nil), directSettled(repo, large), true},
		{"direct, asked for again", elsewhere(nil), directAsked(repo, large), true},
		{"direct, without its object", elsewhere(nil), directLost(repo, large), true},
		{"direct, settled by the store's event", elsewhere(nil), directEvent(repo, large), true},
		{"direct, parts, resumed", gathering(nil), directResumed(repo, large), true},
		{"direct, there already", gathering(pushBlob(repo, large)), directPut(repo, large), true},
		{"direct, there when it comes", gathering(nil), directLate(repo, large), true},
		{"direct, in another repository", gathering(pushBlob(other, large)), directParts(repo, digest.FromString(large), large), true},
		{"direct, of another digest", gathering(nil), directWrong(repo, large), true},
		{"direct, canceled", gathering(nil), directCanceled(repo, large), true},
		{"direct, what is there", gathering(all(pushBlobs(repo, small, large), wait(20*time.Hour))), haveBlobs(repo, small, large, larger), true},
		{"sweep direct uploads", all(elsewhere(nil), again(directLeft(repo, large)), day), sweep(refcount.SweepOptions{}), true},
		{"sweep ends of direct uploads", all(gathering(nil), again(all(directWrong(repo, large), directCanceled(repo, large))), day), sweep(refcount.SweepOptions{}), true},
		{"sweep a direct blob, margins given up", all(gathering(nil), again(all(directPut(repo, large), deleteBlob(repo, large)))),
			sweep(refcount.SweepOptions{GiveUpMargins: true}), true},
	}
}

// bring sends a signed request to the store, whatever becomes of the process.
func (p *process) bring(r oci.SignedRequest, content string) error {
	req := httptest.NewRequest(r.Method, r.URL, strings.NewReader(content))
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	answer := httptest.NewRecorder()
	p.store.Handler().ServeHTTP(answer, req)
	if answer.Code != http.StatusOK {
		return fmt.Errorf("the store answers %d: %w", answer.Code, errUnexpected)
	}
	return nil
}

// directPut uploads in one PUT, by the second URL that it asks for.
func directPut(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		up, err := p.reg.OpenDirect(ctx, r, oci.DirectOpen{Digest: d, Size: int64(len(content))})
		if err != nil || up.State == oci.DirectDone {
			return p.toldOfBlob(r, d, content, err)
		}
		signed, err := p.reg.SignDirect(ctx, r, up.ID, nil)
		if err != nil {
			return err
		}
		if err := p.bring(signed[0], content); err != nil {
			return err
		}
		return p.completeDirect(ctx, r, up, content)
	}
}

// completeDirect ends an upload, twice, and is told that it is done.
func (p *process) completeDirect(ctx context.Context, r oci.Repository, up oci.DirectUpload, content string) error {
	for range 2 {
		done, err := p.reg.CompleteDirect(ctx, r, up.ID, 0)
		if err == nil && done.State != oci.DirectDone {
			return fmt.Errorf("a completed upload is %+v: %w", done, errUnexpected)
		}
		if err := p.toldOfBlob(r, up.Digest, content, err); err != nil {
			return err
		}
	}
	return nil
}

// openParts opens an upload in parts and brings those that are wanted.
func (p *process) openParts(ctx context.Context, r oci.Repository, d oci.Digest, content string, want func(number int) bool) (oci.DirectUpload, error) {
	up, err := p.reg.OpenDirect(ctx, r, oci.DirectOpen{Digest: d, Size: int64(len(content)), Parts: true, PartSize: leastPart})
	if err != nil || up.State == oci.DirectDone {
		return up, err
	}
	return up, p.bringParts(ctx, r, up, content, want)
}

func (p *process) bringParts(ctx context.Context, r oci.Repository, up oci.DirectUpload, content string, want func(number int) bool) error {
	var parts []oci.DirectPart
	var bodies []string
	for number := 1; number <= up.Parts; number++ {
		at := (number - 1) * leastPart
		body := content[at:min(at+leastPart, len(content))]
		if want(number) {
			parts = append(parts, oci.DirectPart{Number: number, Size: int64(len(body)), Digest: digest.FromString(body)})
			bodies = append(bodies, body)
		}
	}
	signed, err := p.reg.SignDirect(ctx, r, up.ID, parts)
	if err != nil {
		return err
	}
	for i := range signed {
		if err := p.bring(signed[i], bodies[i]); err != nil {
			return err
		}
	}
	return nil
}

func everyPart(int) bool { return true }

func directParts(r oci.Repository, d oci.Digest, content string) operation {
	return func(ctx context.Context, p *process) error {
		up, err := p.openParts(ctx, r, d, content, everyPart)
		if err != nil || up.State == oci.DirectDone {
			return p.toldOfBlob(r, d, content, err)
		}
		return p.completeDirect(ctx, r, up, content)
	}
}

// objectOf reads the name of an upload's object out of its id.
func objectOf(id string) string {
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil {
		return ""
	}
	return "o" + string(raw[:26])
}

// completeParts brings and completes an upload in parts, which somebody else is to settle; where the blob is there already it
// is done.
func (p *process) completeParts(ctx context.Context, r oci.Repository, content string) (oci.DirectUpload, error) {
	up, err := p.openParts(ctx, r, digest.FromString(content), content, everyPart)
	if err == nil && up.State != oci.DirectDone {
		_, err = p.reg.CompleteDirect(ctx, r, up.ID, 0)
	}
	return up, err
}

// directSettled completes an upload, lets two functions settle it, one after the other, and waits for the blob.
func directSettled(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		up, err := p.completeParts(ctx, r, content)
		if err != nil || up.State == oci.DirectDone {
			return p.toldOfBlob(r, digest.FromString(content), content, err)
		}
		return p.settleDirect(ctx, r, up, content)
	}
}

func (p *process) settleDirect(ctx context.Context, r oci.Repository, up oci.DirectUpload, content string) error {
	now := p.clock.Now()
	for _, deadline := range []time.Time{now, now.Add(time.Minute), now.Add(time.Minute)} { // the first one has no time for a byte
		if _, err := p.uploads.Settle(ctx, objectOf(up.ID), deadline); err != nil {
			return err
		}
	}
	done, err := p.reg.DirectStatus(ctx, r, up.ID, 2*time.Second)
	if err == nil && done.State != oci.DirectDone {
		return fmt.Errorf("a settled upload is %+v: %w", done, errUnexpected)
	}
	return p.toldOfBlob(r, up.Digest, content, err)
}

// directAsked completes an upload that nobody settles, and comes back for it so late that somebody is asked once more.
func directAsked(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		up, err := p.completeParts(ctx, r, content)
		if err != nil || up.State == oci.DirectDone {
			return p.toldOfBlob(r, digest.FromString(content), content, err)
		}
		p.clock.Advance(time.Minute)
		if _, err := p.reg.DirectStatus(ctx, r, up.ID, 0); err != nil {
			return err
		}
		return p.settleDirect(ctx, r, up, content)
	}
}

// directLost is an upload whose object the store has lost before it was settled, as a restore has.
func directLost(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		up, err := p.completeParts(ctx, r, content)
		if err != nil {
			return err
		}
		if err := p.store.Delete(ctx, objectOf(up.ID)); err != nil {
			return err
		}
		if _, err := p.uploads.Settle(ctx, objectOf(up.ID), p.clock.Now().Add(time.Minute)); err != nil {
			return err
		}
		_, err = p.reg.DirectStatus(ctx, r, up.ID, 0)
		return expect(err, oci.BlobUploadUnknown)
	}
}

// directEvent is an upload whose completion came no further than the store.
func directEvent(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		up, err := p.openParts(ctx, r, d, content, everyPart)
		if err != nil || up.State == oci.DirectDone {
			return p.toldOfBlob(r, d, content, err)
		}
		x, err := p.ledger.Direct(ctx, objectOf(up.ID))
		if err != nil {
			return err
		}
		parts, err := p.store.Direct("", p.clock).Parts(ctx, x.Object, x.Multipart, 0, 1000)
		if err != nil {
			return err
		}
		if err := p.store.Complete(ctx, x.Object, x.Multipart, parts); err != nil {
			return err
		}
		return p.settleDirect(ctx, r, up, content)
	}
}

// directResumed brings some parts, is told that others are missing, and brings these.
func directResumed(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		up, err := p.openParts(ctx, r, d, content, func(number int) bool { return number != 2 })
		if err != nil || up.State == oci.DirectDone {
			return p.toldOfBlob(r, d, content, err)
		}
		_, err = p.reg.CompleteDirect(ctx, r, up.ID, 0)
		if err := expect(err, oci.BlobUploadInvalid); err != nil {
			return err
		}
		there, _, err := p.reg.DirectParts(ctx, r, up.ID, 0, 1000)
		if err != nil {
			return err
		}
		missing := func(number int) bool {
			return !slices.ContainsFunc(there, func(one oci.DirectPart) bool { return one.Number == number })
		}
		if err := p.bringParts(ctx, r, up, content, missing); err != nil {
			return err
		}
		return p.completeDirect(ctx, r, up, content)
	}
}

// directLate is overtaken by another upload of the same blob; its URL is used once more after that.
func directLate(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		up, err := p.reg.OpenDirect(ctx, r, oci.DirectOpen{Digest: d, Size: int64(len(content))})
		if err != nil || up.State == oci.DirectDone {
			return p.toldOfBlob(r, d, content, err)
		}
		if err := p.bring(*up.Put, content); err != nil {
			return err
		}
		if err := pushBlob(r, content)(ctx, p); err != nil {
			return err
		}
		if err := p.completeDirect(ctx, r, up, content); err != nil {
			return err
		}
		return p.bring(*up.Put, content)
	}
}

// directWrong brings other bytes than it has said. Whoever asks is told so, again and again.
func directWrong(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		up, err := p.openParts(ctx, r, d, strings.ToUpper(content), everyPart)
		if err != nil {
			return err
		}
		_, err = p.reg.CompleteDirect(ctx, r, up.ID, 0)
		if err := expect(err, oci.DigestInvalid); err != nil {
			return err
		}
		_, err = p.reg.DirectStatus(ctx, r, up.ID, 0)
		return expect(err, oci.DigestInvalid)
	}
}

// directCanceled gives an upload in parts up, and one in a PUT that comes nevertheless.
func directCanceled(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		up, err := p.openParts(ctx, r, d, content, everyPart)
		if err != nil {
			return err
		}
		if err := p.reg.CancelDirect(ctx, r, up.ID); err != nil {
			return err
		}
		_, err = p.reg.CompleteDirect(ctx, r, up.ID, 0)
		if err := expect(err, oci.BlobUploadUnknown); err != nil {
			return err
		}
		put, err := p.reg.OpenDirect(ctx, r, oci.DirectOpen{Digest: d, Size: int64(len(content))})
		if err != nil {
			return err
		}
		if err := p.reg.CancelDirect(ctx, r, put.ID); err != nil {
			return err
		}
		return p.bring(*put.Put, content)
	}
}

// directLeft leaves one upload with bytes, one with some parts, and one that nobody settles.
func directLeft(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		put, err := p.reg.OpenDirect(ctx, r, oci.DirectOpen{Digest: d, Size: int64(len(content))})
		if err != nil {
			return err
		}
		if err := p.bring(*put.Put, content); err != nil {
			return err
		}
		if _, err := p.openParts(ctx, r, d, content, func(number int) bool { return number == 1 }); err != nil {
			return err
		}
		up, err := p.openParts(ctx, r, d, content, everyPart)
		if err != nil {
			return err
		}
		_, err = p.reg.CompleteDirect(ctx, r, up.ID, 0)
		return err
	}
}

// haveBlobs asks for three blobs, of which two are there.
func haveBlobs(r oci.Repository, there, also, absent string) operation {
	return func(ctx context.Context, p *process) error {
		digests := []oci.Digest{digest.FromString(there), digest.FromString(absent), digest.FromString(also), digest.FromString(there)}
		have, err := p.reg.HaveBlobs(ctx, r, digests)
		if err != nil {
			return err
		}
		if len(have) != 2 || have[0].Digest != digests[0] || have[1].Digest != digests[2] {
			return fmt.Errorf("there are %v: %w", have, errUnexpected)
		}
		for _, content := range []string{there, also} {
			if err := p.toldOfBlob(r, digest.FromString(content), content, nil); err != nil {
				return err
			}
		}
		return nil
	}
}
