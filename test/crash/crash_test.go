// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store/faultstore"

	"github.com/opencontainers/go-digest"
)

// scenario is an operation in a world that was made ready for it.
type scenario struct {
	name  string
	setup operation
	op    operation
	// twice: also let the second attempt die at each of its calls. It is quadratic, so the wide ones leave it out.
	twice bool
}

const small = "a line"

var (
	large  = strings.Repeat("a line that does not fit the table. ", 10)
	larger = strings.Repeat("another line that does not fit the table. ", 10)
)

// image is a manifest of blobs with the given contents.
func image(blobs ...string) string { return manifest(oci.MediaTypeManifest, "layers", "", blobs...) }

// index lists manifests of the given bodies.
func index(bodies ...string) string { return manifest(oci.MediaTypeIndex, "manifests", "", bodies...) }

// signature is an image that refers to a manifest.
func signature(subject string, blobs ...string) string {
	return manifest(oci.MediaTypeManifest, "layers", subject, blobs...)
}

func manifest(mediaType, field, subject string, contents ...string) string {
	descriptor := func(content string) oci.Descriptor {
		return oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: digest.FromString(content), Size: int64(len(content))}
	}
	list := []oci.Descriptor{}
	for _, c := range contents {
		list = append(list, descriptor(c))
	}
	doc := map[string]any{"schemaVersion": 2, "mediaType": mediaType, field: list}
	if field == "layers" && len(list) > 0 {
		doc["config"] = list[0]
	}
	if subject != "" {
		doc["subject"] = descriptor(subject)
		doc["artifactType"] = "application/vnd.example.signature"
	}
	b, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return string(b)
}

// many are the contents of n small blobs.
func many(n int) []string {
	contents := make([]string, n)
	for i := range contents {
		contents[i] = fmt.Sprint("blob ", i)
	}
	return contents
}

func pushBlobs(r oci.Repository, contents ...string) operation {
	var ops []operation
	for _, c := range contents {
		ops = append(ops, pushBlob(r, c))
	}
	return all(ops...)
}

// pushImage uploads the blobs and pushes a manifest of them.
func pushImage(r oci.Repository, name oci.Tag, blobs ...string) operation {
	return all(pushBlobs(r, blobs...), pushManifest(r, image(blobs...), name))
}

func scenarios() []scenario {
	wide := many(120)
	heavy := strings.Replace(image(small), "{", `{"annotations":{"x":"`+strings.Repeat("y", refcount.MaxInlineBody)+`"},`, 1)
	var tags []oci.Tag
	tagged := []operation{}
	for i := range 45 {
		tags = append(tags, oci.Tag(fmt.Sprint("t", i)))
		tagged = append(tagged, pushManifest(repo, image(small), tags[i]))
	}
	var refs []string
	for _, name := range tags {
		refs = append(refs, ":"+string(name))
	}
	day := wait(25 * time.Hour)
	return []scenario{
		{"blob, small, one request", nil, pushBlob(repo, small), true},
		{"blob, large, one request", nil, pushBlob(repo, large), true},
		{"blob, small, PUT", nil, putBlob(repo, small), true},
		{"blob, large, PUT", nil, putBlob(repo, large), true},
		{"blob, small, PATCH", nil, patchBlob(repo, small, 100, 0), true},
		{"blob, large, PATCH", nil, patchBlob(repo, large, 1000, -1), true},
		{"blob, large, PATCH in chunks", nil, patchBlob(repo, large, 90, 0), true},
		{"blob, PATCH in small chunks that grow large", nil, patchBlob(repo, large, 40, 0), true},
		{"blob, empty", nil, putBlob(repo, ""), true},
		{"blob, broken off and resumed", nil, brokenBlob(repo, large), true},
		{"blob, of another digest", nil, wrongBlob(repo, large), true},
		{"blob, small, of another digest", nil, wrongBlob(repo, small), true},
		{"blob, canceled", nil, cancelBlob(repo, large), true},
		{"blob, there already", pushBlob(repo, large), putBlob(repo, large), true},
		{"blob, there and listed", pushImage(repo, "v1", large), putBlob(repo, large), true},
		{"blob, in another repository", pushBlob(other, large), putBlob(repo, large), true},
		{"blob, dying elsewhere", all(pushBlob(other, large), deleteBlob(other, large)), putBlob(repo, large), true},
		{"blob, its lease runs low", all(pushBlob(repo, large), wait(20*time.Hour)), putBlob(repo, large), true},
		{"look, its lease runs low", all(pushBlob(repo, large), wait(20*time.Hour)), headBlob(repo, large), true},
		{"mount", pushBlob(other, large), mount(repo, large, other), true},
		{"mount, there already", all(pushBlob(other, large), pushBlob(repo, large), wait(20*time.Hour)), mount(repo, large, other), true},
		{"delete a blob", all(pushBlob(repo, large), pushBlob(other, large)), deleteBlob(repo, large), true},

		{"push an image", nil, pushImage(repo, "v1", small, large), true},
		{"push by digest", pushBlobs(repo, small), pushManifest(repo, image(small)), true},
		{"push with two tags", pushBlobs(repo, small), pushManifest(repo, image(small), "v1", "v2"), true},
		{"push again", pushImage(repo, "v1", small), pushManifest(repo, image(small), "v1"), true},
		{"move a tag", all(pushImage(repo, "v1", small), pushBlob(repo, large)), pushManifest(repo, image(large), "v1"), true},
		{"move a tag to a manifest that is there", all(pushImage(repo, "v1", small), pushImage(repo, "v2", large)), pushManifest(repo, image(large), "v1"), true},
		{"push an index of what its tag pointed to", pushImage(repo, "v1", small), pushManifest(repo, index(image(small)), "v1"), true},
		{"push a referrer", pushImage(repo, "v1", small), pushManifest(repo, signature(image(small), small)), true},
		{"push a referrer before its subject", pushBlob(repo, small), all(pushManifest(repo, signature(image(small), small)), pushManifest(repo, image(small), "v1")), true},
		{"push a wide image", pushBlobs(repo, wide...), pushManifest(repo, image(wide...), "wide"), true},
		{"push a wide image over another", all(pushBlobs(repo, wide...), pushImage(repo, "wide", small)), pushManifest(repo, image(wide...), "wide"), false},
		{"push a heavy manifest", pushBlobs(repo, small), pushManifest(repo, heavy, "heavy"), true},
		{"push what was deleted", all(pushImage(repo, "v1", small), deleteManifest(repo, image(small), ":v1")), pushManifest(repo, image(small), "v1"), true},

		{"delete a tag", pushImage(repo, "v1", small), deleteTag(repo, "v1"), true},
		{"delete an image", pushImage(repo, "v1", small, large), deleteManifest(repo, image(small, large), ":v1"), true},
		{"delete an index", all(pushImage(repo, "v1", small), pushManifest(repo, index(image(small)), "all")),
			deleteManifest(repo, index(image(small)), ":all"), true},
		{"delete a subject", all(pushImage(repo, "v1", small), pushManifest(repo, signature(image(small), small)),
			pushManifest(repo, signature(signature(image(small), small), small)), pushManifest(repo, signature(image(small)), "kept")),
			deleteManifest(repo, image(small), ":v1", "@"+string(digest.FromString(signature(image(small), small))),
				"@"+string(digest.FromString(signature(signature(image(small), small), small)))), false},
		{"delete a wide image", pushImage(repo, "wide", wide...), deleteManifest(repo, image(wide...), ":wide"), false},
		{"delete a heavy manifest", all(pushBlobs(repo, small), pushManifest(repo, heavy, "heavy")), deleteManifest(repo, heavy, ":heavy"), true},
		{"delete an image with many tags", all(pushBlob(repo, small), all(tagged...)), deleteManifest(repo, image(small), refs...), false},

		{"undelete", all(pushImage(repo, "v1", small, large), pushManifest(repo, signature(image(small, large), small)),
			deleteManifest(repo, image(small, large), ":v1", "@"+string(digest.FromString(signature(image(small, large), small))))),
			undelete(repo, image(small, large), "v1"), true},
		{"undelete a wide image", all(pushImage(repo, "wide", wide...), deleteManifest(repo, image(wide...), ":wide")), undelete(repo, image(wide...), "wide"), false},
		{"undelete a tag", all(pushImage(repo, "v1", small), deleteTag(repo, "v1"), deleteManifest(repo, image(small))), undeleteTag(repo, image(small), "v1"), true},

		{"sweep a link, a blob and an object", all(pushBlobs(repo, small, large), day), sweep(refcount.SweepOptions{}), true},
		{"sweep tombstones", all(pushBlobs(repo, large), day, sweep(refcount.SweepOptions{}), day), sweep(refcount.SweepOptions{}), true},
		{"sweep a deleted image", all(pushImage(repo, "v1", small, large), deleteManifest(repo, image(small, large), ":v1"), day), sweep(refcount.SweepOptions{}), true},
		{"sweep a deleted heavy manifest", all(pushBlobs(repo, small), pushManifest(repo, heavy, "heavy"), deleteManifest(repo, heavy, ":heavy"), day), sweep(refcount.SweepOptions{}), true},
		{"sweep a deleted wide image", all(pushImage(repo, "wide", wide[:4]...), deleteManifest(repo, image(wide[:4]...), ":wide"), day), sweep(refcount.SweepOptions{}), false},
		{"sweep, margins given up", all(pushImage(repo, "v1", small, large), pushBlob(repo, larger), deleteManifest(repo, image(small, large), ":v1"), cancelBlob(repo, larger)),
			sweep(refcount.SweepOptions{GiveUpMargins: true}), true},
	}
}

// TestCrashAtEveryCall takes each scenario, lets the process die before, in the middle of and after each store call, and
// then goes both ways: the client tries again, or never comes back.
func TestCrashAtEveryCall(t *testing.T) {
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			ready := sc.ready(t)
			calls := sc.count(t, ready)
			for k := 1; k <= calls; k++ {
				for _, action := range []faultstore.Action{faultstore.DieBefore, faultstore.DieMidway, faultstore.DieAfter} {
					t.Run(fmt.Sprintf("%s %d", action, k), func(t *testing.T) {
						sc.dieAndRetry(t, ready, faultstore.At(k, action))
						sc.dieForGood(t, ready, faultstore.At(k, action))
					})
				}
			}
		})
	}
}

// TestLivesThroughEveryFault lets each store call fail in the ways that a process survives. The operation, or the client
// that repeats it, must succeed.
func TestLivesThroughEveryFault(t *testing.T) {
	for _, sc := range scenarios() {
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			ready := sc.ready(t)
			calls := sc.count(t, ready)
			for k := 1; k <= calls; k++ {
				for _, action := range []faultstore.Action{
					faultstore.Unavailable, faultstore.Contended, faultstore.Full, faultstore.LoseReply, faultstore.LoseCall,
				} {
					t.Run(fmt.Sprintf("%s %d", action, k), func(t *testing.T) {
						w := ready.clone(t)
						p := w.boot(faultstore.At(k, action))
						if err := sc.op(context.Background(), p); err != nil {
							if errors.Is(err, errUnexpected) && action != faultstore.Full {
								t.Log(err)
							}
							w.audit()
							if err := sc.op(context.Background(), p); err != nil {
								t.Fatal(err)
							}
						}
						w.finish()
					})
				}
			}
		})
	}
}

// TestCrashTwice lets the second attempt die as well, at each of its calls.
func TestCrashTwice(t *testing.T) {
	for _, sc := range scenarios() {
		if !sc.twice {
			continue
		}
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			ready := sc.ready(t)
			calls := sc.count(t, ready)
			for k := 1; k <= calls; k++ {
				first := ready.clone(t)
				_ = sc.op(context.Background(), first.boot(faultstore.At(k, faultstore.DieAfter)))
				for j := 1; ; j++ {
					w := first.clone(t)
					p := w.boot(faultstore.At(j, faultstore.DieAfter))
					_ = sc.op(context.Background(), p)
					if !p.Dead() {
						break
					}
					w.check(true)
					if err := sc.op(context.Background(), w.boot(nil)); err != nil {
						t.Fatalf("dead after %d, then after %d: %v", k, j, err)
					}
					w.finish()
					if t.Failed() {
						t.Fatalf("dead after %d, then after %d", k, j)
					}
				}
			}
		})
	}
}

// TestCrashWhileUnwinding lets the operation die, nobody come back, and the sweep die at each of its calls.
func TestCrashWhileUnwinding(t *testing.T) {
	for _, sc := range scenarios() {
		if !sc.twice {
			continue
		}
		t.Run(sc.name, func(t *testing.T) {
			t.Parallel()
			ready := sc.ready(t)
			calls := sc.count(t, ready)
			for k := 1; k <= calls; k++ {
				first := ready.clone(t)
				_ = sc.op(context.Background(), first.boot(faultstore.At(k, faultstore.DieAfter)))
				for range 2 { // the first sweep begins what the second ends
					first.clock.Advance(25 * time.Hour)
					for j := 1; ; j++ {
						w := first.clone(t)
						p := w.boot(faultstore.At(j, faultstore.DieAfter))
						_, _ = p.ledger.Sweep(context.Background(), refcount.SweepOptions{})
						if !p.Dead() {
							first = w
							break
						}
						w.blobs = map[string]promise{}
						w.finish()
						if t.Failed() {
							t.Fatalf("dead after %d, its sweep after %d", k, j)
						}
					}
				}
			}
		})
	}
}

func (sc scenario) ready(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	if sc.setup != nil {
		if err := sc.setup(context.Background(), w.boot(nil)); err != nil {
			t.Fatal(err)
		}
	}
	return w
}

// count is how many store calls the operation makes.
func (sc scenario) count(t *testing.T, ready *world) int {
	t.Helper()
	w := ready.clone(t)
	p := w.boot(nil)
	if err := sc.op(context.Background(), p); err != nil {
		t.Fatal(err)
	}
	w.finish()
	if t.Failed() {
		t.Fatal("without a crash")
	}
	if p.Calls() == 0 {
		t.Fatal("no store calls")
	}
	return p.Calls()
}

func (sc scenario) dieAndRetry(t *testing.T, ready *world, plan faultstore.Plan) {
	t.Helper()
	w := ready.clone(t)
	p := w.boot(plan)
	if err := sc.op(context.Background(), p); err == nil && !p.Dead() {
		t.Fatal("the process lives on")
	}
	w.check(true)
	w.audit()
	if err := sc.op(context.Background(), w.boot(nil)); err != nil {
		t.Fatal(err)
	}
	w.finish()
}

func (sc scenario) dieForGood(t *testing.T, ready *world, plan faultstore.Plan) {
	t.Helper()
	w := ready.clone(t)
	_ = sc.op(context.Background(), w.boot(plan)) // what it says, nobody hears
	w.finish()
}

// finish checks everything now, again when all margins have passed, and again when all was deleted.
func (w *world) finish() {
	w.t.Helper()
	w.check(true)
	w.audit()
	w.settle()
	w.check(false)
	w.audit()
	w.empty()
}
