// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/store/memstore"

	"github.com/opencontainers/go-digest"
)

// direct is a direct upload, and which blob it is for.
type direct struct {
	oci.DirectUpload
	blob int
}

// leftOpen is the answer of a request that leaves a direct upload to others, who may finish it.
type leftOpen struct{ why string }

func (l leftOpen) Error() string { return l.why }

// direct tells whether an operation is about direct uploads.
func (o operation) direct() bool {
	switch o.verb {
	case upload:
		return o.way == directly || o.way == inParts
	case begin, complete, settle, abort:
		return true
	}
	return false
}

// directly signs requests to the store for a process, where parts have a least size, as S3's have; else nil.
func (w *world) directly(p *faultstore.Process) store.Direct {
	s, ok := w.store.(*memstore.Store)
	if !ok || !w.opts.gathers {
		return nil
	}
	return p.Direct(s.Direct("http://store", w.clock))
}

// settled is how a process asks for a direct upload to be settled; nil: it does so itself.
func (w *world) settled() func(context.Context, string) error {
	if !w.opts.waits {
		return nil
	}
	return func(context.Context, string) error { return nil }
}

// requestDirect makes the requests of an operation on direct uploads. Where the store takes none, an upload comes in one
// request, and nothing else happens.
func (c *client) requestDirect(o operation) answer {
	switch {
	case c.directly(c.Process) != nil:
	case o.verb == upload:
		o.way = inOne
		return c.request(o)
	default:
		return answer{}
	}
	c.disturbed, c.haunted = false, false
	began := c.w.clock.Now()
	var up oci.DirectUpload
	if o.verb == upload || o.verb == begin {
		var err error
		if up, err = c.openDirect(o); err != nil { // nobody can see what is not there
			e := (&history{}).ask(c.name, o, began)
			c.told(e, began, err)
			return e.answer
		}
	} else {
		o.blob = c.w.direct[o.repo].blob
	}
	e := c.w.history.ask(c.name, o, c.w.clock.Now())
	err := c.sendDirect(o, &up)
	e.answer.opened = up.ID != ""
	c.told(e, began, err)
	return e.answer
}

func (c *client) directly(p *faultstore.Process) store.Direct { return c.w.directly(p) }

// openDirect opens a direct upload. One for a blob that is there has no id.
func (c *client) openDirect(o operation) (oci.DirectUpload, error) {
	b := blobs[o.blob]
	up, err := c.reg.OpenDirect(c.ctx, repos[o.repo], oci.DirectOpen{Digest: b.digest, Size: int64(len(b.content)),
		Parts: o.way == inParts, PartSize: leastPart})
	if err == nil && up.ID != "" {
		c.w.direct[o.repo] = direct{up, o.blob}
	}
	return up, err
}

func (c *client) sendDirect(o operation, up *oci.DirectUpload) error {
	r, last := repos[o.repo], c.w.direct[o.repo]
	switch o.verb {
	case complete:
		return c.completeDirect(r, last.ID)
	case settle:
		_, err := c.uploads.Settle(c.ctx, objectOf(last.ID), c.w.clock.Now().Add(time.Minute))
		return err
	case abort:
		c.w.cancels = true
		return c.reg.CancelDirect(c.ctx, r, last.ID)
	}
	if up.ID == "" { // it was there, which is to hold while the request is under way
		var err error
		if *up, err = c.openDirect(o); err != nil || up.ID == "" {
			return err
		}
	}
	if err := c.bringDirect(o, *up); err != nil {
		return err
	}
	if o.verb == begin {
		return leftOpen{"brought, and left"}
	}
	return c.completeDirect(r, up.ID)
}

// bringDirect brings all bytes to the store, some time after it was told where, and whatever has become of the upload since.
func (c *client) bringDirect(o operation, up oci.DirectUpload) error {
	r, content := repos[o.repo], blobs[o.blob].content
	var parts []oci.DirectPart
	pieces := []string{content}
	if up.Parts > 0 {
		pieces = nil
	}
	for n := range up.Parts {
		piece := content[n*int(up.PartSize) : min((n+1)*int(up.PartSize), len(content))]
		parts = append(parts, oci.DirectPart{Number: n + 1, Size: int64(len(piece)), Digest: digest.FromString(piece)})
		pieces = append(pieces, piece)
	}
	signed, err := c.reg.SignDirect(c.ctx, r, up.ID, parts)
	if err != nil {
		return err
	}
	_, err = c.reg.DirectStatus(c.ctx, r, up.ID, 0)
	if c.Dead() {
		return err
	}
	for i, s := range signed {
		if brought := c.w.bring(s, pieces[i]); brought != nil {
			return errors.Join(err, brought)
		}
	}
	return err
}

// bring sends a signed request to the store.
func (w *world) bring(r oci.SignedRequest, content string) error {
	req := httptest.NewRequest(r.Method, r.URL, strings.NewReader(content))
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	got := httptest.NewRecorder()
	w.store.(*memstore.Store).Handler().ServeHTTP(got, req)
	if got.Code != http.StatusOK {
		return leftOpen{fmt.Sprint("the store answers ", got.Code)} // the URL has ended, or the upload has
	}
	return nil
}

func (c *client) completeDirect(r oci.Repository, id string) error {
	up, err := c.reg.CompleteDirect(c.ctx, r, id, 0)
	if err == nil && up.State != oci.DirectDone {
		err = leftOpen{string(up.State)}
	}
	return err
}

// objectOf reads the name of an upload's object out of its id; "" where that is none.
func objectOf(id string) string {
	raw, err := base64.RawURLEncoding.DecodeString(id)
	if err != nil || len(raw) < 26 {
		return ""
	}
	return "o" + string(raw[:26])
}

// modelDirect is a direct upload that has its bytes.
type modelDirect struct {
	blob  int
	parts bool
	at    time.Time // when it was opened
	state modelDirectState
}

type modelDirectState uint8

const (
	directLost modelDirectState = iota // there is none, or it has ended without a blob
	directOpen
	directGone // into the blob
)

// ended tells whether the end of its id has come, and with it of the row.
func (d modelDirect) ended(now time.Time) bool { return !now.Before(d.at.Add(margins.UploadTTL)) }

func (r *modelRepo) begin(e *event) string {
	switch {
	case e.answer.opened:
		r.direct = modelDirect{e.blob, e.way == inParts, e.askedAt, directOpen}
		if r.certain(e.blob, e.askedAt) {
			return "no upload of what is there"
		}
		delete(r.blobs, e.blob)
		return e.want(unknown, "")
	case !r.possible(e.blob):
		return "an upload"
	}
	r.touch(e.blob, e.askedAt)
	return e.want(done, "")
}

func (m *model) complete(e *event) string {
	r := &m[e.repo]
	switch {
	case r.direct.state == directLost || r.direct.ended(e.askedAt):
		return e.want(refused, oci.BlobUploadUnknown)
	case r.direct.state == directOpen:
		r.direct.state = directGone
		r.touch(e.blob, e.askedAt)
		return e.want(done, "")
	case e.answer.outcome == done && r.possible(e.blob):
		r.touch(e.blob, e.askedAt)
		return ""
	case r.certain(e.blob, e.askedAt):
		return e.want(done, "")
	}
	delete(r.blobs, e.blob)
	return e.want(refused, oci.BlobUploadUnknown)
}
