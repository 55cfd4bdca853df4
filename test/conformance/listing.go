// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// page is a page of tags or of repositories.
type page struct {
	names []string
	next  string // the URL of the next page; "" at the end
}

// The grammar of RFC 8288 (which replaced RFC 5988) as far as one link with one relation goes.
var linkGrammar = regexp.MustCompile(`^<([^<>]+)>\s*;\s*rel="?next"?$`)

// next resolves the Link header.
//
// "Listing Tags": "If included, the Link header MUST be set according to RFC 5988 with the Relation Type rel="next"."
func (a *answer) next() string {
	a.t.Helper()
	values := a.header.Values("Link")
	if len(values) == 0 {
		return ""
	}
	match := linkGrammar.FindStringSubmatch(values[0])
	if len(values) != 1 || match == nil {
		a.t.Fatalf("%s: Link is %q", a.what, values)
	}
	u, err := a.url.Parse(match[1])
	if err != nil {
		a.t.Fatalf("%s: Link: %v", a.what, err)
	}
	return u.String()
}

// list reads a page. field is "tags" or "repositories".
func (c *client) list(ref, field string) page {
	c.Helper()
	a := c.send("GET", ref).want(200)
	var fields map[string]json.RawMessage
	a.decode(&fields)
	// "Listing Tags": "the response MUST be a json body in the following format", a list, which null is not.
	if raw := fields[field]; len(raw) == 0 || raw[0] != '[' {
		c.Fatalf("%s: %s is %s", a.what, field, raw)
	}
	var p page
	if err := json.Unmarshal(fields[field], &p.names); err != nil {
		c.Fatal(err)
	}
	if field == "tags" {
		var name string
		if err := json.Unmarshal(fields["name"], &name); err != nil || name != c.repo {
			c.Errorf("%s: name is %s, want %q", a.what, fields["name"], c.repo)
		}
	}
	if t, _, _ := strings.Cut(a.header.Get("Content-Type"), ";"); t != "application/json" {
		c.Errorf("%s: Content-Type %q", a.what, t)
	}
	// "If the list is not empty, the tags MUST be in lexical order"; spec main adds: or "ASCIIbetical", Go's sort.Strings.
	if !slices.IsSorted(p.names) {
		c.Errorf("%s: not sorted: %q", a.what, p.names)
	}
	p.next = a.next()
	return p
}

// all reads page after page, each of n names, until there is no Link.
func (c *client) all(ref, field string, n int) []string {
	c.Helper()
	var names []string
	for next := with(ref, "n", n); next != ""; {
		p := c.list(next, field)
		if len(p.names) > n {
			c.Fatalf("%s: %d names, want at most %d", next, len(p.names), n)
		}
		if p.next != "" && len(p.names) == 0 {
			c.Fatalf("%s: an empty page with a Link", next)
		}
		names = append(names, p.names...)
		next = p.next
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		c.Errorf("%s in pages of %d: not sorted or not distinct: %q", ref, n, names)
	}
	return names
}

func listTags(g group) {
	g.test("pages", func(c *client) {
		names := []string{
			"0", "00", "1", "10", "2", "9", "A", "B", "Z", "Z.", "Z-", "Z0", "Z_", "Za", "_", "__", "_x", "a", "a-", "a.", "a.b",
			"a-b", "a0", "aA", "a_b", "aa", "latest", "v1", "v1.0", "v1.10", "v1.2", "z", strings.Repeat("z", 128),
		}
		config := newConfig()
		c.pushBlob(config)
		m := newImage(config)
		for _, i := range slices.Backward(names) {
			c.pushManifest(i, m)
		}
		slices.Sort(names)
		// "Assuming a repository is found, this request MUST return a 200 OK response code."
		if p := c.list(c.tags(), "tags"); !slices.Equal(p.names, names) || p.next != "" {
			c.Errorf("tags are %q with Link %q, want %q", p.names, p.next, names)
		}
		for _, n := range []int{1, 2, 3, len(names) - 1, len(names), len(names) + 1, 1000} {
			if got := c.all(c.tags(), "tags", n); !slices.Equal(got, names) {
				c.Errorf("tags in pages of %d are %q, want %q", n, got, names)
			}
		}
		// "When n is zero, this endpoint MUST return an empty list, and MUST NOT include a Link header."
		for _, ref := range []string{with(c.tags(), "n", 0), with(with(c.tags(), "n", 0), "last", "a")} {
			if p := c.list(ref, "tags"); len(p.names) != 0 || p.next != "" {
				c.Errorf("n=0: %q, Link %q", p.names, p.next)
			}
		}
		// "Otherwise, the response MUST include <int> results." A Link says that more are "available".
		for n := 1; n <= len(names)+1; n++ {
			p := c.list(with(c.tags(), "n", n), "tags")
			if want := names[:min(n, len(names))]; !slices.Equal(p.names, want) || (p.next != "") != (n < len(names)) {
				c.Errorf("n=%d: %q with Link %q, want %q", n, p.names, p.next, want)
			}
		}
		// "<tagname> will not be included in the results, but up to <int> tags after <tagname> will be returned." "When
		// using the last query parameter, the n parameter is OPTIONAL." Design: last need not be there.
		for _, last := range append(slices.Clone(names), "", "Aa", "a1", "v1.1", "zzz", "sha256-x") {
			want := names[sortedAfter(names, last):]
			if p := c.list(with(c.tags(), "last", last), "tags"); !slices.Equal(p.names, want) {
				c.Errorf("last=%q: %q, want %q", last, p.names, want)
			}
			p := c.list(with(with(c.tags(), "last", last), "n", 3), "tags")
			if three := want[:min(3, len(want))]; !slices.Equal(p.names, three) || (p.next != "") != (len(want) > 3) {
				c.Errorf("last=%q, n=3: %q with Link %q, want %q", last, p.names, p.next, three)
			}
		}
		// "it MUST be a proper tag": one that is not is refused, or compared all the same.
		for _, last := range []string{"!", "~", "ä", "a/b", "a b", "\x00", ".", strings.Repeat("x", 129)} {
			if c.send("GET", with(c.tags(), "last", last)).want(200, 400).status == 400 {
				continue
			}
			if p := c.list(with(c.tags(), "last", last), "tags"); !slices.Equal(p.names, names[sortedAfter(names, last):]) {
				c.Errorf("last=%q: %q", last, p.names)
			}
		}
	})
	g.test("follow pushes and deletes", func(c *client) {
		// "An attempt to pull a nonexistent repository MUST return response code 404 Not Found."
		c.send("GET", c.tags()).wantError(404, "NAME_UNKNOWN")
		m := c.pushBare("b")
		c.pushManifest("a", m)
		c.pushManifest("c", m)
		c.send("DELETE", c.manifest("b")).want(202)
		c.wantTags("a", "c")
		untagged := newIndex(m)
		c.pushManifest(untagged.digest, untagged)
		c.wantTags("a", "c")
		c.send("DELETE", c.manifest("a")).want(202)
		c.send("DELETE", c.manifest("c")).want(202)
		// "The list of tags MAY be empty if there are no tags on the repository."
		c.wantTags()
	})
	invalidN(g, func(c *client) string {
		c.pushBare("v1")
		return c.tags()
	})
}

// wantTags wants exactly these tags.
func (c *client) wantTags(tags ...string) {
	c.Helper()
	if p := c.list(c.tags(), "tags"); !slices.Equal(p.names, tags) {
		c.Errorf("tags are %q, want %q", p.names, tags)
	}
}

// sortedAfter is the index of the first name after last.
func sortedAfter(names []string, last string) int {
	i, found := slices.BinarySearch(names, last)
	if found {
		i++
	}
	return i
}

// invalidN checks that a list refuses what is no number of results.
func invalidN(g group, prepare func(c *client) string) {
	g.test("invalid n", func(c *client) {
		ref := prepare(c)
		for _, n := range []string{"-1", "x", "1.5", "0x10", "1e3", "", " 1", "-99999999999999999999"} {
			// "<int> is an integer specifying the number of tags requested."
			a := c.send("GET", with(ref, "n", n)).want(200, 400)
			if a.status == 200 && n != "" {
				c.Errorf("n=%q: status 200, want 400", n)
			}
		}
		// More than there can be is no fault.
		for _, n := range []string{"1000000", "2147483647", "9223372036854775807"} {
			c.send("GET", with(ref, "n", n)).want(200)
		}
		c.send("GET", with(ref, "n", "99999999999999999999999")).want(200, 400)
	})
}

// The catalog is Docker's ("GET /v2/_catalog", with n, last and Link as for tags); the specification has none.
func listRepositories(g group) {
	g.test("pages", func(c *client) {
		var names []string
		for i := range 5 {
			r := c.in(c.repo + "/" + strconv.Itoa(i))
			r.pushBare("v1")
			names = append(names, r.repo)
		}
		names = append(names, c.repo, c.repo+"-x", c.repo+".x", c.repo+"/0/below")
		for _, name := range names[5:] {
			c.in(name).pushBare("v1")
		}
		slices.Sort(names)
		own := func(all []string) []string {
			return slices.DeleteFunc(all, func(name string) bool { return !strings.HasPrefix(name, c.repo) })
		}
		for _, n := range []int{1000, 7} {
			if got := own(c.all("/v2/_catalog", "repositories", n)); !slices.Equal(got, names) {
				c.Errorf("repositories in pages of %d are %q, want %q", n, got, names)
			}
		}
		for i, last := range names {
			p := c.list(fmt.Sprintf("/v2/_catalog?n=2&last=%s", url.QueryEscape(last)), "repositories")
			if want := names[i+1 : min(i+3, len(names))]; !slices.Equal(own(slices.Clone(p.names)), want) {
				c.Errorf("last=%q, n=2: %q, want %q", last, p.names, want)
			}
		}
		if p := c.list("/v2/_catalog?n=0", "repositories"); len(p.names) != 0 || p.next != "" {
			c.Errorf("n=0: %q, Link %q", p.names, p.next)
		}
		if p := c.list("/v2/_catalog?n=1&last="+strings.Repeat("z", 100), "repositories"); len(p.names) != 0 || p.next != "" {
			c.Errorf("after all: %q, Link %q", p.names, p.next)
		}
	})
	invalidN(g, func(c *client) string {
		c.pushBare("v1")
		return "/v2/_catalog"
	})
}
