// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
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

// Nobody holds a connection for longer by asking what the server answers without the registry: neither with a body that
// does not come nor by taking no answer.
func TestBriefAnswers(t *testing.T) {
	cli, err := parse(t, "serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0", "--data", shortFolder(t),
		"--htpasswd", htpasswdOf(t, "writer"), "--anonymous-pull")
	if err != nil {
		t.Fatal(err)
	}
	a, err := cli.Serve.access()
	if err != nil {
		t.Fatal(err)
	}
	m := newMetrics()
	c := testClock()
	f, err := openFolder(cli.Serve.Data, cli.Serve.margins(), c, m.measure(c))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := cli.Serve.server(t.Context(), &console{clock: c, log: discardLog()}, a, f, m)
	if err != nil {
		t.Fatal(err)
	}
	s.drain.begun = true
	tests := []struct {
		front        *front
		method, path string
	}{
		{s.public, http.MethodPost, "/token"},
		{s.public, http.MethodPost, "/healthz"},
		{s.public, http.MethodGet, "/readyz"},
		{s.public, http.MethodPost, "/v2/app/blobs/uploads/"},
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
