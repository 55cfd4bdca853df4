// SPDX-License-Identifier: Apache-2.0

package refcount_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/faultstore"
)

// dying is a ledger whose process dies after its first commit with an operation that when accepts.
func (w *world) dying(when func(store.Op) bool) *refcount.Ledger {
	return w.beside(faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		if c.Kind == faultstore.Commit && slices.ContainsFunc(c.Tx.Ops, when) {
			return faultstore.DieAfter
		}
		return faultstore.Pass
	}}).Table(w.store))
}

// writes accepts operations of a kind on rows of a kind.
func writes(kind store.OpKind, rows string) func(store.Op) bool {
	return func(op store.Op) bool { return op.Kind == kind && strings.HasPrefix(op.Key.PK, rows) }
}

// A push takes a foreign layer that went out of its stage. Before it commits the layer is back, and another push has taken
// it over: it is held, and stays in the list.
func TestForgetMeetsAnotherPush(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	foreign := w.upload(repo, big)
	body := strings.Repeat("x", refcount.MaxInlineBody+1)
	push := refcount.Push{Repo: repo, MediaType: oci.MediaTypeManifest, Body: []byte(body), Digest: digestOf(body), Foreign: []oci.Digest{foreign}}
	_, _ = w.dying(writes(store.OpPut, "y#")).Push(ctx, push)
	w.must(w.DeleteBlob(ctx, repo, foreign))
	met := false
	w.must(second(w.beside(faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		if c.Kind == faultstore.Commit && slices.ContainsFunc(c.Tx.Ops, writes(store.OpUpdate, "y#")) && !met {
			met = true
			w.upload(repo, big)
			_, _ = w.dying(writes(store.OpUpdate, "l#")).Push(ctx, push)
		}
		return faultstore.Pass
	}}).Table(w.store)).Push(ctx, push)))
	if !met {
		t.Fatal("they did not meet")
	}
	w.audit()
}

// A delete of many tags is between two of its transactions when the manifest goes for good and is pushed again. The new one
// has another version than the old one, though it is as young as that was (C8).
func TestDeleteMeetsADropAndAPush(t *testing.T) {
	w := newWorld(t, func(c *refcount.Config) { c.Margins.UndoWindow = 0 })
	ctx := t.Context()
	var d oci.Digest
	for i := range 5 {
		var tags []oci.Tag
		for j := range refcount.MaxPushTags {
			tags = append(tags, oci.Tag(fmt.Sprint("t", i*refcount.MaxPushTags+j)))
		}
		var err error
		d, err = w.push(repo, "image", tags)
		w.must(err)
	}
	w.must(w.before(2, func() {
		w.must(w.DeleteManifest(ctx, repo, d))
		w.sweep()
		_, err := w.push(repo, "image", []oci.Tag{"again"})
		w.must(err)
	}).DeleteManifest(ctx, repo, d))
	_, err := w.FindTag(ctx, repo, "again")
	w.must(err)
	w.audit()
}

// A delete of many tags reads one of them when it has moved to another manifest. It stays there.
func TestDeleteOfManyTagsMeetsAMove(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	var d oci.Digest
	for i := range 5 {
		var tags []oci.Tag
		for j := range refcount.MaxPushTags {
			tags = append(tags, oci.Tag(fmt.Sprint("t", i*refcount.MaxPushTags+j)))
		}
		var err error
		d, err = w.push(repo, "image", tags)
		w.must(err)
	}
	moved := oci.Tag("")
	w.must(w.beside(faultstore.Apart{Table: w.store, Between: func(next store.Key) {
		if strings.HasPrefix(next.PK, "t#") && moved == "" {
			moved = oci.Tag(next.SK)
			_, err := w.push(repo, "another", []oci.Tag{moved})
			w.must(err)
		}
	}}).DeleteManifest(ctx, repo, d))
	_, err := w.FindTag(ctx, repo, moved)
	w.must(err)
	_, err = w.FindManifest(ctx, repo, d)
	w.mustBe(err, oci.ManifestUnknown)
	w.audit()
}

// An undelete finds the stage that another one left when its lease has ended. Before it flips it the sweep takes the
// references back.
func TestUndeleteMeetsTheEndOfItsStage(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	blob := w.upload(repo, big)
	d, err := w.push(repo, "image", []oci.Tag{"v1"}, links(blob))
	w.must(err)
	w.must(w.DeleteManifest(ctx, repo, d))
	_, _ = w.dying(writes(store.OpUpdate, "l#")).Undelete(ctx, repo, d)
	w.clock.Advance(w.Margins().StageLease + time.Second)
	_, err = w.before(1, func() { w.sweep() }).Undelete(ctx, repo, d)
	w.must(err)
	_, err = w.FindTag(ctx, repo, "v1")
	w.must(err)
	w.audit()
}

// The sweep finds a due on a manifest that a tag, or an index, still keeps. Before it clears the due the last one goes:
// then the rule applies to the manifest.
func TestRuleMeetsTheLastOneThatKeeps(t *testing.T) {
	ctx := t.Context()
	for name, c := range map[string]struct {
		keep, first, last func(w *world, image oci.Digest)
	}{
		"a tag": {
			keep: func(w *world, _ oci.Digest) {
				_, err := w.push(repo, "image", []oci.Tag{"v1", "v2"})
				w.must(err)
			},
			first: func(w *world, _ oci.Digest) { w.must(w.DeleteTag(ctx, repo, "v1")) },
			last:  func(w *world, _ oci.Digest) { w.must(w.DeleteTag(ctx, repo, "v2")) },
		},
		"an index": {
			keep: func(w *world, image oci.Digest) {
				for _, name := range []string{"first", "last"} {
					_, err := w.push(repo, name, []oci.Tag{oci.Tag(name)}, children(image))
					w.must(err)
				}
			},
			first: func(w *world, _ oci.Digest) { w.must(w.DeleteManifest(ctx, repo, digestOf(`{"name":"first"}`))) },
			last:  func(w *world, _ oci.Digest) { w.must(w.DeleteManifest(ctx, repo, digestOf(`{"name":"last"}`))) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, ruled)
			w.t = t
			image, err := w.push(repo, "image", nil)
			w.must(err)
			c.keep(w, image)
			c.first(w, image)
			w.clock.Advance(49 * time.Hour)
			met := false
			p := faultstore.New(faultstore.Options{Plan: func(call faultstore.Call) faultstore.Action {
				if call.Kind == faultstore.Commit && !met && call.Tx.Ops[0].Key.SK == string(image) {
					met = true
					c.last(w, image)
				}
				return faultstore.Pass
			}})
			_, err = w.beside(p.Table(w.store)).Sweep(ctx, refcount.SweepOptions{})
			w.must(err)
			if !met {
				t.Fatal("the sweep did not come by")
			}
			w.settle()
			w.audit()
			if n := w.left(); n != 0 {
				t.Errorf("%d rows are left", n)
			}
		})
	}
}

// The outcome of a move is unknown; sent again it is refused, since the tag has come meanwhile, and is made anew. When the
// tag has gone again, what was sent first finds all as it was read, but for the receipt (C8).
func TestMoveLandsAfterItWasMadeAnew(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.must(second(w.push(repo, "image", nil)))
	w.must(second(w.push(repo, "other", nil)))
	commits := 0
	p := faultstore.New(faultstore.Options{Plan: func(c faultstore.Call) faultstore.Action {
		if c.Kind == faultstore.Commit {
			switch commits++; commits {
			case 1:
				return faultstore.Late
			case 2:
				w.must(second(w.push(repo, "other", []oci.Tag{"v1"})))
			}
		}
		return faultstore.Pass
	}})
	body := `{"name":"image"}`
	w.must(second(w.beside(p.Table(w.store)).Push(ctx, refcount.Push{
		Repo: repo, MediaType: oci.MediaTypeManifest, Body: []byte(body), Digest: digestOf(body), Tags: []oci.Tag{"v1"},
	})))
	w.must(w.DeleteTag(ctx, repo, "v1"))
	if landed, _ := p.Land(); !landed || commits != 3 {
		t.Fatalf("landed: %v; %d commits", landed, commits)
	}
	_, err := w.FindTag(ctx, repo, "v1")
	w.mustBe(err, oci.ManifestUnknown)
	w.audit()
}

// A push reads the row of its repository; before it commits the sweep finds the repository empty and closes it. The push did
// not see that, so that the sweep has to look again before it removes the row (C11).
func TestPushMeetsTheClosingOfItsRepository(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	d, err := w.push(repo, "first", nil)
	w.must(err)
	w.must(w.DeleteManifest(ctx, repo, d))
	w.clock.Advance(25 * time.Hour)
	w.sweep()
	w.clock.Advance(w.Margins().CloseGrace + time.Second)
	body := `{"name":"second"}`
	w.must(second(w.before(1, func() { w.sweep() }).Push(ctx, refcount.Push{
		Repo: repo, MediaType: oci.MediaTypeManifest, Body: []byte(body), Digest: digestOf(body),
	})))
	w.audit()
	w.clock.Advance(w.Margins().CloseGrace + time.Second)
	w.sweep()
	w.audit()
}

// The sweep finds a closed repository empty; before it removes the row a push commits, which found the row closing (C11).
func TestRemovalOfARepositoryMeetsAPush(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	d, err := w.push(repo, "first", nil)
	w.must(err)
	w.must(w.DeleteManifest(ctx, repo, d))
	for _, wait := range []time.Duration{25 * time.Hour, w.Margins().CloseGrace + time.Second} {
		w.clock.Advance(wait)
		w.sweep()
	}
	w.clock.Advance(w.Margins().CloseGrace + time.Second)
	w.must(second(w.before(1, func() { w.must(second(w.push(repo, "second", nil))) }).Sweep(ctx, refcount.SweepOptions{})))
	w.audit()
}

// Two meet at a manifest: the one comes between the reads and the commit of the other. Nothing is counted twice, and what is
// visible has all that it holds.
func TestTwoMeetAtAManifest(t *testing.T) {
	ctx := t.Context()
	image := digestOf(`{"name":"image"}`)
	heavy := strings.Repeat("x", refcount.MaxInlineBody+1)
	blob := digestOf(big)
	push := func(body string, change func(*refcount.Push), tags ...oci.Tag) func(*refcount.Ledger) error {
		p := refcount.Push{Repo: repo, MediaType: oci.MediaTypeManifest, Body: []byte(body), Digest: digestOf(body), Tags: tags}
		change(&p)
		return func(l *refcount.Ledger) error { return second(l.Push(ctx, p)) }
	}
	pushImage := push(`{"name":"image"}`, links(blob))
	tagImage := push(`{"name":"image"}`, links(blob), "v1")
	pushIndex := push(`{"name":"index"}`, children(image))
	pushHeavy := push(heavy, links(blob), "v1")
	remove := func(l *refcount.Ledger) error { return l.DeleteManifest(ctx, repo, image) }
	sweep := func(l *refcount.Ledger) error { return second(l.Sweep(ctx, refcount.SweepOptions{})) }
	undelete := func(l *refcount.Ledger) error { return second(l.Undelete(ctx, repo, image)) }
	untag := func(l *refcount.Ledger) error { return l.DeleteTag(ctx, repo, "v1") }
	whole := func(op func(*refcount.Ledger) error) func(*world) {
		return func(w *world) { w.must(op(w.Ledger)) }
	}
	dying := func(op func(*refcount.Ledger) error, kind store.OpKind, rows string) func(*world) {
		return func(w *world) { _ = op(w.dying(writes(kind, rows))) }
	}
	staged := func(w *world) { // to the last edge, and nobody goes on
		dying(pushHeavy, store.OpUpdate, "l#")(w)
		w.clock.Advance(w.Margins().StageLease + time.Second)
	}
	for _, c := range []struct {
		name   string
		ready  func(w *world)
		first  func(*refcount.Ledger) error
		commit int // of the first, before which the other comes
		meet   func(w *world)
		want   oci.Code // of the first
	}{
		{"a push, the same push", nil, pushImage, 1, whole(pushImage), ""},
		{"a push, another to its tag", nil, tagImage, 1, whole(pushHeavy), ""},
		{"a push of an index, a deletion of its child", whole(pushImage), pushIndex, 1, whole(remove), oci.ManifestBlobUnknown},
		{"a stage, the same stage", dying(pushHeavy, store.OpPut, "y#"), pushHeavy, 1, dying(pushHeavy, store.OpUpdate, "l#"), ""},
		{"a flip, the end of its stage and another stage", staged, pushHeavy, 1, func(w *world) {
			w.sweep()
			dying(pushHeavy, store.OpPut, "y#")(w)
		}, ""},
		{"the end of a stage, its flip", staged, sweep, 1, whole(pushHeavy), ""},
		{"an unwinding, another", staged, sweep, 2, dying(sweep, store.OpUpdate, "l#"), ""},
		{"a deletion, another", whole(pushImage), remove, 1, whole(remove), ""},
		{"a deletion, a tag", whole(pushImage), remove, 1, whole(tagImage), ""},
		{"a deletion, an index", whole(pushImage), remove, 1, whole(pushIndex), oci.InUse},
		{"the end of a deletion, an undelete", func(w *world) {
			w.must(pushImage(w.Ledger))
			w.must(remove(w.Ledger))
			w.clock.Advance(w.Margins().UndoWindow + time.Second)
		}, sweep, 1, whole(undelete), ""},
		{"an untag, a push to the tag", whole(tagImage), untag, 1, whole(pushHeavy), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.upload(repo, big)
			// Others hold the blob as well, and the repository is there: neither decides who wins.
			for _, name := range []string{"one", "two", "three"} {
				w.must(second(w.push(repo, name, nil, links(blob))))
			}
			if c.ready != nil {
				c.ready(w)
			}
			met := false
			err := c.first(w.before(c.commit, func() {
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
			for _, body := range []string{`{"name":"index"}`, heavy, `{"name":"image"}`, `{"name":"one"}`, `{"name":"two"}`, `{"name":"three"}`} {
				if err := w.DeleteManifest(ctx, repo, digestOf(body)); oci.CodeOf(err) != oci.ManifestUnknown {
					w.must(err)
				}
			}
			w.audit()
			w.settle()
			if n := w.left(); n != 0 || w.objects() != 0 {
				t.Errorf("%d rows and %d objects are left", n, w.objects())
			}
		})
	}
}
