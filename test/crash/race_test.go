// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/registry"
	"tare/internal/store"
	"tare/internal/store/faultstore"

	"github.com/opencontainers/go-digest"
)

// party is one of the two that meet.
type party struct {
	name string
	op   operation
	// steps: it is more than one change to those who watch, so that the other may come in between two of them.
	steps bool
	// takes: it takes away, or moves, what somebody was told of.
	takes bool
}

func parties() []party {
	heavy := heavyManifest()
	sparse := func(ctx context.Context, p *process) error {
		reg := registry.New(p.ledger, p.uploads, p.objects, registry.Options{SparseIndexes: true})
		_, err := reg.PushManifest(ctx, repo, oci.ManifestPush{Tags: []oci.Tag{"sparse"}, Body: []byte(sparseIndex())})
		return err
	}
	return []party{
		{name: "push a small blob", op: pushBlob(repo, small)},
		{name: "push a large blob", op: pushBlob(repo, large)},
		{name: "put a large blob", op: putBlob(repo, large)},
		{name: "patch a large blob", op: patchBlob(repo, large, 200, -1), steps: true},
		{name: "head", op: headBlob(repo, large)},
		{name: "mount", op: mountIfThere(repo, larger, other)},
		{name: "delete a blob", op: removeBlob(repo, large), takes: true},
		{name: "delete a blob elsewhere", op: removeBlob(other, larger), takes: true},

		{name: "push an image", op: pushManifest(repo, image(small, large), "v1"), takes: true},
		{name: "push an image by digest", op: pushManifest(repo, image(small))},
		{name: "push an image if absent", op: compareAndSwap(image(small, large), ""), takes: true},
		{name: "push an image if match", op: compareAndSwap(image(large), image(small)), takes: true},
		{name: "push another image", op: pushManifest(repo, image(large), "v1"), takes: true},
		{name: "push an index", op: pushManifest(repo, index(image(small)), "all")},
		{name: "push an index over its child", op: pushManifest(repo, index(image(small)), "v1"), takes: true},
		{name: "push a sparse index", op: sparse},
		{name: "push a referrer", op: pushManifest(repo, signature(image(small), small))},
		{name: "push a heavy manifest", op: pushManifest(repo, heavy, "heavy")},

		{name: "delete a tag", op: removeTag(repo, "v1"), takes: true},
		{name: "delete an image", op: removeManifest(repo, image(small)), takes: true, steps: true},
		{name: "delete an index", op: removeManifest(repo, index(image(small))), takes: true, steps: true},
		{name: "delete a referrer", op: removeManifest(repo, signature(image(small), small)), takes: true, steps: true},
		{name: "delete a heavy manifest", op: removeManifest(repo, heavy), takes: true, steps: true},
		{name: "undelete", op: bringBack(image(small)), steps: true},
		{name: "undelete a tag", op: bringBackTag("v1"), steps: true},
		{name: "sweep", op: sweep(refcount.SweepOptions{}), steps: true},
		{name: "sweep, margins given up", op: sweep(refcount.SweepOptions{GiveUpMargins: true}), steps: true, takes: true},
		{name: "fsck", op: fsck},
	}
}

// meetings are the worlds that two parties meet in.
func meetings() []meeting {
	heavy := heavyManifest()
	tree := all(pushImage(repo, "v1", small), pushManifest(repo, index(image(small)), "all"),
		pushManifest(repo, signature(image(small), small)), pushBlob(repo, large), pushBlob(other, larger))
	signed := all(pushImage(repo, "v1", small), pushManifest(repo, signature(image(small), small)), pushBlob(repo, large))
	deleted := all(signed, removeManifest(repo, image(small)))
	rule := refcount.DefaultMargins()
	rule.Untagged = 24 * time.Hour
	return []meeting{
		{name: "nothing", setup: wait(0)},
		{name: "blobs", setup: all(pushBlobs(repo, small, large), pushBlob(other, larger))},
		{name: "blobs, due", setup: all(pushBlobs(repo, small, large), pushBlob(other, larger), wait(25*time.Hour))},
		{name: "a blob without links", setup: all(pushBlob(repo, large), removeBlob(repo, large), pushBlob(other, larger), removeBlob(other, larger))},
		{name: "a blob without links, parts of a least size", setup: gathering(all(pushBlob(repo, large), removeBlob(repo, large),
			pushBlob(other, larger), removeBlob(other, larger)))},
		{name: "a tree", setup: tree},
		{name: "a signed image", setup: all(signed, wait(25*time.Hour))},
		{name: "a deleted image", setup: deleted},
		{name: "a deleted image, due", setup: all(deleted, wait(13*time.Hour))},
		{name: "a stage", setup: all(pushBlobs(repo, small, large), dying(pushManifest(repo, heavy, "heavy"), 4))},
		{name: "a stage, due", setup: all(pushBlobs(repo, small, large), dying(pushManifest(repo, heavy, "heavy"), 6), wait(11*time.Minute))},
		{name: "a heavy manifest", setup: all(pushBlobs(repo, small, large), pushManifest(repo, heavy, "heavy"))},
		{name: "an empty repository", setup: all(pushImage(repo, "v1", small), removeManifest(repo, image(small)), wait(25*time.Hour), sweep(refcount.SweepOptions{}), wait(11*time.Minute))},
		{name: "an empty repository, closing", setup: all(pushImage(repo, "v1", small), removeManifest(repo, image(small)), wait(25*time.Hour),
			sweep(refcount.SweepOptions{}), wait(11*time.Minute), sweep(refcount.SweepOptions{}), wait(11*time.Minute))},
		{name: "a rule, a signed image", setup: all(signed, wait(25*time.Hour)), margins: &rule},
		{name: "a rule, untagged images", setup: all(pushBlobs(repo, small, large), pushManifest(repo, image(small)),
			pushManifest(repo, signature(image(small), small)), wait(25*time.Hour)), margins: &rule},
	}
}

type meeting struct {
	name    string
	setup   operation
	margins *refcount.Margins
}

// TestRace lets one party come between every two store calls of another, and between the reads of a batch, which need not
// be of one moment; then loses the reply of each commit, or lets it land after everything. Whatever happens, the audit
// finds nothing, time takes everything away, nobody is told that something is wrong with the registry, and where both
// do one thing it is as if one came after the other.
func TestRace(t *testing.T) {
	for _, m := range meetings() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			ready := newWorld(t)
			if m.margins != nil {
				ready.margins = *m.margins
			}
			if err := m.setup(context.Background(), ready.boot(nil)); err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, a := range parties() {
				for _, b := range parties() {
					r := race{ready: ready, a: a, b: b, seen: seen}
					t.Run(a.name+" and "+b.name, r.run)
				}
			}
		})
	}
}

// race is a meeting of two.
type race struct {
	ready *world
	a, b  party
	seen  map[string]bool // states that were followed to their end
	legal []string        // outcomes of the one after the other
}

func (r *race) run(t *testing.T) {
	w, calls := r.meet(t, 0, faultstore.Pass)
	first := w.outcome(t)
	w, _ = r.meet(t, 1, faultstore.Pass)
	r.legal = []string{first, w.outcome(t)}
	for k, kind := range calls {
		n := k + 1
		r.judge(t, fmt.Sprintf("before call %d", n), n, faultstore.Pass)
		if kind != faultstore.Commit {
			continue
		}
		for _, action := range []faultstore.Action{faultstore.LoseReply, faultstore.Late} {
			r.judge(t, fmt.Sprintf("%s at call %d, and then", action, n), n+1, action)
		}
	}
}

// judge lets b in before call n of a, after the call before that met with an action.
func (r *race) judge(t *testing.T, when string, n int, action faultstore.Action) {
	w, _ := r.meet(t, n, action)
	got := w.outcome(t)
	if !r.a.steps && !r.b.steps && !slices.Contains(r.legal, got) {
		t.Errorf("got\n%swant one of\n%s", got, strings.Join(r.legal, "or\n"))
	}
	if r.a.takes || r.b.takes {
		w.manifests, w.blobs = map[string]promise{}, map[string]promise{}
	}
	if w.margins.Untagged > 0 {
		w.ruled()
	}
	w.check(true)
	w.audit()
	if state := w.shape(t); !r.seen[state] {
		r.seen[state] = true
		w.settle()
		w.check(false)
		w.audit()
		w.empty()
	}
	if t.Failed() {
		t.Fatalf("%s: %s comes in", when, r.b.name)
	}
}

// meet runs a, and b before call n of a; 0 for after all of them. It returns the kinds of a's calls.
func (r *race) meet(t *testing.T, n int, before faultstore.Action) (*world, []faultstore.Kind) {
	t.Helper()
	w := r.ready.clone(t)
	w.t = t
	w.apart, w.odd = true, n%2 == 1
	q := w.boot(nil)
	came := false
	come := func() {
		came = true
		w.results[1] = told(t, r.b.op(context.Background(), q))
	}
	p := w.boot(func(c faultstore.Call) faultstore.Action {
		if c.N == n && !came {
			come()
		}
		if before != faultstore.Pass && c.N == n-1 {
			return before
		}
		return faultstore.Pass
	})
	w.results[0] = told(t, r.a.op(context.Background(), p))
	if !came {
		come()
	}
	for {
		if landed, _ := p.Land(); !landed {
			break
		}
	}
	var kinds []faultstore.Kind
	for _, s := range p.Trace() {
		kinds = append(kinds, s.Kind)
	}
	return w, kinds
}

// ruled leaves what the rule about untagged manifests leaves: tags, and what refers to what a tag points to.
func (w *world) ruled() {
	signed := w.manifests[string(repo)+":v1"].content == image(small)
	for name, m := range w.manifests {
		if m.ref.Tag == "" && (!signed || m.content != signature(image(small), small)) {
			delete(w.manifests, name)
		}
	}
}

// told is what a client was told. That something is wrong with the registry it never is.
func told(t *testing.T, err error) string {
	t.Helper()
	var e *oci.Error
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &e) && e.Code != oci.Internal && e.Code != oci.Unavailable:
		return string(e.Code)
	}
	t.Errorf("told: %v", err)
	return err.Error()
}

// outcome is what everybody sees: what the two were told, and the names and contents that are there.
func (w *world) outcome(t *testing.T) string {
	var b strings.Builder
	fmt.Fprintln(&b, w.results)
	w.rows(t, func(it store.Item) {
		r := it.Row
		switch it.Key.PK[0] {
		case 't':
			fmt.Fprintln(&b, it.Key, r.Text("digest"))
		case 'm':
			if r.Text("state") == "visible" {
				fmt.Fprintln(&b, it.Key)
			}
		case 'r':
			if !r.Has("gone") {
				fmt.Fprintln(&b, it.Key)
			}
		case 'l':
			fmt.Fprintln(&b, it.Key)
		}
	})
	return b.String()
}

// random are the names that nobody chose.
var random = regexp.MustCompile(`[0-9a-f]{26}|\b[0-9a-f]{32}\b`)

// shape describes all rows but for what is random in them.
func (w *world) shape(t *testing.T) string {
	var lines []string
	w.rows(t, func(it store.Item) {
		if it.Key.PK != "k" {
			it.Row = slices.DeleteFunc(slices.Clone(it.Row), func(a store.Attr) bool { return a.Name == "body" }) // it follows from the key
			lines = append(lines, random.ReplaceAllString(fmt.Sprint(it.Key, it.Row), "*"))
		}
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func (w *world) rows(t *testing.T, visit func(store.Item)) {
	page, err := w.store.Scan(context.Background(), store.Key{}, store.MaxLimit)
	if err != nil || page.More {
		t.Fatal("rows: ", err)
	}
	for _, it := range page.Items {
		visit(it)
	}
}

// heavyManifest takes an object, and is therefore staged.
func heavyManifest() string {
	return strings.Replace(image(small), "{", `{"annotations":{"x":"`+strings.Repeat("y", refcount.MaxInlineBody)+`"},`, 1)
}

func sparseIndex() string { return index(image(small), image(small, large)) }

// dying is op in a process that dies after its nth call.
func dying(op operation, n int) operation {
	return func(ctx context.Context, p *process) error {
		_ = op(ctx, p.boot(faultstore.At(n, faultstore.DieAfter)))
		return nil
	}
}

func mountIfThere(r oci.Repository, content string, from oci.Repository) operation {
	return func(ctx context.Context, p *process) error {
		d := digest.FromString(content)
		ok, err := p.reg.MountBlob(ctx, r, d, from)
		if err != nil || !ok {
			return err
		}
		return p.toldOfBlob(r, d, content, nil)
	}
}

// compareAndSwap pushes under v1 if that is old, "" for nothing.
func compareAndSwap(body, old string) operation {
	return func(ctx context.Context, p *process) error {
		push := oci.ManifestPush{Tags: []oci.Tag{"v1"}, Body: []byte(body), IfAbsent: old == ""}
		if old != "" {
			push.IfMatch = digest.FromString(old)
		}
		_, err := p.reg.PushManifest(ctx, repo, push)
		return err
	}
}

func removeBlob(r oci.Repository, content string) operation {
	return func(ctx context.Context, p *process) error {
		delete(p.blobs, string(r)+"@"+string(digest.FromString(content)))
		return p.reg.DeleteBlob(ctx, r, digest.FromString(content))
	}
}

func removeTag(r oci.Repository, name oci.Tag) operation {
	return func(ctx context.Context, p *process) error { return p.reg.DeleteTag(ctx, r, name) }
}

func removeManifest(r oci.Repository, body string) operation {
	return func(ctx context.Context, p *process) error {
		p.manifests = map[string]promise{}
		return p.reg.DeleteManifest(ctx, r, digest.FromString(body))
	}
}

func bringBack(body string) operation {
	return func(ctx context.Context, p *process) error {
		_, err := p.ledger.Undelete(ctx, repo, digest.FromString(body))
		return err
	}
}

func bringBackTag(name oci.Tag) operation {
	return func(ctx context.Context, p *process) error {
		_, err := p.ledger.UndeleteTag(ctx, repo, name)
		return err
	}
}
