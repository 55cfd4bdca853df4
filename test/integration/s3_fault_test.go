// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"tare/internal/store"
	"tare/internal/store/s3store"
	"tare/internal/store/storetest"
	"tare/test/standin"
)

// impatient makes the attempts of a client follow each other at once.
func impatient() s3store.Options {
	return s3store.Options{Pause: func(int) time.Duration { return 0 }}
}

// firstAttempts is the plan in which a fault happens to every first attempt of a call, but of those operations that are
// named.
func firstAttempts(f standin.Fault, but ...string) standin.Plan {
	return func(r standin.Request) standin.Fault {
		if !strings.HasPrefix(r.Header.Get("Amz-Sdk-Request"), "attempt=1;") || slices.Contains(but, r.Operation) {
			return nil
		}
		return f
	}
}

// The suites hold when no call succeeds at once.
func TestBucketWhoseFirstAttemptsFail(t *testing.T) {
	const begin = "POST ?uploads" // begun twice, an upload is pending that nobody knows of
	for name, plan := range map[string]standin.Plan{
		"SlowDown":   firstAttempts(standin.S3Error(503, "SlowDown", "Please reduce your request rate.")),
		"ErrorAfter": firstAttempts(standin.S3ErrorAfter(500, "InternalError", "We encountered an internal error."), begin),
		"LostReply":  firstAttempts(standin.LoseReply, begin),
		"CutBody":    firstAttempts(standin.CutBody(1)),
	} {
		t.Run(name, func(t *testing.T) {
			s := startHurt(t)
			p := standin.NewProxy(t, s.URL)
			p.Use(plan)
			t.Run("Objects", func(t *testing.T) { storetest.TestObjects(t, openBuckets(s, p.URL, impatient())) })
			t.Run("Multipart", func(t *testing.T) { storetest.TestMultipart(t, openBuckets(s, p.URL, impatient())) })
			if p.Hurt() < 100 {
				t.Errorf("%d requests were hurt only", p.Hurt())
			}
		})
	}
}

// Every GET is cut off after some bytes; what goes on where it ended is not.
func TestBucketWhoseAnswersAreCut(t *testing.T) {
	s := startHurt(t)
	p := standin.NewProxy(t, s.URL)
	p.Use(func(r standin.Request) standin.Fault {
		if r.Operation != "GET" || r.Header.Get("If-Match") != "" || !strings.HasPrefix(r.Header.Get("Amz-Sdk-Request"), "attempt=1;") {
			return nil
		}
		return standin.CutAnswer(3)
	})
	storetest.TestObjects(t, openBuckets(s, p.URL, impatient()))
	if p.Hurt() < 50 {
		t.Errorf("%d answers were cut only", p.Hurt())
	}
}

// world is a bucket behind a proxy, and a client that reaches it without.
type world struct {
	*testing.T
	proxy  *standin.Proxy
	behind *s3store.Store // the proxy
	past   *s3store.Store
}

func newWorld(t *testing.T, s *standin.Server) *world {
	bucket := newBucket(t, s.URL)
	p := standin.NewProxy(t, s.URL)
	return &world{t, p, s3store.New(s3Client(t, p.URL), bucket, impatient()), s3store.New(s3Client(t, s.URL), bucket, impatient())}
}

// read gives the bytes of an object; there is false where it is absent.
func (w *world) read(key string) (data []byte, there bool) {
	w.Helper()
	r, err := w.past.Open(w.Context(), key, 0, -1)
	if errors.Is(err, store.ErrNotFound) {
		return nil, false
	}
	if err == nil {
		data, err = io.ReadAll(r)
	}
	if err != nil {
		w.Fatal(err)
	}
	return data, true
}

// sizes are of a body that is held, and of one that streams.
var sizes = []int{10_000, 17 << 20}

// some makes bytes.
func some(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i * 31 / 7)
	}
	return b
}

// A fault that stays: what the error says is so, and an object is whole or absent.
func TestPutsUnderFaults(t *testing.T) {
	s := startHurt(t)
	for name, c := range map[string]struct {
		fault   standin.Fault
		outcome error
		there   bool
	}{
		"SlowDown":   {standin.S3Error(503, "SlowDown", "x"), store.ErrUnavailable, false},
		"Denied":     {standin.S3Error(403, "AccessDenied", "x"), store.ErrUnavailable, false},
		"Error":      {standin.S3Error(500, "InternalError", "x"), store.ErrUnknownOutcome, false},
		"ErrorAfter": {standin.S3ErrorAfter(500, "InternalError", "x"), store.ErrUnknownOutcome, true},
		"LostCall":   {standin.LoseCall, store.ErrUnknownOutcome, false},
		"LostReply":  {standin.LoseReply, store.ErrUnknownOutcome, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, s)
			for _, size := range sizes {
				data := some(size)
				w.proxy.Use(standin.Always("PUT", c.fault))
				if err := w.behind.Put(t.Context(), "k", bytes.NewReader(data), int64(size)); !errors.Is(err, c.outcome) {
					t.Fatalf("put of %d bytes: got error %v, want %v", size, err, c.outcome)
				}
				if got, there := w.read("k"); there != c.there || there && !bytes.Equal(got, data) {
					t.Fatalf("%d bytes of %d, there: %v", len(got), size, there)
				}
				w.proxy.Use(nil)
				if err := w.behind.Put(t.Context(), "k", bytes.NewReader(data), int64(size)); err != nil {
					t.Fatalf("put again: %v", err)
				}
				if got, _ := w.read("k"); !bytes.Equal(got, data) {
					t.Fatalf("%d bytes of %d after the repetition", len(got), size)
				}
				if err := w.behind.Delete(t.Context(), "k"); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// A body that ends on its way changes nothing, and a put that was given up can land, whole.
func TestPutsThatEndOnTheirWay(t *testing.T) {
	w := newWorld(t, startHurt(t))
	for _, size := range sizes {
		data := some(size)
		for _, n := range []int64{0, 1, int64(size) / 2, int64(size) - 1} {
			w.proxy.Use(standin.Always("PUT", standin.CutBody(n)))
			err := w.behind.Put(t.Context(), "k", bytes.NewReader(data), int64(size))
			if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknownOutcome) {
				t.Fatalf("a put of %d bytes that ends after %d: %v", size, n, err)
			}
			if got, there := w.read("k"); there {
				t.Fatalf("a put of %d bytes that ends after %d left %d", size, n, len(got))
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		w.proxy.Use(standin.Always("PUT", standin.Late))
		cut := io.MultiReader(bytes.NewReader(data[:size-1]), canceling{cancel}, bytes.NewReader(data[size-1:]))
		if err := w.behind.Put(ctx, "k", cut, int64(size)); !errors.Is(err, context.Canceled) {
			t.Fatalf("a put that was given up: %v", err)
		}
		if err := w.behind.Put(t.Context(), "k", bytes.NewReader(data), int64(size)); !errors.Is(err, store.ErrUnknownOutcome) {
			t.Fatalf("a put that is late: %v", err)
		}
		if _, there := w.read("k"); there {
			t.Fatal("it is there before it landed")
		}
		for landed := true; landed; {
			var err error
			if landed, err = w.proxy.Land(); err != nil {
				t.Fatal(err)
			}
		}
		if got, _ := w.read("k"); !bytes.Equal(got, data) {
			t.Fatalf("%d bytes of %d landed", len(got), size)
		}
		if err := w.past.Delete(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
}

// canceling ends a context when it is read, and gives nothing.
type canceling struct{ cancel context.CancelFunc }

func (c canceling) Read([]byte) (int, error) {
	c.cancel()
	return 0, io.EOF
}

// An upload survives a fault at every call, makes the object that was meant, and leaves nothing.
func TestUploadsUnderFaults(t *testing.T) {
	s := startHurt(t)
	for name, fault := range map[string]standin.Fault{
		"SlowDown": standin.S3Error(503, "SlowDown", "x"), "Error": standin.S3Error(500, "InternalError", "x"),
		"ErrorAfter": standin.S3ErrorAfter(500, "InternalError", "x"), "LostCall": standin.LoseCall, "LostReply": standin.LoseReply,
		"CutBody": standin.CutBody(100),
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, s)
			again := func(operation string, do func() error) {
				t.Helper()
				w.proxy.Use(standin.Always(operation, fault))
				err := do()
				if !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, store.ErrUnknownOutcome) {
					t.Fatalf("%s: got error %v", operation, err)
				}
				w.proxy.Use(nil)
				if err := do(); err != nil {
					t.Fatalf("%s again: %v", operation, err)
				}
			}
			first, last := some(5<<20), some(17<<20)
			var id string
			again("POST ?uploads", func() (err error) { id, err = w.behind.Begin(t.Context(), "k"); return err })
			parts := make([]store.Part, 2)
			for i, data := range [][]byte{first, last} {
				again("PUT ?partNumber", func() (err error) {
					parts[i], err = w.behind.Part(t.Context(), "k", id, w.behind.Turn(), i+1, 0, bytes.NewReader(data), int64(len(data)))
					return err
				})
			}
			if listed, err := w.past.Parts(t.Context(), "k", id, 0, 10); err != nil || !slices.Equal(listed, parts) {
				t.Fatalf("the parts are listed as %v, want %v, error %v", listed, parts, err)
			}
			again("POST ?uploadId", func() error {
				if _, there := w.read("k"); there && name != "ErrorAfter" && name != "LostReply" {
					t.Fatal("the object is there before it was made")
				}
				return w.behind.Complete(t.Context(), "k", id, parts)
			})
			if got, _ := w.read("k"); !bytes.Equal(got, append(slices.Clone(first), last...)) {
				t.Fatalf("%d bytes were made", len(got))
			}
			// What a lost reply of Begin left is found by its key, as the sweep does.
			pending, err := w.past.Pending(t.Context(), "k")
			if err != nil {
				t.Fatal(err)
			}
			if len(pending) > 0 && name != "ErrorAfter" && name != "LostReply" {
				t.Fatalf("pending: %v", pending)
			}
			for _, u := range pending {
				again("DELETE ?uploadId", func() error { return w.behind.Abort(t.Context(), u.Key, u.ID) })
			}
			if pending, err = w.past.Pending(t.Context(), ""); err != nil || len(pending) != 0 {
				t.Fatalf("pending: %v, error %v", pending, err)
			}
			again("DELETE", func() error { return w.behind.Delete(t.Context(), "k") })
			if left, err := w.past.List(t.Context(), "", "", 10); err != nil || len(left) != 0 {
				t.Fatalf("left: %v, error %v", left, err)
			}
		})
	}
}

// A GiB goes up in one piece and as one part, and comes down, through a constant amount of memory.
func TestMemoryIsBounded(t *testing.T) {
	const size, most = 1 << 30, 64 << 20
	w := newWorld(t, startHurt(t))
	bounded := func(what string, do func() error) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := do(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; took > most {
			t.Errorf("%s allocated %d MiB", what, took>>20)
		}
	}
	sum := sha256.New()
	bounded("put", func() error {
		return w.past.Put(t.Context(), "k", io.TeeReader(io.LimitReader(&counter{}, size), sum), size)
	})
	bounded("get", func() error {
		r, err := w.past.Open(t.Context(), "k", 0, -1)
		if err != nil {
			return err
		}
		defer r.Close()
		got := sha256.New()
		if _, err := io.Copy(got, r); err != nil {
			return err
		}
		if !bytes.Equal(got.Sum(nil), sum.Sum(nil)) {
			t.Error("other bytes came down")
		}
		return w.past.Delete(t.Context(), "k")
	})
	id, err := w.past.Begin(t.Context(), "m")
	if err != nil {
		t.Fatal(err)
	}
	bounded("part", func() error {
		_, err := w.past.Part(t.Context(), "m", id, 1, 1, 0, io.LimitReader(&counter{}, size), size)
		return err
	})
	if err := w.past.Abort(t.Context(), "m", id); err != nil {
		t.Fatal(err)
	}
}

// counter gives bytes that differ from place to place.
type counter struct{ at uint64 }

func (c *counter) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(c.at >> (8 * (c.at % 5)))
		c.at++
	}
	return len(p), nil
}
