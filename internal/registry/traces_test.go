// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"cmp"
	"flag"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/registry"
	"tare/internal/store/faultstore"
	"tare/internal/store/memstore"
)

var rewrite = flag.Bool("rewrite", false, "write the golden traces anew")

// operation is something that a client does, once what it needs is there.
type operation struct {
	name string
	// calls is what it costs: kinds of store calls and how many of each, "" for nothing.
	calls string
	do    func(w *world, x *fixture) error
}

// fixture is what is there before an operation: a small and a large blob, an image of both under the tag "v1", and a blob
// that nothing lists.
type fixture struct {
	small, large, loose, image oci.Digest
	upload                     string // an id
}

const (
	smallBlob = "a small blob"
	otherBlob = "another small blob"
)

var largeBlob, otherLargeBlob = pattern(1, 1000), pattern(2, 1000)

func (w *world) fixture() *fixture {
	w.t.Helper()
	x := &fixture{small: w.upload(repo, smallBlob), large: w.upload(repo, largeBlob), loose: w.upload(repo, "loose")}
	x.image = w.push(image("", x.small, x.large), "v1")
	w.must(second(w.PushManifest(w.t.Context(), "team/base", oci.ManifestPush{
		Body: image("", w.upload("team/base", otherBlob), w.upload("team/base", otherLargeBlob)), Tags: []oci.Tag{"t"}})))
	up, err := w.StartUpload(w.t.Context(), repo)
	w.must(err)
	x.upload = up.ID
	return x
}

func finishAll(content string) func(w *world, x *fixture) error {
	return func(w *world, x *fixture) error {
		return second(w.FinishUpload(w.t.Context(), repo, x.upload, digest.FromString(content), -1, strings.NewReader(content), int64(len(content))))
	}
}

func pushBlob(content string) func(w *world, x *fixture) error {
	return func(w *world, _ *fixture) error {
		return second(w.PushBlob(w.t.Context(), repo, digest.FromString(content), strings.NewReader(content), int64(len(content))))
	}
}

// patched is PATCH with all of a blob, and then PUT with nothing.
func patched(content string) func(w *world, x *fixture) error {
	return func(w *world, x *fixture) error {
		if _, err := w.WriteUpload(w.t.Context(), repo, x.upload, -1, strings.NewReader(content), int64(len(content))); err != nil {
			return err
		}
		return second(w.FinishUpload(w.t.Context(), repo, x.upload, digest.FromString(content), -1, strings.NewReader(""), 0))
	}
}

func get(d func(*fixture) oci.Digest) func(w *world, x *fixture) error {
	return func(w *world, x *fixture) error { return second(w.read(repo, d(x), 0, -1)) }
}

func pushManifest(make func(*fixture) oci.ManifestPush) func(w *world, x *fixture) error {
	return func(w *world, x *fixture) error {
		return second(w.PushManifest(w.t.Context(), repo, make(x)))
	}
}

func sweepOnce(w *world) error { return second(w.ledger.Sweep(w.t.Context(), refcount.SweepOptions{})) }

// sweepAway sweeps when the undo window of a deletion now has ended, when its links are due, then its tombstones, and when
// the history of its tags is over: nothing of it is left.
func sweepAway(w *world) error {
	m := refcount.DefaultMargins()
	for _, wait := range []time.Duration{m.UndoWindow, m.Grace, 0, m.TombstoneDelay, m.History} {
		w.clock.Advance(wait + time.Second)
		if err := sweepOnce(w); err != nil {
			return err
		}
	}
	return nil
}

// operations are what the page of store calls shows.
var operations = []operation{
	{"HEAD a blob", "get 1", func(w *world, x *fixture) error { return second(w.ResolveBlob(w.t.Context(), repo, x.large)) }},
	{"GET a small blob", "get 2", get(func(x *fixture) oci.Digest { return x.small })},
	{"GET a large blob", "get 1, open 1", get(func(x *fixture) oci.Digest { return x.large })},
	{"HEAD a manifest by tag", "get 1", func(w *world, x *fixture) error {
		return second(w.ResolveManifest(w.t.Context(), repo, oci.Reference{Tag: "v1"}))
	}},
	{"HEAD a manifest by digest", "get 1", func(w *world, x *fixture) error {
		return second(w.ResolveManifest(w.t.Context(), repo, oci.Reference{Digest: x.image}))
	}},
	{"GET a manifest by tag", "get 2", func(w *world, x *fixture) error {
		return second(w.Manifest(w.t.Context(), repo, oci.Reference{Tag: "v1"}))
	}},
	{"GET a manifest by digest", "get 1", func(w *world, x *fixture) error {
		return second(w.Manifest(w.t.Context(), repo, oci.Reference{Digest: x.image}))
	}},

	{"POST an upload", "", func(w *world, _ *fixture) error { return second(w.StartUpload(w.t.Context(), repo)) }},
	{"PUT a small new blob whole", "get 1, commit 1", finishAll("something new")},
	{"PUT a small blob whole that another repository has", "get 1, commit 1", finishAll(otherBlob)},
	{"PUT a small blob whole that is there", "get 1", finishAll(smallBlob)},
	{"PUT a large new blob whole", "commit 2, put 1, get 1", finishAll(pattern(3, 1000))},
	{"PUT a large blob whole that another repository has", "commit 2, put 1, get 1", finishAll(otherLargeBlob)},
	{"POST a small new blob", "get 1, commit 1", pushBlob("something new")},
	{"POST a large new blob", "commit 2, put 1, get 1", pushBlob(pattern(3, 1000))},
	{"PATCH and PUT a small new blob", "commit 2, get 2", patched("something new")},
	{"PATCH and PUT a large new blob", "commit 3, begin 1, part 1, get 2, complete 1", patched(pattern(3, 1000))},
	{"Mount a blob", "get 1, commit 1", func(w *world, _ *fixture) error {
		return second(w.MountBlob(w.t.Context(), repo, digest.FromString(otherBlob), "team/base"))
	}},
	{"Mount a blob that is there", "get 1", func(w *world, x *fixture) error {
		return second(w.MountBlob(w.t.Context(), repo, x.small, "team/base"))
	}},
	{"Cancel an upload without bytes", "get 1, commit 1", func(w *world, x *fixture) error {
		return w.CancelUpload(w.t.Context(), repo, x.upload)
	}},

	{"PUT a new manifest by tag", "get 1, commit 1", pushManifest(func(x *fixture) oci.ManifestPush {
		return oci.ManifestPush{Body: image(`,"n":1`, x.small, x.large), Tags: []oci.Tag{"v2"}}
	})},
	{"PUT a new manifest that takes a tag from another", "get 1, commit 1", pushManifest(func(x *fixture) oci.ManifestPush {
		return oci.ManifestPush{Body: image(`,"n":1`, x.small, x.large), Tags: []oci.Tag{"v1"}}
	})},
	{"PUT a manifest that is there, by a new tag", "get 1, commit 1", pushManifest(func(x *fixture) oci.ManifestPush {
		return oci.ManifestPush{Body: image("", x.small, x.large), Tags: []oci.Tag{"v2"}}
	})},
	{"PUT a manifest that is there, by its tag", "get 1", pushManifest(func(x *fixture) oci.ManifestPush {
		return oci.ManifestPush{Body: image("", x.small, x.large), Tags: []oci.Tag{"v1"}}
	})},
	{"PUT an index", "get 1, commit 1", pushManifest(func(x *fixture) oci.ManifestPush {
		return oci.ManifestPush{Body: index(x.image), Tags: []oci.Tag{"index"}}
	})},
	{"PUT an index of blobs", "get 3, commit 2", pushManifest(func(x *fixture) oci.ManifestPush {
		return oci.ManifestPush{Body: index(x.small, x.large), Tags: []oci.Tag{"cache"}}
	})},
	{"PUT a referrer by digest", "get 1, commit 1", pushManifest(func(x *fixture) oci.ManifestPush {
		return oci.ManifestPush{Body: image(subject(x.image), x.small)}
	})},

	{"DELETE a tag", "get 1, commit 1", func(w *world, _ *fixture) error { return w.DeleteTag(w.t.Context(), repo, "v1") }},
	{"DELETE a manifest", "get 4, query 2, commit 1", func(w *world, x *fixture) error { return w.DeleteManifest(w.t.Context(), repo, x.image) }},
	{"DELETE a blob", "get 1, commit 1", func(w *world, x *fixture) error { return w.DeleteBlob(w.t.Context(), repo, x.loose) }},
	{"Sweep where nothing is due", "due 16", func(w *world, _ *fixture) error { return sweepOnce(w) }},
	{"DELETE the only image, and sweep all of its repository away", "get 21, query 9, commit 15, due 160, delete 1", func(w *world, x *fixture) error {
		return cmp.Or(w.DeleteManifest(w.t.Context(), repo, x.image), sweepAway(w))
	}},

	{"List tags", "query 1", func(w *world, _ *fixture) error {
		_, _, err := w.Tags(w.t.Context(), repo, "", 100)
		return err
	}},
	{"List repositories", "query 1", func(w *world, _ *fixture) error {
		_, _, err := w.Repositories(w.t.Context(), "", 100, nil)
		return err
	}},
	{"List referrers", "query 1", func(w *world, x *fixture) error {
		_, _, err := w.Referrers(w.t.Context(), repo, x.image, "", "")
		return err
	}},
}

// onParts are operations that make other calls where parts have a least size, as on S3: here leastPart.
var onParts = []operation{
	{"PUT a large new blob whole, on parts", "get 2, commit 2, put 1", finishAll(pattern(3, 900))},
	{"PUT a blob of several parts whole, on parts", "get 2, commit 2, put 1", finishAll(pattern(3, 5000))},
	{"POST a large new blob, on parts", "commit 2, put 1, get 1", pushBlob(pattern(3, 900))},
	{"PATCH and PUT a large new blob, on parts", "get 3, commit 3, begin 1, part 1, complete 1", patched(pattern(3, 1000))},
	{"PATCH the first chunk of two that make a part", "get 1, commit 2, put 1", chunked(pattern(3, 1000), 250)},
	{"PATCH two chunks that make a part", "get 2, commit 4, put 1, open 1, begin 1, part 1", chunked(pattern(3, 1000), 250, 250)},
	{"PATCH four chunks that make two parts, and PUT", "get 6, commit 9, put 2, open 2, begin 1, part 2, complete 1",
		chunked(pattern(3, 1000), 250, 250, 250, 250, 0)},

	{"Which of four blobs are here", "get 1", func(w *world, x *fixture) error {
		digests := []oci.Digest{x.small, x.large, digest.FromString("one"), digest.FromString("another")}
		return second(w.HaveBlobs(w.t.Context(), repo, digests))
	}},
	{"Direct upload of a blob that is there", "get 1", func(w *world, x *fixture) error {
		return second(w.OpenDirect(w.t.Context(), repo, oci.DirectOpen{Digest: x.large, Size: 1000}))
	}},
	{"Direct upload in one PUT", "get 3, commit 2, sum 1", direct(pattern(3, 1000), false)},
	{"Direct upload in ten parts, to be settled", "get 4, commit 4, begin 1, parts 1, complete 1", direct(pattern(3, 10*leastPart), true)},
	{"Settle a direct upload in parts", "get 2, sum 1, commit 2, open 1", func(w *world, x *fixture) error {
		if err := direct(pattern(3, 10*leastPart), true)(w, x); err != nil {
			return err
		}
		w.traced = w.proc.Calls()
		_, err := w.uploads.Settle(w.t.Context(), w.toSettle[0], w.clock.Now().Add(time.Hour))
		return err
	}},
}

// direct is a direct upload, with all that the client asks of the registry.
func direct(content string, parts bool) func(w *world, x *fixture) error {
	return func(w *world, _ *fixture) error {
		ctx := w.t.Context()
		up, err := w.OpenDirect(ctx, repo, oci.DirectOpen{Digest: digest.FromString(content), Size: int64(len(content)), Parts: parts, PartSize: leastPart})
		if err != nil {
			return err
		}
		if !parts {
			w.bring(*up.Put, content)
			return second(w.CompleteDirect(ctx, repo, up.ID, 0))
		}
		var list []oci.DirectPart
		bodies := slices.Collect(slices.Chunk([]byte(content), leastPart))
		for i, body := range bodies {
			list = append(list, oci.DirectPart{Number: i + 1, Size: int64(len(body)), Digest: digest.FromBytes(body)})
		}
		signed, err := w.SignDirect(ctx, repo, up.ID, list)
		if err != nil {
			return err
		}
		for i := range signed {
			w.bring(signed[i], string(bodies[i]))
		}
		return second(w.CompleteDirect(ctx, repo, up.ID, 0))
	}
}

// bring sends a signed request to the store.
func (w *world) bring(r oci.SignedRequest, content string) {
	w.t.Helper()
	req := httptest.NewRequest(r.Method, r.URL, strings.NewReader(content))
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	answer := httptest.NewRecorder()
	w.store.Handler().ServeHTTP(answer, req)
	if answer.Code != http.StatusOK {
		w.t.Fatalf("the store answers %d", answer.Code)
	}
}

const leastPart = 500

// chunked is a PATCH with each chunk of content, and a PUT where the last has no byte.
func chunked(content string, sizes ...int) func(w *world, x *fixture) error {
	return func(w *world, x *fixture) error {
		at := 0
		for _, n := range sizes {
			if n == 0 {
				return second(w.FinishUpload(w.t.Context(), repo, x.upload, digest.FromString(content), -1, strings.NewReader(""), 0))
			}
			if _, err := w.WriteUpload(w.t.Context(), repo, x.upload, int64(at), strings.NewReader(content[at:at+n]), int64(n)); err != nil {
				return err
			}
			at += n
		}
		return nil
	}
}

// traced are all operations, with the kind of store that each is traced on.
func traced() iter.Seq2[operation, memstore.Options] {
	return func(yield func(operation, memstore.Options) bool) {
		for _, o := range operations {
			if !yield(o, memstore.Options{}) {
				return
			}
		}
		for _, o := range onParts {
			if !yield(o, memstore.Options{MinPart: leastPart}) {
				return
			}
		}
	}
}

// trace runs an operation and returns the calls that it made.
func (o *operation) trace(t *testing.T, kind memstore.Options) faultstore.Trace {
	t.Helper()
	w := newWorldOn(t, registry.Options{}, kind)
	x := w.fixture()
	w.traced = w.proc.Calls()
	w.must(o.do(w, x))
	trace := w.proc.Trace()[w.traced:]
	w.audit()
	return trace
}

// counts says how many calls of each kind a trace has, in the order of their first ones.
func counts(trace faultstore.Trace) string {
	var kinds []faultstore.Kind
	for _, step := range trace {
		if !slices.Contains(kinds, step.Kind) {
			kinds = append(kinds, step.Kind)
		}
	}
	parts := make([]string, len(kinds))
	for i, k := range kinds {
		parts[i] = fmt.Sprintf("%s %d", k, trace.Count(k))
	}
	return strings.Join(parts, ", ")
}

// What operations cost is promised. The golden file below shows it call by call; this does not change with it.
func TestStoreCallsPerOperation(t *testing.T) {
	for o, kind := range traced() {
		t.Run(o.name, func(t *testing.T) {
			if got := counts(o.trace(t, kind)); got != o.calls {
				t.Errorf("made the calls %q, want %q", got, o.calls)
			}
		})
	}
}

var (
	digestText = regexp.MustCompile(`sha256:([0-9a-f]{8})[0-9a-f]{56}`)
	uploadText = regexp.MustCompile(`\b[0-9a-f]{32}\b`)
	tokenText  = regexp.MustCompile(`[0-9a-f]{26}`)
	trailing   = regexp.MustCompile(`(?m) +$`)
)

// plain makes a key the same in every run, and short.
func plain(key string) string {
	key = digestText.ReplaceAllString(key, "sha256:$1…")
	key = uploadText.ReplaceAllString(key, "<upload>")
	return tokenText.ReplaceAllString(key, "<token>")
}

// The calls of every operation are as the golden file shows them: a change of it is a change of the protocol. With
// -rewrite it is written anew.
func TestTraces(t *testing.T) {
	var b strings.Builder
	for o, kind := range traced() {
		trace := o.trace(t, kind)
		fmt.Fprintf(&b, "# %s: %s\n%s\n", o.name, cmp.Or(counts(trace), "nothing"), trailing.ReplaceAllString(trace.Format(plain), ""))
	}
	name := filepath.Join("testdata", "traces.txt")
	if *rewrite {
		if err := os.WriteFile(name, []byte(b.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(b.String(), "\n")
	for i, line := range strings.Split(string(want), "\n") {
		if i >= len(got) || got[i] != line {
			t.Fatalf("the calls are not those of %s, from line %d on: run the test with -rewrite and look at the difference", name, i+1)
		}
	}
	if len(got) > strings.Count(string(want), "\n")+1 {
		t.Fatalf("there are more calls than in %s", name)
	}
}
