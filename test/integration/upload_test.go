// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/clock"
	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store/memstore"
	"tare/internal/store/s3store"
	"tare/internal/upload"
)

const uploadTo = oci.Repository("team/app")

// s3Uploads is uploads to a bucket, with rows in memory and a clock of their own.
type s3Uploads struct {
	*upload.Uploads
	ledger  *refcount.Ledger
	clock   *clock.Manual
	objects *s3store.Store
	rows    *memstore.Store
}

func newS3Uploads(t *testing.T) *s3Uploads {
	t.Helper()
	s := startS3(t)
	clk := clock.NewManual(clock.System{}.Now())
	u := &s3Uploads{clock: clk, rows: memstore.New(clk, memstore.Options{})}
	u.objects = s3store.New(s3Client(t, s.URL), newBucket(t, s.URL), s3store.Options{})
	var err error
	u.ledger, err = refcount.New(refcount.Stores{Table: u.rows, Objects: u.objects, Parts: u.objects}, clk,
		refcount.Config{Margins: refcount.DefaultMargins(), InlineLimit: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if u.Uploads, err = upload.New(u.ledger, u.objects, u.objects, clk, upload.Options{}); err != nil {
		t.Fatal(err)
	}
	return u
}

// chunks sends content up to end in chunks of n bytes; the sizes of every second are not told.
func (u *s3Uploads) chunks(t *testing.T, id string, content []byte, n, end int) {
	t.Helper()
	for at := 0; at < end; at += n {
		to := min(at+n, end)
		size := int64(to - at)
		if at/n%2 == 1 {
			size = -1
		}
		up, err := u.Write(t.Context(), uploadTo, id, int64(at), struct{ io.Reader }{bytes.NewReader(content[at:to])}, size)
		if err != nil || up.Offset != int64(to) {
			t.Fatalf("the upload stands at %d, want %d: %v", up.Offset, to, err)
		}
	}
}

// Every way in which bytes come through a function makes the blob, of sizes around those of parts and pieces, and leaves
// nothing in the bucket.
func TestUploadsToS3(t *testing.T) {
	const mib = 1 << 20
	u := newS3Uploads(t)
	src := rand.NewChaCha8([32]byte{1})
	content := make([]byte, 26*mib+7)
	if _, err := io.ReadFull(src, content); err != nil {
		t.Fatal(err)
	}
	start := func() oci.Upload {
		up, err := u.Start(t.Context(), uploadTo)
		if err != nil || up.MinChunk != 5*mib/2 {
			t.Fatalf("a new upload is %+v: %v", up, err)
		}
		return up
	}
	for _, c := range []struct {
		name              string
		size, chunk, last int // chunk 0: all by PUT
		algorithm         digest.Algorithm
	}{
		{"less than a part by PUT", 4 * mib, 0, 4 * mib, digest.SHA256},
		{"more than a piece by PUT", 12 * mib, 0, 12 * mib, digest.SHA256},
		{"less than a part in chunks", 4 * mib, mib, 0, digest.SHA256},
		{"chunks of half a part", 17*mib + 1, 5 * mib / 2, 0, digest.SHA256},
		{"chunks of a function's limit, the last by PUT", 26*mib + 7, 4500 * 1000, 3 * mib, digest.SHA256},
		{"one chunk of many parts", 26 * mib, 26 * mib, 0, digest.SHA256},
		{"small chunks", 6 * mib, 300_000, 5, digest.SHA256},
		{"chunks by sha512", 13 * mib, 5 * mib / 2, mib, digest.SHA512},
	} {
		t.Run(c.name, func(t *testing.T) {
			id, all := start().ID, content[:c.size]
			d := c.algorithm.FromBytes(all)
			if c.chunk > 0 {
				u.chunks(t, id, all, c.chunk, c.size-c.last)
			}
			last := all[c.size-c.last:]
			for range 2 { // its answer was lost
				if _, err := u.Finish(t.Context(), uploadTo, id, d, int64(c.size-c.last), bytes.NewReader(last), int64(len(last))); err != nil {
					t.Fatal(err)
				}
			}
			link, err := u.ledger.Look(t.Context(), uploadTo, d)
			if err != nil {
				t.Fatal(err)
			}
			r, err := u.objects.Open(t.Context(), link.Object, 0, -1)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = r.Close() })
			if got, err := io.ReadAll(r); err != nil || c.algorithm.FromBytes(got) != d {
				t.Fatalf("the blob is wrong: %v", err)
			}
			u.audit(t)
		})
	}

	left, canceled := start().ID, start().ID
	u.chunks(t, left, content, 3*mib, 9*mib)
	u.chunks(t, canceled, content, 3*mib, 9*mib)
	if err := u.Cancel(t.Context(), uploadTo, canceled); err != nil {
		t.Fatal(err)
	}
	if _, err := u.Finish(t.Context(), uploadTo, start().ID, digest.FromString("other"), 0, bytes.NewReader(content), int64(len(content))); oci.CodeOf(err) != oci.DigestInvalid {
		t.Fatal(err)
	}
	u.audit(t)
	for range 4 {
		u.clock.Advance(25 * time.Hour)
		if report, err := u.ledger.Sweep(t.Context(), refcount.SweepOptions{}); err != nil || report.Failed > 0 {
			t.Fatal(err, report.Errors)
		}
	}
	u.audit(t)
	objects, err := u.objects.List(t.Context(), "", "", 10)
	if err != nil || len(objects) > 0 {
		t.Errorf("left: %v %v", objects, err)
	}
	pending, err := u.objects.Pending(t.Context(), "")
	if err != nil || len(pending) > 0 {
		t.Errorf("left: %v %v", pending, err)
	}
}

func (u *s3Uploads) audit(t *testing.T) {
	t.Helper()
	findings, err := u.ledger.Audit(t.Context(), u.rows)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Error(f)
	}
}
