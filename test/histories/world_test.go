// SPDX-License-Identifier: Apache-2.0

// Package histories lets clients and collectors do what a seed says, and looks whether what they were told can be
// explained: one after another against a model of the whole registry, and at once, store call by store call, against the
// specifications of a tag and of the presence of a blob or manifest.
package histories

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"time"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/registry"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	"tare/internal/store/memstore"
	uploads "tare/internal/upload"
)

// never is a moment after all others.
const never = math.MaxInt64

var (
	beginning = time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	margins   = refcount.DefaultMargins()
)

// durable is what a store has to be here.
type durable interface {
	store.Table
	store.Scanner
	store.Objects
	store.Multipart
}

// world is durable state, its clock, and all that clients were told.
type world struct {
	seed    uint64
	store   durable
	clock   *clock.Manual
	history history
	index   *faultstore.Index
	opts    options
	lives   uint64
	uploads [len(repos)]begun  // the upload that was begun last
	direct  [len(repos)]direct // the direct upload that was opened last
	cancels bool               // somebody cancels uploads
	ends    bool               // somebody ends uploads of others
	removes bool               // somebody removes blobs
	faults  []fault
	stopped bool

	open func() durable // opens the store again; nil: there is nothing to open
}

// begun is an upload, and the operation that began it.
type begun struct {
	oci.Upload
	operation
}

// options say what is special about a world.
type options struct {
	// Batches of reads are of as many moments as they have keys, which the contract allows.
	apart bool
	// And the last key comes first.
	backward bool
	// Parts have a least size, as on S3.
	gathers bool
	// Direct uploads in parts wait, when they are complete, for somebody to settle them.
	waits bool
	// The ledgers take the table for a distant one, and nothing may land of what a client was told is not.
	distant bool
	// Nor may it, though the ledgers take the table for a near one.
	hasty bool
	// plant puts a fault between ledgers and their tables; nil: none.
	plant func(store.Table) store.Table
	// log is where each store call goes; nil: nowhere.
	log io.Writer
}

// fault is something that must not be.
type fault struct {
	kind string // what a smaller case has to show as well
	text string
}

func newWorld(seed uint64, opts options) *world {
	clk := clock.NewManual(beginning)
	kept := memstore.Options{}
	if opts.gathers {
		kept.MinPart = leastPart
	}
	w := &world{seed: seed, clock: clk, index: faultstore.NewIndex(), opts: opts}
	if engine != nil {
		w.store = engine.Open(clk, kept)
	} else {
		w.store = memstore.New(clk, kept)
	}
	return w
}

func (w *world) fail(kind, format string, args ...any) {
	if !w.stopped {
		w.faults = append(w.faults, fault{kind, fmt.Sprintf(format, args...)})
	}
}

// boot starts a life of a client's process. What is random in it is drawn from the world's seed.
func (w *world) boot(c *client) *process {
	w.lives++
	p := faultstore.New(faultstore.Options{Plan: c.plan, Index: w.index, Done: c.done})
	table, objects, parts := p.Table(w.store), p.Objects(w.store), p.Multipart(w.store)
	if c.name == judge { // nothing happens to him
		table, objects, parts = w.store, w.store, w.store
	}
	if w.opts.apart {
		table = faultstore.Apart{Table: table, Backward: w.opts.backward}
	}
	if w.opts.plant != nil {
		table = w.opts.plant(table)
	}
	src := rand.New(rand.NewPCG(w.seed, w.lives))
	cfg := refcount.Config{Margins: margins, InlineLimit: inlineLimit, Distant: w.opts.distant, NewToken: func() string {
		return fmt.Sprintf("%013x%013x", src.Uint64()>>12, src.Uint64()>>12)
	}}
	ledger, err := refcount.New(refcount.Stores{Table: table, Objects: objects, Parts: parts}, w.clock, cfg)
	if err != nil {
		panic(err)
	}
	names := rand.NewChaCha8([32]byte{byte(w.seed), byte(w.seed >> 8), byte(w.seed >> 16), byte(w.seed >> 24), byte(w.lives), byte(w.lives >> 8)})
	up, err := uploads.New(ledger, objects, parts, w.clock, uploads.Options{Random: names, Direct: w.directly(p), Settle: w.settled()})
	if err != nil {
		panic(err)
	}
	return &process{p, ledger, up, registry.New(ledger, up, objects, registry.Options{})}
}

// alone is a client that need not wait for its turn, and meets no fault.
func (w *world) alone(name string, todo ...operation) *client {
	c := &client{w: w, name: name, todo: todo}
	c.run()
	return c
}

// advance moves the clock.
func (w *world) advance(d time.Duration) { w.clock.Advance(d) }

// reopen closes a store on disk and opens it again.
func (w *world) reopen() {
	if w.open != nil {
		w.store = w.open()
	}
}

// expected are the refusals that a request may meet.
var expected = map[verb][]oci.Code{
	upload:   {},
	cancel:   {oci.BlobUploadUnknown},
	end:      {oci.BlobUploadUnknown, oci.BlobUploadInvalid, oci.RangeInvalid}, // it does not stand there
	begin:    {},
	complete: {oci.BlobUploadUnknown, oci.BlobUploadInvalid}, // it has ended; its bytes have not come
	settle:   {},
	abort:    {oci.BlobUploadUnknown},
	head:     {oci.BlobUnknown},
	fetch:    {oci.BlobUnknown},
	mount:    {},
	remove:   {oci.BlobUnknown, oci.InUse},
	push:     {oci.ManifestBlobUnknown, oci.PreconditionFailed},
	get:      {oci.ManifestUnknown},
	untag:    {oci.ManifestUnknown},
	erase:    {oci.ManifestUnknown, oci.InUse},
	undelete: {oci.ManifestUnknown, oci.ManifestBlobUnknown},
	list:     {oci.NameUnknown},
	sweep:    {},
}

// look judges an answer by itself: nobody is told that something is wrong with the registry, nor that it cannot do now
// what nothing hinders, nor what cannot be said of such a request.
func (w *world) look(c *client, e *event) {
	var refusal *oci.Error
	err := e.answer.err
	switch {
	case err == nil || c.Dead() || errors.Is(err, context.Canceled):
	case errors.As(err, &refusal) && refusal.Code == oci.Internal, errors.Is(err, store.ErrCorrupt), errors.Is(err, store.ErrInvalid):
		w.fail("internal", "%s", e)
	case e.answer.outcome == unknown:
		if !e.disturbed && !errors.As(err, new(leftOpen)) {
			w.fail("unavailable", "nothing hindered, and yet: %s", e)
		}
	default:
		for _, code := range expected[e.verb] {
			if e.answer.code == code {
				return
			}
		}
		// An upload that was canceled, or stood still for longer than it may, is gone, and stands at its beginning again where
		// its id is still good. And a request ends.
		stood := e.answeredAt.Sub(e.began)
		switch code := e.answer.code; {
		case e.verb != upload && e.verb != begin:
		case w.ends && e.way != inOne && (w.removes && code == oci.RangeInvalid || !w.opts.gathers && code == oci.BlobUploadInvalid):
			return
		case (e.direct() || w.ends) && w.removes && code == oci.BlobUploadUnknown: // it is finished, and the blob has gone
			return
		case w.cancels && (code == oci.BlobUploadUnknown || code == oci.BlobUploadInvalid || code == oci.RangeInvalid):
			return
		case stood >= margins.UploadTTL && (code == oci.BlobUploadUnknown || code == oci.RangeInvalid):
			return
		case stood >= margins.MaxPut && code == oci.BlobUploadInvalid:
			return
		}
		w.fail("refusal", "this cannot be the answer: %s", e)
	}
}
