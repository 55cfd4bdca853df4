// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/registry"
	"tare/internal/store"
	"tare/internal/store/faultstore"
	uploads "tare/internal/upload"

	"github.com/opencontainers/go-digest"
)

// client does operations one after another, in a process of its own, which begins another life when it has died.
type client struct {
	w    *world
	name string
	todo []operation

	turns *faultstore.Party // nil: it need not wait for its turn
	*process
	lives []*process

	ctx       context.Context // of the operation under way
	cancel    context.CancelFunc
	index     faultstore.Action // what the index shows to the sweep under way
	disturbed bool              // a fault met the request under way
	hangUp    bool              // nobody waits for the request any more, once the call that is let in was made
	unsure    time.Time         // since when the outcome of a commit is not known; zero: it is
	arrived   time.Time         // when the call came that waits
	late      int               // calls that may still land
	sent      map[string]bool   // tokens of transactions that may land
	haunted   bool              // one of them was refused when it was repeated, and the request went on without its receipt
}

// process is one life of a client's process.
type process struct {
	*faultstore.Process
	ledger  *refcount.Ledger
	uploads *uploads.Uploads
	reg     *registry.Registry
}

// run does all that the client has to do.
func (c *client) run() {
	defer func() {
		if r := recover(); r != nil {
			c.w.fail("panic", "%s: %v\n%s", c.name, r, debug.Stack())
		}
	}()
	c.boot()
	for _, o := range c.todo {
		if c.turns != nil && c.turns.Gone() {
			return
		}
		c.do(o)
	}
}

// boot starts a life.
func (c *client) boot() {
	c.process = c.w.boot(c)
	c.lives = append(c.lives, c.process)
}

// do does an operation, whatever comes of it.
func (c *client) do(o operation) {
	c.ctx, c.cancel = context.WithCancel(context.Background())
	defer c.cancel()
	c.unsure = time.Time{}
	switch o.verb {
	case pushImage:
		c.pushImage(o)
	case pull:
		c.pull(o)
	case wait:
		c.w.advance(o.time)
	case restart:
		c.w.reopen()
		c.boot()
	default:
		c.request(o)
	}
	if c.Dead() {
		c.boot()
	}
}

// request makes one request, records it, and returns what came of it.
func (c *client) request(o operation) answer {
	if o.direct() {
		return c.requestDirect(o)
	}
	c.disturbed, c.haunted = false, false
	began := c.w.clock.Now()
	up, err := c.startUpload(o)
	if err != nil { // the request that would change something was never made
		e := (&history{}).ask(c.name, o, began)
		c.told(e, began, err)
		return e.answer
	}
	if o.verb == end {
		o.blob, o.way = c.w.uploads[o.repo].blob, c.w.uploads[o.repo].way
	}
	e := c.w.history.ask(c.name, o, c.w.clock.Now())
	err = c.send(o, up, &e.answer)
	c.told(e, began, err)
	return e.answer
}

// told ends an event and judges it.
func (c *client) told(e *event, began time.Time, err error) {
	c.w.history.tell(e, c.w.clock.Now(), err)
	e.began, e.disturbed, e.haunted = began, c.disturbed, c.haunted
	c.w.look(c, e)
	if e.direct() && e.answer.outcome == refused && (e.verb == upload || e.verb == begin) {
		e.answer.outcome = unknown // somebody else may have completed it, or may still
	}
}

// send makes the request and fills in what it found.
func (c *client) send(o operation, up oci.Upload, a *answer) error {
	r := repos[o.repo]
	switch o.verb {
	case upload:
		return c.finishUpload(o, up)
	case cancel:
		c.w.cancels = true
		return c.reg.CancelUpload(c.ctx, r, c.w.uploads[o.repo].ID)
	case end:
		c.w.ends = true
		return c.finishUpload(o, c.w.uploads[o.repo].Upload)
	case head:
		_, err := c.reg.ResolveBlob(c.ctx, r, blobs[o.blob].digest)
		return err
	case fetch:
		return c.fetch(o)
	case mount:
		var err error
		a.mounted, err = c.reg.MountBlob(c.ctx, r, blobs[o.blob].digest, repos[1-o.repo])
		return err
	case remove:
		c.w.removes = true
		return c.reg.DeleteBlob(c.ctx, r, blobs[o.blob].digest)
	case push:
		_, err := c.reg.PushManifest(c.ctx, r, o.manifestPush())
		return err
	case get:
		return c.get(o, a)
	case untag:
		return c.reg.DeleteTag(c.ctx, r, tags[o.tag])
	case erase:
		return c.reg.DeleteManifest(c.ctx, r, manifests[o.manifest].digest)
	case undelete:
		restored, err := c.ledger.Undelete(c.ctx, r, manifests[o.manifest].digest)
		a.restored(restored)
		return err
	case list:
		names, _, err := c.reg.Tags(c.ctx, r, "", 100)
		for _, name := range names {
			a.tags = append(a.tags, tagAt(oci.Tag(name)))
		}
		return err
	case sweep:
		c.index = faultstore.Pass
		if o.way == withGhosts {
			c.index = faultstore.IndexGhosts
		}
		report, err := c.ledger.Sweep(c.ctx, refcount.SweepOptions{})
		if err == nil && !c.Dead() {
			err = errors.Join(report.Errors...)
		}
		return err
	}
	panic("no request: " + string(o.verb))
}

// startUpload does what comes before the last request of an upload.
func (c *client) startUpload(o operation) (oci.Upload, error) {
	if o.verb != upload || o.way == inOne {
		return oci.Upload{}, nil
	}
	r, content := repos[o.repo], blobs[o.blob].content
	up, err := c.reg.StartUpload(c.ctx, r)
	half := len(content) / 2
	chunks := map[string][]string{inHalves: {content[:half]}, inChunks: {content[:half], content[half:]}}[o.way]
	c.w.uploads[o.repo] = begun{oci.Upload{ID: up.ID, Offset: int64(len(strings.Join(chunks, "")))}, o}
	for _, chunk := range chunks {
		if err == nil {
			up, err = c.reg.WriteUpload(c.ctx, r, up.ID, up.Offset, strings.NewReader(chunk), int64(len(chunk)))
		}
	}
	return up, err
}

// finishUpload is the last request of an upload.
func (c *client) finishUpload(o operation, up oci.Upload) error {
	r, b := repos[o.repo], blobs[o.blob]
	body := b.content[up.Offset:]
	var err error
	if o.way == inOne {
		_, err = c.reg.PushBlob(c.ctx, r, b.digest, strings.NewReader(body), int64(len(body)))
	} else {
		_, err = c.reg.FinishUpload(c.ctx, r, up.ID, b.digest, up.Offset, strings.NewReader(body), int64(len(body)))
	}
	return err
}

func (o operation) manifestPush() oci.ManifestPush {
	m := manifests[o.manifest]
	p := oci.ManifestPush{Digest: m.digest, Body: []byte(m.body), IfAbsent: o.ifAbsent}
	if o.tag != none {
		p.Tags = []oci.Tag{tags[o.tag]}
	}
	if o.ifMatch != none {
		p.IfMatch = manifests[o.ifMatch].digest
	}
	return p
}

// fetch reads a blob and compares its bytes.
func (c *client) fetch(o operation) error {
	b := blobs[o.blob]
	found, err := c.reg.Blob(c.ctx, repos[o.repo], b.digest)
	if err != nil {
		return err
	}
	r, err := found.Open(c.ctx, 0, -1)
	if err != nil {
		return err
	}
	defer r.Close()
	content, err := io.ReadAll(r)
	if err == nil && string(content) != b.content {
		c.w.fail("bytes", "%s: %s gave other bytes", c.name, o)
	}
	return err
}

// get reads a manifest and compares its bytes.
func (c *client) get(o operation, a *answer) error {
	var ref oci.Reference
	if o.tag != none {
		ref.Tag = tags[o.tag]
	} else {
		ref.Digest = manifests[o.manifest].digest
	}
	content, err := c.reg.Manifest(c.ctx, repos[o.repo], ref)
	if err != nil {
		return err
	}
	a.manifest = manifestAt(content.Digest)
	if a.manifest == none || digest.FromString(content.Body) != content.Digest || ref.Digest != "" && ref.Digest != content.Digest {
		c.w.fail("bytes", "%s: %s gave other bytes", c.name, o)
	}
	return nil
}

// pushImage pushes a manifest as clients do: it looks for each blob, brings what is missing, pushes the children of an
// index first, and then the manifest.
func (c *client) pushImage(o operation) {
	m := manifests[o.manifest]
	for _, child := range m.children {
		c.pushImage(bare(pushImage).ofManifest(o.repo, child))
	}
	for _, b := range m.blobs {
		if c.request(bare(head).ofBlob(o.repo, b)).outcome == refused {
			bring := bare(upload).ofBlob(o.repo, b)
			bring.way = []string{inOne, inTwo, inChunks}[b%3]
			c.request(bring)
		}
	}
	o.verb = push
	c.request(o)
}

// pull gets a manifest and all that it lists.
func (c *client) pull(o operation) {
	o.verb = get
	a := c.request(o)
	if a.manifest != none {
		c.pullAll(o.repo, a.manifest)
	}
}

func (c *client) pullAll(repo, m int) {
	for _, child := range manifests[m].children {
		c.pull(bare(pull).ofManifest(repo, child))
	}
	for _, b := range manifests[m].blobs {
		c.request(bare(fetch).ofBlob(repo, b))
	}
}

// plan decides about the client's store calls. The index is asked often and mostly in vain, so that a sweep has a turn
// only where it begins a round, and what the index shows is decided for the whole sweep.
func (c *client) plan(call faultstore.Call) faultstore.Action {
	if c.turns == nil || call.Kind == faultstore.Due && call.Shard > 0 {
		return c.index
	}
	c.arrived = c.w.clock.Now()
	a := c.turns.Turn(call)
	c.disturbed = c.disturbed || a != faultstore.Pass
	if call.Kind == faultstore.Due && a == faultstore.Pass {
		return c.index
	}
	return a
}

// done is told of each call before its process is.
func (c *client) done(call faultstore.Call, err error) {
	if call.Kind == faultstore.Commit {
		c.settle(call.Tx, err)
	}
	switch {
	case call.Kind != faultstore.Commit || !errors.Is(err, store.ErrUnknownOutcome):
		c.unsure = time.Time{}
	case c.unsure.IsZero():
		c.unsure = c.w.clock.Now()
	}
	if c.hangUp {
		c.hangUp, c.disturbed = false, true
		c.cancel()
	}
	if c.w.opts.log != nil && c.name != judge {
		fmt.Fprintf(c.w.opts.log, "%s %s: %v\n", c.name, call.Format(short), err)
	}
}

// settle notes what became of a transaction. One that was sent and is late can still be applied after it was refused when it
// was repeated, unless another transaction has written its receipt. A ledger that takes its table for a distant one does not
// take that refusal for an answer, and nothing is allowed then.
func (c *client) settle(tx store.Tx, err error) {
	switch {
	case errors.Is(err, store.ErrConflict) && c.sent[tx.Token]:
		c.haunted = !c.w.opts.distant && !c.w.opts.hasty
	case err == nil && slices.ContainsFunc(tx.Ops, func(op store.Op) bool { return rowKind(op.Key) == "h" }):
		c.haunted = false
	}
}

// short gives the digests in a key the names that they have here.
func short(key string) string {
	for i, b := range blobs {
		key = strings.ReplaceAll(key, string(b.digest), fmt.Sprint("b", i))
	}
	for i, m := range manifests {
		key = strings.ReplaceAll(key, string(m.digest), fmt.Sprint("m", i))
	}
	return key
}

func (c *client) String() string { return fmt.Sprint(c.name, " ", c.todo) }
