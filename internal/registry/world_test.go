// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/registry"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/store/memstore"
	"tare/internal/upload"
)

const (
	repo   = oci.Repository("team/app")
	inline = 64 // InlineLimit
)

// world is a registry on a store in memory, whose calls are recorded.
type world struct {
	*registry.Registry
	t      testing.TB
	store  *memstore.Store
	clock  *clock.Manual
	ledger *refcount.Ledger
	proc   *faultstore.Process
	opts   registry.Options
	// uploads takes direct uploads where the store has parts of a least size, and is asked to settle those.
	uploads  *upload.Uploads
	toSettle []string
	traced   int // calls that came before what is traced
	tokens   func() string
}

func newWorld(t testing.TB, opts registry.Options) *world {
	t.Helper()
	return newWorldOn(t, opts, memstore.Options{})
}

// newWorldOn is newWorld on a store of another kind.
func newWorldOn(t testing.TB, opts registry.Options, kind memstore.Options) *world {
	t.Helper()
	clk := clock.NewManual(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	w := &world{t: t, store: memstore.New(clk, kind), clock: clk, opts: opts, tokens: seededTokens(1)}
	w.start(nil)
	return w
}

// start begins a new life on what the last one left.
func (w *world) start(plan faultstore.Plan) {
	w.t.Helper()
	w.build(w.store, plan)
}

func (w *world) build(objects store.Objects, plan faultstore.Plan) {
	w.t.Helper()
	w.proc = faultstore.New(faultstore.Options{Plan: plan})
	stores := refcount.Stores{Table: w.proc.Table(w.store), Objects: w.proc.Objects(objects), Parts: w.proc.Multipart(w.store)}
	var err error
	w.ledger, err = refcount.New(stores, w.clock, refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: inline, NewToken: w.tokens})
	w.must(err)
	var options upload.Options
	if w.store.MinPart() > 0 {
		options.Direct = w.proc.Direct(w.store.Direct("http://store", w.clock))
		options.Settle = func(_ context.Context, id string) error {
			w.toSettle = append(w.toSettle, id)
			return nil
		}
	}
	w.uploads, err = upload.New(w.ledger, stores.Objects, stores.Parts, w.clock, options)
	w.must(err)
	w.Registry = registry.New(w.ledger, w.uploads, stores.Objects, w.opts)
}

func seededTokens(seed uint64) func() string {
	var mu sync.Mutex // guards src
	src := rand.New(rand.NewPCG(seed, seed))
	return func() string {
		mu.Lock()
		defer mu.Unlock()
		return fmt.Sprintf("%013x%013x", src.Uint64()>>12, src.Uint64()>>12)
	}
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

func (w *world) audit() {
	w.t.Helper()
	findings, err := w.ledger.Audit(w.t.Context(), w.store)
	w.must(err)
	for _, f := range findings {
		w.t.Error(f)
	}
	if w.t.Failed() {
		w.t.FailNow()
	}
}

func (w *world) sweep() {
	w.t.Helper()
	report, err := w.ledger.Sweep(w.t.Context(), refcount.SweepOptions{})
	w.must(err)
	if report.Failed > 0 {
		w.t.Fatal(report.Errors)
	}
}

// settle lets every margin pass, and sweeps.
func (w *world) settle() {
	w.t.Helper()
	w.audit()
	for range 8 {
		w.clock.Advance(25 * time.Hour)
		w.sweep()
	}
	w.audit()
}

// upload makes content a blob of a repository.
func (w *world) upload(repo oci.Repository, content string) oci.Digest {
	w.t.Helper()
	d := digest.FromString(content)
	_, err := w.PushBlob(w.t.Context(), repo, d, strings.NewReader(content), int64(len(content)))
	w.must(err)
	return d
}

// desc describes something that a manifest lists, as JSON.
func desc(mediaType string, d oci.Digest) string {
	return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":1}`, mediaType, d)
}

func list(mediaType string, ds ...oci.Digest) string {
	entries := make([]string, len(ds))
	for i, d := range ds {
		entries[i] = desc(mediaType, d)
	}
	return "[" + strings.Join(entries, ",") + "]"
}

const (
	mediaTypeConfig  = "application/vnd.oci.image.config.v1+json"
	mediaTypeLayer   = "application/vnd.oci.image.layer.v1.tar"
	mediaTypeForeign = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
)

// image makes an image manifest; more is text to add to it.
func image(more string, config oci.Digest, layers ...oci.Digest) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":%s,"layers":%s%s}`,
		oci.MediaTypeManifest, desc(mediaTypeConfig, config), list(mediaTypeLayer, layers...), more)
}

// index makes an index.
func index(children ...oci.Digest) []byte {
	return fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"manifests":%s}`, oci.MediaTypeIndex, list(oci.MediaTypeManifest, children...))
}

func subject(d oci.Digest) string { return `,"subject":` + desc(oci.MediaTypeManifest, d) }

// push pushes a manifest and returns its digest.
func (w *world) push(body []byte, tags ...oci.Tag) oci.Digest {
	w.t.Helper()
	got, err := w.PushManifest(w.t.Context(), repo, oci.ManifestPush{Body: body, Tags: tags})
	w.must(err)
	var m struct {
		MediaType string `json:"mediaType"`
	}
	w.must(json.Unmarshal(body, &m))
	if got.Digest != digest.FromBytes(body) || got.Size != int64(len(body)) || got.MediaType != m.MediaType {
		w.t.Fatalf("the manifest is described as %+v", got)
	}
	return got.Digest
}

// wantManifest checks what a reference leads to, by both ways of asking.
func (w *world) wantManifest(ref string, mediaType string, body []byte) {
	w.t.Helper()
	r, err := oci.ParseReference(ref)
	w.must(err)
	d := digest.FromBytes(body)
	if r.Digest != "" {
		d = r.Digest
	}
	head, err := w.ResolveManifest(w.t.Context(), repo, r)
	w.must(err)
	content, err := w.Manifest(w.t.Context(), repo, r)
	w.must(err)
	for _, got := range []oci.Descriptor{head, content.Descriptor} {
		if got.Digest != d || got.Size != int64(len(body)) || got.MediaType != mediaType {
			w.t.Fatalf("%s leads to %+v, want %s", ref, got, d)
		}
	}
	if content.Body != string(body) {
		w.t.Fatalf("%s leads to other content than was pushed", ref)
	}
}

func (w *world) wantNoManifest(ref string) {
	w.t.Helper()
	r, err := oci.ParseReference(ref)
	w.must(err)
	_, err = w.ResolveManifest(w.t.Context(), repo, r)
	w.mustBe(err, oci.ManifestUnknown)
	_, err = w.Manifest(w.t.Context(), repo, r)
	w.mustBe(err, oci.ManifestUnknown)
}

// read reads a part of a blob.
func (w *world) read(repo oci.Repository, d oci.Digest, offset, length int64) (string, error) {
	w.t.Helper()
	blob, err := w.Blob(w.t.Context(), repo, d)
	if err != nil {
		return "", err
	}
	r, err := blob.Open(w.t.Context(), offset, length)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

func (w *world) wantNoBlob(repo oci.Repository, d oci.Digest) {
	w.t.Helper()
	_, err := w.ResolveBlob(w.t.Context(), repo, d)
	w.mustBe(err, oci.BlobUnknown)
	_, err = w.Blob(w.t.Context(), repo, d)
	w.mustBe(err, oci.BlobUnknown)
}

// pattern makes text of n bytes that differs from that of another seed.
func pattern(seed, n int) string {
	src := rand.NewPCG(uint64(seed), uint64(n))
	b := make([]byte, n)
	for i := range b {
		b[i] = 'a' + byte(src.Uint64()%26)
	}
	return string(b)
}
