// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"strings"
	"testing"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/faultstore"
)

const elsewhere = oci.Repository("team/elsewhere")

// Two repositories get one blob at once: neither was there when the other's upload read. One of the two is the first.
func TestFinishMeetsAnUploadElsewhere(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	d := digestOf(big)
	s, err := w.Write(ctx, refcount.Session{ID: "u", Repo: repo, Object: w.NewObject()})
	w.must(err)
	w.must(w.store.Put(ctx, s.Object, strings.NewReader(big), int64(len(big))))
	w.must(w.before(1, func() { w.upload(elsewhere, big) }).Finish(ctx, s, d, int64(len(big))))
	w.audit()
	for _, r := range []oci.Repository{repo, elsewhere} {
		_, err := w.Look(ctx, r, d)
		w.must(err)
	}
}

// A sweep finds a due on a link that has a reference; before it clears the due the last reference goes.
func TestHintMeetsTheLastReference(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	d := w.upload(repo, big)
	image, err := w.push(repo, "image", nil, links(d))
	w.must(err)
	w.hint(store.Key{PK: "l#" + string(repo), SK: string(d)})
	_, err = w.before(1, func() { w.must(w.DeleteManifest(ctx, repo, image)) }).Sweep(ctx, refcount.SweepOptions{})
	w.must(err)
	w.audit()
	w.settle()
	if n := w.left(); n != 0 {
		t.Errorf("%d rows are left", n)
	}
}

// hint makes a row due that need not be. No operation does, but a row can come to it by hand or by a repair.
func (w *world) hint(k store.Key) {
	w.t.Helper()
	w.must(w.store.Commit(w.t.Context(), store.Tx{Token: "hint", Ops: []store.Op{{
		Key: k, Kind: store.OpUpdate, Set: []store.Attr{{Name: store.AttrDue, Value: store.Int(w.clock.Now().UnixMilli())}},
	}}}))
}

// An upload is canceled while its first request begins. The object that the request names has an owner, whoever is first.
func TestCancelMeetsTheFirstRequest(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.must(w.before(1, func() {
		s, err := w.Write(ctx, refcount.Session{ID: "u", Repo: repo, Object: w.NewObject()})
		w.must(err)
		w.must(w.store.Put(ctx, s.Object, strings.NewReader(big), int64(len(big))))
	}).Discard(ctx, repo, "u", w.clock.Now().Add(time.Hour)))
	w.audit()
	w.settle()
	if n := w.left(); n != 0 || w.objects() != 0 {
		t.Errorf("%d rows and %d objects are left", n, w.objects())
	}
}

// A client completes an upload while the sweep deletes it, between any two of its calls: parts first, then the object.
func TestSweepMeetsACompletion(t *testing.T) {
	for call := 1; ; call++ {
		w := newWorld(t)
		ctx := t.Context()
		object := w.NewObject()
		id, err := w.store.Begin(ctx, object)
		w.must(err)
		_, err = w.Write(ctx, refcount.Session{ID: "u", Repo: repo, Object: object, Multipart: id})
		w.must(err)
		part, err := w.store.Part(ctx, object, id, w.store.Turn(), 1, 0, strings.NewReader(big), int64(len(big)))
		w.must(err)
		w.clock.Advance(25 * time.Hour)
		w.sweep()
		w.clock.Advance(8 * time.Hour)
		came := false
		p := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
			if c.N == call {
				came = true
				_ = w.store.Complete(ctx, object, id, []store.Part{part}) // what it is answered does not matter
			}
			return faultstore.Pass
		}})
		sweeper, err := refcount.New(refcount.Stores{Table: p.Table(w.store), Objects: p.Objects(w.store), Parts: p.Multipart(w.store)},
			w.clock, refcount.Config{Margins: w.Margins(), NewToken: seededTokens(2)})
		w.must(err)
		_, err = sweeper.Sweep(ctx, refcount.SweepOptions{})
		w.must(err)
		w.audit()
		if !came {
			break
		}
	}
}

// An upload expires while a request touches it. It goes on (C10).
func TestExpiryMeetsATouch(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	s, err := w.Write(ctx, refcount.Session{ID: "u", Repo: repo, Object: w.NewObject()})
	w.must(err)
	w.clock.Advance(25 * time.Hour)
	_, err = w.before(1, func() {
		s, err = w.Write(ctx, s)
		w.must(err)
	}).Sweep(ctx, refcount.SweepOptions{})
	w.must(err)
	_, err = w.Write(ctx, s)
	w.must(err)
	w.audit()
}

// Two meet at a blob: the one comes between the reads and the commit of the other. In the end there is the blob, or there is
// nothing.
func TestTwoMeetAtABlob(t *testing.T) {
	ctx := t.Context()
	d := digestOf(big)
	for _, c := range []struct {
		name  string
		ready func(w *world)
		first func(w *world, l *refcount.Ledger) error
		meet  func(w *world)
		want  oci.Code // of the first
		gone  bool     // the blob, in the end
	}{
		{
			name:  "a look, the sweep",
			ready: func(w *world) { w.clock.Advance(25 * time.Hour) },
			first: func(w *world, l *refcount.Ledger) error { return second(l.Look(ctx, repo, d)) },
			meet:  func(w *world) { w.sweep() },
			want:  oci.BlobUnknown,
			gone:  true,
		},
		{
			name:  "the sweep, a look",
			ready: func(w *world) { w.clock.Advance(25 * time.Hour) },
			first: func(w *world, l *refcount.Ledger) error { return second(l.Sweep(ctx, refcount.SweepOptions{})) },
			meet:  func(w *world) { w.must(second(w.Look(ctx, repo, d))) },
		},
		{
			name:  "an upload, the sweep",
			ready: func(w *world) { w.clock.Advance(25 * time.Hour) },
			first: func(w *world, l *refcount.Ledger) error {
				s, err := w.Write(ctx, refcount.Session{ID: "u", Repo: repo, Object: w.NewObject()})
				w.must(err)
				w.must(w.store.Put(ctx, s.Object, strings.NewReader(big), int64(len(big))))
				return l.Finish(ctx, s, d, int64(len(big)))
			},
			meet: func(w *world) { w.sweep() },
		},
		{
			name:  "the sweep, an upload",
			ready: func(w *world) { w.must(w.DeleteBlob(ctx, repo, d)) },
			first: func(w *world, l *refcount.Ledger) error { return second(l.Sweep(ctx, refcount.SweepOptions{})) },
			meet:  func(w *world) { w.upload(repo, big) },
		},
		{
			name:  "a delete, a push",
			first: func(w *world, l *refcount.Ledger) error { return l.DeleteBlob(ctx, repo, d) },
			meet:  func(w *world) { w.must(second(w.push(repo, "image", nil, links(d)))) },
			want:  oci.InUse,
		},
		{
			name: "a deletion of a manifest, that of another",
			ready: func(w *world) {
				w.must(second(w.push(repo, "first", nil, links(d))))
				w.must(second(w.push(repo, "last", nil, links(d))))
			},
			first: func(w *world, l *refcount.Ledger) error {
				return l.DeleteManifest(ctx, repo, digestOf(`{"name":"first"}`))
			},
			meet: func(w *world) { w.must(w.DeleteManifest(ctx, repo, digestOf(`{"name":"last"}`))) },
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.upload(repo, big)
			w.must(second(w.push(repo, "another", nil))) // that the repository comes does not decide who wins
			if c.ready != nil {
				c.ready(w)
			}
			met := false
			err := c.first(w, w.before(1, func() {
				met = true
				c.meet(w)
			}))
			if c.want == "" {
				w.must(err)
			} else {
				w.mustBe(err, c.want)
			}
			if !met {
				t.Fatal("they did not meet")
			}
			w.audit()
			w.clock.Advance(w.Margins().Lease)
			w.sweep()
			if _, err := w.Look(ctx, repo, d); (err != nil) != c.gone {
				t.Errorf("the blob: %v", err)
			}
			w.audit()
		})
	}
}

func second[T any](_ T, err error) error { return err }

// An upload of a blob whose lease runs low renews it (C4).
func TestUploadRenewsTheLease(t *testing.T) {
	w := newWorld(t)
	d := w.upload(repo, big)
	w.clock.Advance(23 * time.Hour)
	w.upload(repo, big)
	w.clock.Advance(w.Margins().Lease)
	w.sweep()
	_, err := w.Look(t.Context(), repo, d)
	w.must(err)
}
