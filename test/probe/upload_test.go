// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"tare/internal/refcount"
)

const uploads = "/v2/" + mine + "/blobs/uploads/"

// open starts an upload and returns its id.
func (w *world) open(repo string) string {
	w.t.Helper()
	return w.want(http.StatusAccepted, ask{"POST", "/v2/" + repo + "/blobs/uploads/", "", nil}).Header().Get("Docker-Upload-Uuid")
}

// onUpload is every request that an id is good for.
func onUpload(path string) []ask {
	return []ask{
		{"GET", path, "", nil},
		{"HEAD", path, "", nil},
		{"PATCH", path, "a chunk", nil},
		{"PATCH", path, strings.Repeat("x", 2*inlineLimit), nil},
		{"PUT", path + "?digest=" + digestOf("all of it"), "all of it", nil},
		{"PUT", path + "?digest=" + digestOf(""), "", nil},
		{"DELETE", path, "", nil},
	}
}

// refuse checks that an id is unknown to every request, in the same words, and that the store is not asked.
func (w *world) refuse(name, repo, id string) {
	w.t.Helper()
	before := w.Calls()
	for _, a := range onUpload("/v2/" + repo + "/blobs/uploads/" + id) {
		rec := w.do(writer, a)
		const told = `{"errors":[{"code":"BLOB_UPLOAD_UNKNOWN","message":"the upload is not known, or has ended"}]}`
		if body := rec.Body.String(); rec.Code != http.StatusNotFound || body != told && a.method != "HEAD" {
			w.t.Fatalf("an id %s: %s is answered %d %s", name, a.method, rec.Code, body)
		}
	}
	if n := w.Calls() - before; n != 0 {
		w.t.Fatalf("an id %s made %d store calls", name, n)
	}
}

// An upload's id is good for what it was issued for, and nothing that somebody makes of it is an id.
func TestUploadIDs(t *testing.T) {
	w := newWorld(t, false)
	id := w.open(mine)
	w.clock.Advance(time.Second)
	foreign := w.open(other)
	w.want(http.StatusAccepted, ask{"PATCH", uploads + id, "a secret", nil})
	abroad := newWorld(t, false).open(mine)

	raw, err := base64.RawURLEncoding.DecodeString(id)
	w.must(err)
	encode := base64.RawURLEncoding.EncodeToString
	for bit := range 8 * len(raw) {
		flipped := append([]byte(nil), raw...)
		flipped[bit/8] ^= 1 << (bit % 8)
		w.refuse(fmt.Sprintf("with bit %d flipped", bit), mine, encode(flipped))
	}
	for n := range len(raw) {
		w.refuse(fmt.Sprintf("cut after %d bytes", n), mine, encode(raw[:n])+"x")
		w.refuse(fmt.Sprintf("of zeros from %d on", n), mine, encode(append(raw[:n:n], make([]byte, len(raw)-n)...)))
	}
	theirs, err := base64.RawURLEncoding.DecodeString(foreign)
	w.must(err)
	for name, bad := range map[string]string{
		"of another registry":                 abroad,
		"of another repository":               foreign,
		"of its name and another's signature": encode(append(raw[:24:24], theirs[24:]...)),
		"of another's name and its signature": encode(append(theirs[:24:24], raw[24:]...)),
		"of its name and another's end":       encode(append(append(raw[:16:16], theirs[16:24]...), raw[24:]...)),
		"of the row alone":                    fmt.Sprintf("%x", raw[:16]),
		"in the other alphabet":               url.PathEscape(base64.RawStdEncoding.EncodeToString(append([]byte{0xfb, 0xff}, raw[2:]...))),
		"with padding":                        id + "%3D%3D",
		"twice":                               id + id,
		"in another case":                     strings.ToUpper(id),
		"that is a token":                     w.tokens[writer],
		"that is a digest":                    digestOf("a secret"),
		"that is a path":                      "..%2F" + id,
		"that is the parent":                  "..",
		"with a line break":                   id[:20] + "%0A" + id[20:],
		"of line breaks":                      strings.Repeat("%0A", len(id)),
		"of no bytes at all but many of them": strings.Repeat("%00", len(id)),
		"of a megabyte":                       strings.Repeat("A", 1<<20),
		"with another last letter, escaped":   id[:len(id)-1] + "%" + fmt.Sprintf("%02x", id[len(id)-1]^1),
	} {
		w.refuse(name, mine, bad)
	}
	w.refuse("in another repository", other, id)
	w.refuse("in one that is not there", "no/such", id)
	w.refuse("in one whose name goes on", mine+"/x", id)

	// Nothing of this has hurt the upload.
	if rec := w.want(http.StatusNoContent, ask{"GET", uploads + id, "", nil}); rec.Header().Get("Range") != "0-7" {
		t.Errorf("it stands at %s", rec.Header().Get("Range"))
	}
	w.want(http.StatusCreated, ask{"PUT", uploads + id + "?digest=" + digestOf("a secret"), "", nil})
	w.audit()
}

// An id is of no use after its end, to nobody.
func TestUploadIDsEnd(t *testing.T) {
	ttl := refcount.DefaultMargins().UploadTTL
	w := newWorld(t, false)
	fresh, begun, finished := w.open(mine), w.open(mine), w.open(mine)
	w.want(http.StatusAccepted, ask{"PATCH", uploads + begun, "some", nil})
	w.want(http.StatusCreated, ask{"PUT", uploads + finished + "?digest=" + digestOf("all"), "all", nil})
	w.clock.Advance(ttl - time.Millisecond)
	w.login()
	for _, id := range []string{fresh, begun, finished} {
		w.want(http.StatusNoContent, ask{"GET", uploads + id, "", nil})
	}
	w.want(http.StatusAccepted, ask{"PATCH", uploads + begun, " more", nil}) // does not move the end
	w.clock.Advance(time.Millisecond)
	for name, id := range map[string]string{"without bytes": fresh, "with bytes": begun, "of a blob": finished} {
		w.refuse(name+", at its end", mine, id)
	}
	w.clock.Advance(10 * ttl)
	w.login()
	w.refuse("long after its end", mine, begun)
	_, err := w.ledger.Sweep(t.Context(), refcount.SweepOptions{})
	w.must(err)
	w.audit()
}

// A canceled upload stays canceled, and so does one that was closed with a digest that it does not have: the row says so
// until its id has ended.
func TestUploadIDsStayClosed(t *testing.T) {
	w := newWorld(t, false)
	large := strings.Repeat("x", 2*inlineLimit)
	wrong := "?digest=" + digestOf("something else")
	for name, asks := range map[string][]ask{
		"canceled at once":              {{"DELETE", "{upload}", "", nil}},
		"canceled with a little":        {{"PATCH", "{upload}", "some", nil}, {"DELETE", "{upload}", "", nil}},
		"canceled with much":            {{"PATCH", "{upload}", large, nil}, {"DELETE", "{upload}", "", nil}},
		"closed wrongly with a little":  {{"PATCH", "{upload}", "some", nil}, {"PUT", "{upload}" + wrong, "", nil}},
		"closed wrongly with much":      {{"PATCH", "{upload}", large, nil}, {"PUT", "{upload}" + wrong, "", nil}},
		"closed wrongly with one large": {{"PUT", "{upload}" + wrong, large, nil}},
	} {
		id := w.open(mine)
		for _, a := range asks {
			a.path = strings.ReplaceAll(a.path, "{upload}", uploads+id)
			w.do(writer, a)
		}
		for range 2 {
			for _, a := range onUpload(uploads + id) {
				if rec := w.do(writer, a); rec.Code != http.StatusNotFound {
					t.Errorf("%s: %s is answered %d %s", name, a.method, rec.Code, rec.Body)
				}
			}
			w.clock.Advance(refcount.DefaultMargins().UploadTTL/2 - time.Second)
			w.login()
			_, err := w.ledger.Sweep(t.Context(), refcount.SweepOptions{})
			w.must(err)
		}
		w.audit()
	}
}
