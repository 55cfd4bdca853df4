// SPDX-License-Identifier: Apache-2.0

package suite_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"tare/test/bench/bare"
	"tare/test/bench/report"
	"tare/test/bench/server"
	"tare/test/bench/suite"
)

// TestMain lets the test binary be the server that these tests measure.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != "bare" {
		os.Exit(m.Run())
	}
	var handler http.Handler = &withTags{Handler: bare.New(os.Args[3]), tags: map[string][]string{}}
	if slices.Contains(os.Args, "broken") {
		handler = http.HandlerFunc(broken)
	}
	fmt.Fprintln(os.Stderr, http.ListenAndServe(os.Args[2], handler))
	os.Exit(1)
}

// withTags adds lists of tags to the bare handler.
type withTags struct {
	http.Handler

	mu   sync.Mutex // guards tags
	tags map[string][]string
}

func (h *withTags) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if repository, tag, ok := strings.Cut(r.URL.Path, "/manifests/"); ok && r.Method == "PUT" {
		h.tags[repository] = append(h.tags[repository], tag)
	}
	repository, ok := strings.CutSuffix(r.URL.Path, "/tags/list")
	if !ok {
		h.Handler.ServeHTTP(w, r)
		return
	}
	tags := slices.Sorted(slices.Values(h.tags[repository]))
	after, _ := slices.BinarySearch(tags, r.URL.Query().Get("last")+"\x00")
	n, err := strconv.Atoi(r.URL.Query().Get("n"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	page := tags[after:min(after+n, len(tags))]
	if err := json.NewEncoder(w).Encode(map[string]any{"tags": page}); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

// broken answers GET /v2/ and refuses all else.
func broken(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path != "/v2/" {
		http.Error(w, "broken", http.StatusInternalServerError)
	}
}

func self(t *testing.T, name string) server.Registry {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	registry := server.Bare(binary)
	registry.Name = name
	return registry
}

func tiny() suite.Size {
	return suite.Size{
		Images:       16,
		Tags:         40,
		TagLimit:     time.Minute,
		Repositories: 16,
		ReadImages:   4,
		ReadTime:     10 * time.Millisecond,
		LayerBytes:   2 << 20,
		FewTags:      110,
		ManyTags:     150,
		PageRequests: 4,
		PageBlocks:   2,
		Streams:      2,
		StreamBytes:  1 << 20,
	}
}

// TestSections runs every section on a server that is right, and judges every target.
func TestSections(t *testing.T) {
	dir := t.TempDir()
	s := suite.Suite{
		Registries: []server.Registry{self(t, server.TareName), self(t, "rival")},
		Yardstick:  self(t, server.BareName),
		Dir:        dir,
		Rounds:     2,
		Log:        slog.New(slog.DiscardHandler),
	}
	names := map[string]bool{}
	for _, section := range suite.Sections(tiny()) {
		t.Run(section.Name, func(t *testing.T) {
			if names[section.Name] {
				t.Error("two sections have this name")
			}
			names[section.Name] = true
			results, err := s.Run(t.Context(), section)
			if err != nil {
				t.Fatal(err)
			}
			var table strings.Builder
			if err := results.WriteTable(&table); err != nil {
				t.Fatal(err)
			}
			if strings.Contains(table.String(), "failed") {
				t.Errorf("operations failed:\n%s", &table)
			}
			for _, target := range section.Targets {
				if verdict := target.Judge(results); !verdict.Measured {
					t.Errorf("not measured: %s\n%s", target.Text, &table)
				}
			}
		})
	}
	if left, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestFailingRegistry checks that a rival's failure leaves the others' figures, and that the subject's is an error.
func TestFailingRegistry(t *testing.T) {
	section := suite.Sections(tiny())[0]
	fails := func(name string) server.Registry {
		registry := self(t, name)
		registry.Arguments = []string{"broken"}
		return registry
	}
	tests := []struct {
		name    string
		subject server.Registry
		rival   server.Registry
		ours    bool
	}{
		{"rival", self(t, server.TareName), fails("rival"), false},
		{"subject", fails(server.TareName), self(t, "rival"), true},
	}
	rate := report.Metric{Name: "PUT", Unit: "images/s"}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := suite.Suite{
				Registries: []server.Registry{test.subject, test.rival},
				Dir:        t.TempDir(),
				Rounds:     1,
				Log:        slog.New(slog.DiscardHandler),
			}
			results, err := s.Run(t.Context(), section)
			if (err != nil) != test.ours {
				t.Errorf("the error is %v", err)
			}
			if _, ok := results.Spread(rate, "rival"); ok != test.ours {
				t.Errorf("the rival was measured: %t", ok)
			}
			if _, ok := results.Spread(rate, server.TareName); ok == test.ours {
				t.Errorf("the subject was measured: %t", ok)
			}
			var table strings.Builder
			if err := results.WriteTable(&table); err != nil || !strings.Contains(table.String(), "failed") {
				t.Errorf("the failure is not noted: %v\n%s", err, &table)
			}
		})
	}
}

func TestCanceledRun(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := suite.Suite{
		Registries: []server.Registry{self(t, server.TareName)},
		Dir:        t.TempDir(),
		Rounds:     1,
		Log:        slog.New(slog.DiscardHandler),
	}
	if _, err := s.Run(ctx, suite.Sections(tiny())[0]); !errors.Is(err, context.Canceled) {
		t.Errorf("a canceled run: %v", err)
	}
}
