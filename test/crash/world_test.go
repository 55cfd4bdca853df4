// SPDX-License-Identifier: Apache-2.0

// Package crash lets the process die at every store call of every operation, restarts it, lets the client try again,
// and looks whether anything was lost or left.
package crash

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/registry"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/store/memstore"
	"tare/internal/upload"

	"github.com/opencontainers/go-digest"
)

const (
	repo  = oci.Repository("team/app")
	other = oci.Repository("team/other")
)

// inlineLimit is small, so that a blob of a line already takes the long way.
const inlineLimit = 64

// world is durable state and its clock, and what clients were told of it.
type world struct {
	t     *testing.T
	store *memstore.Store
	clock *clock.Manual
	lives int

	margins refcount.Margins
	apart   bool      // batches of reads are of as many moments as they have keys, which the contract allows
	odd     bool      // and the last key comes first
	results [2]string // what the parties of a race were told

	manifests map[string]promise // by repository and reference: what was acknowledged and not taken back
	blobs     map[string]promise // what may be relied on for a lease
}

// promise is what a client was told that it can read.
type promise struct {
	repo    oci.Repository
	ref     oci.Reference
	content string
	blobs   []oci.Digest
}

func newWorld(t *testing.T) *world {
	clk := clock.NewManual(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	return &world{t: t, store: memstore.New(clk, memstore.Options{}), clock: clk, margins: refcount.DefaultMargins(),
		manifests: map[string]promise{}, blobs: map[string]promise{}}
}

// clone is the same world at the same moment, to go another way in.
func (w *world) clone(t *testing.T) *world {
	c := &world{t: t, clock: clock.NewManual(w.clock.Now()), lives: w.lives, margins: w.margins,
		manifests: map[string]promise{}, blobs: map[string]promise{}}
	c.store = w.store.Clone(c.clock)
	for k, v := range w.manifests {
		c.manifests[k] = v
	}
	for k, v := range w.blobs {
		c.blobs[k] = v
	}
	return c
}

// process is one life of a registry over the world.
type process struct {
	*world
	*faultstore.Process
	ledger  *refcount.Ledger
	uploads *upload.Uploads
	objects store.Objects
	reg     *registry.Registry
}

// apart is a table whose batches of reads are single reads, forward or backward.
type apart struct {
	store.Table
	backward bool
}

func (a apart) Get(ctx context.Context, keys ...store.Key) ([]store.Row, error) {
	rows := make([]store.Row, len(keys))
	for i := range keys {
		if a.backward {
			i = len(keys) - 1 - i
		}
		r, err := a.Table.Get(ctx, keys[i])
		if err != nil {
			return nil, err
		}
		rows[i] = r[0]
	}
	return rows, nil
}

// boot starts a process whose store calls go by the plan.
func (w *world) boot(plan faultstore.Plan) *process {
	w.t.Helper()
	w.lives++
	p := faultstore.New(faultstore.Options{Plan: plan})
	table, objects, parts := p.Table(w.store), p.Objects(w.store), p.Multipart(w.store)
	if w.apart {
		table = apart{table, w.odd}
	}
	cfg := refcount.Config{Margins: w.margins, InlineLimit: inlineLimit, NewToken: tokens(uint64(w.lives))}
	ledger, err := refcount.New(refcount.Stores{Table: table, Objects: objects, Parts: parts}, w.clock, cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	uploads, err := upload.New(ledger, objects, parts, w.clock, upload.Options{})
	if err != nil {
		w.t.Fatal(err)
	}
	return &process{w, p, ledger, uploads, objects, registry.New(ledger, uploads, objects, registry.Options{})}
}

func tokens(seed uint64) func() string {
	src := rand.New(rand.NewPCG(seed, 7))
	return func() string { return fmt.Sprintf("%013x%013x", src.Uint64()>>12, src.Uint64()>>12) }
}

// operation is what a client does, or the sweep. It is safe to repeat: a client that got no answer begins again.
type operation func(ctx context.Context, p *process) error

// pushBlob uploads in one request.
func pushBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		_, err := p.reg.PushBlob(ctx, r, d, strings.NewReader(content), int64(len(content)))
		return p.toldOfBlob(r, d, content, err)
	}
}

// putBlob uploads as the PUT family does: POST, then PUT with all the bytes.
func putBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		up, err := p.reg.StartUpload(ctx, r)
		if err != nil {
			return err
		}
		d := digest.FromString(content)
		_, err = p.reg.FinishUpload(ctx, r, up.ID, d, -1, strings.NewReader(content), int64(len(content)))
		return p.toldOfBlob(r, d, content, err)
	}
}

// patchBlob uploads as the PATCH family does, in chunks of n bytes; a chunk whose answer got lost is sent again from
// where the upload stands.
func patchBlob(r oci.Repository, content string, n int, size int64) operation {
	return func(ctx context.Context, p *process) error {
		up, err := p.reg.StartUpload(ctx, r)
		if err != nil {
			return err
		}
		for up.Offset < int64(len(content)) {
			chunk := content[up.Offset:min(int(up.Offset)+n, len(content))]
			if size >= 0 {
				size = int64(len(chunk))
			}
			if up, err = p.reg.WriteUpload(ctx, r, up.ID, up.Offset, strings.NewReader(chunk), size); err != nil {
				return err
			}
		}
		d := digest.FromString(content)
		_, err = p.reg.FinishUpload(ctx, r, up.ID, d, -1, strings.NewReader(""), 0)
		return p.toldOfBlob(r, d, content, err)
	}
}

// brokenBlob breaks off in the middle of a body, asks where the upload stands, and goes on.
func brokenBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		up, err := p.reg.StartUpload(ctx, r)
		if err != nil {
			return err
		}
		body := io.MultiReader(strings.NewReader(content[:len(content)/2]), broken{})
		if _, err := p.reg.WriteUpload(ctx, r, up.ID, 0, body, int64(len(content))); err == nil || !errors.Is(err, errBroken) {
			return fmt.Errorf("a broken body: %w", errors.Join(err, errUnexpected))
		}
		if up, err = p.reg.ResumeUpload(ctx, r, up.ID); err != nil {
			return err
		}
		if up.Offset != int64(len(content)/2) {
			return fmt.Errorf("stands at %d: %w", up.Offset, errUnexpected)
		}
		d := digest.FromString(content)
		_, err = p.reg.FinishUpload(ctx, r, up.ID, d, up.Offset, strings.NewReader(content[up.Offset:]), -1)
		return p.toldOfBlob(r, d, content, err)
	}
}

var (
	errBroken     = errors.New("the connection broke")
	errUnexpected = errors.New("unexpected")
)

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errBroken }

// wrongBlob claims another digest, and expects to be refused.
func wrongBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		up, err := p.reg.StartUpload(ctx, r)
		if err != nil {
			return err
		}
		if up, err = p.reg.WriteUpload(ctx, r, up.ID, 0, strings.NewReader(content), -1); err != nil {
			return err
		}
		_, err = p.reg.FinishUpload(ctx, r, up.ID, digest.FromString("another"), up.Offset, strings.NewReader(""), 0)
		return expect(err, oci.DigestInvalid)
	}
}

// cancelBlob gives an upload up.
func cancelBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		up, err := p.reg.StartUpload(ctx, r)
		if err != nil {
			return err
		}
		if up, err = p.reg.WriteUpload(ctx, r, up.ID, 0, strings.NewReader(content), int64(len(content))); err != nil {
			return err
		}
		return p.reg.CancelUpload(ctx, r, up.ID)
	}
}

func mount(r oci.Repository, content string, from oci.Repository) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		ok, err := p.reg.MountBlob(ctx, r, d, from)
		if err == nil && !ok {
			return fmt.Errorf("not mounted: %w", errUnexpected)
		}
		return p.toldOfBlob(r, d, content, err)
	}
}

func headBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		_, err := p.reg.ResolveBlob(ctx, r, d)
		return p.toldOfBlob(r, d, content, err)
	}
}

func deleteBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		delete(p.blobs, string(r)+"@"+string(d))
		return allow(p.reg.DeleteBlob(ctx, r, d), oci.BlobUnknown)
	}
}

// pushManifest pushes a manifest that lists blobs of the given contents, under tags.
func pushManifest(r oci.Repository, body string, tags ...oci.Tag) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(body)
		for _, name := range tags { // until it is answered, the tag may point to the old or to the new one
			delete(p.manifests, string(r)+":"+string(name))
		}
		_, err := p.reg.PushManifest(ctx, r, oci.ManifestPush{Digest: d, Tags: tags, Body: []byte(body)})
		if err != nil {
			return err
		}
		p.toldOfManifest(r, body, tags...)
		return nil
	}
}

func deleteTag(r oci.Repository, name oci.Tag) operation {
	return func(ctx context.Context, p *process) error {
		delete(p.manifests, string(r)+":"+string(name))
		return allow(p.reg.DeleteTag(ctx, r, name), oci.ManifestUnknown)
	}
}

// deleteManifest deletes a manifest; gone are the references that go with it.
func deleteManifest(r oci.Repository, body string, gone ...string) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(body)
		for _, ref := range append(gone, "@"+string(d)) {
			delete(p.manifests, string(r)+ref)
		}
		return allow(p.reg.DeleteManifest(ctx, r, d), oci.ManifestUnknown)
	}
}

func undelete(r oci.Repository, body string, tags ...oci.Tag) operation {
	return func(ctx context.Context, p *process) error {
		if _, err := p.ledger.Undelete(ctx, r, digest.FromString(body)); err != nil {
			return err
		}
		p.toldOfManifest(r, body, tags...)
		return nil
	}
}

func undeleteTag(r oci.Repository, body string, name oci.Tag) operation {
	return func(ctx context.Context, p *process) error {
		if _, err := p.ledger.UndeleteTag(ctx, r, name); allow(err, oci.PreconditionFailed) != nil {
			return err
		}
		p.toldOfManifest(r, body, name)
		return nil
	}
}

func sweep(opts refcount.SweepOptions) operation {
	return func(ctx context.Context, p *process) error {
		if opts.GiveUpMargins {
			p.blobs = map[string]promise{}
		}
		rep, err := p.ledger.Sweep(ctx, opts)
		return errors.Join(append(rep.Errors, err)...)
	}
}

// wait lets time pass, longer than a lease.
func wait(d time.Duration) operation {
	return func(_ context.Context, p *process) error {
		p.clock.Advance(d)
		p.blobs = map[string]promise{}
		return nil
	}
}

// all does one thing after the other.
func all(ops ...operation) operation {
	return func(ctx context.Context, p *process) error {
		for _, op := range ops {
			if err := op(ctx, p); err != nil {
				return err
			}
		}
		return nil
	}
}

// toldOfBlob records that a client was told of a blob.
func (w *world) toldOfBlob(r oci.Repository, d oci.Digest, content string, err error) error {
	if err == nil {
		w.blobs[string(r)+"@"+string(d)] = promise{repo: r, ref: oci.Reference{Digest: d}, content: content}
	}
	return err
}

// toldOfManifest records that a client was told of a manifest and its tags.
func (w *world) toldOfManifest(r oci.Repository, body string, tags ...oci.Tag) {
	m, err := oci.ParseManifest([]byte(body), "")
	if err != nil {
		w.t.Fatal(err)
	}
	var blobs []oci.Digest
	for _, l := range m.Layers {
		blobs = append(blobs, l.Digest)
	}
	d := digest.FromString(body)
	w.manifests[string(r)+"@"+string(d)] = promise{r, oci.Reference{Digest: d}, body, blobs}
	for _, name := range tags {
		w.manifests[string(r)+":"+string(name)] = promise{r, oci.Reference{Tag: name}, body, blobs}
	}
}

// expect turns the refusal that had to come into success.
func expect(err error, code oci.Code) error {
	if err == nil || oci.CodeOf(err) != code {
		return fmt.Errorf("%w, want %s: %w", err, code, errUnexpected)
	}
	return nil
}

// allow takes a refusal for success that a repeated request may meet.
func allow(err error, code oci.Code) error {
	if err != nil && oci.CodeOf(err) == code {
		return nil
	}
	return err
}

// check reads all that clients were told they can read: manifests with everything that they list, and blobs while
// their lease lasts.
func (w *world) check(leases bool) {
	w.t.Helper()
	ctx := context.Background()
	p := w.boot(nil)
	for name, m := range w.manifests {
		got, err := p.reg.Manifest(ctx, m.repo, m.ref)
		if err != nil || got.Body != m.content {
			w.t.Errorf("%s was acknowledged and cannot be read: %v", name, err)
			continue
		}
		for _, d := range m.blobs {
			if _, err := p.read(ctx, m.repo, d); err != nil {
				w.t.Errorf("%s lists %s, which cannot be read: %v", name, d, err)
			}
		}
	}
	if !leases {
		return
	}
	for name, b := range w.blobs {
		if got, err := p.read(ctx, b.repo, b.ref.Digest); err != nil || got != b.content {
			w.t.Errorf("blob %s was promised and cannot be read: %v", name, err)
		}
	}
}

func (p *process) read(ctx context.Context, r oci.Repository, d oci.Digest) (string, error) {
	b, err := p.reg.Blob(ctx, r, d)
	if err != nil {
		return "", err
	}
	rc, err := b.Open(ctx, 0, -1)
	if err != nil {
		return "", err
	}
	defer rc.Close()
	content, err := io.ReadAll(rc)
	if err == nil && d.Algorithm().FromBytes(content) != d {
		err = errors.New("other bytes")
	}
	return string(content), err
}

func (w *world) audit() {
	w.t.Helper()
	findings, err := w.boot(nil).ledger.Audit(context.Background(), w.store)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, f := range findings {
		w.t.Error(f)
	}
}

// settle lets every margin pass, sweeping after each.
func (w *world) settle() {
	w.t.Helper()
	p := w.boot(nil)
	for range 5 {
		w.clock.Advance(25 * time.Hour)
		if err := sweep(refcount.SweepOptions{})(context.Background(), p); err != nil {
			w.t.Fatal(err)
		}
	}
	w.blobs = map[string]promise{}
}

// empty deletes everything and looks whether anything is left.
func (w *world) empty() {
	w.t.Helper()
	ctx := context.Background()
	p := w.boot(nil)
	for range 3 { // an index keeps its children, so they go in a later round
		for _, r := range []oci.Repository{repo, other} {
			page, err := w.store.Query(ctx, store.Query{PK: "m#" + string(r), Limit: 1000})
			if err != nil {
				w.t.Fatal(err)
			}
			for _, it := range page.Items {
				err := p.reg.DeleteManifest(ctx, r, oci.Digest(it.Key.SK))
				if allow(allow(err, oci.ManifestUnknown), oci.InUse) != nil {
					w.t.Fatal(err)
				}
			}
		}
	}
	w.manifests = map[string]promise{}
	w.settle()
	w.clock.Advance(40 * 24 * time.Hour)
	if err := sweep(refcount.SweepOptions{})(ctx, p); err != nil {
		w.t.Fatal(err)
	}
	page, err := w.store.Scan(ctx, store.Key{}, 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, it := range page.Items {
		if it.Key.PK != "k" {
			w.t.Errorf("left: %s %v", it.Key, it.Row)
		}
	}
	objects, err := w.store.List(ctx, "", "", 1000)
	if err != nil || len(objects) > 0 {
		w.t.Errorf("left: %v %v", objects, err)
	}
	pending, err := w.store.Pending(ctx, "")
	if err != nil || len(pending) > 0 {
		w.t.Errorf("left: %v %v", pending, err)
	}
}
