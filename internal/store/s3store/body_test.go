// SPDX-License-Identifier: Apache-2.0

package s3store_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"tare/internal/store"
	"tare/internal/store/s3store"
)

// large is more than is held in memory.
const large = 16<<20 + 1

// sends put bytes as an object and as a part.
var sends = map[string]func(*testing.T, *s3store.Store, io.Reader, int64) error{
	"put": func(t *testing.T, s *s3store.Store, r io.Reader, size int64) error {
		return s.Put(t.Context(), "k", r, size)
	},
	"part": func(t *testing.T, s *s3store.Store, r io.Reader, size int64) error {
		_, err := s.Part(t.Context(), "k", "id", 1, 1, 0, r, size)
		return err
	},
}

// What is held goes with its checksum in a header, signed, and again in full after an attempt that failed.
func TestWhatIsHeld(t *testing.T) {
	data := strings.Repeat("held ", 1000)
	sum := sha256.Sum256([]byte(data))
	for name, send := range sends {
		s, e := open(t, refuse(500, "InternalError"), func(w http.ResponseWriter, r *http.Request) {
			body, err := io.ReadAll(r.Body)
			if err != nil || string(body) != data || r.ContentLength != int64(len(data)) {
				t.Errorf("%s: %d bytes, error %v", name, len(body), err)
			}
			if got := r.Header.Get("X-Amz-Checksum-Sha256"); got != base64.StdEncoding.EncodeToString(sum[:]) {
				t.Errorf("%s: checksum %q", name, got)
			}
			if got := r.Header.Get("X-Amz-Content-Sha256"); got != hex.EncodeToString(sum[:]) {
				t.Errorf("%s: payload hash %q", name, got)
			}
			for header := range r.Header {
				if strings.Contains(header, "Crc") || header == "X-Amz-Trailer" {
					t.Errorf("%s: header %s", name, header)
				}
			}
			took(w, r)
		})
		if err := send(t, s, iotest.HalfReader(strings.NewReader(data)), int64(len(data))); err != nil || e.count() != 2 {
			t.Errorf("%s: error %v after %d requests", name, err, e.count())
		}
	}
}

// What streams goes once, in one chunk, with its checksum behind it.
func TestWhatStreams(t *testing.T) {
	data := bytes.Repeat([]byte("streamed!"), large/9+1)[:large]
	sum := sha256.Sum256(data)
	want := fmt.Sprintf("%x\r\n%s\r\n0\r\nx-amz-checksum-sha256:%s\r\n\r\n", large, data, base64.StdEncoding.EncodeToString(sum[:]))
	for name, send := range sends {
		s, e := open(t, func(w http.ResponseWriter, r *http.Request) {
			for header, value := range map[string]string{
				"Content-Encoding": "aws-chunked", "X-Amz-Decoded-Content-Length": fmt.Sprint(large), "X-Amz-Trailer": "x-amz-checksum-sha256",
				"X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER",
			} {
				if got := r.Header.Get(header); got != value {
					t.Errorf("%s: header %s is %q, want %q", name, header, got, value)
				}
				if header != "Content-Encoding" && !strings.Contains(r.Header.Get("Authorization"), strings.ToLower(header)) {
					t.Errorf("%s: header %s is not signed", name, header)
				}
			}
			body, err := io.ReadAll(r.Body)
			if err != nil || string(body) != want || r.ContentLength != int64(len(want)) {
				t.Errorf("%s: a body of %d bytes, length %d, error %v", name, len(body), r.ContentLength, err)
			}
			w.Header().Set("ETag", `"0123456789abcdef0123456789abcdef"`)
			w.Header().Set("X-Amz-Checksum-Sha256", base64.StdEncoding.EncodeToString(sum[:]))
		})
		if err := send(t, s, bytes.NewReader(data), large); err != nil || e.count() != 1 {
			t.Errorf("%s: error %v after %d requests", name, err, e.count())
		}
		for what, c := range map[string]struct {
			a    answer
			want error
		}{
			"SlowDown": {refuse(503, "SlowDown"), store.ErrUnavailable}, "SlowDown at its end": {after(refuse(503, "SlowDown")), store.ErrUnavailable},
			"InternalError at its end": {after(refuse(500, "InternalError")), store.ErrUnknownOutcome},
			"no answer":                {hangUp, store.ErrUnavailable}, "no answer at its end": {after(hangUp), store.ErrUnknownOutcome},
		} {
			s, e := open(t, c.a)
			if err := send(t, s, bytes.NewReader(data), large); !errors.Is(err, c.want) || e.count() != 1 {
				t.Errorf("%s and %s: error %v after %d requests", name, what, err, e.count())
			}
		}
	}
}

// after reads the body first.
func after(a answer) answer {
	return func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		a(w, r)
	}
}

var errReader = errors.New("the reader failed")

// A body that is not what was announced never gets its end, and so nothing is kept of it.
func TestABodyThatIsWrongHasNoEnd(t *testing.T) {
	for name, send := range sends {
		for what, c := range map[string]struct {
			r     func(size int64) io.Reader
			cause error
		}{
			"short": {func(size int64) io.Reader { return io.LimitReader(zeros{}, size-1) }, io.ErrUnexpectedEOF},
			"long":  {func(size int64) io.Reader { return io.LimitReader(zeros{}, size+1) }, store.ErrInvalid},
			"failing": {func(size int64) io.Reader {
				return io.MultiReader(io.LimitReader(zeros{}, size/2), iotest.ErrReader(errReader))
			}, errReader},
			"fails after": {func(size int64) io.Reader {
				return io.MultiReader(io.LimitReader(zeros{}, size), iotest.ErrReader(errReader))
			}, errReader},
		} {
			for _, size := range []int64{1000, large} {
				var whole atomic.Bool
				s, _ := open(t, func(w http.ResponseWriter, r *http.Request) {
					if _, err := io.Copy(io.Discard, r.Body); err == nil {
						whole.Store(true)
					}
					took(w, r)
				})
				err := send(t, s, c.r(size), size)
				if !errors.Is(err, store.ErrInvalid) || !errors.Is(err, c.cause) || whole.Load() {
					t.Errorf("%s of %d bytes that is %s: error %v, came whole: %v", name, size, what, err, whole.Load())
				}
			}
		}
		s, e := open(t, took)
		for _, size := range []int64{-1, store.MaxDirectPut + 1} {
			if err := send(t, s, zeros{}, size); !errors.Is(err, store.ErrInvalid) || e.count() != 0 {
				t.Errorf("%s of %d bytes: error %v", name, size, err)
			}
		}
	}
}

// zeros never ends.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
