// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// TestTags lists more tags than fit a page of any client.
func TestTags(t *testing.T) {
	e := serve(t, access{}).endpoint
	img := newImage(t, t.Name())
	var want []string
	for i := range 1100 {
		want = append(want, fmt.Sprintf("v%04d", i))
	}
	e.put(t, "team/app:"+want[0], img)
	for _, tag := range want[1:] {
		e.putManifest(t, "team/app", tag, img, img.root)
	}
	repository := e.ref("team/app")
	t.Run("crane", func(t *testing.T) {
		wantLines(t, knowing(t, e).must("crane", "ls", repository), want)
	})
	t.Run("oras", func(t *testing.T) {
		wantLines(t, knowing(t, e).must("oras", "repo", "tags", "--plain-http", repository), want)
	})
	t.Run("skopeo", func(t *testing.T) {
		out := knowing(t, e).must("skopeo", "list-tags", "--tls-verify=false", "docker://"+repository)
		var list struct{ Tags []string }
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		wantLines(t, strings.Join(list.Tags, "\n"), want)
	})
	t.Run("regctl", func(t *testing.T) {
		b, err := regctlBox(t, e)
		if err != nil {
			t.Fatal(err)
		}
		wantLines(t, regctlPages(b, "tag", "ls", repository), want)
	})
	t.Run("podman", func(t *testing.T) {
		p := newPodman(t)
		p.learn(e)
		out := p.must("search", "--list-tags", "--tls-verify=false", "--limit", "2000", "--format", "json", repository)
		var lists []struct{ Tags []string }
		if err := json.Unmarshal([]byte(out), &lists); err != nil || len(lists) != 1 {
			t.Fatalf("%v in %s", err, out)
		}
		wantLines(t, strings.Join(lists[0].Tags, "\n"), want)
	})
}

// TestCatalog lists more repositories than fit a page.
func TestCatalog(t *testing.T) {
	need(t, catalog)
	e := serve(t, access{}).endpoint
	img := newImage(t, t.Name())
	var want []string
	for i := range 120 {
		want = append(want, fmt.Sprintf("team/app%03d", i))
		e.put(t, want[i]+":1.0", img)
	}
	t.Run("crane", func(t *testing.T) {
		wantLines(t, knowing(t, e).must("crane", "catalog", e.addr), want)
	})
	t.Run("oras", func(t *testing.T) {
		wantLines(t, knowing(t, e).must("oras", "repo", "ls", "--plain-http", e.addr), want)
	})
	t.Run("regctl", func(t *testing.T) {
		b, err := regctlBox(t, e)
		if err != nil {
			t.Fatal(err)
		}
		wantLines(t, regctlPages(b, "repo", "ls", e.addr), want)
	})
}

// regctlPages asks for page after page, since regctl lists one at a time.
func regctlPages(b *box, args ...string) string {
	b.t.Helper()
	var all strings.Builder
	last := ""
	for {
		page := b.must("regctl", slices.Concat(args, []string{"--limit", "50", "--last", last})...)
		lines := strings.Fields(page)
		if len(lines) == 0 || lines[len(lines)-1] == last {
			return all.String()
		}
		all.WriteString(page)
		last = lines[len(lines)-1]
	}
}

func wantLines(t *testing.T, out string, want []string) {
	t.Helper()
	if got := strings.Fields(out); !slices.Equal(got, want) {
		t.Errorf("%d names, want %d: %v", len(got), len(want), got)
	}
}
