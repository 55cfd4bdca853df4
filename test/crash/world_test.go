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
	"net/http"
	"slices"
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
	"tare/test/standin/rows"
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
	store durable
	clock *clock.Manual
	lives int

	margins refcount.Margins
	sparse  bool      // indexes may list what is not there
	apart   bool      // batches of reads are of as many moments as they have keys, which the contract allows
	odd     bool      // and the last key comes first
	results [2]string // what the parties of a race were told
	waits   bool      // completed direct uploads wait for somebody to settle them

	direct oci.DirectUpload // that two parties meet at

	manifests map[string]promise // by repository and reference: what was acknowledged and not taken back
	blobs     map[string]promise // what may be relied on for a lease
}

// durable is what is left of a process that dies.
type durable interface {
	store.Table
	store.Scanner
	store.Objects
	store.Multipart
	Direct(address string, clk clock.Clock) *memstore.Direct
	Handler() http.Handler
}

// open makes a store.
func open(clk clock.Clock, opts memstore.Options) durable {
	if engine != nil {
		return engine.Open(clk, opts)
	}
	return memstore.New(clk, opts)
}

// clone makes a store that is as s is now.
func clone(s durable, clk clock.Clock) durable {
	if s, ok := s.(*rows.Store); ok {
		return s.Clone(clk)
	}
	return s.(*memstore.Store).Clone(clk)
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
	return &world{t: t, store: open(clk, memstore.Options{}), clock: clk, margins: refcount.DefaultMargins(),
		manifests: map[string]promise{}, blobs: map[string]promise{}}
}

// clone is the same world at the same moment, to go another way in.
func (w *world) clone(t *testing.T) *world {
	c := &world{t: t, clock: clock.NewManual(w.clock.Now()), lives: w.lives, margins: w.margins, sparse: w.sparse, waits: w.waits, direct: w.direct,
		manifests: map[string]promise{}, blobs: map[string]promise{}}
	c.store = clone(w.store, c.clock)
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
	scanner store.Scanner
	reg     *registry.Registry
}

// boot starts a process whose store calls go by the plan.
func (w *world) boot(plan faultstore.Plan) *process {
	w.t.Helper()
	w.lives++
	p := faultstore.New(faultstore.Options{Plan: plan})
	table, objects, parts := p.Table(w.store), p.Objects(w.store), p.Multipart(w.store)
	scanner := table.(store.Scanner)
	if w.apart {
		table = faultstore.Apart{Table: table, Backward: w.odd}
	}
	cfg := refcount.Config{Margins: w.margins, InlineLimit: inlineLimit, NewToken: tokens(uint64(w.lives))}
	ledger, err := refcount.New(refcount.Stores{Table: table, Objects: objects, Parts: parts}, w.clock, cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	options := w.directly(p)
	uploads, err := upload.New(ledger, objects, parts, w.clock, options)
	if err != nil {
		w.t.Fatal(err)
	}
	return &process{w, p, ledger, uploads, objects, scanner, registry.New(ledger, uploads, objects, registry.Options{SparseIndexes: w.sparse, Direct: options.Direct})}
}

func tokens(seed uint64) func() string {
	src := rand.New(rand.NewPCG(seed, 7))
	return func() string { return fmt.Sprintf("%013x%013x", src.Uint64()>>12, src.Uint64()>>12) }
}

// operation is what a client does, or the sweep. It is safe to repeat: a client that got no answer begins again.
type operation func(ctx context.Context, p *process) error

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

// again is op in a new process, which goes by settings that have changed.
func again(op operation) operation {
	return func(ctx context.Context, p *process) error { return op(ctx, p.boot(nil)) }
}

// refused is op where it has to be refused.
func refused(op operation, code oci.Code) operation {
	return func(ctx context.Context, p *process) error { return expect(op(ctx, p), code) }
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
		if !slices.Contains([]string{"k", "u", "w"}, it.Key.PK) { // secrets, credentials, and how far a rule is applied
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
