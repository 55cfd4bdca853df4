// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"tare/internal/clock"
)

// timed is a connection whose deadlines can be looked at.
type timed struct {
	*httptest.ResponseRecorder
	read, write time.Time
}

func (c *timed) SetReadDeadline(t time.Time) error {
	c.read = t
	return nil
}

func (c *timed) SetWriteDeadline(t time.Time) error {
	c.write = t
	return nil
}

// built is a server that serves no requests yet but those that a test hands to its handlers.
func built(t *testing.T, args ...string) (*server, *clock.Manual) {
	t.Helper()
	cli, err := parse(t, append([]string{"serve", "--listen", "127.0.0.1:0", "--data", shortFolder(t)}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	a, err := cli.Serve.access()
	if err != nil {
		t.Fatal(err)
	}
	m, manual := newMetrics(), testClock()
	c := &console{clock: manual, log: discardLog()}
	d, err := cli.Serve.openDoors(c, a)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.close)
	f, err := openFolder(cli.Serve.Data, cli.Serve.margins(), manual, m.measure(manual))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	s, err := cli.Serve.server(c, d, f, m)
	if err != nil {
		t.Fatal(err)
	}
	return s, manual
}

// Nobody holds a connection for longer by asking what the server answers without the registry: neither with a body that
// does not come nor by taking no answer.
func TestBriefAnswers(t *testing.T) {
	s, c := built(t, "--metrics-listen", "127.0.0.1:0", "--htpasswd", htpasswdOf(t, "writer"), "--anonymous-pull")
	tests := []struct {
		front        *front
		method, path string
	}{
		{s.public, http.MethodPost, "/token"},
		{s.public, http.MethodPost, "/healthz"},
		{s.public, http.MethodGet, "/readyz"},
		{s.metrics, http.MethodGet, "/metrics"},
		{s.metrics, http.MethodPost, "/nothing"},
	}
	for _, tt := range tests {
		for body, read := range map[string]time.Time{"": {}, "x": c.Now().Add(briefTimeout)} {
			conn := &timed{ResponseRecorder: httptest.NewRecorder()}
			var content io.Reader
			if body != "" {
				content = strings.NewReader(body)
			}
			tt.front.http.Handler.ServeHTTP(conn, httptest.NewRequest(tt.method, tt.path, content))
			if want := c.Now().Add(briefTimeout); !conn.write.Equal(want) || !conn.read.Equal(read) {
				t.Errorf("%s %s with a body of %d bytes: deadlines %v and %v, want %v and %v", tt.method, tt.path, len(body), conn.read, conn.write, read, want)
			}
		}
	}
}

func TestReadiness(t *testing.T) {
	s, _ := built(t)
	ready := func() (int, string) {
		w := httptest.NewRecorder()
		s.public.http.Handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz", nil))
		return w.Code, w.Body.String()
	}
	if code, text := ready(); code != http.StatusOK || text != "ready\n" {
		t.Errorf("got %d %s", code, text)
	}
	if err := s.folder.Close(); err != nil {
		t.Fatal(err)
	}
	if code, text := ready(); code != http.StatusServiceUnavailable || !strings.Contains(text, "cannot be read") {
		t.Errorf("without its folder: %d %s", code, text)
	}
}
