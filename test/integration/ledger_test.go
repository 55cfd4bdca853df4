// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/ocihttp"
	"tare/internal/refcount"
	"tare/internal/registry"
	"tare/internal/store"
	"tare/internal/store/dynamostore"
	"tare/internal/store/memstore"
	"tare/internal/store/s3store"
	"tare/internal/upload"
	"tare/test/conformance"
	"tare/test/standin"
)

// shifted is the machine's clock, set forward.
type shifted struct{ by atomic.Int64 }

func (s *shifted) Now() time.Time { return clock.System{}.Now().Add(time.Duration(s.by.Load())) }

func (s *shifted) Pause(ctx context.Context, d time.Duration) error {
	return clock.System{}.Pause(ctx, d)
}

// objects are the two roles of a bucket.
type objects interface {
	store.Objects
	store.Multipart
}

// house is a registry on a table of DynamoDB, behind a proxy, and a bucket.
type house struct {
	engine *engine
	proxy  *standin.Proxy
	table  *dynamostore.Store
	bytes  objects
	clock  *shifted
	ledger *refcount.Ledger
	server *httptest.Server
}

// build makes a house. Without a bucket its objects are in memory.
func build(t testing.TB, e *engine, bucket objects) *house {
	t.Helper()
	h := &house{engine: e, proxy: e.proxy(t), clock: &shifted{}, bytes: bucket}
	if bucket == nil {
		h.bytes = memstore.New(h.clock, memstore.Options{})
	}
	h.table = dynamostore.New(e.client(t, h.proxy), e.table(t), dynamostore.Options{Clock: h.clock})
	var err error
	h.ledger, err = refcount.New(refcount.Stores{Table: h.table, Objects: h.bytes, Parts: h.bytes}, h.clock,
		refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: 4096, Distant: true})
	if err != nil {
		t.Fatal(err)
	}
	direct, _ := bucket.(store.Direct) // what is in memory takes no requests of clients
	uploads, err := upload.New(h.ledger, h.bytes, h.bytes, h.clock, upload.Options{Direct: direct})
	if err != nil {
		t.Fatal(err)
	}
	h.server = httptest.NewServer(ocihttp.New(registry.New(h.ledger, uploads, h.bytes, registry.Options{Direct: direct}), ocihttp.Options{
		Clock: h.clock, Log: slog.New(slog.NewTextHandler(faultLog{t}, &slog.HandlerOptions{Level: slog.LevelError}))}))
	t.Cleanup(h.server.Close)
	return h
}

// faultLog shows what a registry calls its own fault.
type faultLog struct{ t testing.TB }

func (l faultLog) Write(line []byte) (int, error) {
	l.t.Logf("%s", line)
	return len(line), nil
}

// sweepUntil sweeps without rest until the returned function is called, which waits for the end.
func (h *house) sweepUntil(t *testing.T, bear func(error) bool) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	swept := make(chan struct{})
	go func() {
		defer close(swept)
		for ctx.Err() == nil {
			if _, err := h.ledger.Sweep(ctx, refcount.SweepOptions{}); err != nil && ctx.Err() == nil && !bear(err) {
				t.Errorf("sweep: %v", err)
				return
			}
			_ = h.clock.Pause(ctx, 10*time.Millisecond)
		}
	}()
	return func() {
		cancel()
		<-swept
	}
}

func (h *house) audit(t *testing.T) {
	t.Helper()
	findings, err := h.ledger.Audit(t.Context(), h.table)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Errorf("audit: %s", f)
	}
}

// landSometimes lets late transactions land, one now and then, until the returned function is called, which lets the
// others land.
func (h *house) landSometimes(t *testing.T) (landed *int, stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	landed = new(int)
	done := make(chan struct{})
	land := func() bool {
		ok, err := h.proxy.Land()
		if err != nil {
			t.Error(err)
		}
		if ok {
			*landed++
		}
		return ok
	}
	go func() {
		defer close(done)
		for h.clock.Pause(ctx, rand.N(100*time.Millisecond)) == nil {
			land()
		}
	}()
	return landed, func() {
		cancel()
		<-done
		for land() {
		}
	}
}

// The conformance suite holds on DynamoDB, with transactions that meet refused and a collector that never rests. With a bucket
// its direct uploads go to that, and pulls are redirected there.
func TestConformance(t *testing.T) {
	e := startEngine(t)
	serve := func(t *testing.T, bucket objects, target conformance.Target) {
		h := build(t, e, bucket)
		h.proxy.Use(standin.Overlap(time.Millisecond))
		stop := h.sweepUntil(t, func(error) bool { return false })
		target.BaseURL = h.server.URL
		conformance.Run(t, target)
		stop()
		h.audit(t)
		for range 4 {
			h.clock.by.Add(int64(50 * time.Hour))
			h.sweep(t)
		}
		h.audit(t)
		if pending, err := h.bytes.Pending(t.Context(), ""); err != nil || len(pending) > 0 {
			t.Errorf("left: parts of %v, %v", pending, err)
		}
	}
	t.Run("objects in memory", func(t *testing.T) { serve(t, nil, conformance.Target{}) })
	t.Run("both engines", func(t *testing.T) {
		s, signing := startS3(t), &shifted{}
		serve(t, s3store.New(s3Client(t, s.URL), newBucket(t, s.URL), s3store.Options{Clock: signing}), conformance.Target{Past: func(f func()) {
			signing.by.Store(-int64(time.Hour))
			defer signing.by.Store(0)
			f()
		}})
	})
}

// TestPushersBehindFaults lets clients push, pull, move tags and delete at once, in images that share layers, while replies
// are lost, transactions land late, DynamoDB throttles and refuses, and a sweep goes on. Whatever a client was told holds:
// what was acknowledged can be pulled until it is deleted. In the end everything is deleted, and nothing is left.
func TestPushersBehindFaults(t *testing.T) {
	const clients, rounds = 8, 12
	h := build(t, startEngine(t), nil)
	h.proxy.Use(standin.First(
		standin.Sometimes(1, 0.15, writes, standin.LoseReply, standin.LoseCall, standin.Late, standin.Late, standin.Reset, standin.Throttle,
			standin.Cancel(map[int]string{0: "TransactionConflict"}), standin.Cancel(map[int]string{0: "ThrottlingError"}),
			standin.DynamoErrorAfter(500, "InternalServerError", "internal"), standin.DynamoError(500, "InternalServerError", "internal")),
		standin.Sometimes(2, 0.05, reads, standin.LoseCall, standin.Throttle, standin.ShortPage(1), standin.Unprocessed(1)),
		func(r standin.Request) standin.Fault {
			if r.Index != "" && rand.IntN(4) == 0 {
				return standin.IndexEmpty
			}
			return nil
		},
		standin.Overlap(time.Millisecond),
	))
	stop := h.sweepUntil(t, func(error) bool { return true })
	landed, stopLanding := h.landSometimes(t)
	var wg sync.WaitGroup
	pushers := make([]*pusher, clients)
	for i := range pushers {
		pushers[i] = &pusher{T: t, h: h, name: fmt.Sprint("c", i), random: rand.New(rand.NewPCG(7, uint64(i))), tags: map[string]string{}}
		wg.Go(func() {
			for range rounds {
				pushers[i].round()
			}
		})
	}
	wg.Wait()
	stop()
	h.proxy.Use(nil)
	stopLanding()
	answers := 0
	for _, p := range pushers {
		p.verify()
		answers += p.unsure
	}
	h.audit(t)
	t.Logf("%d requests hurt, %d transactions landed late, %d answers of 503, %v", h.proxy.Hurt(), *landed, answers, h.proxy.Seen())
	h.empty(t, pushers)
}

// sweep sweeps what the index of the table has to show.
func (h *house) sweep(t *testing.T) {
	t.Helper()
	if a := h.engine.account; a != nil {
		if err := settleIndex(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := h.ledger.Sweep(t.Context(), refcount.SweepOptions{}); err != nil {
		t.Fatal(err)
	}
}

// empty deletes all manifests, lets every margin pass, and sees that nothing is left.
func (h *house) empty(t *testing.T, pushers []*pusher) {
	for _, p := range pushers {
		for _, m := range p.made {
			p.send(http.MethodDelete, "/v2/"+p.repo()+"/manifests/"+m, "", nil)
		}
	}
	for range 8 {
		h.clock.by.Add(int64(100 * time.Hour))
		h.sweep(t)
	}
	h.clock.by.Add(int64(refcount.DefaultMargins().History))
	h.sweep(t)
	h.audit(t)
	page, err := h.table.Scan(t.Context(), store.Key{}, store.MaxLimit)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range page.Items {
		if it.Key.PK != "k" { // the secrets stay
			t.Errorf("left: %s %v", it.Key, it.Row)
		}
	}
	objects, err := h.bytes.List(t.Context(), "", "", store.MaxLimit)
	if err != nil || len(objects) > 0 {
		t.Errorf("left: objects %v, error %v", objects, err)
	}
}

// pusher is a client with tags of its own, in repositories and of layers that it shares with others.
type pusher struct {
	*testing.T
	h      *house
	name   string
	random *rand.Rand
	n      int
	tags   map[string]string // what each tag was last acknowledged to be; absent: not known, or deleted
	made   []string          // digests of manifests
	unsure int               // answers of 503
}

func (p *pusher) repo() string { return "shared/app" }

func sum256(data string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(data))) }

// send makes a request until it is answered otherwise than by 503, and returns the answer; 0 after many.
func (p *pusher) send(method, path, body string, header map[string]string) (int, string) {
	for range 30 {
		r, err := http.NewRequestWithContext(p.Context(), method, p.h.server.URL+path, strings.NewReader(body))
		if err != nil {
			p.Error(err)
			return 0, ""
		}
		for k, v := range header {
			r.Header.Set(k, v)
		}
		answer, err := http.DefaultClient.Do(r)
		if err != nil {
			p.Error(err)
			return 0, ""
		}
		data, err := io.ReadAll(answer.Body)
		answer.Body.Close()
		if err != nil {
			p.Error(err)
			return 0, ""
		}
		if answer.StatusCode != http.StatusServiceUnavailable {
			return answer.StatusCode, string(data)
		}
		p.unsure++
	}
	return 0, ""
}

// blob brings a blob unless it is there.
func (p *pusher) blob(data string) bool {
	d := sum256(data)
	if status, _ := p.send(http.MethodHead, "/v2/"+p.repo()+"/blobs/"+d, "", nil); status == http.StatusOK {
		return true
	}
	status, body := p.send(http.MethodPost, "/v2/"+p.repo()+"/blobs/uploads/?digest="+d, data, map[string]string{"Content-Type": "application/octet-stream"})
	if status != http.StatusCreated && status != 0 {
		p.Errorf("%s: a blob: %d %s", p.name, status, body)
	}
	return status == http.StatusCreated
}

// round pushes an image, moves a tag to it, perhaps deletes a tag, and reads what it has.
func (p *pusher) round() {
	p.n++
	type descriptor struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
		Size      int    `json:"size"`
	}
	describe := func(media, data string) descriptor { return descriptor{media, sum256(data), len(data)} }
	layers := []string{strings.Repeat("base", 2000), fmt.Sprintf("layer %d", p.random.IntN(4)), fmt.Sprintf("own %s %d", p.name, p.n)}
	config := fmt.Sprintf(`{"made":"%s %d"}`, p.name, p.n)
	list := []descriptor{}
	for _, l := range layers {
		list = append(list, describe("application/vnd.oci.image.layer.v1.tar", l))
	}
	manifest, err := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": describe("application/vnd.oci.image.config.v1+json", config), "layers": list})
	if err != nil {
		p.Error(err)
		return
	}
	for _, b := range append(layers, config) {
		if !p.blob(b) {
			return
		}
	}
	tag := fmt.Sprintf("%s-%d", p.name, p.random.IntN(3))
	delete(p.tags, tag)
	p.made = append(p.made, sum256(string(manifest)))
	status, body := p.send(http.MethodPut, "/v2/"+p.repo()+"/manifests/"+tag, string(manifest),
		map[string]string{"Content-Type": "application/vnd.oci.image.manifest.v1+json"})
	switch status {
	case http.StatusCreated:
		p.tags[tag] = string(manifest)
	case 0:
	default:
		p.Errorf("%s: a push: %d %s", p.name, status, body)
	}
	if p.random.IntN(3) == 0 {
		delete(p.tags, tag)
		if status, body := p.send(http.MethodDelete, "/v2/"+p.repo()+"/manifests/"+tag, "", nil); status != http.StatusAccepted && status != http.StatusNotFound && status != 0 {
			p.Errorf("%s: a delete: %d %s", p.name, status, body)
		}
	}
	p.verify()
}

// verify pulls whatever was acknowledged and not deleted.
func (p *pusher) verify() {
	for tag, want := range p.tags {
		if status, got := p.send(http.MethodGet, "/v2/"+p.repo()+"/manifests/"+tag, "", map[string]string{"Accept": "*/*"}); status != 0 && (status != http.StatusOK || got != want) {
			p.Errorf("%s: tag %s: %d %s, want %s", p.name, tag, status, got, want)
			continue
		}
		var m struct {
			Config struct{ Digest string }
			Layers []struct{ Digest string }
		}
		if err := json.Unmarshal([]byte(want), &m); err != nil {
			p.Error(err)
		}
		for _, l := range append(m.Layers, m.Config) {
			status, got := p.send(http.MethodGet, "/v2/"+p.repo()+"/blobs/"+l.Digest, "", nil)
			if status != 0 && (status != http.StatusOK || sum256(got) != l.Digest) {
				p.Errorf("%s: blob %s of tag %s: %d", p.name, l.Digest, tag, status)
			}
		}
	}
}
