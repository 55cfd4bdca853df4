// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"

	"github.com/opencontainers/go-digest"
)

func TestMarginsAreChecked(t *testing.T) {
	if err := refcount.DefaultMargins().Check(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*refcount.Margins){
		"Lease": func(m *refcount.Margins) { m.Lease = m.MaxStep - 1 },
		"Grace": func(m *refcount.Margins) {
			m.UndoWindow = 0
			m.Grace = m.Lease + m.MaxStep + 2*m.Skew - 1
		},
		"UndoWindow":             func(m *refcount.Margins) { m.UndoWindow = m.Grace - m.MaxStep - 2*m.Skew + 1 },
		"UndoWindow below 0":     func(m *refcount.Margins) { m.UndoWindow = -1 },
		"MaxPut":                 func(m *refcount.Margins) { m.MaxPut = m.MaxStep - 1 },
		"UploadTTL":              func(m *refcount.Margins) { m.UploadTTL = m.URLLife + m.MaxPut + m.MaxStep + 2*m.Skew - 1 },
		"TombstoneDelay":         func(m *refcount.Margins) { m.TombstoneDelay = m.URLLife + m.MaxPut + m.MaxStep + 2*m.Skew - 1 },
		"TombstoneDelay of URLs": func(m *refcount.Margins) { m.URLLife = m.TombstoneDelay - m.MaxPut - m.MaxStep - 2*m.Skew + 1 },
		"URLLife":                func(m *refcount.Margins) { m.URLLife = -1 },
		"StageLease":             func(m *refcount.Margins) { m.StageLease = 3*m.MaxStep - 1 },
		"CloseGrace":             func(m *refcount.Margins) { m.CloseGrace = m.MaxStep + 2*m.Skew - 1 },
		"MaxStep":                func(m *refcount.Margins) { m.MaxStep = 0 },
		"Skew":                   func(m *refcount.Margins) { m.Skew = -1 },
		"Untagged":               func(m *refcount.Margins) { m.Untagged = -1 },
		"History":                func(m *refcount.Margins) { m.History = 2*m.MaxStep - 1 },
	} {
		m := refcount.DefaultMargins()
		change(&m)
		margin, _, _ := strings.Cut(name, " ")
		if err := m.Check(); err == nil || !strings.HasPrefix(err.Error(), "margin "+margin+" ") {
			t.Errorf("a wrong %s is %v", name, err)
		}
	}
}

func TestWaitingSaysWhatAndWhy(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	lone := w.upload(repo, big)
	d, err := w.push(repo, "a", []oci.Tag{"v1"}, links(w.upload(repo, big+"2")))
	w.must(err)
	w.must(w.DeleteManifest(ctx, repo, d))
	_, err = w.Write(ctx, refcount.Session{ID: "up", Repo: repo, Object: w.NewObject(), Offset: 7})
	w.must(err)
	_, err = w.push(repo, "b", []oci.Tag{"pr"}, func(p *refcount.Push) { p.Expires = w.clock.Now().Add(time.Hour) })
	w.must(err)
	seen := map[string]refcount.Waiting{}
	w.must(w.Waiting(ctx, func(x refcount.Waiting) bool { seen[x.Kind+" "+x.Name] = x; return true }))
	for name, bytes := range map[string]int64{
		"blob in repository " + string(lone): int64(len(big)),
		"manifest " + string(d):              int64(len(`{"name":"a"}`)),
		"upload up":                          7,
		"tag pr":                             0,
	} {
		x, ok := seen[name]
		if !ok || x.Bytes != bytes || x.Why == "" || !x.Until.After(w.clock.Now()) {
			t.Errorf("%s: %+v, %v", name, x, ok)
		}
	}
	if len(seen) != 5 { // and the other blob
		t.Errorf("%d things wait: %v", len(seen), seen)
	}
	n := 0
	w.must(w.Waiting(ctx, func(refcount.Waiting) bool { n++; return false }))
	if n != 1 {
		t.Errorf("visited %d after it was told to stop", n)
	}
}

func TestSizeTellsSharedFromExclusive(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	own, shared := w.upload(repo, "own"), w.upload(repo, "shared")
	if ok, err := w.Mount(ctx, "other", shared, repo); !ok || err != nil {
		t.Fatal(ok, err)
	}
	_, err := w.push(repo, "a", []oci.Tag{"v1", "v2"}, links(own, shared))
	w.must(err)
	got, err := w.Size(ctx, repo)
	w.must(err)
	if want := (refcount.Size{Blobs: 2, Bytes: 9, Exclusive: 3, Manifests: 1, Tags: 2}); got != want {
		t.Fatalf("got %+v, want %+v", got, want)
	}
	_, err = w.Size(ctx, "none")
	w.mustBe(err, oci.NameUnknown)
}

func TestRestartTakesAFreshObject(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	s, err := w.Write(ctx, refcount.Session{ID: "up", Repo: repo, Object: w.NewObject()})
	w.must(err)
	slow := s // an earlier request is still putting at its object
	s.Object = w.NewObject()
	s, err = w.Write(ctx, s)
	w.must(err)
	w.audit()
	w.must(w.store.Put(ctx, s.Object, strings.NewReader(big), int64(len(big))))
	d := digest.FromString(big)
	w.must(w.Finish(ctx, s, d, int64(len(big))))
	w.must(w.store.Put(ctx, slow.Object, strings.NewReader("other bytes"), 11))
	w.audit()
	w.must(w.Finish(ctx, slow, d, 11)) // its session is gone; the blob is there, with the other's bytes
	link, err := w.Look(ctx, repo, d)
	w.must(err)
	if link.Object != s.Object {
		t.Fatalf("the blob is at %s, not at %s", link.Object, s.Object)
	}
	w.settle()
	w.audit()
	if n := w.objects(); n != 0 {
		t.Fatalf("%d objects are left", n)
	}
}

func TestNewerFormatIsRefused(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	d := w.upload(repo, big)
	k := store.Key{PK: "l#" + string(repo), SK: string(d)}
	w.must(w.store.Commit(ctx, store.Tx{Token: "t", Ops: []store.Op{{
		Key: k, Kind: store.OpUpdate, Set: []store.Attr{{Name: "f", Value: store.Int(2)}},
	}}}))
	if _, err := w.Look(ctx, repo, d); !errors.Is(err, store.ErrCorrupt) || !strings.Contains(err.Error(), "upgraded") {
		t.Fatal(err)
	}
	w.clock.Advance(25 * time.Hour)
	rep, err := w.Sweep(ctx, refcount.SweepOptions{})
	w.must(err)
	if rep.Failed != 1 {
		t.Fatalf("%+v", rep)
	}
}

// denied is a store of objects of which it does not delete one: it says why.
type denied struct {
	durable
	key string
	why error
}

func (d denied) Delete(ctx context.Context, key string) error {
	if key == d.key {
		return &store.Error{Op: "delete", Key: key, Outcome: d.why}
	}
	return d.durable.Delete(ctx, key)
}

// An object that the store refuses to delete is counted, every time, and does not keep the others. A store that is not there
// ends the sweep.
func TestSweepMeetsAnObjectThatCannotBeDeleted(t *testing.T) {
	for why, ends := range map[error]bool{store.ErrRefused: false, store.ErrUnavailable: true} {
		w := newWorld(t)
		ctx := t.Context()
		bad, err := w.Look(ctx, repo, w.upload(repo, big))
		w.must(err)
		w.clock.Advance(time.Minute) // the first of all to be due
		for i := range 40 {
			w.upload(repo, fmt.Sprint(big, i))
		}
		objects := denied{w.store, bad.Object, why}
		l, err := refcount.New(refcount.Stores{Table: w.store, Objects: objects, Parts: objects}, w.clock,
			refcount.Config{Margins: w.Margins(), InlineLimit: w.InlineLimit(), NewToken: seededTokens(2)})
		w.must(err)
		ended := 0
		var last refcount.Report
		for range 8 {
			w.clock.Advance(25 * time.Hour)
			if last, err = l.Sweep(ctx, refcount.SweepOptions{}); err != nil {
				ended++
			}
		}
		if ends {
			if ended == 0 {
				t.Errorf("%v: the sweep went on", why)
			}
			continue
		}
		if ended > 0 || last.Failed != 1 || len(last.Errors) != 1 || !errors.Is(last.Errors[0], why) || w.objects() != 1 {
			t.Errorf("%v: %d sweeps ended, %d objects are left; the last: %+v", why, ended, w.objects(), last)
		}
		w.settle() // it goes when it may
		if n := w.objects(); n != 0 {
			t.Errorf("%d objects are left", n)
		}
	}
}

func TestSweepStopsAtItsLimit(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	for i := range 20 {
		w.upload(repo, fmt.Sprint(big, i))
	}
	w.clock.Advance(25 * time.Hour)
	rep, err := w.Sweep(ctx, refcount.SweepOptions{Limit: 5})
	w.must(err)
	if rep.Looked != 5 || !rep.Left {
		t.Fatalf("%+v", rep)
	}
	w.audit()
}

func TestRuleTurnedOffClearsItsDues(t *testing.T) {
	w := newWorld(t, func(c *refcount.Config) { c.Margins.Untagged = time.Hour })
	ctx := context.Background()
	d, err := w.push(repo, "a", nil)
	w.must(err)
	l, err := refcount.New(refcount.Stores{Table: w.store, Objects: w.store, Parts: w.store}, w.clock,
		refcount.Config{Margins: refcount.DefaultMargins(), NewToken: seededTokens(3)})
	w.must(err)
	w.Ledger = l
	w.settle()
	if _, err := w.FindManifest(ctx, repo, d); err != nil {
		t.Fatal(err)
	}
	w.must(w.Waiting(ctx, func(x refcount.Waiting) bool { t.Errorf("%+v waits", x); return true }))
}

func TestLookRenewsAnUntaggedManifest(t *testing.T) {
	w := newWorld(t, func(c *refcount.Config) { c.Margins.Untagged = time.Hour })
	ctx := context.Background()
	d, err := w.push(repo, "a", nil)
	w.must(err)
	for range 5 {
		w.clock.Advance(20 * time.Hour)
		w.sweep()
		_, err := w.FindManifest(ctx, repo, d)
		w.must(err)
	}
	w.clock.Advance(20 * time.Hour)
	_, err = w.push(repo, "a", nil) // a push that finds it there promises as much
	w.must(err)
	w.clock.Advance(w.Margins().Lease)
	w.sweep()
	_, err = w.push(repo, "index", []oci.Tag{"v1"}, children(d))
	w.must(err)
	w.settle()
	w.audit()
	_, err = w.FindManifest(ctx, repo, d)
	w.must(err)
}
