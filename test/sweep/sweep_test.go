// SPDX-License-Identifier: Apache-2.0

// Package sweep measures what the sweep costs: it follows the garbage and not the registry.
package sweep

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
	"tare/internal/store/diskstore"
	"tare/internal/store/faultstore"
	"tare/internal/store/memstore"
)

// registry is a ledger with kept images, whose store calls are counted.
type registry struct {
	*refcount.Ledger
	clock *clock.Manual
	calls *faultstore.Process
	names *tokens
}

type stores interface {
	store.Table
	store.Objects
	store.Multipart
}

func newRegistry(t testing.TB, s stores, clk *clock.Manual) *registry {
	t.Helper()
	p := faultstore.New(faultstore.Options{})
	ts := &tokens{}
	ts.seed(0)
	margins := refcount.DefaultMargins()
	margins.History = 10 * 365 * 24 * time.Hour // the moves of what is kept are not what is measured
	l, err := refcount.New(refcount.Stores{Table: p.Table(s), Objects: p.Objects(s), Parts: p.Multipart(s)}, clk,
		refcount.Config{Margins: margins, InlineLimit: 4 << 10, NewToken: ts.next})
	if err != nil {
		t.Fatal(err)
	}
	return &registry{l, clk, p, ts}
}

// tokens makes the same keys in every run from a seed: they decide how many slices of the index are due.
type tokens struct {
	mu  sync.Mutex // guards src
	src *rand.Rand
}

func (ts *tokens) seed(n uint64) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.src = rand.New(rand.NewPCG(n, n))
}

func (ts *tokens) next() string {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return fmt.Sprintf("%013x%013x", ts.src.Uint64()>>12, ts.src.Uint64()>>12)
}

// push makes an image of two blobs of its own and one that all images share: inline, inline, and an object.
func (r *registry) push(ctx context.Context, objects store.Objects, name string) (oci.Digest, error) {
	repo := oci.Repository("team/app")
	var links []oci.Digest
	for _, content := range []string{"config of " + name, "the layer that all share"} {
		d := digest.FromString(content)
		if _, err := r.FinishWhole(ctx, repo, "", d, content); err != nil {
			return "", err
		}
		links = append(links, d)
	}
	layer := "layer of " + name
	s, err := r.Write(ctx, refcount.Session{ID: name, Repo: repo, Object: r.NewObject()})
	if err != nil {
		return "", err
	}
	if err := objects.Put(ctx, s.Object, strings.NewReader(layer), int64(len(layer))); err != nil {
		return "", err
	}
	d := digest.FromString(layer)
	if err := r.Finish(ctx, s, d, int64(len(layer))); err != nil {
		return "", err
	}
	body := []byte(`{"name":"` + name + `"}`)
	m := digest.FromBytes(body)
	_, err = r.Push(ctx, refcount.Push{Repo: repo, Digest: m, MediaType: oci.MediaTypeManifest, Body: body,
		Links: append(links, d), Tags: []oci.Tag{oci.Tag(name)}})
	return m, err
}

// fill pushes n images that stay, without objects: what the sweep must not look at.
func (r *registry) fill(t testing.TB, n int) {
	t.Helper()
	ctx := context.Background()
	repo := oci.Repository("team/app")
	var wg sync.WaitGroup
	const workers = 64
	errs := make(chan error, workers)
	for w := range workers {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := w; i < n; i += workers {
				content := fmt.Sprint("kept ", i)
				d := digest.FromString(content)
				if _, err := r.FinishWhole(ctx, repo, "", d, content); err != nil {
					errs <- err
					return
				}
				body := []byte(`{"kept":` + fmt.Sprint(i) + `}`)
				_, err := r.Push(ctx, refcount.Push{Repo: repo, Digest: digest.FromBytes(body), MediaType: oci.MediaTypeManifest,
					Body: body, Links: []oci.Digest{d}, Tags: []oci.Tag{oci.Tag(fmt.Sprint("kept-", i))}})
				if err != nil {
					errs <- err
					return
				}
			}
		}()
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
}

// collect makes ten images, deletes them, lets every margin pass and sweeps; it returns the store calls of the sweeps, and
// calls lap before and after each of them.
func (r *registry) collect(t testing.TB, objects store.Objects, round int, lap func()) (calls int) {
	t.Helper()
	ctx := context.Background()
	r.names.seed(1_000_000 + uint64(round)) // not those of what is kept
	for i := range 10 {
		d, err := r.push(ctx, objects, fmt.Sprintf("garbage-%d-%d", round, i))
		if err != nil {
			t.Fatal(err)
		}
		if err := r.DeleteManifest(ctx, "team/app", d); err != nil {
			t.Fatal(err)
		}
	}
	blobs, gone := 0, 0
	for range 3 {
		r.clock.Advance(25 * time.Hour)
		before := r.calls.Calls()
		lap()
		rep, err := r.Sweep(ctx, refcount.SweepOptions{})
		lap()
		if err != nil || rep.Failed > 0 {
			t.Fatal(err, rep.Errors)
		}
		calls += r.calls.Calls() - before
		blobs += rep.Blobs
		gone += rep.Objects
	}
	if blobs != 21 || gone != 10 { // the shared layer went, too: no kept image has it
		t.Fatalf("%d blobs and %d objects went", blobs, gone)
	}
	return calls
}

// TestCostFollowsTheGarbage collects the same garbage beside few images and beside many: in memory, or in DynamoDB, where
// the requests are counted, too.
func TestCostFollowsTheGarbage(t *testing.T) {
	sizes := []int{10, 2000}
	if engine != nil {
		sizes = []int{20, 200}
	}
	var calls, sent []int
	for _, kept := range sizes {
		clk := clock.NewManual(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
		var s stores = memstore.New(clk, memstore.Options{})
		if engine != nil {
			s = engine.Open(clk, memstore.Options{})
		}
		r := newRegistry(t, s, clk)
		r.fill(t, kept)
		var requests requestCounter
		calls = append(calls, r.collect(t, s, 0, requests.lap))
		sent = append(sent, requests.n)
	}
	t.Logf("%d store calls, %d requests", calls[0], sent[0])
	if calls[0] != calls[1] || sent[0] != sent[1] {
		t.Fatalf("%d store calls and %d requests beside %d images, %d and %d beside %d", calls[0], sent[0], sizes[0], calls[1], sent[1], sizes[1])
	}
	if engine != nil && sent[0] < calls[0]/2 {
		t.Fatalf("%d store calls made %d requests", calls[0], sent[0])
	}
}

// requestCounter counts what a collection asks of DynamoDB.
type requestCounter struct {
	n       int
	before  int
	running bool
}

// lap begins to count, or ends.
func (c *requestCounter) lap() {
	if engine == nil {
		return
	}
	if c.running = !c.running; c.running {
		c.before = engine.Requests()
	} else {
		c.n += engine.Requests() - c.before
	}
}

// asFast is what the collection beside many images may take, in times of that beside few.
const asFast = 1.5

// BenchmarkCollect collects ten images beside few that stay and beside a hundred times as many, in turn: on disk beside 1,000
// and 100,000, in DynamoDB beside 100 and 10,000. It says whether that costs the same: the same store calls, and, by the
// medians, at most asFast times the time.
func BenchmarkCollect(b *testing.B) {
	sizes, where := []int{1000, 100_000}, "on disk"
	if engine != nil {
		sizes, where = []int{100, 10_000}, "in DynamoDB"
	}
	if testing.Short() {
		sizes = []int{sizes[0] / 10, sizes[0]}
	}
	few, many := keep(b, sizes[0]), keep(b, sizes[1])
	for round := 0; b.Loop(); round++ {
		b.StopTimer()
		few.measure(b, round)
		many.measure(b, round)
		b.StartTimer()
	}
	ratio := many.median() / few.median()
	b.ReportMetric(0, "ns/op") // of both together
	b.ReportMetric(few.median(), "ms/few")
	b.ReportMetric(many.median(), "ms/many")
	b.ReportMetric(float64(few.calls[0]), "calls")
	what := fmt.Sprintf("GC of ten images %s among %d and among %d", where, sizes[0], sizes[1])
	b.Logf("| collect | %s: identical store calls | **%s** | %d and %d |", what, verdict(slices.Equal(few.calls, many.calls)), few.calls[0], many.calls[0])
	b.Logf("| collect | %s: median time within %g× | **%s** | %.2f×: %.0f ms and %.0f ms |", what, asFast, verdict(ratio <= asFast), ratio,
		few.median(), many.median())
}

func verdict(met bool) string {
	if met {
		return "met"
	}
	return "not met"
}

// kept is a registry, and what collecting beside its images cost, round by round.
type kept struct {
	*registry
	store stores
	calls []int
	times []float64 // milliseconds
}

// keep fills a registry with n images that stay.
func keep(b *testing.B, n int) *kept {
	b.Helper()
	clk := clock.NewManual(time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC))
	k := &kept{store: open(b, clk)}
	k.registry = newRegistry(b, k.store, clk)
	k.fill(b, n)
	return k
}

// open makes a store on disk, or one with its rows in DynamoDB.
func open(b *testing.B, clk clock.Clock) stores {
	b.Helper()
	if engine != nil {
		return engine.Open(clk, memstore.Options{})
	}
	s, err := diskstore.Open(b.TempDir(), diskstore.Options{Clock: clk})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() }) // nothing of it is read again
	return s
}

func (k *kept) measure(b *testing.B, round int) {
	b.Helper()
	before := b.Elapsed()
	k.calls = append(k.calls, k.collect(b, k.store, round, lapTimer(b)))
	k.times = append(k.times, float64((b.Elapsed()-before).Microseconds())/1000)
}

func (k *kept) median() float64 {
	sorted := slices.Sorted(slices.Values(k.times))
	return sorted[len(sorted)/2]
}

// lapTimer returns a function that starts and stops the benchmark's timer in turn.
func lapTimer(b *testing.B) func() {
	running := false
	return func() {
		if running = !running; running {
			b.StartTimer()
		} else {
			b.StopTimer()
		}
	}
}
