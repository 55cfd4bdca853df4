// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/memstore"

	"github.com/opencontainers/go-digest"
)

// world is a ledger on a store in memory, at a clock that the test moves.
type world struct {
	*refcount.Ledger
	t       *testing.T
	store   durable
	clock   *clock.Manual
	others  uint64 // ledgers beside
	damages int    // that were planted
}

// durable is all that a ledger is built on.
type durable interface {
	store.Table
	store.Scanner
	store.Objects
	store.Multipart
}

func open(clk clock.Clock) durable {
	if engine != nil {
		return engine.Open(clk, memstore.Options{})
	}
	return memstore.New(clk, memstore.Options{})
}

func newWorld(t *testing.T, change ...func(*refcount.Config)) *world {
	t.Helper()
	clk := clock.NewManual(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	st := open(clk)
	cfg := refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: 64, NewToken: seededTokens(1)}
	for _, f := range change {
		f(&cfg)
	}
	l, err := refcount.New(refcount.Stores{Table: st, Objects: st, Parts: st}, clk, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &world{Ledger: l, t: t, store: st, clock: clk}
}

func seededTokens(seed uint64) func() string {
	src := rand.New(rand.NewPCG(seed, seed))
	return func() string { return fmt.Sprintf("%013x%013x", src.Uint64()>>12, src.Uint64()>>12) }
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) mustBe(err error, code oci.Code) {
	w.t.Helper()
	var e *oci.Error
	if !errors.As(err, &e) || e.Code != code {
		w.t.Fatalf("got %v, want %s", err, code)
	}
}

// upload makes content a blob of repo: inline where it is small, by an object where it is not.
func (w *world) upload(repo oci.Repository, content string) oci.Digest {
	w.t.Helper()
	ctx := context.Background()
	d := digest.FromString(content)
	id := fmt.Sprintf("%x", rand.Uint64())
	if len(content) <= w.InlineLimit() {
		_, err := w.FinishWhole(ctx, repo, id, d, content)
		w.must(err)
		return d
	}
	s, err := w.Write(ctx, refcount.Session{ID: id, Repo: repo, Object: w.NewObject()})
	w.must(err)
	w.must(w.store.Put(ctx, s.Object, strings.NewReader(content), int64(len(content))))
	w.must(w.Finish(ctx, s, d, int64(len(content))))
	return d
}

// image pushes a manifest of the given blobs and returns its digest.
func (w *world) push(repo oci.Repository, name string, tags []oci.Tag, change ...func(*refcount.Push)) (oci.Digest, error) {
	w.t.Helper()
	p := refcount.Push{Repo: repo, MediaType: oci.MediaTypeManifest, Body: []byte(`{"name":"` + name + `"}`), Tags: tags}
	for _, f := range change {
		f(&p)
	}
	p.Digest = digest.FromBytes(p.Body)
	return p.Digest, second(w.Push(context.Background(), p))
}

func links(ds ...oci.Digest) func(*refcount.Push) { return func(p *refcount.Push) { p.Links = ds } }

func children(ds ...oci.Digest) func(*refcount.Push) {
	return func(p *refcount.Push) { p.Children = ds }
}

func subject(d oci.Digest) func(*refcount.Push) {
	return func(p *refcount.Push) { p.Subject, p.ArtifactType, p.Referrer = d, "application/x", `{"digest":"x"}` }
}

func (w *world) sweep() refcount.Report {
	w.t.Helper()
	rep, err := w.Sweep(context.Background(), refcount.SweepOptions{})
	w.must(err)
	if rep.Failed > 0 {
		w.t.Fatal(rep.Errors)
	}
	return rep
}

// settle lets every margin pass and sweeps after each.
func (w *world) settle() {
	w.t.Helper()
	for range 8 {
		w.clock.Advance(25 * time.Hour)
		w.sweep()
	}
}

func (w *world) audit() {
	w.t.Helper()
	findings, err := w.Audit(context.Background(), w.store)
	w.must(err)
	for _, f := range findings {
		w.t.Error(f)
	}
	if w.t.Failed() {
		w.t.FailNow()
	}
}

// left counts the rows that are there when the history of tags has been forgotten, too.
func (w *world) left() int {
	w.clock.Advance(40 * 24 * time.Hour)
	w.sweep()
	page, err := w.store.Scan(context.Background(), store.Key{}, 1000)
	w.must(err)
	return len(page.Items)
}

func (w *world) objects() int {
	list, err := w.store.List(context.Background(), "", "", 1000)
	w.must(err)
	return len(list)
}

const repo = oci.Repository("team/app")

var big = strings.Repeat("layer ", 100)

func TestLifeOfAnImage(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	config, layer := w.upload(repo, "{}"), w.upload(repo, big)
	d, err := w.push(repo, "a", []oci.Tag{"latest"}, links(config, layer, layer))
	w.must(err)
	w.audit()
	w.settle()
	w.audit()
	m, err := w.FindTag(ctx, repo, "latest")
	w.must(err)
	if m.Digest != d {
		t.Fatalf("the tag points to %s, want %s", m.Digest, d)
	}
	for _, blob := range []oci.Digest{config, layer} {
		if _, err := w.Look(ctx, repo, blob); err != nil {
			t.Fatal(err)
		}
		w.mustBe(w.DeleteBlob(ctx, repo, blob), oci.InUse)
	}
	w.must(w.DeleteManifest(ctx, repo, d))
	w.audit()
	_, err = w.FindTag(ctx, repo, "latest")
	w.mustBe(err, oci.ManifestUnknown)
	w.mustBe(w.DeleteManifest(ctx, repo, d), oci.ManifestUnknown)
	w.must(w.DeleteBlob(ctx, repo, config))
	w.settle()
	w.audit()
	if n := w.left(); n != 0 {
		t.Fatalf("%d rows are left", n)
	}
}

func TestUndelete(t *testing.T) {
	for _, size := range []int{3, 250} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			w := newWorld(t)
			ctx := context.Background()
			var blobs []oci.Digest
			for i := range size {
				blobs = append(blobs, w.upload(repo, fmt.Sprint("blob ", i)))
			}
			d, err := w.push(repo, "a", []oci.Tag{"one", "two"}, links(blobs...))
			w.must(err)
			sig, err := w.push(repo, "sig", nil, links(blobs[0]), subject(d))
			w.must(err)
			tagged, err := w.push(repo, "sbom", []oci.Tag{"sbom"}, subject(d))
			w.must(err)
			w.audit()
			w.must(w.DeleteManifest(ctx, repo, d))
			w.audit()
			_, err = w.FindManifest(ctx, repo, sig)
			w.mustBe(err, oci.ManifestUnknown)
			_, err = w.FindManifest(ctx, repo, tagged)
			w.must(err)
			_, err = w.push(repo, "b", []oci.Tag{"two"})
			w.must(err)
			w.clock.Advance(11 * time.Hour)
			w.sweep()
			got, err := w.Undelete(ctx, repo, d)
			w.must(err)
			w.audit()
			if fmt.Sprint(got.Manifests) != fmt.Sprint([]oci.Digest{d, sig}) || fmt.Sprint(got.Tags) != "[one]" ||
				len(got.Lost) != 1 || got.Lost[0].Name != "two" || !strings.HasPrefix(got.Lost[0].Reason, "the tag points to sha256:") {
				t.Fatalf("restored %+v", got)
			}
			w.settle()
			w.audit()
			m, err := w.FindTag(ctx, repo, "one")
			w.must(err)
			if m.Digest != d {
				t.Fatal(m)
			}
			refs, _, err := w.Referrers(ctx, repo, d, "", "", 1<<20)
			w.must(err)
			if len(refs) != 2 {
				t.Fatalf("%d referrers", len(refs))
			}
			w.must(w.DeleteManifest(ctx, repo, d))
			w.clock.Advance(13 * time.Hour)
			w.sweep()
			_, err = w.Undelete(ctx, repo, d)
			w.mustBe(err, oci.ManifestUnknown)
			w.audit()
		})
	}
}

func TestUndeleteTag(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	d, err := w.push(repo, "a", []oci.Tag{"v1"})
	w.must(err)
	w.must(w.DeleteTag(ctx, repo, "v1"))
	got, err := w.UndeleteTag(ctx, repo, "v1")
	w.must(err)
	if len(got.Tags) != 1 {
		t.Fatalf("%+v", got)
	}
	w.must(w.DeleteTag(ctx, repo, "v1"))
	w.must(w.DeleteManifest(ctx, repo, d))
	_, err = w.UndeleteTag(ctx, repo, "v1")
	w.must(err)
	if m, err := w.FindTag(ctx, repo, "v1"); err != nil || m.Digest != d {
		t.Fatal(m, err)
	}
	_, err = w.UndeleteTag(ctx, repo, "v1")
	w.mustBe(err, oci.PreconditionFailed)
	w.audit()
}

func TestUndeleteNamesWhatIsGone(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	blob := w.upload(repo, "x")
	d, err := w.push(repo, "a", []oci.Tag{"v1"}, links(blob))
	w.must(err)
	w.must(w.DeleteManifest(ctx, repo, d))
	w.must(w.DeleteBlob(ctx, repo, blob))
	_, err = w.Undelete(ctx, repo, d)
	w.mustBe(err, oci.ManifestBlobUnknown)
	if !strings.Contains(err.Error(), string(blob)) {
		t.Fatal(err)
	}
	w.settle()
	w.audit()
}

func TestRepushAfterDelete(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	blob := w.upload(repo, big)
	for range 3 {
		d, err := w.push(repo, "a", []oci.Tag{"v1"}, links(blob))
		w.must(err)
		w.audit()
		w.must(w.DeleteManifest(ctx, repo, d))
		w.audit()
	}
	w.settle()
	if n := w.left(); n != 0 {
		t.Fatalf("%d rows are left", n)
	}
}

func TestStagedPush(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	var blobs, kids []oci.Digest
	for i := range 350 {
		blobs = append(blobs, w.upload(repo, fmt.Sprint("blob ", i)))
	}
	d, err := w.push(repo, "wide", []oci.Tag{"wide"}, links(blobs...))
	w.must(err)
	w.audit()
	for i := range 230 {
		kid, err := w.push(repo, fmt.Sprint("kid ", i), nil, links(blobs[i]))
		w.must(err)
		kids = append(kids, kid)
	}
	index, err := w.push(repo, "index", []oci.Tag{"wide"}, children(append(kids, d)...))
	w.must(err)
	w.audit()
	w.mustBe(w.DeleteManifest(ctx, repo, kids[7]), oci.InUse)
	w.must(w.DeleteManifest(ctx, repo, index))
	w.audit()
	w.must(w.DeleteManifest(ctx, repo, d))
	w.must(w.DeleteManifest(ctx, repo, kids[300%230]))
	w.audit()
	w.settle()
	w.audit()
}

func TestLargeBodyIsAnObject(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	content := bytes.Repeat([]byte("m"), refcount.MaxInlineBody+1)
	d, err := w.push(repo, "", []oci.Tag{"big"}, func(p *refcount.Push) { p.Body = content })
	w.must(err)
	_, b, err := w.ReadManifest(ctx, repo, d)
	w.must(err)
	if b.Object == "" || w.objects() != 1 {
		t.Fatalf("%+v", b)
	}
	w.audit()
	w.must(w.DeleteManifest(ctx, repo, d))
	w.settle()
	w.audit()
	if n := w.left(); n != 0 || w.objects() != 0 {
		t.Fatalf("%d rows and %d objects are left", n, w.objects())
	}
}

func TestMissingBlob(t *testing.T) {
	w := newWorld(t)
	missing := digest.FromString("missing")
	_, err := w.push(repo, "a", []oci.Tag{"v1"}, links(missing))
	w.mustBe(err, oci.ManifestBlobUnknown)
	var blobs []oci.Digest
	for i := range 150 {
		blobs = append(blobs, w.upload(repo, fmt.Sprint("blob ", i)))
	}
	_, err = w.push(repo, "wide", []oci.Tag{"v1"}, links(append(blobs, missing)...))
	w.mustBe(err, oci.ManifestBlobUnknown)
	_, err = w.FindTag(context.Background(), repo, "v1")
	w.mustBe(err, oci.ManifestUnknown)
	w.settle()
	w.audit()
	if n := w.left(); n != 0 {
		t.Fatalf("%d rows are left", n)
	}
}

func TestTagConditions(t *testing.T) {
	w := newWorld(t)
	first, err := w.push(repo, "a", []oci.Tag{"v1"}, func(p *refcount.Push) { p.IfAbsent = true })
	w.must(err)
	_, err = w.push(repo, "b", []oci.Tag{"v1"}, func(p *refcount.Push) { p.IfAbsent = true })
	w.mustBe(err, oci.PreconditionFailed)
	_, err = w.push(repo, "a", []oci.Tag{"v1"}, func(p *refcount.Push) { p.IfAbsent = true })
	w.mustBe(err, oci.PreconditionFailed)
	second, err := w.push(repo, "b", []oci.Tag{"v1"}, func(p *refcount.Push) { p.IfMatch = first })
	w.must(err)
	_, err = w.push(repo, "c", []oci.Tag{"v1"}, func(p *refcount.Push) { p.IfMatch = first })
	w.mustBe(err, oci.PreconditionFailed)
	_, err = w.push(repo, "c", []oci.Tag{"v2"}, func(p *refcount.Push) { p.IfMatch = first })
	w.mustBe(err, oci.PreconditionFailed)
	if m, err := w.FindTag(context.Background(), repo, "v1"); err != nil || m.Digest != second {
		t.Fatal(m, err)
	}
	w.audit()
}

func TestOldManifestIsNewChild(t *testing.T) {
	w := newWorld(t)
	child, err := w.push(repo, "child", []oci.Tag{"v1", "v2"})
	w.must(err)
	_, err = w.push(repo, "index", []oci.Tag{"v1"}, children(child))
	w.must(err)
	w.audit()
}

func TestManyTagsOnOneManifest(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	var d oci.Digest
	for i := range 150 {
		var err error
		d, err = w.push(repo, "a", []oci.Tag{oci.Tag(fmt.Sprintf("t%03d", i))})
		w.must(err)
	}
	w.must(w.DeleteManifest(ctx, repo, d))
	w.audit()
	tags, _, err := w.Tags(ctx, repo, "", 1000)
	w.must(err)
	if len(tags) != 0 {
		t.Fatal(tags)
	}
	got, err := w.Undelete(ctx, repo, d)
	w.must(err)
	if len(got.Tags) != 150 {
		t.Fatalf("%d tags came back", len(got.Tags))
	}
	w.audit()
	w.must(w.DeleteManifest(ctx, repo, d))
	w.settle()
	w.audit()
	if n := w.left(); n != 0 {
		t.Fatalf("%d rows are left", n)
	}
}

func TestUntaggedRule(t *testing.T) {
	w := newWorld(t, func(c *refcount.Config) { c.Margins.Untagged = 48 * time.Hour })
	ctx := context.Background()
	child, err := w.push(repo, "child", nil)
	w.must(err)
	lone, err := w.push(repo, "lone", nil)
	w.must(err)
	_, err = w.push(repo, "index", []oci.Tag{"v1"}, children(child))
	w.must(err)
	w.settle()
	w.audit()
	if _, err := w.FindManifest(ctx, repo, child); err != nil {
		t.Fatal("the child of a live index went: ", err)
	}
	_, err = w.FindManifest(ctx, repo, lone)
	w.mustBe(err, oci.ManifestUnknown)
	w.must(w.DeleteTag(ctx, repo, "v1"))
	w.settle()
	w.audit()
	_, err = w.FindManifest(ctx, repo, child)
	w.mustBe(err, oci.ManifestUnknown)
}

func TestUntaggedRuleTurnedOnLater(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	lone, err := w.push(repo, "lone", nil)
	w.must(err)
	w.settle()
	if _, err := w.FindManifest(ctx, repo, lone); err != nil {
		t.Fatal("without a rule nothing goes: ", err)
	}
	cfg := refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: 64, NewToken: seededTokens(2)}
	cfg.Margins.Untagged = time.Hour
	l, err := refcount.New(refcount.Stores{Table: w.store, Objects: w.store, Parts: w.store}, w.clock, cfg)
	w.must(err)
	w.Ledger = l
	w.must(w.ApplyUntagged(ctx))
	w.settle()
	_, err = w.FindManifest(ctx, repo, lone)
	w.mustBe(err, oci.ManifestUnknown)
	w.audit()
}

func TestLease(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	d := w.upload(repo, big)
	for range 10 { // each look promises another Lease, however often the sweep runs
		w.clock.Advance(20 * time.Hour)
		w.sweep()
		_, err := w.Look(ctx, repo, d)
		w.must(err)
		w.clock.Advance(w.Margins().Lease)
		w.sweep()
		_, err = w.Look(ctx, repo, d)
		w.must(err)
	}
	w.clock.Advance(25 * time.Hour)
	w.sweep()
	_, err := w.Look(ctx, repo, d)
	w.mustBe(err, oci.BlobUnknown)
	w.audit()
}

func TestTwoUploadsOfOneBlob(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	d := digest.FromString(big)
	var sessions []refcount.Session
	for i := range 2 {
		s, err := w.Write(ctx, refcount.Session{ID: fmt.Sprint("up", i), Repo: repo, Object: w.NewObject()})
		w.must(err)
		w.must(w.store.Put(ctx, s.Object, strings.NewReader(big), int64(len(big))))
		sessions = append(sessions, s)
	}
	for _, s := range sessions {
		w.must(w.Finish(ctx, s, d, int64(len(big))))
		w.audit()
	}
	w.must(w.Finish(ctx, sessions[1], d, int64(len(big)))) // its reply was lost
	w.clock.Advance(8 * time.Hour)
	w.sweep()
	w.audit()
	if n := w.objects(); n != 1 {
		t.Fatalf("%d objects", n)
	}
	link, err := w.Look(ctx, repo, d)
	w.must(err)
	if _, err := w.store.Stat(ctx, link.Object); err != nil {
		t.Fatal(err)
	}
}

func TestMount(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	d := w.upload(repo, big)
	if ok, err := w.Mount(ctx, "other", digest.FromString("none"), repo); ok || err != nil {
		t.Fatal(ok, err)
	}
	for range 2 {
		if ok, err := w.Mount(ctx, "other", d, repo); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	w.must(w.DeleteBlob(ctx, repo, d))
	w.audit()
	_, err := w.Look(ctx, "other", d)
	w.must(err)
	_, err = w.Look(ctx, repo, d)
	w.mustBe(err, oci.BlobUnknown)
	w.settle()
	w.audit()
	if n := w.left(); n != 0 || w.objects() != 0 {
		t.Fatalf("%d rows and %d objects are left", n, w.objects())
	}
}

func TestSessionExpires(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	s, err := w.Write(ctx, refcount.Session{ID: "u", Repo: repo, Object: w.NewObject()})
	w.must(err)
	w.must(w.store.Put(ctx, s.Object, strings.NewReader(big), int64(len(big))))
	w.clock.Advance(23 * time.Hour)
	s, err = w.Write(ctx, s)
	w.must(err)
	w.clock.Advance(23 * time.Hour)
	w.sweep()
	_, err = w.Write(ctx, s)
	w.must(err)
	w.clock.Advance(25 * time.Hour)
	w.sweep()
	_, err = w.Write(ctx, s)
	w.mustBe(err, oci.BlobUploadInvalid)
	w.mustBe(w.Finish(ctx, s, digest.FromString(big), int64(len(big))), oci.BlobUploadUnknown)
	w.audit()
	w.settle()
	if n := w.left(); n != 0 || w.objects() != 0 {
		t.Fatalf("%d rows and %d objects are left", n, w.objects())
	}
}

func TestDiscardClosesTheID(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	until := w.clock.Now().Add(time.Hour)
	s, err := w.Write(ctx, refcount.Session{ID: "u", Repo: repo, Object: w.NewObject()})
	w.must(err)
	_, err = w.Session(ctx, "other", "u")
	w.mustBe(err, oci.BlobUploadUnknown)
	w.must(w.Discard(ctx, repo, "u", until))
	w.mustBe(w.Discard(ctx, repo, "u", until), oci.BlobUploadUnknown)
	_, err = w.Session(ctx, repo, "u")
	w.mustBe(err, oci.BlobUploadUnknown)
	_, err = w.FinishWhole(ctx, repo, "u", digest.FromString("x"), "x")
	w.mustBe(err, oci.BlobUploadUnknown)
	w.mustBe(w.Finish(ctx, s, digest.FromString(big), 1), oci.BlobUploadUnknown)
	w.must(w.Discard(ctx, repo, "fresh", until))
	w.audit()
	w.settle()
	if n := w.left(); n != 0 {
		t.Fatalf("%d rows are left", n)
	}
}

func TestGiveUpMargins(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	w.upload(repo, big)
	kept := w.upload(repo, big+"kept")
	_, err := w.push(repo, "kept", []oci.Tag{"kept"}, links(kept))
	w.must(err)
	d, err := w.push(repo, "a", []oci.Tag{"v1"}, links(w.upload(repo, big+"2")))
	w.must(err)
	w.must(w.DeleteManifest(ctx, repo, d))
	running, err := w.Write(ctx, refcount.Session{ID: "u", Repo: repo, Object: w.NewObject()})
	w.must(err)
	rep, err := w.Sweep(ctx, refcount.SweepOptions{GiveUpMargins: true})
	w.must(err)
	if rep.Objects != 2 || rep.Bytes != int64(2*len(big)+1) || w.objects() != 1 {
		t.Fatalf("%+v, %d objects", rep, w.objects())
	}
	w.audit()
	w.must(w.store.Put(ctx, running.Object, strings.NewReader(big), int64(len(big))))
	w.must(w.Finish(ctx, running, digest.FromString(big), int64(len(big))))
	w.audit()
}

func TestExpiredTagIsGone(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	d, err := w.push(repo, "a", []oci.Tag{"pr"}, func(p *refcount.Push) { p.Expires = w.clock.Now().Add(time.Hour) })
	w.must(err)
	w.clock.Advance(time.Hour)
	_, err = w.FindTag(ctx, repo, "pr")
	w.mustBe(err, oci.ManifestUnknown)
	if tags, _, err := w.Tags(ctx, repo, "", 10); err != nil || len(tags) != 0 {
		t.Fatal(tags, err)
	}
	_, err = w.push(repo, "b", []oci.Tag{"pr"}, func(p *refcount.Push) { p.IfAbsent = true })
	w.must(err)
	w.audit()
	w.sweep()
	w.audit()
	if _, err := w.FindManifest(ctx, repo, d); err != nil {
		t.Fatal(err)
	}
}

func TestRepositoryRowGoesLast(t *testing.T) {
	w := newWorld(t)
	ctx := context.Background()
	d, err := w.push(repo, "a", []oci.Tag{"v1"}, links(w.upload(repo, "x")))
	w.must(err)
	w.must(w.DeleteManifest(ctx, repo, d))
	for range 30 {
		w.clock.Advance(time.Hour)
		w.sweep()
		w.audit()
	}
	names, _, err := w.Repositories(ctx, "", 10, nil)
	w.must(err)
	if len(names) != 0 {
		t.Fatal(names)
	}
	_, _, err = w.Tags(ctx, repo, "", 10)
	w.mustBe(err, oci.NameUnknown)
}
