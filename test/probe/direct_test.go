// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"tare/internal/store/memstore"
)

const directs = "/v2/" + mine + "/_tare/v1/uploads"

// takesClients is a store that takes requests of clients.
var takesClients = memstore.Options{MinPart: 2 * inlineLimit}

// directQuestions are the ways to ask by a direct upload. None has the content.
func directQuestions(k known) []question {
	var qs []question
	for i, d := range k.blobs() {
		what := []string{"config", "layer", "image as a blob"}[i]
		here := "/v2/" + mine + "/blobs/" + d
		qs = append(qs,
			question{"have the " + what, false, d != k.image, []ask{{"POST", "/v2/" + mine + "/_tare/v1/have", `{"digests":["` + d + `"]}`, nil}}},
			question{"GET the " + what, false, d != k.image, []ask{{"GET", here, "", nil}}},
			question{"HEAD the " + what, false, d != k.image, []ask{{"HEAD", here, "", nil}}})
		for _, open := range []string{`"size":1`, `"size":` + fmt.Sprint(len(largeContent("this"))), `"size":200000,"parts":true`} {
			qs = append(qs, question{"upload the " + what + " with " + open, true, d != k.image, []ask{
				{"POST", directs, `{"digest":"` + d + `",` + open + `}`, nil},
				{"POST", "{direct}/complete", "", nil},
				{"GET", "{direct}", "", nil},
				{"GET", "{direct}/parts", "", nil},
				{"POST", "{direct}/urls", "{}", nil},
				{"GET", here, "", nil},
				{"DELETE", "{direct}", "", nil},
			}})
		}
	}
	return qs
}

// The id of a direct upload is signed with the secret of its registry.
var directID = regexp.MustCompile(`[A-Za-z0-9_-]{110}`)

// watchDirect is watch for requests that know the id of an upload only when it is there: {direct} is its path. Ids are left out.
func (w *world) watchDirect(user string, asks ...ask) (all seen) {
	w.t.Helper()
	path := directs + "/none"
	for _, a := range asks {
		a.path = strings.ReplaceAll(a.path, "{direct}", path)
		one := w.watch(user, a)
		if _, id, ok := strings.Cut(one.answers, `"id":"`); ok && a.path == directs {
			id, _, _ = strings.Cut(id, `"`)
			path = directs + "/" + id
		}
		all.answers += directID.ReplaceAllString(one.answers, "<id>")
		all.calls += one.calls
	}
	return all
}

// Who brings a blob, or asks for one, hears nothing of what other repositories have, and the store is asked the same.
func TestElsewhereDirectly(t *testing.T) {
	there, nowhere, k := twinsOn(t, false, takesClients)
	before := there.clone(t).view(other, k)
	for _, user := range []string{writer, reader, nobody, stranger, blind} {
		for _, q := range directQuestions(k) {
			w := there.clone(t)
			got, want := w.watchDirect(user, q.asks...), nowhere.clone(t).watchDirect(user, q.asks...)
			if got != want {
				t.Errorf("%s, %s: the answers or the calls differ:\n%s%s", user, q.name,
					firstDifference(got.answers, want.answers), firstDifference(got.calls, want.calls))
			}
			if user == writer && q.writes && !strings.HasPrefix(got.answers, "201") {
				t.Errorf("%s: %.100s", q.name, got.answers)
			}
			if w.view(other, k) != before {
				t.Errorf("%s, %s: the other repository is another", user, q.name)
			}
			w.audit()
		}
	}
	// Asked of the repository that has the content, the answers differ.
	for _, q := range directQuestions(k) {
		a := q.asks[0]
		a.path = strings.Replace(a.path, mine, other, 1)
		if got, want := there.clone(t).watchDirect(writer, a), nowhere.clone(t).watchDirect(writer, a); (got.answers == want.answers) == q.told {
			t.Errorf("%s: told %v: %s", q.name, q.told, got.answers)
		}
	}
}

// Who may not push has no upload opened, and the store is not asked.
func TestDirectUploadsOfStrangers(t *testing.T) {
	w, _, k := twinsOn(t, false, takesClients)
	id := w.openDirect(digestOf("x"))
	for user, status := range map[string]int{reader: http.StatusForbidden, nobody: http.StatusUnauthorized, stranger: http.StatusUnauthorized} {
		for _, q := range directQuestions(k) {
			for _, a := range q.asks {
				if !strings.Contains(a.path, "{direct}") && a.path != directs {
					continue
				}
				a.path = strings.ReplaceAll(a.path, "{direct}", directs+"/"+id)
				before := w.Calls()
				if rec := w.do(user, a); rec.Code != status || w.Calls() != before || strings.Contains(rec.Body.String(), "http://store") {
					t.Errorf("%s: %s %s is answered %d, by %d store calls", user, a.method, a.path, rec.Code, w.Calls()-before)
				}
			}
		}
	}
}

func (w *world) openDirect(d string) (id string) {
	w.t.Helper()
	var up struct{ ID string }
	w.must(json.Unmarshal(w.want(http.StatusCreated, ask{"POST", directs, `{"digest":"` + d + `","size":1}`, nil}).Body.Bytes(), &up))
	return up.ID
}

// The id of a direct upload is good for what it was issued for, and nothing that somebody makes of it, or of another id, is one.
func TestDirectIDs(t *testing.T) {
	w := newWorldOn(t, false, takesClients)
	id, second := w.openDirect(digestOf("x")), w.openDirect(digestOf("y"))
	ordinary := w.open(mine)
	abroad := newWorldOn(t, false, takesClients).openDirect(digestOf("x"))
	raw, err := base64.RawURLEncoding.DecodeString(id)
	w.must(err)
	other, err := base64.RawURLEncoding.DecodeString(second)
	w.must(err)
	encode := base64.RawURLEncoding.EncodeToString
	bad := map[string]string{
		"of an ordinary upload":               ordinary,
		"of another registry":                 abroad,
		"of another's object and its own end": encode(append(other[:26:26], raw[26:]...)),
		"with another's digest":               encode(append(append(raw[:34:34], other[34:66]...), raw[66:]...)),
		"with another's signature":            encode(append(raw[:66:66], other[66:]...)),
		"that is a token":                     w.tokens[writer],
		"twice":                               id + id,
		"with padding":                        id + "%3D",
		"with a line break":                   id[:20] + "%0A" + id[21:],
		"of a megabyte":                       strings.Repeat("A", 1<<20),
	}
	for bit := range 8 * len(raw) {
		flipped := append([]byte(nil), raw...)
		flipped[bit/8] ^= 1 << (bit % 8)
		bad[fmt.Sprintf("with bit %d flipped", bit)] = encode(flipped)
	}
	refuse := func(name, path string) {
		t.Helper()
		before := w.Calls()
		for _, a := range []ask{{"GET", path, "", nil}, {"GET", path + "/parts", "", nil}, {"POST", path + "/urls", "{}", nil},
			{"POST", path + "/complete", "", nil}, {"DELETE", path, "", nil}} {
			rec := w.do(writer, a)
			const told = `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"the upload is not known, or has ended"}]}`
			if rec.Code != http.StatusNotFound || rec.Body.String() != told || w.Calls() != before {
				t.Fatalf("an id %s: %s is answered %d %s, by %d store calls", name, a.method, rec.Code, rec.Body, w.Calls()-before)
			}
		}
	}
	for name, id := range bad {
		refuse(name, directs+"/"+id)
	}
	refuse("in another repository", strings.Replace(directs, mine, third, 1)+"/"+id)
	refuse("in one whose name goes on", strings.Replace(directs, mine, mine+"/x", 1)+"/"+id)
	w.want(http.StatusNotFound, ask{"GET", uploads + id, "", nil})
	w.want(http.StatusOK, ask{"GET", directs + "/" + id, "", nil})
	w.audit()
}

// What a document makes these endpoints allocate is a multiple of its size that does not depend on what is in it, and whoever
// may not push has none read.
func TestHostileJSONOfDirectUploads(t *testing.T) {
	const most, slack = 96, 1 << 19
	w := newWorldOn(t, false, takesClients)
	id := w.openDirect(digestOf("x"))
	const n = 1 << 17
	documents := hostile(n)
	documents["digests"] = fillTo(n, `{"digests":[`, `]}`, same(`""`))
	documents["null digests"] = fillTo(n, `{"digests":[`, `]}`, same(`null`))
	documents["parts"] = fillTo(n, `{"parts":[`, `]}`, same(`{}`))
	documents["null parts"] = fillTo(n, `{"parts":[`, `]}`, same(`null`))
	documents["parts of many fields"] = fillTo(n, `{"parts":[{`, `}]}`, same(`"number":1`))
	documents["a long digest"] = `{"digest":"sha256:` + strings.Repeat("0", n) + `","size":1}`
	documents["long digests"] = `{"digests":["sha256:` + strings.Repeat("0", n) + `"]}`
	for name, document := range documents {
		for _, path := range []string{"/v2/" + mine + "/_tare/v1/have", directs, directs + "/" + id + "/urls"} {
			var rec *httptest.ResponseRecorder
			if got := allocated(func() { rec = w.do(writer, ask{"POST", path, document, nil}) }); got > most*n+slack {
				t.Errorf("%s: %d bytes make %s allocate %d", name, len(document), path, got)
			}
			answer := rec.Body.Bytes()
			if rec.Code != http.StatusOK && rec.Code != http.StatusBadRequest && rec.Code != http.StatusRequestEntityTooLarge || len(answer) > 1000 || !json.Valid(answer) {
				t.Errorf("%s: %s is answered %d, %d bytes: %.100q", name, path, rec.Code, len(answer), answer)
			}
		}
		if got := allocated(func() { w.do(stranger, ask{"POST", directs, document, nil}) }); got > 1<<19 {
			t.Errorf("%s: a stranger makes the registry allocate %d bytes", name, got)
		}
	}
	w.audit()
}
