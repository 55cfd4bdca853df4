// SPDX-License-Identifier: Apache-2.0

// Package conformance is a black-box suite of the OCI distribution specification 1.1.1, and of what this registry
// promises beyond it. It speaks HTTP only and knows nothing of the registry behind the URL, so it runs against any.
//
// Every test names the section of the specification that it checks and quotes the sentence. Where a sentence is our
// own promise or another document's, the comment says so: "design" is a decision of this project, "RFC 9110" is HTTP,
// "spec main" is a sentence that the specification's main branch has and 1.1.1 has not.
package conformance

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/url"
	"testing"
	"time"
)

// Target is the registry under test.
type Target struct {
	BaseURL string // scheme, host and port; no path

	Username, Password string // sent as Basic with every request; "" sends none

	// NewRepository returns the name of a repository that nobody has used. nil: random names below "conformance".
	NewRepository func() string

	// Sparse says that the registry takes an index whose children are absent.
	Sparse bool

	// Gateway says that the registry is behind a gateway which decodes paths, gives a body on when it has come whole, and
	// has a 413 of its own. What then cannot be is left out.
	Gateway bool

	// Past calls a function while what the registry signs for its store has ended before it is given out. nil: it cannot.
	Past func(func())

	// MaxManifest is the largest manifest in bytes that the registry takes; 0 means 4 MiB.
	MaxManifest int
}

// Run runs the whole suite. Repositories that it made stay behind.
func Run(t *testing.T, target Target) {
	if target.NewRepository == nil {
		target.NewRepository = randomRepository
	}
	if target.MaxManifest == 0 {
		target.MaxManifest = 4 << 20
	}
	base, err := url.Parse(target.BaseURL)
	if err != nil || base.Host == "" || base.Path != "" {
		t.Fatalf("BaseURL %q is not a scheme and a host", target.BaseURL)
	}
	transport := &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	for _, g := range []struct {
		name string
		run  func(group)
	}{
		{"support", support},
		{"pull manifests", pullManifests},
		{"pull blobs", pullBlobs},
		{"push blobs", pushBlobs},
		{"push chunks", pushChunks},
		{"uploads", uploads},
		{"direct uploads", directUploads},
		{"mount", mount},
		{"push manifests", pushManifests},
		{"manifest kinds", manifestKinds},
		{"invalid manifests", invalidManifests},
		{"large manifests", largeManifests},
		{"multiple tags", multipleTags},
		{"conditions", conditions},
		{"tags", listTags},
		{"catalog", listRepositories},
		{"referrers", referrers},
		{"delete", deletes},
		{"names", names},
		{"paths", paths},
		{"broken bodies", brokenBodies},
		{"races", races},
	} {
		t.Run(g.name, func(t *testing.T) { g.run(group{t: t, target: target, base: base, transport: transport}) })
	}
}

// group is a set of tests, each in a repository of its own.
type group struct {
	t         *testing.T
	target    Target
	base      *url.URL
	transport *http.Transport
}

// test runs one test with a client on a fresh repository.
func (g group) test(name string, f func(c *client)) {
	g.t.Run(name, func(t *testing.T) {
		f(&client{
			T:      t,
			target: g.target,
			base:   g.base,
			http:   &http.Client{Transport: g.transport, Timeout: time.Minute, CheckRedirect: followBlobs},
			repo:   g.target.NewRepository(),
		})
	})
}

func randomRepository() string {
	var b [8]byte
	rand.Read(b[:])
	return "conformance/" + hex.EncodeToString(b[:])
}
