// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"bytes"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
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
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/store/memstore"
	"tare/internal/upload"
)

const (
	repo   = oci.Repository("team/app")
	inline = 64  // InlineLimit
	least  = 100 // of a part, in worlds where parts have a least size
)

// gathered is the test whose worlds have a store with parts of a least size.
const gathered = "TestGathered"

// world is uploads on a store in memory, with a process that can be killed and started again.
type world struct {
	*upload.Uploads
	t      *testing.T
	store  *memstore.Store
	clock  *clock.Manual
	ledger *refcount.Ledger
	proc   *faultstore.Process
	opts   upload.Options
	tokens func() string
}

func newWorld(t *testing.T, opts upload.Options) *world {
	t.Helper()
	return newWorldOf(t, opts, leastOf(t))
}

// leastOf is the least size of parts in the worlds of a test; 0: none.
func leastOf(t *testing.T) int64 {
	if strings.HasPrefix(t.Name(), gathered+"/") {
		return least
	}
	return 0
}

// newWorldOf makes a world whose parts have a least size; 0: none.
func newWorldOf(t *testing.T, opts upload.Options, minPart int64) *world {
	t.Helper()
	clk := clock.NewManual(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	w := &world{t: t, store: memstore.New(clk, memstore.Options{MinPart: minPart}), clock: clk, opts: opts, tokens: seededTokens(1)}
	w.start(nil)
	return w
}

// start begins a new life on what the last one left.
func (w *world) start(plan faultstore.Plan) { w.startWith(faultstore.Options{Plan: plan}) }

func (w *world) startWith(opts faultstore.Options) {
	w.t.Helper()
	w.proc = faultstore.New(opts)
	stores := refcount.Stores{Table: w.proc.Table(w.store), Objects: w.proc.Objects(w.store), Parts: w.proc.Multipart(w.store)}
	var err error
	w.ledger, err = refcount.New(stores, w.clock, refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: inline, NewToken: w.tokens})
	w.must(err)
	w.Uploads, err = upload.New(w.ledger, stores.Objects, stores.Parts, w.clock, w.opts)
	w.must(err)
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

// id starts an upload.
func (w *world) id() string {
	w.t.Helper()
	up, err := w.Start(w.t.Context(), repo)
	w.must(err)
	if up.Offset != 0 || up.MinChunk != (w.store.MinPart()+1)/2 {
		w.t.Fatalf("a new upload is %+v", up)
	}
	return up.ID
}

// write appends and checks where the upload stands then.
func (w *world) write(id string, offset int64, data string, size int64, want int) {
	w.t.Helper()
	up, err := w.Write(w.t.Context(), repo, id, offset, body(data), size)
	w.must(err)
	if up.Offset != int64(want) || up.ID != id {
		w.t.Fatalf("the upload is %+v, want offset %d", up, want)
	}
	w.stands(id, want)
}

func (w *world) stands(id string, want int) {
	w.t.Helper()
	up, err := w.Resume(w.t.Context(), repo, id)
	w.must(err)
	if up.Offset != int64(want) {
		w.t.Fatalf("the upload stands at %d, want %d", up.Offset, want)
	}
}

// finish closes an upload as a blob with the given content.
func (w *world) finish(id string, offset int64, data string, size int64, content string) {
	w.t.Helper()
	d := digest.FromString(content)
	desc, err := w.Finish(w.t.Context(), repo, id, d, offset, body(data), size)
	w.must(err)
	w.wantBlob(desc, d, content)
}

// wantBlob checks that a blob is visible with its content.
func (w *world) wantBlob(desc oci.Descriptor, d oci.Digest, content string) {
	w.t.Helper()
	if desc.Digest != d || desc.Size != int64(len(content)) || desc.MediaType != "application/octet-stream" {
		w.t.Fatalf("the blob is described as %+v", desc)
	}
	if got := w.read(d); got != content {
		w.t.Fatalf("the blob has %d bytes, which are not the %d that were uploaded", len(got), len(content))
	}
	w.audit()
}

func (w *world) read(d oci.Digest) string {
	w.t.Helper()
	link, err := w.ledger.Look(w.t.Context(), repo, d)
	w.must(err)
	if refcount.Inline(link.Object) {
		content, err := w.ledger.Content(w.t.Context(), link.Object)
		w.must(err)
		return content
	}
	r, err := w.store.Open(w.t.Context(), link.Object, 0, -1)
	w.must(err)
	content, err := io.ReadAll(r)
	w.must(err)
	return string(content)
}

func (w *world) absent(d oci.Digest) {
	w.t.Helper()
	_, err := w.ledger.Look(w.t.Context(), repo, d)
	w.mustBe(err, oci.BlobUnknown)
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

// settle lets every margin pass, and checks that nothing is left where nothing is referenced.
func (w *world) settle() {
	w.t.Helper()
	w.start(nil)
	w.audit()
	for range 8 {
		w.clock.Advance(25 * time.Hour)
		report, err := w.ledger.Sweep(w.t.Context(), refcount.SweepOptions{})
		w.must(err)
		if report.Failed > 0 {
			w.t.Fatal(report.Errors)
		}
	}
	w.audit()
	rows, err := w.store.Scan(w.t.Context(), store.Key{}, 10)
	w.must(err)
	for _, it := range rows.Items {
		if it.Key.PK != "k" { // the secret that signs ids
			w.t.Errorf("row %s is left", it.Key)
		}
	}
	objects, err := w.store.List(w.t.Context(), "", "", 10)
	w.must(err)
	pending, err := w.store.Pending(w.t.Context(), "")
	w.must(err)
	if len(objects)+len(pending) > 0 {
		w.t.Errorf("%v and %v are left", objects, pending)
	}
}

// session reads the row of an upload.
func (w *world) session(id string) refcount.Session {
	w.t.Helper()
	raw, err := base64.RawURLEncoding.DecodeString(id)
	w.must(err)
	s, err := w.ledger.Session(w.t.Context(), repo, hex.EncodeToString(raw[:16]))
	w.must(err)
	return s
}

// body is a reader that is nothing but a reader, as a request's is.
func body(s string) io.Reader { return struct{ io.Reader }{bytes.NewReader([]byte(s))} }

var errTorn = errors.New("connection reset by peer")

// torn gives s and then fails.
func torn(s string) io.Reader { return io.MultiReader(body(s), failing{errTorn}) }

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// readerFunc is a reader that a test decides about.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// pattern makes n bytes that differ from those of another seed.
func pattern(seed, n int) string {
	src := rand.NewPCG(uint64(seed), uint64(n))
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(src.Uint64())
	}
	return string(b)
}

func sha512Of(content string) oci.Digest {
	sum := sha512.Sum512([]byte(content))
	return oci.Digest("sha512:" + hex.EncodeToString(sum[:]))
}
