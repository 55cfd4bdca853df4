// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/store"
	"tare/internal/store/memstore"
	"tare/internal/upload"
)

// closing is a store that joins the parts of a gathered upload for another request: for a while it knows neither the parts nor
// the object, however often it is looked for.
type closing struct {
	*memstore.Store
	unknown int    // looks that find no object
	look    func() // what happens at each
	end     func() // of the other request, when the object is found
}

func (c *closing) Part(_ context.Context, key, _ string, _ int64, _ int, _ int64, _ io.Reader, _ int64) (store.Part, error) {
	return store.Part{}, &store.Error{Op: "part", Key: key, Outcome: store.ErrNotFound}
}

func (c *closing) Complete(_ context.Context, key, _ string, _ []store.Part) error {
	return &store.Error{Op: "complete", Key: key, Outcome: store.ErrNotFound}
}

func (c *closing) found(op, key string) error {
	if c.unknown--; c.unknown >= 0 {
		c.look()
		return &store.Error{Op: op, Key: key, Outcome: store.ErrNotFound}
	}
	c.end()
	c.end = func() {}
	return nil
}

func (c *closing) Stat(ctx context.Context, key string) (store.ObjectInfo, error) {
	if err := c.found("stat", key); err != nil {
		return store.ObjectInfo{}, err
	}
	return c.Store.Stat(ctx, key)
}

func (c *closing) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := c.found("open", key); err != nil {
		return nil, err
	}
	return c.Store.Open(ctx, key, offset, length)
}

// A request that closes an upload while the store joins its parts for another request is told to come back, and never that
// the bytes are gone. What the other request makes of the upload meanwhile is the answer.
func TestCloseWhileTheStoreJoins(t *testing.T) {
	content := pattern(1, 250)
	const before = 150
	for name, c := range map[string]struct {
		unknown int
		meets   func(w *world, id string, d oci.Digest) error
		want    oci.Code
	}{
		"it is there by now":  {unknown: 0},
		"it is there at once": {unknown: 1},
		"it is there soon":    {unknown: 4},
		"it takes long":       {unknown: 100, want: oci.Unavailable},
		"the other one ends it": {unknown: 100, meets: func(w *world, id string, d oci.Digest) error {
			_, err := w.Finish(w.t.Context(), repo, id, d, before, body(content[before:]), -1)
			return err
		}},
		"the other one gives up": {unknown: 100, want: oci.BlobUploadUnknown, meets: func(w *world, id string, _ oci.Digest) error {
			return w.Cancel(w.t.Context(), repo, id)
		}},
		"the other one ends another": {unknown: 100, want: oci.BlobUploadUnknown, meets: func(w *world, id string, _ oci.Digest) error {
			_, err := w.Finish(w.t.Context(), repo, id, digest.FromString(content[:before]+"other"), before, body("other"), 5)
			return err
		}},
		"the other one goes on": {unknown: 100, want: oci.BlobUploadInvalid, meets: func(w *world, id string, _ oci.Digest) error {
			_, err := w.Write(w.t.Context(), repo, id, before, body("other"), 5)
			return err
		}},
	} {
		for _, d := range []oci.Digest{digest.FromString(content), sha512Of(content)} {
			t.Run(name+" by "+string(d.Algorithm()), func(t *testing.T) {
				w := newGatheringWorld(t)
				id := w.id()
				w.write(id, 0, content[:before], -1, before)
				s := w.session(id)
				joins := &closing{Store: w.store, unknown: c.unknown}
				joins.look = func() {
					if c.meets != nil {
						w.must(c.meets(w, id, d))
					}
					joins.look = func() {}
				}
				joins.end = func() {
					last := content[before:]
					p, err := w.store.Part(t.Context(), s.Object, s.Multipart, w.store.Turn(), 9, before, body(last), int64(len(last)))
					w.must(err)
					w.must(w.store.Complete(t.Context(), s.Object, s.Multipart, append(s.Parts, p)))
				}
				meeting, err := upload.New(w.ledger, joins, joins, w.clock, w.opts)
				w.must(err)
				desc, err := meeting.Finish(t.Context(), repo, id, d, before, body(content[before:]), -1)
				if c.want != "" {
					w.mustBe(err, c.want)
					var refusal *oci.Error
					if errors.As(err, &refusal) && (refusal.RetryAfter > 0) != (c.want == oci.Unavailable) {
						t.Errorf("it is to come back after %v", refusal.RetryAfter)
					}
					w.settle()
					return
				}
				w.must(err)
				w.wantBlob(desc, d, content)
				w.settle()
			})
		}
	}
}

// together is a store of which so many readings begin before one gives a byte.
type together struct {
	*memstore.Store
	mu    sync.Mutex // guards what follows
	begun int
	least int
	all   chan struct{} // closed when least have begun
	most  int64         // bytes of a reading
}

func (s *together) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	s.mu.Lock()
	s.begun++
	s.most = max(s.most, length)
	if s.begun == s.least {
		close(s.all)
	}
	s.mu.Unlock()
	select {
	case <-s.all:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return s.Store.Open(ctx, key, offset, length)
}

// What a request reads back, it reads by several ranges at once.
func TestReadBackIsParallel(t *testing.T) {
	const part = 1 << 20
	w := newWorldOf(t, upload.Options{}, part)
	content := pattern(1, 26*part)
	id := w.id()
	w.write(id, 0, content, -1, len(content))
	objects := &together{Store: w.store, least: 4, all: make(chan struct{})}
	reads, err := upload.New(w.ledger, objects, w.store, w.clock, w.opts)
	w.must(err)
	ctx, done := context.WithTimeout(t.Context(), 10*time.Second)
	defer done()
	d := sha512Of(content)
	desc, err := reads.Finish(ctx, repo, id, d, -1, body(""), 0)
	w.must(err)
	w.wantBlob(desc, d, content)
	if objects.begun != 4 || objects.most != 8<<20 {
		t.Errorf("%d readings of up to %d bytes", objects.begun, objects.most)
	}
	w.settle()
}
