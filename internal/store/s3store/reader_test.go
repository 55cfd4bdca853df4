// SPDX-License-Identifier: Apache-2.0

package s3store_test

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"tare/internal/store"
)

const content = "0123456789abcdefghijklmnopqrstuvwxyz"

// give serves content from what a request asks for, and ends the connection after n bytes of it.
func give(t *testing.T, etag string, n int) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		if want := r.Header.Get("If-Match"); want != "" && want != etag {
			refuse(412, "PreconditionFailed")(w, r)
			return
		}
		from, status := 0, 200
		if span := r.Header.Get("Range"); span != "" {
			if _, err := fmt.Sscanf(span, "bytes=%d-", &from); err != nil {
				t.Errorf("range %q: %v", span, err)
			}
			status = 206
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(content)-1, len(content)))
		}
		w.Header().Set("ETag", etag)
		w.Header().Set("Content-Length", fmt.Sprint(len(content)-from))
		w.WriteHeader(status)
		if n >= len(content)-from {
			_, _ = io.WriteString(w, content[from:])
			return
		}
		_, _ = io.WriteString(w, content[from:from+n])
		if n > 0 {
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	}
}

func TestAReaderThatIsCutOffGoesOn(t *testing.T) {
	for _, offset := range []int64{0, 7} {
		s, e := open(t, give(t, `"a"`, 5), give(t, `"a"`, 1), give(t, `"a"`, 0), give(t, `"a"`, 100))
		r, err := s.Open(t.Context(), "k", offset, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || string(got) != content[offset:] || r.Close() != nil {
			t.Errorf("from %d: got %q, error %v", offset, got, err)
		}
		if e.count() != 4 {
			t.Errorf("from %d: %d requests", offset, e.count())
		}
	}
}

func TestAReaderGivesUp(t *testing.T) {
	s, e := open(t, give(t, `"a"`, 5), give(t, `"a"`, 0))
	r, err := s.Open(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(r)
	if !errors.Is(err, store.ErrUnavailable) || string(got) != content[:5] {
		t.Errorf("got %q, error %v", got, err)
	}
	if e.count() > 6 {
		t.Errorf("%d requests", e.count())
	}
}

func TestAReaderNeverGoesOnInAnotherObject(t *testing.T) {
	for what, next := range map[string]answer{
		"replaced": give(t, `"b"`, 100),
		"deleted":  refuse(404, "NoSuchKey"),
		"ignoring the range": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("ETag", `"a"`)
			_, _ = io.WriteString(w, content)
		},
	} {
		s, _ := open(t, give(t, `"a"`, 5), next)
		r, err := s.Open(t.Context(), "k", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err == nil || string(got) != content[:5] {
			t.Errorf("%s: got %q, error %v", what, got, err)
		}
	}
	// Without an ETag nobody knows whether it is the same.
	s, e := open(t, give(t, "", 5), give(t, "", 100))
	r, err := s.Open(t.Context(), "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); err == nil || string(got) != content[:5] || e.count() != 1 {
		t.Errorf("without an ETag: got %q, error %v", got, err)
	}
}

func TestAReaderThatIsCanceled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, e := open(t, give(t, `"a"`, 5))
	r, err := s.Open(ctx, "k", 0, -1)
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if _, err := io.ReadAll(r); !errors.Is(err, context.Canceled) || e.count() != 1 {
		t.Errorf("error %v after %d requests", err, e.count())
	}
}

func TestDamagedBytesAreTold(t *testing.T) {
	for what, c := range map[string]struct {
		of   string
		want error
	}{"right": {content, nil}, "damaged": {"what was put", store.ErrCorrupt}} {
		sum := sha256.Sum256([]byte(c.of))
		s, _ := open(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Amz-Checksum-Mode") != "ENABLED" {
				t.Error("the checksum was not asked for")
			}
			w.Header().Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
			w.Header().Set("X-Amz-Checksum-Type", "FULL_OBJECT")
			give(t, `"a"`, 100)(w, r)
		})
		r, err := s.Open(t.Context(), "k", 0, -1)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r); !errors.Is(err, c.want) {
			t.Errorf("%s bytes: got error %v, want %v", what, err, c.want)
		}
	}
}

func TestOpenAsksForWhatIsWanted(t *testing.T) {
	for want, span := range map[string][2]int64{
		"": {0, -1}, "bytes=3-": {3, -1}, "bytes=0-4": {0, 5}, "bytes=3-3": {3, 1}, "bytes=5-4611686018427387908": {5, 1 << 62}, "bytes=6-": {6, 1<<63 - 1},
	} {
		s, _ := open(t, func(w http.ResponseWriter, r *http.Request) {
			if got := r.Header.Get("Range"); got != want {
				t.Errorf("from %d length %d: asked for %q, want %q", span[0], span[1], got, want)
			}
			refuse(404, "NoSuchKey")(w, r)
		})
		if _, err := s.Open(t.Context(), "k", span[0], span[1]); !errors.Is(err, store.ErrNotFound) {
			t.Error(err)
		}
	}
}

func TestWhatIsNoAnswer(t *testing.T) {
	for what, a := range map[string]answer{
		"another range": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Range", "bytes 0-1/36")
			w.WriteHeader(206)
			_, _ = io.WriteString(w, "01")
		},
		"no range": func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "78") },
		"too much": func(w http.ResponseWriter, r *http.Request) { give(t, `"a"`, 100)(w, r) },
		"no length": func(w http.ResponseWriter, _ *http.Request) {
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, strings.Repeat("x", 2))
		},
	} {
		s, _ := open(t, a)
		if _, err := s.Open(t.Context(), "k", 7, 2); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: got error %v", what, err)
		}
	}
}
