// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"tare/internal/store"
)

// Signed is an object store that is new and empty, and a client that signs requests for it.
type Signed struct {
	Bucket
	Direct store.Direct

	// Earlier is a client that signs as if it were so long ago.
	Earlier func(ago time.Duration) store.Direct
}

// TestDirect checks a [store.Direct]: what it signs, and that the store does what was signed and nothing else. Each
// subtest opens a store of its own.
func TestDirect(t *testing.T, open func(testing.TB) Signed) {
	for _, test := range directTests {
		t.Run(test.name, func(t *testing.T) {
			s := open(t)
			test.run(&signed{&bucket{t, Buckets{A: s.Bucket, B: s.Bucket}}, s})
		})
	}
}

type signed struct {
	*bucket
	Signed
}

const life = 10 * time.Minute

// send makes a request, with a change if there is one, and returns its status, its body and its header.
func (s *signed) send(r store.SignedRequest, body string, change func(*http.Request)) (int, string, http.Header) {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
	defer cancel()
	var content io.Reader
	if body != "" {
		content = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, content)
	wantErr(s, "request", err, nil)
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	if change != nil {
		change(req)
	}
	res, err := http.DefaultClient.Do(req)
	wantErr(s, r.Method, err, nil)
	defer func() { wantErr(s, "close", res.Body.Close(), nil) }()
	got, err := io.ReadAll(res.Body)
	wantErr(s, "body", err, nil)
	return res.StatusCode, string(got), res.Header
}

// wantStatus makes a request and compares the status of its answer.
func (s *signed) wantStatus(what string, want int, r store.SignedRequest, body string, change func(*http.Request)) {
	s.Helper()
	if got, answer, _ := s.send(r, body, change); got != want {
		s.Fatalf("%s: got status %d, want %d: %.400s", what, got, want, answer)
	}
}

// wantRefused makes a request and wants it refused, for the client's fault.
func (s *signed) wantRefused(what string, r store.SignedRequest, body string, change func(*http.Request)) {
	s.Helper()
	if got, answer, _ := s.send(r, body, change); got < 400 || got > 499 {
		s.Fatalf("%s: got status %d, want a refusal: %.400s", what, got, answer)
	}
}

// signPut signs a PUT of data.
func (s *signed) signPut(key, data string) store.SignedRequest {
	s.Helper()
	r, err := s.Direct.SignPut(s.Context(), key, int64(len(data)), sha256.Sum256([]byte(data)), life)
	wantErr(s, "sign a put", err, nil)
	return r
}

// signPart signs a part of data.
func (s *signed) signPart(u *assembly, number int, data string) store.SignedRequest {
	s.Helper()
	r, err := s.Direct.SignPart(s.Context(), u.key, u.id, number, int64(len(data)), sha256.Sum256([]byte(data)), life)
	wantErr(s, "sign a part", err, nil)
	return r
}

// signGet signs a GET.
func (s *signed) signGet(key string) store.SignedRequest {
	s.Helper()
	r, err := s.Direct.SignGet(s.Context(), key, life)
	wantErr(s, "sign a get", err, nil)
	return r
}

// parts lists the parts of an upload.
func (s *signed) parts(u *assembly) []store.Part {
	s.Helper()
	parts, err := s.Direct.Parts(s.Context(), u.key, u.id, 0, store.MaxLimit)
	wantErr(s, "parts", err, nil)
	return parts
}

// altered are the ways in which a signed request may not be changed.
var altered = map[string]func(*http.Request){
	"another key":      func(r *http.Request) { r.URL.Path += "x" },
	"another query":    func(r *http.Request) { r.URL.RawQuery += "&tagging=" },
	"a repository's":   func(r *http.Request) { r.URL.RawQuery += "&digest=sha256%3Aabc" },
	"no query":         func(r *http.Request) { r.URL.RawQuery = "" },
	"another method":   func(r *http.Request) { r.Method = http.MethodDelete },
	"a get for a head": func(r *http.Request) { swap(r, http.MethodGet, http.MethodHead) },
	"a get for a put":  func(r *http.Request) { swap(r, http.MethodPut, http.MethodGet) },
	"a longer life": func(r *http.Request) {
		r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "=600", "=6000", 1) + "&ends=4000000000"
	},
	"a signature's edge": func(r *http.Request) { r.URL.RawQuery = cutSignature(r.URL.RawQuery) },
}

// swap makes a request of one method one of the other, or takes it to another key.
func swap(r *http.Request, one, other string) {
	if r.Method == one {
		r.Method, r.Body, r.ContentLength = other, nil, 0
	} else {
		r.URL.Path += "x"
	}
}

// cutSignature changes the last digit of a signature.
func cutSignature(query string) string {
	i := strings.Index(strings.ToLower(query), "signature=") + len("signature=")
	digit := byte('0')
	if query[i] == digit {
		digit = '1'
	}
	return query[:i] + string(digit) + query[i+1:]
}

var directTests = []struct {
	name string
	run  func(*signed)
}{
	{"Get", func(s *signed) {
		data := pattern(1, 10_000)
		s.put("dir/k", data)
		r := s.signGet("dir/k")
		if r.Method != http.MethodGet || r.Header != nil {
			s.Fatalf("a GET is signed as %s with header %v: who follows a redirect sends none", r.Method, r.Header)
		}
		for range 2 {
			status, got, header := s.send(r, "", nil)
			if status != http.StatusOK || got != data {
				s.Fatalf("got status %d and %d bytes", status, len(got))
			}
			if got := header.Get("Content-Type"); !strings.HasSuffix(got, "/octet-stream") {
				s.Fatalf("the content type is %q", got)
			}
		}
		for span, want := range map[string]string{"bytes=100-199": data[100:200], "bytes=9000-": data[9000:], "bytes=-5": data[9995:]} {
			status, got, header := s.send(r, "", func(r *http.Request) { r.Header.Set("Range", span) })
			if status != http.StatusPartialContent || got != want {
				s.Fatalf("range %s: got status %d, %d bytes, %s", span, status, len(got), header.Get("Content-Range"))
			}
		}
		s.wantStatus("a range behind the end", http.StatusRequestedRangeNotSatisfiable, r, "", func(r *http.Request) {
			r.Header.Set("Range", "bytes=10000-")
		})
		s.wantStatus("a client's own header", http.StatusOK, r, "", func(r *http.Request) { r.Header.Set("Accept", "a/b") })
		for what, change := range altered {
			s.wantRefused("a get changed to "+what, r, "", change)
		}
		s.wantObject("dir/k", data)
	}},
	{"Head", func(s *signed) {
		s.put("k", pattern(1, 12_345))
		r, err := s.Direct.SignHead(s.Context(), "k", life)
		wantErr(s, "sign a head", err, nil)
		status, _, header := s.send(r, "", nil)
		if r.Method != http.MethodHead || r.Header != nil || status != http.StatusOK || header.Get("Content-Length") != "12345" {
			s.Fatalf("%s with header %v: got status %d and length %s", r.Method, r.Header, status, header.Get("Content-Length"))
		}
		for what, change := range altered {
			s.wantRefused("a head changed to "+what, r, "", change)
		}
	}},
	{"WhatIsNotThere", func(s *signed) {
		head, err := s.Direct.SignHead(s.Context(), "none", life)
		wantErr(s, "sign a head", err, nil)
		s.wantStatus("a get", http.StatusNotFound, s.signGet("none"), "", nil)
		s.wantStatus("a head", http.StatusNotFound, head, "", nil)
		s.put("none", "it came")
		s.wantStatus("a get", http.StatusOK, s.signGet("none"), "", nil)
	}},
	{"Put", func(s *signed) {
		for key, data := range map[string]string{"a/k": pattern(1, 100_000), "b": "x"} {
			r := s.signPut(key, data)
			s.wantAbsent(key)
			if r.Method != http.MethodPut {
				s.Fatalf("a put is signed as a %s", r.Method)
			}
			for range 2 {
				s.wantStatus("put", http.StatusOK, r, data, nil)
				s.wantObject(key, data)
			}
			s.wantSum(key, data, true)
		}
	}},
	{"PutOfOtherBytes", func(s *signed) {
		data := pattern(1, 10_000)
		r := s.signPut("k", data)
		for what, body := range map[string]string{
			"others": pattern(2, 10_000), "fewer": data[:9_999], "more": data + "x", "none": "", "one differs": data[:9_999] + "!",
		} {
			s.wantRefused("a put of "+what, r, body, nil)
			s.wantAbsent("k")
		}
		s.wantStatus("put", http.StatusOK, r, data, nil)
		s.wantRefused("a put of others", r, pattern(2, 10_000), nil)
		s.wantObject("k", data)
	}},
	{"PutChanged", func(s *signed) {
		data := pattern(1, 10_000)
		r := s.signPut("k", data)
		for what, change := range altered {
			s.wantRefused("a put changed to "+what, r, data, change)
		}
		other := s.signPut("k", pattern(2, 10_000))
		for name := range r.Header {
			s.wantRefused("a put without "+name, r, data, func(r *http.Request) { r.Header.Del(name) })
			s.wantRefused("a put with another "+name, r, pattern(2, 10_000), func(r *http.Request) { r.Header.Set(name, other.Header[name]) })
		}
		s.wantRefused("a put of unknown length", r, data, func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(data))), -1
		})
		s.wantAbsent("k")
		s.wantAbsent("kx")
	}},
	{"PutEndsEarly", func(s *signed) {
		data := pattern(1, 1<<20)
		s.breakOff(s.signPut("k", data), data)
		s.wantAbsent("k")
		s.wantStatus("put again", http.StatusOK, s.signPut("k", data), data, nil)
		s.wantObject("k", data)
	}},
	{"Parts", func(s *signed) {
		u := s.begin("dir/k")
		data := []string{s.enough(1), s.enough(2), "last"}
		for _, i := range []int{2, 0, 1} {
			s.wantStatus("part", http.StatusOK, s.signPart(u, i+1, data[i]), data[i], nil)
		}
		s.wantAbsent(u.key)
		u.parts, u.data = s.parts(u), strings.Join(data, "")
		if len(u.parts) != 3 {
			s.Fatalf("parts are listed as %v", u.parts)
		}
		for i, p := range u.parts {
			if p.Number != i+1 || p.Size != int64(len(data[i])) || p.Mark == "" {
				s.Fatalf("part %d of %d bytes is listed as %+v", i+1, len(data[i]), p)
			}
		}
		u.complete()
		s.wantSum(u.key, u.data, false)
		_, err := s.Direct.Parts(s.Context(), u.key, u.id, 0, 10)
		wantErr(s, "parts of an upload that is complete", err, store.ErrNotFound)
	}},
	{"PartsOfBothKinds", func(s *signed) {
		u := s.begin("k")
		u.part(s.enough(1))
		s.wantStatus("part", http.StatusOK, s.signPart(u, 2, "signed"), "signed", nil)
		listed := s.parts(u)
		if len(listed) != 2 || listed[0] != u.parts[0] {
			s.Fatalf("parts are listed as %+v, the first was answered as %+v", listed, u.parts[0])
		}
		u.keep(listed[1], "signed")
		u.complete()
	}},
	{"PartAgain", func(s *signed) {
		u := s.begin("k")
		for _, data := range []string{"first", "the second", "the second"} {
			s.wantStatus("part", http.StatusOK, s.signPart(u, 1, data), data, nil)
		}
		u.keep(s.parts(u)[0], "the second")
		u.complete()
	}},
	{"PartOfOtherBytes", func(s *signed) {
		u := s.begin("k")
		data := pattern(1, 10_000)
		r := s.signPart(u, 1, data)
		for what, body := range map[string]string{"others": pattern(2, 10_000), "fewer": data[:9_999], "more": data + "x", "none": ""} {
			s.wantRefused("a part of "+what, r, body, nil)
		}
		for name := range r.Header {
			s.wantRefused("a part without "+name, r, data, func(r *http.Request) { r.Header.Del(name) })
		}
		for what, change := range altered {
			s.wantRefused("a part changed to "+what, r, data, change)
		}
		s.wantRefused("a part of another number", r, data, func(r *http.Request) {
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "partNumber=1", "partNumber=2", 1)
		})
		if got := s.parts(u); len(got) != 0 {
			s.Fatalf("what was refused is listed as %v", got)
		}
		s.breakOff(r, data)
		s.wantStatus("part", http.StatusOK, r, data, nil)
		s.wantRefused("a part of others", r, pattern(2, 10_000), nil)
		u.keep(s.parts(u)[0], data)
		u.complete()
	}},
	{"PartsOfMissingUploads", func(s *signed) {
		u := s.begin("k")
		r := s.signPart(u, 1, "data")
		wantErr(s, "abort", s.A.Multipart.Abort(s.Context(), u.key, u.id), nil)
		s.wantStatus("a part", http.StatusNotFound, r, "data", nil)
		for _, id := range []string{u.id, "none"} {
			_, err := s.Direct.Parts(s.Context(), "k", id, 0, 10)
			wantErr(s, "parts", err, store.ErrNotFound)
		}
		u = s.begin("k")
		_, err := s.Direct.Parts(s.Context(), "other", u.id, 0, 10)
		wantErr(s, "parts under another key", err, store.ErrNotFound)
		s.wantPending("", u)
		s.wantAbsent("k")
	}},
	{"PagesOfParts", func(s *signed) {
		u := s.begin("k")
		numbers := []int{1, 2, 3, 7, 10, 1000, 9999, store.MaxParts}
		for _, number := range numbers {
			data := pattern(number, 10+number%7)
			s.wantStatus("part", http.StatusOK, s.signPart(u, number, data), data, nil)
		}
		for _, limit := range []int{1, 2, 3, 8, store.MaxLimit} {
			var got []int
			after := 0
			for {
				page, err := s.Direct.Parts(s.Context(), u.key, u.id, after, limit)
				wantErr(s, "parts", err, nil)
				for _, p := range page {
					got = append(got, p.Number)
					if p.Size != int64(10+p.Number%7) {
						s.Fatalf("part %d is listed with %d bytes", p.Number, p.Size)
					}
				}
				if len(page) < limit {
					break
				}
				after = got[len(got)-1]
			}
			if !slices.Equal(got, numbers) {
				s.Fatalf("in pages of %d: got %v, want %v", limit, got, numbers)
			}
		}
		for _, limit := range []int{-1, 0, store.MaxLimit + 1} {
			_, err := s.Direct.Parts(s.Context(), u.key, u.id, 0, limit)
			wantErr(s, "a bad limit", err, store.ErrInvalid)
		}
		_, err := s.Direct.Parts(s.Context(), u.key, u.id, -1, 1)
		wantErr(s, "a negative number", err, store.ErrInvalid)
	}},
	{"Ends", func(s *signed) {
		s.put("k", "x")
		before := s.signGet("k").Ends
		late := s.Earlier(time.Hour)
		get, err := late.SignGet(s.Context(), "k", life)
		wantErr(s, "sign a get", err, nil)
		put, err := late.SignPut(s.Context(), "new", 1, sha256.Sum256([]byte("x")), life)
		wantErr(s, "sign a put", err, nil)
		u := s.begin("m")
		part, err := late.SignPart(s.Context(), u.key, u.id, 1, 1, sha256.Sum256([]byte("x")), life)
		wantErr(s, "sign a part", err, nil)
		for _, r := range []store.SignedRequest{get, put, part} {
			if ago := before.Sub(r.Ends); ago < 59*time.Minute || ago > 61*time.Minute {
				s.Fatalf("signed an hour earlier it ends %v earlier", ago)
			}
			body := ""
			if r.Method == http.MethodPut {
				body = "x"
			}
			s.wantStatus("a request that has ended", http.StatusForbidden, r, body, nil)
		}
		s.wantAbsent("new")
		if got := s.parts(u); len(got) != 0 {
			s.Fatalf("a part came too late and is listed: %v", got)
		}
		long, err := late.SignGet(s.Context(), "k", 2*time.Hour)
		wantErr(s, "sign a get", err, nil)
		s.wantStatus("a request that has not ended", http.StatusOK, long, "", nil)
	}},
	{"BadCalls", func(s *signed) {
		sum := sha256.Sum256([]byte("x"))
		u := s.begin("k")
		invalid := func(what string, err error) {
			s.Helper()
			wantErr(s, what, err, store.ErrInvalid)
		}
		for _, span := range []time.Duration{-time.Minute, 0, time.Second - 1, store.MaxURLLife + 1} {
			_, err := s.Direct.SignGet(s.Context(), "k", span)
			invalid("a get of life "+span.String(), err)
			_, err = s.Direct.SignPut(s.Context(), "k", 1, sum, span)
			invalid("a put of life "+span.String(), err)
		}
		for _, key := range badObjectKeys {
			_, err := s.Direct.SignGet(s.Context(), key, life)
			invalid("a get of a bad key", err)
			_, err = s.Direct.SignHead(s.Context(), key, life)
			invalid("a head of a bad key", err)
			_, err = s.Direct.SignPut(s.Context(), key, 1, sum, life)
			invalid("a put of a bad key", err)
			_, err = s.Direct.SignPart(s.Context(), key, u.id, 1, 1, sum, life)
			invalid("a part of a bad key", err)
			_, err = s.Direct.Parts(s.Context(), key, u.id, 0, 1)
			invalid("parts of a bad key", err)
			_, _, _, err = s.Direct.Sum(s.Context(), key)
			invalid("the sum of a bad key", err)
		}
		for _, size := range []int64{-1, 0, store.MaxDirectPut + 1} {
			_, err := s.Direct.SignPut(s.Context(), "k", size, sum, life)
			invalid("a put of a bad size", err)
			_, err = s.Direct.SignPart(s.Context(), "k", u.id, 1, size, sum, life)
			invalid("a part of a bad size", err)
		}
		for _, number := range []int{-1, 0, store.MaxParts + 1} {
			_, err := s.Direct.SignPart(s.Context(), "k", u.id, number, 1, sum, life)
			invalid("a part of a bad number", err)
		}
		_, err := s.Direct.SignPart(s.Context(), "k", "", 1, 1, sum, life)
		invalid("a part of no upload", err)
	}},
	{"Sum", func(s *signed) {
		_, _, _, err := s.Direct.Sum(s.Context(), "none")
		wantErr(s, "the sum of an absent object", err, store.ErrNotFound)
		for key, data := range map[string]string{"empty": "", "k": pattern(1, 70_000)} {
			s.put(key, data)
			s.wantSum(key, data, true)
		}
		s.put("k", "replaced")
		s.wantSum("k", "replaced", true)
		u := s.begin("one")
		u.part("one part")
		u.complete()
		s.wantSum("one", "one part", false)
	}},
	{"Canceled", func(s *signed) {
		_, err := s.Direct.SignGet(canceled(s), "k", life)
		wantCanceled(s, "sign a get", err)
		_, err = s.Direct.Parts(canceled(s), "k", "id", 0, 1)
		wantCanceled(s, "parts", err)
		_, _, _, err = s.Direct.Sum(canceled(s), "k")
		wantCanceled(s, "sum", err)
	}},
}

// wantSum compares the sum of an object, which a store may know of a whole one and must not claim of one made of parts.
func (s *signed) wantSum(key, data string, whole bool) {
	s.Helper()
	size, sum, known, err := s.Direct.Sum(s.Context(), key)
	wantErr(s, "sum", err, nil)
	want := sha256.Sum256([]byte(data))
	if size != int64(len(data)) || known != whole || known && !bytes.Equal(sum[:], want[:]) {
		s.Fatalf("the sum of %s: %d bytes, %x, known: %v; want %d bytes, %x, %v", key, size, sum, known, len(data), want, whole)
	}
}

// breakOff sends half of a body and ends the connection.
func (s *signed) breakOff(r store.SignedRequest, data string) {
	s.Helper()
	half := io.MultiReader(strings.NewReader(data[:len(data)/2]), readerFunc(func([]byte) (int, error) { return 0, errReader }))
	req, err := http.NewRequestWithContext(s.Context(), r.Method, r.URL, half)
	wantErr(s, "request", err, nil)
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
	req.ContentLength = int64(len(data))
	res, err := http.DefaultClient.Do(req)
	if err == nil {
		_ = res.Body.Close() // it was refused before its end
		if res.StatusCode < 400 {
			s.Fatalf("half a body is answered with status %d", res.StatusCode)
		}
		return
	}
	if !errors.Is(err, errReader) {
		s.Logf("half a body: %v", err)
	}
}
