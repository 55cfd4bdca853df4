// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/registry"
	"tare/internal/store"
)

func TestTagList(t *testing.T) {
	w := newWorld(t, registry.Options{})
	_, _, err := w.Tags(t.Context(), repo, "", 10)
	w.mustBe(err, oci.NameUnknown)
	config := w.upload(repo, "{}")
	for _, tag := range []oci.Tag{"b", "a", "C", "_1", "c.1", "c-1"} {
		w.push(image("", config), tag)
	}
	longest := strings.Repeat("z", oci.MaxTag)
	w.push(image("", config), oci.Tag(longest))
	all := []string{"C", "_1", "a", "b", "c-1", "c.1", longest}
	for _, c := range []struct {
		last string
		n    int
		want []string
		more bool
	}{
		{"", 100, all, false}, {"", 7, all, false}, {"", 6, all[:6], true}, {"", 0, nil, true}, {longest, 0, nil, false},
		{"a", 2, all[3:5], true}, {"a\x00", 100, all[3:], false}, {"c", 1, all[4:5], true}, {longest, 5, nil, false},
		{longest[1:], 5, all[6:], false}, {longest + "z", 5, nil, false}, {strings.Repeat("z", 5000), 5, nil, false},
		{strings.Repeat("y", 5000), 5, all[6:], false},
	} {
		got, more, err := w.Tags(t.Context(), repo, c.last, c.n)
		w.must(err)
		if !slices.Equal(got, c.want) || more != c.more {
			t.Errorf("%d after %.10q: got %q, %v", c.n, c.last, got, more)
		}
	}
}

func TestRepositoryList(t *testing.T) {
	w := newWorld(t, registry.Options{})
	var all []string
	for _, name := range []oci.Repository{"a", "a/b", "a0", "b"} {
		w.upload(name, "{}")
		_, err := w.PushManifest(t.Context(), name, oci.ManifestPush{Body: image("", digest.FromString("{}")), Tags: []oci.Tag{"t"}})
		w.must(err)
		all = append(all, string(name))
	}
	for _, c := range []struct {
		last string
		n    int
		keep func(oci.Repository) bool
		want []string
		more bool
	}{
		{"", 10, nil, all, false}, {"", 2, nil, all[:2], true}, {"a", 2, nil, all[1:3], true}, {"", 0, nil, nil, true},
		{strings.Repeat("b", 5000), 2, nil, nil, false}, {strings.Repeat("a", 5000), 2, nil, all[3:], false},
		{"", 10, func(r oci.Repository) bool { return r != "a" }, all[1:], false},
		{"", 1, func(r oci.Repository) bool { return r == "b" }, all[3:], false},
	} {
		got, more, err := w.Repositories(t.Context(), c.last, c.n, c.keep)
		w.must(err)
		if !slices.Equal(got, c.want) || more != c.more {
			t.Errorf("%d after %.10q: got %q, %v", c.n, c.last, got, more)
		}
	}
}

func TestReferrers(t *testing.T) {
	w := newWorld(t, registry.Options{})
	config := w.upload(repo, "{}")
	body := image("", config)
	d := digest.FromBytes(body)
	referrers := func(repo oci.Repository, artifactType, last string) ([]oci.Descriptor, string) {
		t.Helper()
		got, next, err := w.Referrers(t.Context(), repo, d, artifactType, last)
		w.must(err)
		return got, next
	}
	if got, next := referrers(repo, "", ""); len(got) != 0 || next != "" {
		t.Fatalf("nothing has the referrers %v", got)
	}
	signature := w.push(image(`,"artifactType":"x/signature","annotations":{"a":"<1>"}`+subject(d), config))
	plain := w.push(image(subject(d), config), "plain")
	w.push(body, "t")
	got, _ := referrers(repo, "x/signature", "")
	if len(got) != 1 || got[0].Digest != signature || got[0].ArtifactType != "x/signature" || got[0].MediaType != oci.MediaTypeManifest ||
		got[0].Annotations["a"] != "<1>" || got[0].Size == 0 {
		t.Fatalf("the signature is listed as %+v", got)
	}
	if got, _ := referrers(repo, mediaTypeConfig, ""); len(got) != 1 || got[0].Digest != plain {
		t.Fatalf("the other one is listed as %+v", got)
	}
	if got, _ := referrers(repo, "x/none", ""); len(got) != 0 {
		t.Fatal(got)
	}
	if got, _ := referrers("team/other", "", ""); len(got) != 0 {
		t.Fatal(got)
	}
	_, _, err := w.Referrers(t.Context(), repo, d, "", strings.Repeat("x", 5000))
	w.mustBe(err, oci.PaginationInvalid)

	// 30 with 200 KiB of annotations are more than a page.
	seen := map[oci.Digest]bool{}
	for i := range 30 {
		w.push(image(fmt.Sprintf(`,"artifactType":"x/large","annotations":{"a":"%s"}%s`, pattern(i, 200_000), subject(d)), config))
	}
	pages := 0
	for last := ""; ; {
		got, next := referrers(repo, "", last)
		size := 0
		for _, r := range got {
			if seen[r.Digest] {
				t.Fatalf("%s is listed twice", r.Digest)
			}
			seen[r.Digest] = true
			size += len(r.Annotations["a"])
		}
		if pages++; size > oci.MaxReferrers {
			t.Fatalf("a page has %d bytes", size)
		}
		if last = next; next == "" {
			break
		}
	}
	if len(seen) != 32 || pages != 2 {
		t.Fatalf("%d referrers on %d pages", len(seen), pages)
	}
	w.must(w.DeleteManifest(t.Context(), repo, d))
	if got, _ := referrers(repo, "", ""); len(got) != 1 || got[0].Digest != plain {
		t.Fatalf("after its delete the subject has the referrers %v", got)
	}
	w.settle()
}

func TestDamagedReferrer(t *testing.T) {
	w := newWorld(t, registry.Options{})
	d := digest.FromString("subject")
	w.push(image(subject(d), w.upload(repo, "{}")))
	rows, err := w.store.Scan(t.Context(), store.Key{}, 100)
	w.must(err)
	for _, it := range rows.Items {
		if strings.HasPrefix(it.Key.PK, "r#") {
			w.must(w.store.Commit(t.Context(), store.Tx{Token: "damage", Ops: []store.Op{{Key: it.Key, Kind: store.OpUpdate,
				Set: []store.Attr{{Name: "desc", Value: store.String("{")}}}}}))
		}
	}
	_, _, err = w.Referrers(t.Context(), repo, d, "", "")
	if oci.CodeOf(err) != oci.Internal || !errors.Is(err, store.ErrCorrupt) {
		t.Fatal(err)
	}
}

// A list can go on from anywhere: behind any position there is the rest of it, and behind a later one no more than that.
func FuzzPositions(f *testing.F) {
	w := newWorld(f, registry.Options{})
	config := w.upload(repo, "{}")
	body := image("", config)
	d := w.push(body, "v1", "v2", "_", "V1")
	for i := range 6 {
		w.push(image(fmt.Sprintf(`,"artifactType":"x/%d","annotations":{"a":"%d"}%s`, i%2, i, subject(d)), config))
	}
	// What follows is no life of its own: nothing is recorded.
	ledger, err := refcount.New(refcount.Stores{Table: w.store, Objects: w.store, Parts: w.store}, w.clock, refcount.Config{Margins: refcount.DefaultMargins()})
	w.must(err)
	r := registry.New(ledger, nil, w.store, registry.Options{})

	lists := map[string]func(t *testing.T, last string) []string{
		"tags": func(t *testing.T, last string) []string {
			names, more, err := r.Tags(t.Context(), repo, last, 100)
			if err != nil || more {
				t.Fatalf("tags after %q: %v, %v", last, more, err)
			}
			return names
		},
		"repositories": func(t *testing.T, last string) []string {
			names, more, err := r.Repositories(t.Context(), last, 100, nil)
			if err != nil || more {
				t.Fatalf("repositories after %q: %v, %v", last, more, err)
			}
			return names
		},
	}
	for _, artifactType := range []string{"", "x/1", "x/none"} {
		lists["referrers of the type "+artifactType] = func(t *testing.T, last string) []string {
			found, next, err := r.Referrers(t.Context(), repo, d, artifactType, last)
			if oci.CodeOf(err) == oci.PaginationInvalid && len(last) > 256 {
				return nil
			}
			if err != nil || next != "" {
				t.Fatalf("referrers after %q: %q, %v", last, next, err)
			}
			var digests []string
			for _, r := range found {
				digests = append(digests, string(r.Digest))
			}
			return digests
		}
	}
	for _, last := range []string{"", "v1", "v1\x00", "team/app", "\xff", "v\xc3", "v1\xff1", strings.Repeat("é", 100), "v\ufffd", "\x00", "#", "0000000000000000#", "ffffffffffffffff#sha256:ff", strings.Repeat("f", 300), string(d)} {
		f.Add(last, "v")
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		if a > b {
			a, b = b, a
		}
		for what, list := range lists {
			all, afterA, afterB := list(t, ""), list(t, a), list(t, b)
			if !rest(afterA, all) || !rest(afterB, afterA) && len(a) <= 256 {
				t.Fatalf("%s: %q, after %q %q, after %q %q", what, all, a, afterA, b, afterB)
			}
		}
	})
}

// rest tells whether part is the end of list.
func rest(part, list []string) bool {
	return len(part) <= len(list) && slices.Equal(part, list[len(list)-len(part):])
}
