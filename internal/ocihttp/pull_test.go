// SPDX-License-Identifier: Apache-2.0

package ocihttp_test

import (
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"tare/internal/oci"
	"tare/internal/ocihttp"
)

func TestBase(t *testing.T) {
	s := serve(t, newFake(), ocihttp.Options{})
	r := s.do("GET", "/v2/", nil).want(t, 200, "").header(t, "Docker-Distribution-API-Version", "registry/2.0")
	if r.body != "{}" {
		t.Errorf("%q", r.body)
	}
	s.do("HEAD", "/v2/", nil).want(t, 200, "").header(t, "Content-Length", "2")
}

func TestPullManifest(t *testing.T) {
	f := newFake()
	manifest, d := withImage(f)
	s := serve(t, f, ocihttp.Options{StallTimeout: time.Minute})
	for _, ref := range []string{"v1", string(d), strings.Replace(string(d), ":", "%3A", 1)} {
		for _, method := range []string{"GET", "HEAD"} {
			r := s.do(method, "/v2/a/manifests/"+ref, nil).want(t, 200, "")
			r.header(t, "Content-Type", oci.MediaTypeManifest).header(t, "Docker-Content-Digest", string(d)).
				header(t, "Etag", `"`+string(d)+`"`).header(t, "Content-Length", fmt.Sprint(len(manifest)))
			if method == "GET" && r.body != manifest || method == "HEAD" && r.body != "" {
				t.Errorf("%s %s: %q", method, ref, r.body)
			}
		}
	}
	s.do("GET", "/v2/a/manifests/v2", nil).want(t, 404, oci.ManifestUnknown)
	s.do("GET", "/v2/a/manifests/"+someDigest, nil).want(t, 404, oci.ManifestUnknown)
	s.do("GET", "/v2/b/manifests/v1", nil).want(t, 404, oci.ManifestUnknown)
	s.do("GET", "/v2/a/manifests/sha256:x", nil).want(t, 400, oci.DigestInvalid)
	s.do("GET", "/v2/a/manifests/-v1", nil).want(t, 404, oci.ManifestUnknown)
	s.do("HEAD", "/v2/a/manifests/-v1", nil).want(t, 404, "")
	s.do("HEAD", "/v2/a/manifests/sha256:x", nil).want(t, 400, "")
	s.do("GET", "/v2/A/manifests/v1", nil).want(t, 400, oci.NameInvalid)
}

// What is pushed as a page of the web is sent as it was pushed, and no browser shows it as a page of the registry's host.
func TestPages(t *testing.T) {
	f := newFake()
	s := serve(t, f, ocihttp.Options{})
	const page = `{"annotations":{"x":"<script>fetch('/v2/_catalog')</script>"}}`
	d := digestOf(page, "")
	s.do("PUT", "/v2/a/manifests/v1", page, "Content-Type: text/html; charset=utf-8").want(t, 201, "")
	s.do("POST", "/v2/a/blobs/uploads/?digest="+string(d), page, "Content-Type: text/html").want(t, 201, "")
	s.do("GET", "/v2/a/manifests/v1", nil).want(t, 200, "").header(t, "Content-Type", "text/html")
	s.do("GET", "/v2/a/blobs/"+string(d), nil).want(t, 200, "").header(t, "Content-Type", "application/octet-stream")
	for _, path := range []string{"/v2/", "/v2/_catalog", "/v2/a/tags/list", "/v2/a/referrers/" + string(d), "/v2/a/manifests/v1", "/v2/a/manifests/" + string(d),
		"/v2/a/manifests/none", "/v2/a/blobs/" + string(d), "/v2/a/blobs/<script>", "/<script>"} {
		for _, method := range []string{"GET", "HEAD", "OPTIONS"} {
			for _, header := range []string{"X: y", "If-None-Match: *", "Range: bytes=0-3"} {
				policy := ""
				if strings.Contains(path, "/manifests/") {
					policy = "default-src 'none'; sandbox"
				}
				s.do(method, path, nil, header).header(t, "X-Content-Type-Options", "nosniff").
					header(t, "Content-Security-Policy", policy)
			}
		}
	}
}

func TestNotModified(t *testing.T) {
	f := newFake()
	_, manifest := withImage(f)
	layer := digestOf("layer", "")
	s := serve(t, f, ocihttp.Options{})
	for path, d := range map[string]oci.Digest{"/v2/a/manifests/v1": manifest, "/v2/a/manifests/" + string(manifest): manifest, "/v2/a/blobs/" + string(layer): layer} {
		tag := `"` + string(d) + `"`
		for header, want := range map[string]int{
			"If-None-Match: " + tag:                         304,
			"If-None-Match: W/" + tag:                       304,
			"If-None-Match: *":                              304,
			`If-None-Match: "x", W/"y" , ` + tag:            304,
			`If-None-Match: "x"`:                            200,
			"If-None-Match: " + string(d):                   200,
			`If-None-Match: "` + someDigest + `"`:           200,
			"If-None-Match: ":                               200,
			"If-Modified-Since: Mon, 01 Jan 2035 00:00 GMT": 200,
		} {
			for _, method := range []string{"GET", "HEAD"} {
				r := s.do(method, path, nil, header).want(t, want, "").header(t, "Etag", tag).header(t, "Docker-Content-Digest", string(d))
				if want == 304 {
					r.header(t, "Content-Length", "").header(t, "Content-Type", "")
				}
			}
		}
		r := s.do("GET", path, nil, `If-None-Match: "x"`, "If-None-Match: "+tag)
		r.want(t, 304, "")
	}
	s.do("GET", "/v2/a/manifests/gone", nil, "If-None-Match: *").want(t, 404, oci.ManifestUnknown)
}

// Small blobs come from memory, others from files; one is larger than a slice.
func TestPullBlob(t *testing.T) {
	for name, size := range map[string]int{"empty": 0, "one byte": 1, "small": 2048, "sniffed": 600, "three slices": 5<<19 + 7} {
		for _, files := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, files %v", name, files), func(t *testing.T) {
				f := newFake()
				if files {
					f.dir = t.TempDir()
				}
				content := strings.Repeat("0123456789abcdef", size/16+1)[:size]
				d := digestOf(content, "")
				f.repo("a").blobs[d] = content
				s := serve(t, f, ocihttp.Options{StallTimeout: time.Minute})
				path := "/v2/a/blobs/" + string(d)
				for _, method := range []string{"GET", "HEAD"} {
					r := s.do(method, path, nil).want(t, 200, "").header(t, "Content-Type", "application/octet-stream").
						header(t, "Docker-Content-Digest", string(d)).header(t, "Etag", `"`+string(d)+`"`).
						header(t, "Accept-Ranges", "bytes").header(t, "Content-Length", fmt.Sprint(size))
					if method == "GET" && r.body != content {
						t.Errorf("%d bytes, not the content", len(r.body))
					}
				}
				if size < 100 {
					s.do("GET", path, nil, "Range: bytes=0-").want(t, map[bool]int{true: 206, false: 200}[size > 0], "")
					return
				}
				for header, want := range map[string][2]int{"Range: bytes=50-99": {50, 100}, "Range: bytes=50-": {50, size}, "Range: bytes=-50": {size - 50, size},
					"Range: bytes=99-999999999": {99, size}, "Range: bytes=0-0": {0, 1}} {
					r := s.do("GET", path, nil, header).want(t, 206, "").header(t, "Content-Length", fmt.Sprint(want[1]-want[0])).
						header(t, "Content-Range", fmt.Sprintf("bytes %d-%d/%d", want[0], want[1]-1, size))
					if r.body != content[want[0]:want[1]] {
						t.Errorf("%s: %d bytes, not the range", header, len(r.body))
					}
				}
				for header, want := range map[string]int{"bytes=1-2,4-5": 200, "lines=1-2": 200, "bytes=50-0": 416, "bytes=999999999-": 416, "bytes=x": 416} {
					r := s.do("GET", path, nil, "Range: "+header)
					if want == 416 {
						r.want(t, 416, oci.SizeInvalid).header(t, "Content-Range", fmt.Sprintf("bytes */%d", size)).header(t, "Etag", "")
					} else if r.want(t, 200, "").body != content {
						t.Errorf("%s: %d bytes, not the content", header, len(r.body))
					}
				}
				for value, want := range map[string]int{`"` + string(d) + `"`: 206, `W/"` + string(d) + `"`: 200, `"x"`: 200, "Mon, 01 Jan 2035 00:00:00 GMT": 200} {
					s.do("GET", path, nil, "Range: bytes=1-2", "If-Range: "+value).want(t, want, "")
				}
				s.do("HEAD", path, nil, "Range: bytes=1-2").want(t, 200, "").header(t, "Content-Length", fmt.Sprint(size))
				s.do("GET", path, nil, "Range: bytes=1-2", `If-None-Match: "`+string(d)+`"`).want(t, 304, "")
			})
		}
	}
}

func TestPullBlobErrors(t *testing.T) {
	f := newFake()
	withImage(f)
	s := serve(t, f, ocihttp.Options{})
	layer := "/v2/a/blobs/" + string(digestOf("layer", ""))
	s.do("GET", "/v2/a/blobs/"+someDigest, nil).want(t, 404, oci.BlobUnknown)
	s.do("GET", "/v2/b/blobs/"+string(digestOf("layer", "")), nil).want(t, 404, oci.BlobUnknown)
	s.do("GET", "/v2/a/blobs/sha256:x", nil).want(t, 400, oci.DigestInvalid)
	s.do("GET", "/v2/a/blobs/md5:d41d8cd98f00b204e9800998ecf8427e", nil).want(t, 400, oci.DigestInvalid)
	s.do("GET", "/v2/a/blobs/latest", nil).want(t, 400, oci.DigestInvalid)
	f.failing("Open", oci.Errorf(oci.Unavailable, "not now"))
	s.do("GET", layer, nil).want(t, 503, oci.Unavailable).header(t, "Docker-Content-Digest", "").header(t, "Etag", "")
	s.do("GET", layer, nil, "Range: bytes=0-1").want(t, 503, oci.Unavailable).header(t, "Content-Range", "")
}

func TestRedirect(t *testing.T) {
	f := newFake()
	withImage(f)
	f.location = "https://blobs.example.com/x?signature=a%2Fb&d="
	s := serve(t, f, ocihttp.Options{})
	d := string(digestOf("layer", ""))
	s.do("GET", "/v2/a/blobs/"+d, nil, "Range: bytes=0-1").want(t, 307, "").header(t, "Location", f.location+d).
		header(t, "Content-Length", "0").header(t, "Docker-Content-Digest", d).header(t, "Content-Type", "").header(t, "Cache-Control", "no-store")
	s.do("HEAD", "/v2/a/blobs/"+d, nil).want(t, 307, "").header(t, "Location", f.location+d).
		header(t, "Content-Length", "0").header(t, "Docker-Content-Digest", d).header(t, "Cache-Control", "no-store")
	s.do("GET", "/v2/a/blobs/"+d, nil, `If-None-Match: "`+d+`"`).want(t, 304, "").header(t, "Location", "")
	s.do("HEAD", "/v2/a/blobs/"+d, nil, `If-None-Match: "`+d+`"`).want(t, 304, "").header(t, "Location", "")
}

// An error that answers HEAD has no body, and says so: a client would make room for one of unknown length.
func TestHeadErrors(t *testing.T) {
	s := serve(t, newFake(), ocihttp.Options{})
	for path, want := range map[string]int{"/v2/a/manifests/v1": 404, "/v2/a/blobs/" + someDigest: 404, "/v2/a/blobs/x": 400, "/v2/A/manifests/x": 400,
		"/v2/nothing": 404, "/v2/a/blobs/uploads/": 405} {
		s.do("HEAD", path, nil).want(t, want, "").header(t, "Content-Length", "0").header(t, "Content-Type", "")
	}
}

// fileConn is a connection that notes what is given to its ReadFrom.
type fileConn struct {
	*net.TCPConn
	files chan<- int64
}

func (c *fileConn) ReadFrom(r io.Reader) (int64, error) {
	if l, ok := r.(*io.LimitedReader); ok {
		if _, ok := l.R.(*os.File); ok {
			c.files <- l.N
		}
	}
	return c.TCPConn.ReadFrom(r)
}

type fileListener struct {
	net.Listener
	files chan<- int64
}

func (l fileListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &fileConn{c.(*net.TCPConn), l.files}, nil
}

// A file reaches the connection in the one form that the kernel can send, but for the first 512 bytes, which net/http
// sends with the header.
func TestSendfile(t *testing.T) {
	const size, head = 5<<19 + 7, 512
	f := newFake()
	f.dir = t.TempDir()
	content := strings.Repeat("0123456789abcdef", size/16+1)[:size]
	d := digestOf(content, "")
	f.repo("a").blobs[d] = content
	files := make(chan int64, 10)
	h := httptest.NewUnstartedServer(ocihttp.New(f, ocihttp.Options{StallTimeout: time.Minute, Observe: func(ocihttp.Observation) {}}))
	h.Listener = fileListener{h.Listener, files}
	h.Start()
	defer h.Close()
	s := &server{fake: f, t: t, http: h}
	for header, want := range map[string]int64{"X: y": size, "Range: bytes=1000-": size - 1000} {
		if r := s.do("GET", "/v2/a/blobs/"+string(d), nil, header); int64(len(r.body)) != want {
			t.Fatalf("%d bytes, not %d", len(r.body), want)
		}
		sent := int64(0)
		for len(files) > 0 {
			sent += <-files
		}
		if sent != want-head {
			t.Errorf("%s: %d bytes of a file reached the connection, not %d", header, sent, want-head)
		}
	}
}

// An answer that cannot be completed is cut off, so that no client takes it for the whole.
func TestBlobBreaksOff(t *testing.T) {
	const begun = 100_000
	for name, tail := range map[string]error{"ends early": io.EOF, "fails": io.ErrNoProgress, "panics": nil} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			s := serve(t, f, ocihttp.Options{})
			d := digestOf("layer", "")
			f.repo("a").blobs[d] = "layer"
			f.size = 2 * begun
			f.content = func() io.ReadCloser {
				return io.NopCloser(io.MultiReader(strings.NewReader(strings.Repeat("x", begun)), readerFunc(func([]byte) (int, error) {
					if tail == nil {
						panic("no more")
					}
					return 0, tail
				})))
			}
			if r, err := s.try("GET", "/v2/a/blobs/"+string(d), nil); err == nil || len(r.body) > begun {
				t.Errorf("%d bytes, %v", len(r.body), err)
			}
			if seen := <-s.seen; seen.Status != 200 || seen.Out != begun {
				t.Errorf("observed %+v", seen)
			}
			if log := s.log.String(); strings.Count(log, `"level":"ERROR"`) != 1 || !strings.Contains(log, `"code":"INTERNAL"`) {
				t.Errorf("logged %s", log)
			}
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// A client that goes away while it is sent a blob is nobody's fault.
func TestClientLeavesDownload(t *testing.T) {
	f := newFake()
	d := digestOf("layer", "")
	f.repo("a").blobs[d] = "layer"
	f.size = 1 << 40
	endless := make([]byte, 1<<16)
	f.content = func() io.ReadCloser {
		return io.NopCloser(readerFunc(func(p []byte) (int, error) { return copy(p, endless), nil }))
	}
	s := serve(t, f, ocihttp.Options{})
	conn := s.dial()
	if _, err := io.WriteString(conn, "GET /v2/a/blobs/"+string(d)+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(conn, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Fatal(err)
	}
	if seen := <-s.seen; seen.Out < 1<<20-1000 || seen.Out > 1<<30 {
		t.Errorf("observed %+v", seen)
	}
	if log := s.log.String(); log != "" {
		t.Errorf("logged %s", log)
	}
}

// A client that takes nothing more is given up.
func TestStalledDownload(t *testing.T) {
	f := newFake()
	d := digestOf("layer", "")
	f.repo("a").blobs[d] = "layer"
	f.size = 1 << 40
	endless := make([]byte, 1<<16)
	f.content = func() io.ReadCloser {
		return io.NopCloser(readerFunc(func(p []byte) (int, error) { return copy(p, endless), nil }))
	}
	s := serve(t, f, ocihttp.Options{StallTimeout: 50 * time.Millisecond})
	if _, err := io.WriteString(s.dial(), "GET /v2/a/blobs/"+string(d)+" HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if seen := <-s.seen; seen.Status != 200 {
		t.Errorf("observed %+v", seen)
	}
	if log := s.log.String(); log != "" {
		t.Errorf("logged %s", log)
	}
}
