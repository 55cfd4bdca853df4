// SPDX-License-Identifier: Apache-2.0

package ocihttp_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"tare/internal/oci"
	"tare/internal/ocihttp"
)

// BenchmarkServe measures requests over one keep-alive connection per processor, by a client that does next to nothing.
func BenchmarkServe(b *testing.B) {
	f := newFake()
	f.dir = b.TempDir()
	blob := strings.Repeat("x", 16<<10)
	layer := digestOf(blob, "")
	f.repo("library/app").blobs[layer] = blob
	body := `{"schemaVersion":2,"layers":[` + descriptor(blob) + `],"x":"` + strings.Repeat("x", 1100) + `"}`
	d := digestOf(body, "")
	f.repo("library/app").manifests[d] = oci.Content{Descriptor: oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: d, Size: int64(len(body))}, Body: body}
	f.repo("library/app").tags["latest"] = d
	for name, c := range map[string]struct {
		handler http.Handler
		request string
	}{
		"hello": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header()["Content-Type"] = []string{"text/plain"}
			w.Header()["Content-Length"] = []string{"1200"}
			io.WriteString(w, body[:1200])
		}), "GET / HTTP/1.1\r\n"},
		"manifest GET":  {ocihttp.New(f, ocihttp.Options{}), "GET /v2/library/app/manifests/latest HTTP/1.1\r\n"},
		"manifest HEAD": {ocihttp.New(f, ocihttp.Options{}), "HEAD /v2/library/app/manifests/latest HTTP/1.1\r\n"},
		"with deadlines": {ocihttp.New(f, ocihttp.Options{StallTimeout: time.Minute, Observe: func(ocihttp.Observation) {}}),
			"GET /v2/library/app/manifests/latest HTTP/1.1\r\n"},
		"blob HEAD": {ocihttp.New(f, ocihttp.Options{}), "HEAD /v2/library/app/blobs/" + string(layer) + " HTTP/1.1\r\n"},
		"missing":   {ocihttp.New(f, ocihttp.Options{}), "HEAD /v2/library/app/blobs/" + someDigest + " HTTP/1.1\r\n"},
	} {
		b.Run(name, func(b *testing.B) {
			s := httptest.NewServer(c.handler)
			defer s.Close()
			b.ReportAllocs()
			b.SetParallelism(4)
			b.RunParallel(func(pb *testing.PB) {
				conn, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					b.Error(err)
					return
				}
				defer conn.Close()
				r := bufio.NewReader(conn)
				for pb.Next() {
					if err := roundTrip(conn, r, c.request); err != nil {
						b.Error(err)
						return
					}
				}
			})
		})
	}
}

// roundTrip sends one request without a body and reads the answer away.
func roundTrip(conn net.Conn, r *bufio.Reader, request string) error {
	if _, err := io.WriteString(conn, request+"Host: x\r\nAccept: */*\r\n\r\n"); err != nil {
		return err
	}
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if v, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
			if length, err = strconv.Atoi(strings.TrimSpace(v)); err != nil {
				return fmt.Errorf("%q: %w", line, err)
			}
		}
	}
	if strings.HasPrefix(request, "HEAD") {
		return nil
	}
	_, err := r.Discard(length)
	return err
}

// nowhere is a connection that takes everything at once.
type nowhere struct{ header http.Header }

func (n nowhere) Header() http.Header             { return n.header }
func (nowhere) WriteHeader(int)                   {}
func (nowhere) Write(p []byte) (int, error)       { return len(p), nil }
func (nowhere) WriteString(s string) (int, error) { return len(s), nil }

// BenchmarkHandler measures the handler without a server.
func BenchmarkHandler(b *testing.B) {
	f := newFake()
	_, d := withImage(f)
	for name, h := range map[string]http.Handler{"plain": ocihttp.New(f, ocihttp.Options{}), "observed": ocihttp.New(f, ocihttp.Options{Observe: func(ocihttp.Observation) {}})} {
		for _, path := range []string{"/v2/a/manifests/v1", "/v2/a/manifests/" + string(d), "/v2/a/blobs/" + string(digestOf("layer", "")), "/v2/a/blobs/" + someDigest} {
			for _, method := range []string{"GET", "HEAD"} {
				b.Run(name+" "+method+" "+path, func(b *testing.B) {
					r := httptest.NewRequest(method, path, nil)
					w := nowhere{http.Header{}}
					b.ReportAllocs()
					for b.Loop() {
						clear(w.header)
						h.ServeHTTP(w, r)
					}
				})
			}
		}
	}
}
