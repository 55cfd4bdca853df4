// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// lockedBuffer is a buffer that a server writes while a test reads.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// running is a server that was started as from the command line.
type running struct {
	t      *testing.T
	url    string
	log    *lockedBuffer
	cancel context.CancelFunc
	code   chan int
}

// start serves the folder until the test ends.
func start(t *testing.T, data string, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &running{t: t, log: new(lockedBuffer), cancel: cancel, code: make(chan int, 1)}
	r, w := io.Pipe()
	go func() {
		defer w.Close()
		s.code <- run(ctx, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data}, args...), nil, w, s.log)
	}()
	t.Cleanup(func() { s.stop() })
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if _, url, ok := strings.Cut(lines.Text(), " at "); ok && strings.HasPrefix(lines.Text(), "Tare ") {
			s.url = url
			go func() { _, _ = io.Copy(io.Discard, r) }() // what follows is for people
			return s
		}
	}
	t.Fatalf("the server did not start:\n%s", s.log)
	return nil
}

// stop tells the server to stop, waits until it has, and returns its exit code.
func (s *running) stop() int {
	s.cancel()
	code := <-s.code
	s.code <- code
	return code
}

// reply is a response that was read.
type reply struct {
	*http.Response
	body string
}

// ask sends a request; user is "name:password" or "".
func (s *running) ask(method, path, user string, body io.Reader, header ...string) reply {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	if name, password, ok := strings.Cut(user, ":"); ok {
		r.SetBasicAuth(name, password)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{resp, string(b)}
}

// want fails the test when the answer has another status.
func (s *running) want(a reply, status int) reply {
	s.t.Helper()
	if a.StatusCode != status {
		s.t.Fatalf("%s %s: got %d, want %d: %s", a.Request.Method, a.Request.URL, a.StatusCode, status, a.body)
	}
	return a
}

func digestOf(content string) string { return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(content))) }

// pushBlob uploads a blob in one request.
func (s *running) pushBlob(repo, content string) string {
	s.t.Helper()
	d := digestOf(content)
	s.want(s.ask(http.MethodPost, "/v2/"+repo+"/blobs/uploads/?digest="+d, "", strings.NewReader(content), "Content-Type", "application/octet-stream"), http.StatusCreated)
	return d
}

// pushImage pushes an image of one layer under a tag and returns its digest.
func (s *running) pushImage(repo, tag, layer string) string { return s.pushNoted(repo, tag, layer, "") }

// config is the config of every image here, small enough for the table.
const config = `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]}}`

// pushNoted pushes an image whose manifest has a note in it.
func (s *running) pushNoted(repo, tag, layer, note string) string {
	s.t.Helper()
	const kind = "application/vnd.oci.image.manifest.v1+json"
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     kind,
		"config":        map[string]any{"mediaType": "application/vnd.oci.image.config.v1+json", "digest": s.pushBlob(repo, config), "size": len(config)},
		"layers": []any{
			map[string]any{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": s.pushBlob(repo, layer), "size": len(layer)},
		},
		"annotations": map[string]string{"note": note},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	s.want(s.ask(http.MethodPut, "/v2/"+repo+"/manifests/"+tag, "", bytes.NewReader(manifest), "Content-Type", kind), http.StatusCreated)
	return digestOf(string(manifest))
}

// pulls fails the test unless the image and its layer can be pulled.
func (s *running) pulls(repo, reference, layer string) {
	s.t.Helper()
	s.want(s.ask(http.MethodGet, "/v2/"+repo+"/manifests/"+reference, "", nil), http.StatusOK)
	if a := s.want(s.ask(http.MethodGet, "/v2/"+repo+"/blobs/"+digestOf(layer), "", nil), http.StatusOK); a.body != layer {
		s.t.Fatalf("a layer of %d bytes came back with %d others", len(layer), len(a.body))
	}
}

// largeLayer is a layer that is kept in a file.
func largeLayer(seed string) string { return strings.Repeat(seed, 2*inlineLimit/len(seed)) }

// shortFolder is the path of a data folder that does not exist yet.
func shortFolder(t *testing.T) string {
	t.Helper()
	return filepath.Join(t.TempDir(), "data")
}
