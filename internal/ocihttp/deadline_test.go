// SPDX-License-Identifier: Apache-2.0

package ocihttp_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/ocihttp"
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

// While a body comes, the deadline is always ahead. Once it is complete, the registry may
// take as long as it likes: no deadline is left that would look like a client that went away.
func TestReadDeadline(t *testing.T) {
	const stall = 10 * time.Second
	f := newFake()
	c := clock.NewManual(time.Unix(1e9, 0))
	conn := &timed{ResponseRecorder: httptest.NewRecorder()}
	f.before = func(_ context.Context, call string) {
		if call == "PushManifest" && !conn.read.IsZero() {
			t.Errorf("a deadline of %v after the end of the body", conn.read)
		}
	}
	h := ocihttp.New(f, ocihttp.Options{StallTimeout: stall, Clock: c})
	rest := "{" + strings.Repeat(" ", 60) + "}"
	r := httptest.NewRequest("PUT", "/v2/a/manifests/v1", readerFunc(func(p []byte) (int, error) {
		if ahead := conn.read.Sub(c.Now()); ahead < stall-stall/8 || ahead > stall {
			t.Errorf("a deadline %v ahead", ahead)
		}
		if rest == "" {
			return 0, io.EOF
		}
		p[0], rest = rest[0], rest[1:]
		c.Advance(time.Duration(len(rest)%40) * stall / 50)
		return 1, nil
	}))
	r.ContentLength = -1
	h.ServeHTTP(conn, r)
	if conn.Code != http.StatusCreated {
		t.Errorf("%d %s", conn.Code, conn.Body)
	}
}

// A deadline that was missed stays, so that the server does not wait for the rest of the body.
func TestReadDeadlineMissed(t *testing.T) {
	conn := &timed{ResponseRecorder: httptest.NewRecorder()}
	h := ocihttp.New(newFake(), ocihttp.Options{StallTimeout: time.Second, Clock: clock.NewManual(time.Unix(1e9, 0))})
	r := httptest.NewRequest("PUT", "/v2/a/manifests/v1", readerFunc(func([]byte) (int, error) { return 0, errors.New("i/o timeout") }))
	r.ContentLength = -1
	h.ServeHTTP(conn, r)
	if conn.Code != http.StatusBadRequest || !conn.read.Equal(time.Unix(1e9+1, 0)) {
		t.Errorf("%d, deadline %v", conn.Code, conn.read)
	}
}

// A manifest may not take as long as it likes, however steadily it comes: it is held in memory meanwhile.
func TestReadDeadlineOfManifest(t *testing.T) {
	const most = 5 * time.Minute
	for _, stall := range []time.Duration{0, 10 * time.Second, time.Hour} {
		c := clock.NewManual(time.Unix(1e9, 0))
		begun := c.Now()
		conn := &timed{ResponseRecorder: httptest.NewRecorder()}
		r := httptest.NewRequest("PUT", "/v2/a/manifests/v1", readerFunc(func(p []byte) (int, error) {
			if conn.read.IsZero() || conn.read.Sub(begun) > most {
				t.Fatalf("a deadline of %v after %v", conn.read, c.Now().Sub(begun))
			}
			if c.Advance(3 * time.Second); !c.Now().Before(conn.read) {
				return 0, os.ErrDeadlineExceeded
			}
			p[0] = ' '
			return 1, nil
		}))
		r.ContentLength = -1
		ocihttp.New(newFake(), ocihttp.Options{StallTimeout: stall, Clock: c}).ServeHTTP(conn, r)
		if took := c.Now().Sub(begun); conn.Code != http.StatusBadRequest || took != most || !strings.Contains(conn.Body.String(), "the body took too long: 99 bytes") {
			t.Errorf("stall timeout %v: %d %s after %v", stall, conn.Code, conn.Body, took)
		}
	}
}

// What nobody wants may not take as long as it likes: one deadline stands for all that is left of it.
func TestReadDeadlineOfRest(t *testing.T) {
	const stall = 10 * time.Second
	c := clock.NewManual(time.Unix(1e9, 0))
	conn := &timed{ResponseRecorder: httptest.NewRecorder()}
	begun, n := c.Now(), 0
	r := httptest.NewRequest("PUT", "/v2/a/manifests/-", readerFunc(func(p []byte) (int, error) {
		if !conn.read.Equal(begun.Add(stall)) {
			t.Errorf("a deadline of %v after %d bytes", conn.read, n)
		}
		if n++; n == 20 {
			return 0, errors.New("i/o timeout")
		}
		c.Advance(stall / 3)
		return 1, nil
	}))
	r.ContentLength = 1000
	ocihttp.New(newFake(), ocihttp.Options{StallTimeout: stall, Clock: c}).ServeHTTP(conn, r)
	if conn.Code != http.StatusBadRequest || n != 20 {
		t.Errorf("%d after %d reads", conn.Code, n)
	}
}

// The deadline of a download is moved with every slice, and covers small answers, too.
func TestWriteDeadline(t *testing.T) {
	const stall = 10 * time.Second
	f := newFake()
	withImage(f)
	d := digestOf("layer", "")
	f.size = 10 << 20
	c := clock.NewManual(time.Unix(1e9, 0))
	conn := &timed{ResponseRecorder: httptest.NewRecorder()}
	last := int64(0)
	f.content = func() io.ReadCloser {
		return io.NopCloser(readerFunc(func(p []byte) (int, error) {
			if ahead := conn.write.Sub(c.Now()); ahead <= 0 {
				t.Fatalf("a deadline %v ahead after %d bytes", ahead, last)
			}
			last += int64(len(p))
			c.Advance(stall / 20 * time.Duration(len(p)) / (64 << 10))
			return len(p), nil
		}))
	}
	h := ocihttp.New(f, ocihttp.Options{StallTimeout: stall, Clock: c})
	h.ServeHTTP(conn, httptest.NewRequest("GET", "/v2/a/blobs/"+string(d), nil))
	if conn.Code != http.StatusOK || conn.Body.Len() != 10<<20 {
		t.Errorf("%d, %d bytes", conn.Code, conn.Body.Len())
	}
	for _, path := range []string{"/v2/", "/v2/a/manifests/v1", "/v2/a/manifests/none"} {
		conn := &timed{ResponseRecorder: httptest.NewRecorder()}
		h.ServeHTTP(conn, httptest.NewRequest("GET", path, nil))
		if want := c.Now().Add(stall); !conn.write.Equal(want) {
			t.Errorf("%s: deadline %v, want %v", path, conn.write, want)
		}
	}
}
