// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"tare/internal/store/memstore"
)

const (
	mine  = "team/mine"  // the prober's own
	other = "team/other" // has what the prober knows the digests of
	third = "team/third" // has neither
	tag   = "of-this"    // in other
)

// question is something that a prober does with a digest, in its own repository.
type question struct {
	name   string
	writes bool // it takes the right to push or to delete
	told   bool // in the repository that has the content, the answer is another one
	asks   []ask
}

// questions are all ways to ask a repository for content by a digest that another one has.
func questions(k known) []question {
	var qs []question
	reads := func(name, path string, told bool, header ...string) {
		for _, method := range []string{"GET", "HEAD"} {
			qs = append(qs, question{method + " " + name, false, told, []ask{{method, path, "", header}}})
		}
	}
	write := func(name string, asks ...ask) {
		qs = append(qs, question{name, true, false, asks})
	}
	here := "/v2/" + mine
	for i, d := range k.manifests() {
		what := []string{"image", "index", "referrer"}[i]
		reads("the "+what, here+"/manifests/"+d, true)
		reads("the "+what+" unless it is the known one", here+"/manifests/"+d, true, `If-None-Match: "`+d+`"`)
		reads("the "+what+" unless it is there", here+"/manifests/"+d, true, `If-None-Match: *`)
		reads("the referrers of the "+what, here+"/referrers/"+d, d == k.image)
		reads("the referrers of the "+what+" of a type", here+"/referrers/"+d+"?artifactType=text/x-signature", d == k.image)
		write("DELETE the "+what, ask{"DELETE", here + "/manifests/" + d, "", nil})
		write("PUT an index of the "+what, ask{"PUT", here + "/manifests/x", index(d), nil})
		write("PUT what is not the "+what, ask{"PUT", here + "/manifests/" + d, index(), nil})
		write("PUT a referrer of the "+what, ask{"PUT", here + "/manifests/x", strings.TrimSuffix(index(), "}") + subject(d) + "}", nil},
			ask{"GET", here + "/referrers/" + d, "", nil})
		write("PUT over a tag if it points to the "+what, ask{"PUT", here + "/manifests/v1", index(), []string{`If-Match: "` + d + `"`}})
		write("PUT a tag if it points to the "+what, ask{"PUT", here + "/manifests/" + tag, index(), []string{`If-Match: "` + d + `"`}})
	}
	for i, d := range k.blobs() {
		what := []string{"config", "layer", "image as a blob"}[i]
		there := d != k.image
		reads("the "+what, here+"/blobs/"+d, there)
		reads("the "+what+" unless it is the known one", here+"/blobs/"+d, there, `If-None-Match: "`+d+`"`)
		reads("the "+what+" unless it is there", here+"/blobs/"+d, there, `If-None-Match: *`)
		reads("a part of the "+what, here+"/blobs/"+d, there, "Range: bytes=0-0")
		reads("what is behind the "+what, here+"/blobs/"+d, there, "Range: bytes=99999999-")
		reads("the "+what+" as a manifest", here+"/manifests/"+d, d == k.image)
		write("DELETE the "+what, ask{"DELETE", here + "/blobs/" + d, "", nil})
		for _, from := range []string{"", "&from=A/B", "&from=" + mine, "&from=" + third, "&from=no/such"} {
			write("mount the "+what+from, ask{"POST", here + "/blobs/uploads/?mount=" + d + from, "", nil}, ask{"HEAD", here + "/blobs/" + d, "", nil})
		}
		write("mount the "+what+" by a digest", ask{"POST", here + "/blobs/uploads/?mount=" + d + "&digest=" + d, "", nil})
		for _, content := range []string{"", "x", strings.Repeat("x", 2*inlineLimit)} {
			length := fmt.Sprint(len(content), " bytes")
			write("POST "+length+" as the "+what, ask{"POST", here + "/blobs/uploads/?digest=" + d, content, nil})
			write("PUT "+length+" as the "+what, ask{"POST", here + "/blobs/uploads/", "", nil}, ask{"PUT", "{upload}?digest=" + d, content, nil},
				ask{"GET", "{upload}", "", nil})
			write("PATCH "+length+" and PUT it as the "+what, ask{"POST", here + "/blobs/uploads/", "", nil}, ask{"PATCH", "{upload}", content, nil},
				ask{"PUT", "{upload}?digest=" + d, "", nil}, ask{"GET", "{upload}", "", nil})
		}
		write("PUT an image with the "+what+" as its config", ask{"PUT", here + "/manifests/x", image(d, nil, ""), nil})
		write("PUT an image with the "+what+" as a layer", ask{"PUT", here + "/manifests/x", image(digestOf(smallContent(mine)), []string{d}, ""), nil})
		write("PUT an image with the "+what+" as one of many layers", ask{"PUT", here + "/manifests/x", image(digestOf(smallContent(mine)), append(many(), d), ""), nil},
			ask{"GET", here + "/manifests/x", "", nil})
		write("PUT an image with the "+what+" as a foreign layer",
			ask{"PUT", here + "/manifests/x", `{"schemaVersion":2,"layers":[` + descriptor(mediaTypeForeign, d) + `]}`, nil},
			ask{"HEAD", here + "/blobs/" + d, "", nil})
	}
	reads("the tag", here+"/manifests/"+tag, true)
	reads("the tags from there on", here+"/tags/list?n=1&last="+tag, true)
	write("DELETE the tag", ask{"DELETE", here + "/manifests/" + tag, "", nil})
	return qs
}

// manyLayers is more than one transaction holds, so that the push of an image of all of them is staged.
const manyLayers = 120

func many() []string {
	ds := make([]string, manyLayers)
	for i := range ds {
		ds[i] = digestOf(fmt.Sprint("layer ", i))
	}
	return ds
}

// twins are two worlds that differ in one thing: in the first, another repository has what k names. In the second it
// has as much of something else, and nobody has that.
func twins(t *testing.T, sparse bool) (there, nowhere *world, k known) {
	t.Helper()
	return twinsOn(t, sparse, memstore.Options{})
}

func twinsOn(t *testing.T, sparse bool, kind memstore.Options) (there, nowhere *world, k known) {
	t.Helper()
	make := func(of string) (*world, known) {
		w := newWorldOn(t, sparse, kind)
		w.open(mine) // makes the secret that signs ids
		w.fill(mine, mine, "v1")
		for i := range manyLayers {
			w.pushBlob(mine, fmt.Sprint("layer ", i))
		}
		w.fill(third, third, "v1")
		k := w.fill(other, of, "of-"+of)
		return w, k
	}
	there, k = make("this")
	nowhere, _ = make("that")
	return there, nowhere, k
}

// A digest is no key. Whoever knows one of another repository is answered as if it were nowhere, to the last byte, and the
// store is asked the same; and the other repository is as it was.
func TestElsewhere(t *testing.T) {
	for _, sparse := range []bool{false, true} {
		users := []string{writer, reader, nobody, stranger, blind}
		if sparse {
			users = users[:1]
		}
		there, nowhere, k := twins(t, sparse)
		before := there.clone(t).view(other, k)
		for _, user := range users {
			for _, q := range questions(k) {
				t.Run(fmt.Sprintf("sparse %v/%s/%s", sparse, user, q.name), func(t *testing.T) {
					w := there.clone(t)
					got, want := w.watch(user, q.asks...), nowhere.clone(t).watch(user, q.asks...)
					if got.answers != want.answers {
						t.Errorf("the answers differ:\n%s", firstDifference(got.answers, want.answers))
					}
					if got.calls != want.calls {
						t.Errorf("the store calls differ:\n%s", firstDifference(got.calls, want.calls))
					}
					if !q.writes {
						return
					}
					if w.view(other, k) != before {
						t.Error("the other repository is another")
					}
					w.audit()
				})
			}
		}
	}
}

// Who may not write has no store asked by trying to.
func TestRefusedWritesAskNothing(t *testing.T) {
	there, _, k := twins(t, false)
	w := there.clone(t)
	for _, q := range questions(k) {
		for _, a := range q.asks {
			if a.method == "GET" || a.method == "HEAD" {
				continue
			}
			for user, status := range map[string]int{reader: http.StatusForbidden, nobody: http.StatusUnauthorized, stranger: http.StatusUnauthorized} {
				before := w.Calls()
				a.path = strings.ReplaceAll(a.path, "{upload}", "/v2/"+mine+"/blobs/uploads/some")
				if rec := w.do(user, a); rec.Code != status || w.Calls() != before {
					t.Errorf("%s: %s is answered %d, by %d store calls", q.name, user, rec.Code, w.Calls()-before)
				}
			}
		}
	}
}

// The questions are sharp: asked of the repository that has the content, the answers differ.
func TestQuestionsAreSharp(t *testing.T) {
	there, nowhere, k := twins(t, false)
	told := 0
	for _, q := range questions(k) {
		if !q.told {
			continue
		}
		told++
		asks := q.asks[:1:1]
		asks[0].path = strings.Replace(asks[0].path, mine, other, 1)
		if got, want := there.clone(t).watch(reader, asks...), nowhere.clone(t).watch(reader, asks...); got.answers == want.answers {
			t.Errorf("%s: %s", q.name, got.answers)
		}
	}
	if told < 20 {
		t.Errorf("%d questions only", told)
	}
}

// A mount takes the right to read the other repository, and tells nothing to those who do not have it.
func TestMountAcross(t *testing.T) {
	there, nowhere, k := twins(t, false)
	for _, d := range []string{k.config, k.layer} {
		mount := ask{"POST", "/v2/" + mine + "/blobs/uploads/?mount=" + d + "&from=" + other, "", nil}
		for user, want := range map[string][2]int{
			writer:   {http.StatusCreated, http.StatusAccepted},
			blind:    {http.StatusAccepted, http.StatusAccepted},
			reader:   {http.StatusForbidden, http.StatusForbidden},
			nobody:   {http.StatusUnauthorized, http.StatusUnauthorized},
			stranger: {http.StatusUnauthorized, http.StatusUnauthorized},
		} {
			a, b := there.clone(t), nowhere.clone(t)
			one, two := a.do(user, mount), b.do(user, mount)
			if one.Code != want[0] || two.Code != want[1] {
				t.Errorf("%s: %d where it is and %d where it is not, want %v", user, one.Code, two.Code, want)
			}
			got, same := there.clone(t).watch(user, mount), nowhere.clone(t).watch(user, mount)
			if user != writer && got != same {
				t.Errorf("%s is told:\n%s%s", user, firstDifference(got.answers, same.answers), firstDifference(got.calls, same.calls))
			}
			if user != writer && strings.Contains(got.calls, d) {
				t.Errorf("%s has the store asked:\n%s", user, got.calls)
			}
			a.audit()
		}
	}
}

// Who has the content itself is answered the same whether somebody else has it, too, and the store is called as often. That
// it then keeps one copy is all the difference.
func TestOwnCopy(t *testing.T) {
	there, nowhere, _ := twins(t, false)
	here := "/v2/" + mine + "/blobs/uploads/"
	for _, content := range []string{smallContent("this"), largeContent("this")} {
		d := digestOf(content)
		for name, asks := range map[string][]ask{
			"POST":  {{"POST", here + "?digest=" + d, content, nil}},
			"PUT":   {{"POST", here, "", nil}, {"PUT", "{upload}?digest=" + d, content, nil}},
			"PATCH": {{"POST", here, "", nil}, {"PATCH", "{upload}", content, nil}, {"PUT", "{upload}?digest=" + d, "", nil}},
		} {
			asks = append(asks, ask{"GET", "/v2/" + mine + "/blobs/" + d, "", nil})
			a, b := there.clone(t), nowhere.clone(t)
			got, want := a.watch(writer, asks...), b.watch(writer, asks...)
			if got.answers != want.answers {
				t.Errorf("%s: the answers differ:\n%s", name, firstDifference(got.answers, want.answers))
			}
			if x, y := kinds(a), kinds(b); x != y {
				t.Errorf("%s: the calls differ: %s, %s", name, x, y)
			}
			a.audit()
		}
	}
}

// kinds are the kinds of the calls so far.
func kinds(w *world) string {
	var b strings.Builder
	for _, step := range w.Trace() {
		fmt.Fprintf(&b, "%v ", step.Kind)
	}
	return b.String()
}
