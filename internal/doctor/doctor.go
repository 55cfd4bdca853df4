// SPDX-License-Identifier: Apache-2.0

// Package doctor examines a registry that runs, from outside, over HTTP and with ordinary credentials: whether what clients
// depend on comes through everything that stands before it. It works in a repository of its own, with a random name, and
// takes away what it brought. It assumes nothing of what the registry runs on; what does not apply there it says so of.
package doctor

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"tare/internal/clock"
)

// Options say whom to examine.
type Options struct {
	URL      string // of the registry: scheme and host, without a path
	User     string // "": nobody in particular
	Password string
	Load     int               // clients that push at the same time, at most [MaxLoad]; 0: none
	HTTP     http.RoundTripper // nil: http.DefaultTransport's settings, without compression
	Clock    clock.Clock
}

// MaxLoad bounds the clients of a load.
const MaxLoad = 64

// Result says what came of a check.
type Result string

// The results. Skipped is what does not apply, or what could not be tried after another failure.
const (
	Passed  Result = "passed"
	Failed  Result = "failed"
	Skipped Result = "skipped"
)

// Finding is what one check found.
type Finding struct {
	Check  string `json:"check"`
	Result Result `json:"result"`
	Saw    string `json:"saw"`
	Means  string `json:"means,omitempty"`  // of a failure: what clients suffer from it
	Change string `json:"change,omitempty"` // of a failure: what to look at
	Millis int64  `json:"millis"`
}

// check is one of them. It fails with an error when it had no answer.
type check struct {
	name string
	run  func(ctx context.Context) (Finding, error)
}

// patient is a registry under examination.
type patient struct {
	o          Options
	base       *url.URL
	http       *http.Client
	repo       string
	silence    string // why it gave no first answer
	closed     bool   // it asks for credentials
	direct     bool   // it takes direct uploads
	ready      bool   // credentials are good: pushes can be tried
	conditions bool   // it holds those of writes
	pushed     string // digest of the manifest
	image      []byte // the manifest itself
	config     []byte // its blobs: one that is small, and
	layer      []byte // one that no table keeps
	blobs      map[string]bool
	tags       map[string]bool // and digests of manifests

	mu     sync.Mutex      // guards open
	open   map[string]bool // paths of uploads that were begun and not ended
	signed time.Duration   // how far the clock that signs requests is ahead of this one
	stored time.Duration   // likewise the store's
	seen   bool            // whether these two are known
}

// Examine runs all checks, one after the other, and tells each finding as it comes. It returns an error only when there was
// nothing to examine: a wrong URL. When ctx ends, what was brought is taken away all the same, for up to a minute. Where
// nobody answers, it is one finding that says so.
func Examine(ctx context.Context, o Options, tell func(Finding)) error {
	p, err := newPatient(o)
	if err != nil {
		return err
	}
	for _, c := range p.checks() {
		if ctx.Err() != nil {
			break
		}
		f := p.perform(ctx, c)
		tell(f)
		if f.Result == Failed && f.Saw == p.silence {
			return nil
		}
	}
	clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
	defer cancel()
	tell(p.perform(clean, check{"cleanup", p.cleanup}))
	return nil
}

func newPatient(o Options) (*patient, error) {
	if !strings.Contains(o.URL, "://") {
		o.URL = "https://" + o.URL
	}
	base, err := url.Parse(o.URL)
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || strings.Trim(base.Path, "/") != "" || base.User != nil {
		return nil, fmt.Errorf("%q is not the URL of a registry: https://host", o.URL)
	}
	base.Path = ""
	if o.HTTP == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DisableCompression = true // lengths are part of the examination
		t.MaxIdleConnsPerHost = MaxLoad
		o.HTTP = t
	}
	p := &patient{o: o, base: base, repo: "tare-doctor-" + random(8), blobs: map[string]bool{}, tags: map[string]bool{}, open: map[string]bool{}}
	p.http = &http.Client{Transport: o.HTTP, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	p.config = []byte(`{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{"Labels":{"by":"` + p.repo + `"}}}`)
	p.layer = bytesOf(100 << 10)
	return p, nil
}

// checks lists them in their order: later ones use what earlier ones brought.
func (p *patient) checks() []check {
	return []check{
		{"challenge", p.challenge}, {"login", p.login}, {"closed", p.closedToStrangers}, {"clock", p.clock},
		{"push of a blob", p.pushBlobs}, {"upload in chunks", p.chunks}, {"body without a length", p.unannounced}, {"empty blob", p.empty},
		{"Expect: 100-continue", p.expect}, {"HEAD of a blob", p.headBlob}, {"pull of a blob", p.getBlob},
		{"range of a blob", p.rangeOfBlob}, {"push of a manifest", p.pushManifest}, {"HEAD of a manifest", p.headManifest},
		{"pull of a manifest", p.getManifest}, {"conditional writes", p.conditional}, {"race for a tag", p.race}, {"errors", p.errors},
		{"odd paths", p.oddPaths}, {"body of 4 MiB", p.bodyWithin}, {"body of 7 MiB", p.bodyBeyond}, {"large manifest", p.largeManifest},
		{"long headers", p.headers},
		{"direct uploads", p.discover}, {"direct PUT", p.directPut}, {"clocks of the store", p.storeClocks},
		{"direct PUT, wrong body", p.directWrong}, {"URL that has ended", p.overdue}, {"direct parts", p.directParts},
		{"number of parts", p.manyParts}, {"event of the store", p.event}, {"direct upload given up", p.directAbort},
		{"client of direct uploads", p.directClient}, {"load", p.load},
	}
}

// perform runs a check and measures it.
func (p *patient) perform(ctx context.Context, c check) Finding {
	begin := p.o.Clock.Now()
	f, err := c.run(ctx)
	switch {
	case err != nil && ctx.Err() != nil && c.name != "cleanup":
		f = skipped("it was broken off")
	case err != nil:
		f = failed(err.Error(), "there was no answer that could be read", "See whether the address is right, and whether something on the way ends connections.")
		if c.name == "challenge" {
			p.silence = f.Saw
		}
	}
	f.Check, f.Millis = c.name, p.o.Clock.Now().Sub(begin).Milliseconds()
	return f
}

func passed(format string, args ...any) Finding {
	return Finding{Result: Passed, Saw: fmt.Sprintf(format, args...)}
}

func skipped(format string, args ...any) Finding {
	return Finding{Result: Skipped, Saw: fmt.Sprintf(format, args...)}
}

func failed(saw, means, change string) Finding {
	return Finding{Result: Failed, Saw: saw, Means: means, Change: change}
}

// notReady is the finding of a check that needs credentials which are good.
func notReady() (Finding, error) { return skipped("it needs a login that succeeds"), nil }

// bytesOf makes random content, of which there are megabytes: the system is asked for a seed alone.
func bytesOf(n int) []byte {
	var seed [32]byte
	b := make([]byte, n)
	_, _ = rand.Read(seed[:]) // neither of them ever fails
	_, _ = mathrand.NewChaCha8(seed).Read(b)
	return b
}

func random(n int) string { return hex.EncodeToString(bytesOf(n)) }
