// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"strings"

	"tare/internal/oci"
	"tare/internal/store"
)

// sample chooses what is hashed.
type sample struct {
	most   int // HashAll: all
	keys   []store.Key
	seen   int
	offers int64 // bytes of all
}

// offer shows the sample a row whose bytes may be hashed. Each has the same chance.
func (s *sample) offer(k store.Key, size int64) {
	s.seen++
	s.offers += size
	switch {
	case len(s.keys) < s.most:
		s.keys = append(s.keys, k)
	case s.most > 0:
		if i := rand.IntN(s.seen); i < s.most {
			s.keys[i] = k
		}
	}
}

// hash compares bytes with digests.
func (f *fsck) hash(ctx context.Context) error {
	one := func(k store.Key, total int64) error {
		return f.untilSure(func() error { return f.hashRow(ctx, k, total) })
	}
	if f.sample.most != HashAll {
		for _, k := range f.sample.keys {
			if err := one(k, 0); err != nil {
				return err
			}
		}
		return nil
	}
	return f.walk(func(after store.Key) (store.Page, error) { return f.scan.Scan(ctx, after, pageSize) }, func(items []store.Item) error {
		for _, it := range items {
			kind, _ := kindOf(it.Key)
			if (kind != kindBlob && kind != kindBody) || malformedKey(it.Key) != "" {
				continue
			}
			if err := one(it.Key, f.sample.offers); err != nil {
				return err
			}
		}
		return nil
	})
}

// hashRow reads the bytes of a blob or a manifest and compares them with its digest.
func (f *fsck) hashRow(ctx context.Context, k store.Key, total int64) error {
	v := view{}
	kind, rest := kindOf(k)
	keys := []store.Key{k}
	d := oci.Digest(rest)
	if kind == kindBody {
		d = oci.Digest(k.SK)
		keys = append(keys, manifestKey(oci.Repository(rest), d))
	}
	if err := f.get(ctx, v, keys); err != nil || v[k] == nil {
		return err
	}
	if kind == kindBody && !readManifest(v[keys[1]]).visible() {
		return nil // it may have to be written still
	}
	r, err := f.open(ctx, v[k])
	if errors.Is(err, store.ErrNotFound) {
		return nil // deleted meanwhile, or told already
	}
	sum := d.Verifier()
	if err == nil {
		_, err = io.Copy(sum, &hashing{ctx: ctx, r: r, f: f, total: total})
		err = errors.Join(err, r.Close())
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	f.report.Hashed++
	if err == nil && sum.Verified() {
		return nil
	}
	ft := fault{rows: keys, Finding: Finding{Kind: foundContent, Invariant: "C3", Severity: Must, Subject: k.String(), Where: where(k),
		Text: "its bytes do not have its digest", Advice: adviceDelete}}
	if err != nil {
		ft.Text = "its bytes cannot be read: " + err.Error()
	}
	return f.confirm(ctx, f.l.clock.Now(), ft, v)
}

// open opens the bytes that a blob or a body has.
func (f *fsck) open(ctx context.Context, r store.Row) (io.ReadCloser, error) {
	object := r.Text(attrObject)
	switch {
	case object == "":
		return io.NopCloser(strings.NewReader(r.Text(attrBody))), nil
	case isInline(object):
		content, err := f.l.Content(ctx, object)
		return io.NopCloser(strings.NewReader(content)), err
	}
	return f.l.objects.Open(ctx, object, 0, -1)
}

// hashing is bytes on their way through a hash.
type hashing struct {
	ctx   context.Context
	r     io.Reader
	f     *fsck
	total int64
}

func (h *hashing) Read(p []byte) (int, error) {
	if err := h.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := h.r.Read(p)
	h.f.report.HashedBytes += int64(n)
	h.f.progress("hashing", h.f.report.HashedBytes, h.total, "bytes")
	return n, err
}
