// SPDX-License-Identifier: Apache-2.0

package ocihttp_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tare/internal/oci"
	"tare/internal/ocihttp"
)

// unsized is a body without a Content-Length.
func unsized(s string) io.Reader { return io.MultiReader(strings.NewReader(s)) }

// start opens an upload and returns its Location.
func (s *server) start(repo string) string {
	s.t.Helper()
	r := s.do("POST", "/v2/"+repo+"/blobs/uploads/", nil).want(s.t, 202, "").header(s.t, "Range", "0-0").header(s.t, "Content-Length", "0")
	location := r.Header.Get("Location")
	id, ok := strings.CutPrefix(location, "/v2/"+repo+"/blobs/uploads/")
	if !ok || id == "" || r.Header.Get("Docker-Upload-UUID") != id {
		s.t.Fatalf("Location %q, id %q", location, r.Header.Get("Docker-Upload-UUID"))
	}
	return location
}

// pushed checks the answer to a blob that is now there.
func (s *server) pushed(r reply, repo, content string, like oci.Digest) {
	s.t.Helper()
	d := digestOf(content, like)
	r.want(s.t, 201, "").header(s.t, "Location", "/v2/"+repo+"/blobs/"+string(d)).header(s.t, "Docker-Content-Digest", string(d)).
		header(s.t, "Content-Length", "0")
	if got := s.do("GET", r.Header.Get("Location"), nil).want(s.t, 200, ""); got.body != content {
		s.t.Fatalf("%q, pushed %q", got.body, content)
	}
}

func TestPushBlob(t *testing.T) {
	for _, content := range []string{"", "layer", strings.Repeat("x", 1<<20)} {
		for _, like := range []oci.Digest{"sha256:", "sha512:"} {
			d := string(digestOf(content, like))
			query := "?digest=" + d
			for name, push := range map[string]func(s *server) reply{
				"POST":         func(s *server) reply { return s.do("POST", "/v2/a/b/blobs/uploads/"+query, content) },
				"POST unsized": func(s *server) reply { return s.do("POST", "/v2/a/b/blobs/uploads/"+query, unsized(content)) },
				"PUT":          func(s *server) reply { return s.do("PUT", s.start("a/b")+query, content) },
				"PUT unsized":  func(s *server) reply { return s.do("PUT", s.start("a/b")+query, unsized(content)) },
				"PUT escaped": func(s *server) reply {
					return s.do("PUT", s.start("a/b")+"?ns=x&digest="+strings.Replace(d, ":", "%3A", 1), content)
				},
				"PATCH":           func(s *server) reply { return s.patched(content, content) },
				"PATCH unsized":   func(s *server) reply { return s.patched(content, unsized(content)) },
				"chunks":          func(s *server) reply { return s.chunked(content, true, nil) },
				"chunks unsized":  func(s *server) reply { return s.chunked(content, true, unsized) },
				"last in PUT":     func(s *server) reply { return s.chunked(content, false, nil) },
				"last, no ranges": func(s *server) reply { return s.unranged(content) },
			} {
				t.Run(fmt.Sprintf("%d %s %s", len(content), like, name), func(t *testing.T) {
					s := serve(t, newFake(), ocihttp.Options{StallTimeout: time.Minute})
					r := push(s)
					if r.Request.Method == "PATCH" || r.StatusCode == 202 {
						r = s.do("PUT", r.Header.Get("Location")+query, nil)
					}
					s.pushed(r, "a/b", content, like)
				})
			}
		}
	}
}

// patched sends all in one PATCH.
func (s *server) patched(content string, body any) reply {
	r := s.do("PATCH", s.start("a/b"), body).want(s.t, 202, "")
	return r.header(s.t, "Range", fmt.Sprintf("0-%d", max(len(content)-1, 0))).header(s.t, "Content-Length", "0")
}

// chunked sends three chunks with their ranges; the last one goes with the closing PUT if it is not all to be patched.
func (s *server) chunked(content string, all bool, body func(string) io.Reader) reply {
	s.t.Helper()
	r := reply{}
	location := s.start("a/b")
	size := len(content)/3 + 1
	for from := 0; from < len(content); from += size {
		to := min(from+size, len(content))
		method, path := "PATCH", location
		if !all && to == len(content) {
			like := oci.Digest("sha256:")
			if strings.Contains(s.t.Name(), "sha512") {
				like = "sha512:"
			}
			method, path = "PUT", location+"?digest="+string(digestOf(content, like))
		}
		var b any = content[from:to]
		if body != nil {
			b = body(content[from:to])
		}
		r = s.do(method, path, b, fmt.Sprintf("Content-Range: %d-%d", from, to-1))
		if method == "PUT" {
			return r
		}
		r.want(s.t, 202, "").header(s.t, "Range", fmt.Sprintf("0-%d", to-1))
		location = r.Header.Get("Location")
		s.do("GET", location, nil).want(s.t, 204, "").header(s.t, "Range", fmt.Sprintf("0-%d", to-1)).header(s.t, "Location", location)
	}
	if len(content) == 0 {
		return s.do("PATCH", location, "").want(s.t, 202, "").header(s.t, "Range", "0-0")
	}
	return r
}

// unranged sends two halves, neither of which says where it belongs.
func (s *server) unranged(content string) reply {
	s.t.Helper()
	like := oci.Digest("sha256:")
	if strings.Contains(s.t.Name(), "sha512") {
		like = "sha512:"
	}
	half := len(content) / 2
	r := s.do("PATCH", s.start("a/b"), content[:half]).want(s.t, 202, "")
	return s.do("PUT", r.Header.Get("Location")+"?digest="+string(digestOf(content, like)), content[half:])
}

func TestUploadErrors(t *testing.T) {
	digest := "?digest=" + string(digestOf("0123456789", ""))
	type step struct {
		method, query string
		body          any
		header        string
		status        int
		code          oci.Code
		at            string // Range of the answer
	}
	for name, steps := range map[string][]step{
		"malformed ranges": {
			{"PATCH", "", "0123", "Content-Range: bytes 0-3/10", 400, oci.BlobUploadInvalid, ""},
			{"PATCH", "", "0123", "Content-Range: 3-0", 400, oci.BlobUploadInvalid, ""},
			{"PATCH", "", "0123", "Content-Range: x", 400, oci.BlobUploadInvalid, ""},
			{"PUT", digest, "0123456789", "Content-Range: 0-", 400, oci.BlobUploadInvalid, ""},
			{"PATCH", "", "0123", "Content-Range: 0-3\nContent-Range: 0-3", 400, oci.BlobUploadInvalid, ""},
			{"PUT", digest, "0123456789", "Content-Range: 0-9\nContent-Range: ", 400, oci.BlobUploadInvalid, ""},
			{"GET", "", nil, "", 204, "", "0-0"},
			{"PUT", digest, "0123456789", "Content-Range: 0-9", 201, "", ""},
		},
		"lengths that differ": {
			{"PATCH", "", "0123", "Content-Range: 0-4", 400, oci.SizeInvalid, ""},
			{"PATCH", "", "0123", "Content-Range: 0-2", 400, oci.SizeInvalid, ""},
			{"PUT", digest, nil, "Content-Range: 0-9", 400, oci.SizeInvalid, ""},
			{"GET", "", nil, "", 204, "", "0-0"},
			{"PATCH", "", unsized("012"), "Content-Range: 0-3", 400, oci.SizeInvalid, ""},
			{"GET", "", nil, "", 204, "", "0-2"},
			{"PATCH", "", unsized("34567"), "Content-Range: 3-5", 400, oci.SizeInvalid, ""},
			{"GET", "", nil, "", 204, "", "0-4"},
			{"PUT", digest, unsized("567890"), "Content-Range: 5-9", 400, oci.SizeInvalid, ""},
			{"GET", "", nil, "", 204, "", "0-8"},
			{"PUT", digest, unsized("9"), "Content-Range: 9-9", 201, "", ""},
		},
		"out of order": {
			{"PATCH", "", "5678", "Content-Range: 5-8", 416, oci.SizeInvalid, "0-0"},
			{"PATCH", "", "01234", "Content-Range: 0-4", 202, "", "0-4"},
			{"PATCH", "", "01234", "Content-Range: 0-4", 416, oci.SizeInvalid, "0-4"},
			{"PATCH", "", "6789", "Content-Range: 6-9", 416, oci.SizeInvalid, "0-4"},
			{"PUT", digest, "6789", "Content-Range: 6-9", 416, oci.SizeInvalid, "0-4"},
			{"GET", "", nil, "", 204, "", "0-4"},
			{"HEAD", "", nil, "", 204, "", "0-4"},
			{"PUT", digest, "56789", "Content-Range: 5-9", 201, "", ""},
			{"GET", "", nil, "", 404, oci.BlobUploadUnknown, ""},
		},
		"digest": {
			{"PUT", "", "0123456789", "", 400, oci.DigestInvalid, ""},
			{"PUT", "?digest=", "0123456789", "", 400, oci.DigestInvalid, ""},
			{"PUT", "?digest=sha256:x", "0123456789", "", 400, oci.DigestInvalid, ""},
			{"PUT", "?digest=md5:d41d8cd98f00b204e9800998ecf8427e", "0123456789", "", 400, oci.DigestInvalid, ""},
			{"GET", "", nil, "", 204, "", "0-0"},
			{"PUT", digest, "012345678x", "", 400, oci.DigestInvalid, ""},
			{"PUT", digest, "0123456789", "", 404, oci.BlobUploadUnknown, ""},
		},
		"cancel": {
			{"PATCH", "", "01234", "", 202, "", "0-4"},
			{"DELETE", "", nil, "", 204, "", ""},
			{"DELETE", "", nil, "", 404, oci.BlobUploadUnknown, ""},
			{"PATCH", "", "01234", "", 404, oci.BlobUploadUnknown, ""},
			{"GET", "", nil, "", 404, oci.BlobUploadUnknown, ""},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, newFake(), ocihttp.Options{StallTimeout: time.Minute})
			location := s.start("a")
			for i, step := range steps {
				header := []string{}
				if step.header != "" {
					header = strings.Split(step.header, "\n")
				}
				r := s.do(step.method, location+step.query, step.body, header...)
				if r.StatusCode != step.status {
					t.Fatalf("step %d: %d %s", i, r.StatusCode, r.body)
				}
				r.want(t, step.status, step.code)
				if step.at != "" {
					r.header(t, "Range", step.at).header(t, "Location", location)
				}
			}
		})
	}
}

func TestStartUploadErrors(t *testing.T) {
	f := newFake()
	s := serve(t, f, ocihttp.Options{})
	for query, code := range map[string]oci.Code{
		"?digest=x":                     oci.DigestInvalid,
		"?digest=":                      oci.DigestInvalid,
		"?digest=" + someDigest:         oci.DigestInvalid,
		"?mount=x":                      oci.DigestInvalid,
		"?mount=&from=b":                oci.DigestInvalid,
		"?digest-algorithm=md5":         oci.DigestInvalid,
		"?digest-algorithm=sha256":      "",
		"?digest-algorithm=sha512":      "",
		"?mount=" + someDigest:          "",
		"?unknown=x":                    "",
		"?" + strings.Repeat("x", 9000): oci.SizeInvalid,
	} {
		r := s.do("POST", "/v2/a/blobs/uploads/"+query, "content")
		switch code {
		case "":
			r.want(t, 202, "")
		case oci.SizeInvalid:
			r.want(t, 414, code)
		default:
			r.want(t, 400, code)
		}
	}
	f.minChunk = 5 << 20
	s.do("POST", "/v2/a/blobs/uploads/", nil).want(t, 202, "").header(t, "OCI-Chunk-Min-Length", "5242880")
	s.do("POST", "/v2/a/blobs/uploads", nil).want(t, 202, "")
}

func TestMount(t *testing.T) {
	f := newFake()
	withImage(f)
	s := serve(t, f, ocihttp.Options{})
	d := string(digestOf("layer", ""))
	for query, want := range map[string]int{
		"?mount=" + d + "&from=a":                  201,
		"?from=a&mount=" + d:                       201,
		"?mount=" + d:                              202,
		"?mount=" + d + "&from=":                   202,
		"?mount=" + d + "&from=b":                  202,
		"?mount=" + d + "&from=..%2Fa":             202,
		"?mount=" + someDigest + "&from=a":         202,
		"?mount=" + d + "&from=b&digest=" + d:      202,
		"?mount=" + d + "&from=a&origin=x&ns=y":    201,
		"?digest-algorithm=sha256&mount=" + d + "": 202,
	} {
		r := s.do("POST", "/v2/c/blobs/uploads/"+query, nil).want(t, want, "")
		if want == 201 {
			s.pushed(r, "c", "layer", "")
		} else if !strings.HasPrefix(r.Header.Get("Location"), "/v2/c/blobs/uploads/upload-") {
			t.Errorf("%s: %s", query, r.Header.Get("Location"))
		}
	}
	f.failing("MountBlob", oci.Errorf(oci.Unavailable, "not now"))
	s.do("POST", "/v2/c/blobs/uploads/?mount="+d+"&from=a", nil).want(t, 503, oci.Unavailable)
}

func TestPushManifest(t *testing.T) {
	f := newFake()
	withImage(f)
	s := serve(t, f, ocihttp.Options{StallTimeout: time.Minute})
	body := image("layer", `,"annotations":{"a":"b"}`)
	for _, like := range []oci.Digest{"sha256:", "sha512:"} {
		d := string(digestOf(body, like))
		r := s.do("PUT", "/v2/a/manifests/"+d, body, "Content-Type: "+oci.MediaTypeManifest+"; charset=utf-8").want(t, 201, "").
			header(t, "Location", "/v2/a/manifests/"+d).header(t, "Docker-Content-Digest", d).header(t, "OCI-Subject", "").header(t, "OCI-Tag", "").
			header(t, "Content-Length", "0")
		if got := s.do("GET", r.Header.Get("Location"), nil).want(t, 200, "").header(t, "Content-Type", oci.MediaTypeManifest); got.body != body {
			t.Fatalf("%q", got.body)
		}
	}
	d := string(digestOf(body, ""))
	s.do("PUT", "/v2/a/manifests/v2", unsized(body)).want(t, 201, "").header(t, "Location", "/v2/a/manifests/"+d).header(t, "OCI-Tag", "")
	s.do("GET", "/v2/a/manifests/v2", nil).want(t, 200, "").header(t, "Content-Type", oci.MediaTypeManifest)
	s.do("PUT", "/v2/a/manifests/v2?tag=v3", body).want(t, 201, "").header(t, "OCI-Tag", "")
	s.do("GET", "/v2/a/manifests/v3", nil).want(t, 404, oci.ManifestUnknown)

	s.do("PUT", "/v2/a/manifests/v2", body, "Content-Type: "+oci.MediaTypeIndex).want(t, 400, oci.ManifestInvalid)
	s.do("PUT", "/v2/a/manifests/v2", "{").want(t, 400, oci.ManifestInvalid)
	s.do("PUT", "/v2/a/manifests/v2", nil).want(t, 400, oci.ManifestInvalid)
	s.do("PUT", "/v2/a/manifests/"+someDigest, body).want(t, 400, oci.DigestInvalid)
	s.do("PUT", "/v2/a/manifests/sha256:baddigeststring", body).want(t, 400, oci.DigestInvalid)
	s.do("PUT", "/v2/a/manifests/-", body).want(t, 400, oci.ManifestInvalid)
	e := s.do("PUT", "/v2/a/manifests/v2", image("other", "")).want(t, 404, oci.ManifestBlobUnknown).error(t)
	if got := fmt.Sprint(e.Detail); !strings.Contains(got, string(digestOf("other", ""))) {
		t.Errorf("detail %s", got)
	}
}

// The warning is in the form of the specification's "Warnings", and no longer for much that is absent than for little.
func TestWarnsOfWhatIsAbsent(t *testing.T) {
	f := newFake()
	withImage(f)
	s := serve(t, f, ocihttp.Options{})
	one, long := digestOf("one", ""), digestOf("one", "sha512:")
	many := append(slices.Repeat([]oci.Digest{one}, 9999), long)
	for want, absent := range map[string][]oci.Digest{
		"": nil,
		`299 - "the manifest lists ` + string(one) + `, which is not in this repository"`:                {one},
		`299 - "the manifest lists ` + string(long) + ` and 1 more, which are not in this repository"`:   {long, one},
		`299 - "the manifest lists ` + string(one) + ` and 9999 more, which are not in this repository"`: many,
	} {
		f.absent = absent
		s.do("PUT", "/v2/a/manifests/v1", image("layer", "")).want(t, 201, "").header(t, "Warning", want)
	}
}

func TestSubject(t *testing.T) {
	f := newFake()
	withImage(f)
	s := serve(t, f, ocihttp.Options{})
	subject := string(digestOf("a subject that is not there", ""))
	for _, field := range []string{`"subject"`, `"\u0073ubject"`} {
		body := image("layer", `,`+field+`:`+descriptor("a subject that is not there"))
		s.do("PUT", "/v2/a/manifests/v1", body, "Content-Type: "+oci.MediaTypeManifest).want(t, 201, "").header(t, "OCI-Subject", subject)
	}
	s.do("PUT", "/v2/a/manifests/v1", image("layer", `,"annotations":{"subject":"x"}`)).want(t, 201, "").header(t, "OCI-Subject", "")
}

func TestTagParameters(t *testing.T) {
	f := newFake()
	withImage(f)
	s := serve(t, f, ocihttp.Options{})
	body := image("layer", `,"annotations":{"a":"b"}`)
	path := "/v2/a/manifests/" + string(digestOf(body, "sha512:"))
	s.do("PUT", path+"?tag=1.2.3&tag=1.2&tag=1.2&tag=latest", body).want(t, 201, "").header(t, "OCI-Tag", "1.2.3, 1.2, latest")
	for _, tag := range []string{"1.2.3", "1.2", "latest"} {
		s.do("HEAD", "/v2/a/manifests/"+tag, nil).want(t, 200, "").header(t, "Docker-Content-Digest", string(digestOf(body, "sha512:")))
	}
	ten := ""
	for i := range 10 {
		ten += fmt.Sprintf("&tag=t%d", i)
	}
	s.do("PUT", path+"?"+ten[1:], body).want(t, 201, "")
	s.do("PUT", path+"?tag=t10"+ten, body).want(t, 414, oci.SizeInvalid)
	s.do("PUT", path+"?tag=ok&tag=-", body).want(t, 400, oci.ManifestInvalid)
	s.do("PUT", path+"?tag=", body).want(t, 400, oci.ManifestInvalid)
	s.do("GET", "/v2/a/manifests/ok", nil).want(t, 404, oci.ManifestUnknown)
}

func TestPushConditions(t *testing.T) {
	f := newFake()
	_, first := withImage(f)
	s := serve(t, f, ocihttp.Options{})
	body := image("layer", `,"annotations":{"a":"b"}`)
	second := digestOf(body, "")
	quoted := func(d oci.Digest) string { return `"` + string(d) + `"` }
	for _, c := range []struct {
		ref, header string
		want        int
	}{
		{"v1", "If-None-Match: *", 412},
		{"v1", "If-Match: " + quoted(second), 412},
		{"v1", "If-Match: W/" + quoted(first), 412},
		{"v1", "If-Match: *", 412},
		{"v1", "If-Match: " + string(first), 412},
		{"v1", "If-Match: " + quoted(first) + ", " + quoted(second), 412},
		{"v1", "If-Match: ", 412},
		{"v1", "If-None-Match: " + quoted(second), 412},
		{string(second), "If-None-Match: *", 412},
		{"new", "If-Match: " + quoted(first), 412},
		{"new", "If-None-Match:  * ", 201},
		{"new", "If-None-Match: *", 412},
		{"v1", "If-Match: " + quoted(first), 201},
		{"v1", "If-Match: " + quoted(first), 412},
		{"v1", "If-Match: " + quoted(second), 201},
	} {
		r := s.do("PUT", "/v2/a/manifests/"+c.ref, body, c.header)
		if c.want == 412 {
			r.want(t, 412, oci.Denied)
		} else {
			r.want(t, c.want, "")
		}
	}
	s.do("PUT", "/v2/a/manifests/both", body, "If-None-Match: *", "If-Match: "+quoted(first)).want(t, 412, oci.Denied)
}

func TestManifestSize(t *testing.T) {
	f := newFake()
	s := serve(t, f, ocihttp.Options{})
	full := `{"x":"` + strings.Repeat("x", oci.MaxManifest-8) + `"}`
	s.do("PUT", "/v2/a/manifests/full", full).want(t, 201, "")
	s.do("PUT", "/v2/a/manifests/full", unsized(full)).want(t, 201, "")
	if r := s.do("GET", "/v2/a/manifests/full", nil).want(t, 200, ""); r.body != full {
		t.Errorf("%d bytes", len(r.body))
	}
	for _, body := range []any{full + " ", unsized(full + " "), full + full[:1<<20], unsized(full + full)} {
		e := s.do("PUT", "/v2/a/manifests/over", body).want(t, 413, oci.SizeInvalid).error(t)
		if !strings.Contains(e.Message, "4194304") {
			t.Errorf("the limit is not in %q", e.Message)
		}
	}
	s.do("GET", "/v2/a/manifests/over", nil).want(t, 404, oci.ManifestUnknown)
}

func TestDelete(t *testing.T) {
	f := newFake()
	_, d := withImage(f)
	s := serve(t, f, ocihttp.Options{})
	layer := "/v2/a/blobs/" + string(digestOf("layer", ""))
	s.do("DELETE", layer, nil).want(t, 405, oci.Denied).header(t, "Allow", "GET, HEAD")
	s.do("DELETE", "/v2/a/manifests/v1", nil).want(t, 202, "").header(t, "Content-Length", "0")
	s.do("DELETE", "/v2/a/manifests/v1", nil).want(t, 404, oci.ManifestUnknown)
	s.do("GET", "/v2/a/manifests/"+string(d), nil).want(t, 200, "")
	s.do("DELETE", "/v2/a/manifests/"+string(d), nil).want(t, 202, "").header(t, "Content-Length", "0")
	s.do("DELETE", "/v2/a/manifests/"+string(d), nil).want(t, 404, oci.ManifestUnknown)
	s.do("DELETE", layer, nil).want(t, 202, "").header(t, "Content-Length", "0")
	s.do("DELETE", layer, nil).want(t, 404, oci.BlobUnknown)
	s.do("DELETE", "/v2/a/manifests/-", nil).want(t, 404, oci.ManifestUnknown)
	s.do("DELETE", "/v2/a/manifests/sha256:x", nil).want(t, 400, oci.DigestInvalid)
	s.do("DELETE", "/v2/a/blobs/v1", nil).want(t, 400, oci.DigestInvalid)
}

// Manifests are held in memory while they are pushed, but not any number of them.
func TestManyLargeManifests(t *testing.T) {
	const most = 16
	f := newFake()
	arrived, release := make(chan struct{}), make(chan struct{})
	var calls atomic.Int64
	f.before = func(_ context.Context, call string) {
		if call == "PushManifest" && calls.Add(1) <= most {
			arrived <- struct{}{}
			<-release
		}
	}
	s := serve(t, f, ocihttp.Options{})
	large := "{" + strings.Repeat(" ", oci.MaxManifest-2) + "}"
	done := make(chan int, most)
	for range most {
		go func() {
			r, err := s.try("PUT", "/v2/a/manifests/v1", large)
			if err != nil {
				t.Error(err)
			}
			done <- r.StatusCode
		}()
	}
	for range most {
		<-arrived
	}
	s.do("PUT", "/v2/a/manifests/v2", large).want(t, 503, oci.Unavailable).header(t, "Retry-After", "1")
	s.do("PUT", "/v2/a/manifests/v2", unsized(large)).want(t, 503, oci.Unavailable)
	s.do("GET", "/v2/a/manifests/v2", nil).want(t, 404, oci.ManifestUnknown)
	s.do("PUT", "/v2/a/manifests/v3", "{}").want(t, 201, "")
	close(release)
	for range most {
		if status := <-done; status != 201 {
			t.Errorf("status %d", status)
		}
	}
	s.do("PUT", "/v2/a/manifests/v2", large).want(t, 201, "")
}
