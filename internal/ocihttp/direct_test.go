// SPDX-License-Identifier: Apache-2.0

package ocihttp_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"tare/internal/oci"
	"tare/internal/ocihttp"
)

func TestDiscover(t *testing.T) {
	f := newFake()
	s := serve(t, f, ocihttp.Options{})
	var answer struct {
		Extensions []struct {
			Name, URL, Description string
			Endpoints              []string
		}
	}
	for _, path := range []string{"/v2/_oci/ext/discover", "/v2/a/b/_oci/ext/discover"} {
		for _, direct := range []bool{true, false} {
			f.notDirect = !direct
			r := s.do("GET", path, nil).want(t, 200, "").header(t, "Content-Type", "application/json")
			if err := json.Unmarshal([]byte(r.body), &answer); err != nil {
				t.Fatal(err)
			}
			e := answer.Extensions
			if len(e) != 1 || e[0].Name != "_tare" || e[0].URL == "" || e[0].Endpoints[0] != "_tare/v1/have" || slices.Contains(e[0].Endpoints, "_tare/v1/uploads") != direct {
				t.Errorf("direct %v: the extensions are %+v", direct, e)
			}
		}
	}
	s.do("POST", "/v2/_oci/ext/discover", nil).want(t, 405, oci.Unsupported)
	s.do("GET", "/v2/A/_oci/ext/discover", nil).want(t, 400, oci.NameInvalid)
}

func TestHave(t *testing.T) {
	f := newFake()
	withImage(f)
	s := serve(t, f, ocihttp.Options{})
	layer := string(digestOf("layer", ""))
	r := s.do("POST", "/v2/a/_tare/v1/have", `{"digests":["`+someDigest+`","`+layer+`"],"other":1}`).want(t, 200, "").header(t, "Cache-Control", "no-store")
	if want := `{"have":[{"digest":"` + layer + `","size":5}]}`; r.body != want {
		t.Errorf("got %s, want %s", r.body, want)
	}
	for _, body := range []string{`{}`, `{"digests":null}`, `{"digests":[]}`, `{"digests":["` + someDigest + `"]}`} {
		if r := s.do("POST", "/v2/a/_tare/v1/have", body).want(t, 200, ""); r.body != `{"have":[]}` {
			t.Errorf("%s: got %s", body, r.body)
		}
	}
	many := strings.Repeat(`"`+someDigest+`",`, oci.MaxHave+1)
	s.do("POST", "/v2/a/_tare/v1/have", `{"digests":[`+many[:len(many)-1]+`]}`).want(t, 413, oci.SizeInvalid)
	s.do("POST", "/v2/a/_tare/v1/have", `{"digests":["sha256:x"]}`).want(t, 400, oci.DigestInvalid)
	s.do("GET", "/v2/a/_tare/v1/have", nil).want(t, 405, oci.Unsupported)
}

// What is no JSON of these endpoints changes nothing.
func TestDirectMalformed(t *testing.T) {
	f := newFake()
	s := serve(t, f, ocihttp.Options{})
	up, err := f.OpenDirect(t.Context(), "a", oci.DirectOpen{Digest: someDigest, Size: 95, Parts: true})
	if err != nil {
		t.Fatal(err)
	}
	at := "/v2/a/_tare/v1/uploads"
	for _, path := range []string{"/v2/a/_tare/v1/have", at, at + "/" + up.ID + "/urls"} {
		for _, body := range []string{"", " ", "{", "[]", `"x"`, "{}{}", `{"digests":"x","digest":1,"parts":1}`, strings.Repeat("[", 1000), "\x00", `{"digests":[1],"size":"1","parts":[1]}`} {
			s.do("POST", path, body).want(t, 400, oci.BlobUploadInvalid)
		}
		s.do("POST", path, `{"x":"`+strings.Repeat("x", 256<<10)+`"}`).want(t, 413, oci.SizeInvalid)
	}
	for body, code := range map[string]oci.Code{
		`{"size":1}`:                                  oci.DigestInvalid,
		`{"digest":"latest","size":1}`:                oci.DigestInvalid,
		`{"digest":"` + someDigest + `"}`:             oci.SizeInvalid,
		`{"digest":"` + someDigest + `","size":1.5}`:  oci.BlobUploadInvalid,
		`{"digest":"` + someDigest + `","size":1e99}`: oci.BlobUploadInvalid,
	} {
		s.do("POST", at, body).want(t, 400, code)
	}
	many := strings.Repeat(`{"number":1,"size":1,"digest":"`+someDigest+`"},`, oci.MaxDirectParts+1)
	s.do("POST", at+"/"+up.ID+"/urls", `{"parts":[`+many[:len(many)-1]+`]}`).want(t, 413, oci.SizeInvalid)
	s.do("POST", at+"/"+up.ID+"/urls", `{"parts":[{"number":1,"size":1}]}`).want(t, 400, oci.DigestInvalid)
	for _, query := range []string{"wait=x", "wait=-1", "wait=1.5", "wait=", "wait=1&wait=2", "wait=event&wait=1", "wait=Event"} {
		s.do("POST", at+"/"+up.ID+"/complete?"+query, nil).want(t, 400, oci.Unsupported)
		s.do("GET", at+"/"+up.ID+"?"+query, nil).want(t, 400, oci.Unsupported)
	}
	for _, query := range []string{"n=0", "n=x", "after=x", "after=-1", "n="} {
		s.do("GET", at+"/"+up.ID+"/parts?"+query, nil).want(t, 400, oci.Unsupported)
	}
	if len(f.directs) != 1 || len(f.waited) > 0 {
		t.Error("something was opened, or asked for")
	}
}

func TestDirectUpload(t *testing.T) {
	f := newFake()
	withImage(f)
	s := serve(t, f, ocihttp.Options{})
	at := "/v2/a/_tare/v1/uploads"
	layer := string(digestOf("layer", ""))
	r := s.do("POST", at, `{"digest":"`+layer+`","size":5}`).want(t, 200, "").header(t, "Location", "/v2/a/blobs/"+layer).header(t, "Docker-Content-Digest", layer)
	if want := `{"state":"done","digest":"` + layer + `","size":5}`; r.body != want {
		t.Errorf("got %s", r.body)
	}

	r = s.do("POST", at, `{"digest":"`+someDigest+`","size":95}`).want(t, 201, "").header(t, "Location", at+"/direct-1").header(t, "Cache-Control", "no-store")
	put := `{"method":"PUT","url":"https://store.example/whole","headers":{"X-Sum":"whole"},"ends":"2027-01-15T08:00:00Z"}`
	if want := `{"state":"open","digest":"` + someDigest + `","size":95,"id":"direct-1","ends":"2027-01-15T08:00:00Z","put":` + put + `}`; r.body != want {
		t.Errorf("got %s, want %s", r.body, want)
	}
	r = s.do("POST", at+"/direct-1/urls", "{}").want(t, 200, "").header(t, "Cache-Control", "no-store")
	if want := `{"urls":[` + put + `]}`; r.body != want {
		t.Errorf("got %s", r.body)
	}

	f.waits = 2
	r = s.do("POST", at, `{"digest":"`+someDigest+`","size":95,"parts":true}`).want(t, 201, "")
	if !strings.Contains(r.body, `"partSize":10,"parts":10}`) {
		t.Errorf("got %s", r.body)
	}
	r = s.do("POST", at+"/direct-2/urls", fmt.Sprintf(`{"parts":[{"number":7,"size":10,"digest":%q},{"number":3,"size":10,"digest":%q}]}`, someDigest, someDigest)).want(t, 200, "")
	if !strings.Contains(r.body, `[{"number":7,"method":"PUT","url":"https://store.example/7-10-sha256:`) || !strings.Contains(r.body, `{"number":3,`) {
		t.Errorf("got %s", r.body)
	}
	r = s.do("GET", at+"/direct-2/parts?after=8", nil).want(t, 200, "")
	if want := `{"parts":[{"number":9,"size":10},{"number":10,"size":10}],"more":false}`; r.body != want {
		t.Errorf("got %s", r.body)
	}
	r = s.do("GET", at+"/direct-2/parts?n=1", nil).want(t, 200, "")
	if want := `{"parts":[{"number":1,"size":10}],"more":true}`; r.body != want {
		t.Errorf("got %s", r.body)
	}
	s.do("GET", at+"/direct-2", nil).want(t, 200, "").header(t, "Location", at+"/direct-2").header(t, "Retry-After", "")
	s.do("POST", at+"/direct-2/complete?wait=5", nil).want(t, 202, "").header(t, "Location", at+"/direct-2").header(t, "Retry-After", "1")
	s.do("GET", at+"/direct-2?wait=99999999999999999999", nil).want(t, 200, "").header(t, "Retry-After", "1")
	for range 2 {
		s.do("POST", at+"/direct-2/complete?wait=20", nil).want(t, 201, "").header(t, "Location", "/v2/a/blobs/"+someDigest).header(t, "Docker-Content-Digest", someDigest)
	}
	s.do("POST", at+"/direct-2/complete?wait=event", nil).want(t, 201, "")
	if want := []time.Duration{0, 5 * time.Second, 20 * time.Second, 20 * time.Second, 20 * time.Second, oci.LeaveToEvent}; !slices.Equal(f.waited, want) {
		t.Errorf("waited for %v", f.waited)
	}
	s.do("DELETE", at+"/direct-1", nil).want(t, 204, "")
	s.do("DELETE", at+"/direct-1", nil).want(t, 404, oci.BlobUploadUnknown)
	s.do("GET", "/v2/b/_tare/v1/uploads/direct-2", nil).want(t, 404, oci.BlobUploadUnknown)
	s.do("PUT", at+"/direct-2", nil).want(t, 405, oci.Unsupported)
}

// An upload's id is as good as a key to it.
func TestDirectIDsAreNotLogged(t *testing.T) {
	s := serve(t, newFake(), ocihttp.Options{AccessLog: true})
	at := "/v2/a/_tare/v1/uploads/the-secret"
	for _, path := range []string{at, at + "/parts", at + "/urls", at + "/complete", at + "/other"} {
		for _, method := range []string{"GET", "POST", "DELETE"} {
			s.do(method, path, nil)
			<-s.seen
		}
	}
	if text := s.log.String(); strings.Contains(text, "the-secret") || !strings.Contains(text, "direct parts") {
		t.Errorf("the log is\n%s", text)
	}
}
