// SPDX-License-Identifier: Apache-2.0

package faultstore

import (
	"bytes"
	"context"
	"io"

	"tare/internal/store"
)

// objects is a [store.Objects] that asks the process's plan about each call.
type objects struct {
	p       *Process
	objects store.Objects
}

func (o *objects) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	put := func(ctx context.Context, r io.Reader) error { return o.objects.Put(ctx, key, r, size) }
	_, err := act(o.p, Call{Kind: Put, Object: key}, bodyOf(ctx, r, size, put), func(Action) (struct{}, error) {
		return struct{}{}, put(ctx, r)
	})
	return err
}

// Open gives what the store gives, unwrapped: an *os.File stays one.
func (o *objects) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	return act(o.p, Call{Kind: Open, Object: key}, nil, func(Action) (io.ReadCloser, error) {
		return o.objects.Open(ctx, key, offset, length)
	})
}

func (o *objects) Stat(ctx context.Context, key string) (store.ObjectInfo, error) {
	return act(o.p, Call{Kind: Stat, Object: key}, nil, func(Action) (store.ObjectInfo, error) {
		return o.objects.Stat(ctx, key)
	})
}

func (o *objects) Delete(ctx context.Context, key string) error {
	return simply(ctx, o.p, Call{Kind: Delete, Object: key}, func(ctx context.Context) error {
		return o.objects.Delete(ctx, key)
	})
}

func (o *objects) List(ctx context.Context, prefix, after string, limit int) ([]store.ObjectInfo, error) {
	return act(o.p, Call{Kind: List, Object: prefix}, nil, func(Action) ([]store.ObjectInfo, error) {
		return o.objects.List(ctx, prefix, after, limit)
	})
}

// simply makes a call that writes and answers nothing but an error.
func simply(ctx context.Context, p *Process, c Call, do func(context.Context) error) error {
	_, err := act(p, c, nil, func(a Action) (struct{}, error) {
		if a == Late {
			ctx = context.WithoutCancel(ctx) // a call that was sent lands whether its caller waits or not
		}
		return struct{}{}, do(ctx)
	})
	return err
}

// body is what actions do with the bytes that a call brings.
type body struct {
	midway func()              // makes the call with the first half of them
	read   func()              // reads them to their end
	later  func() func() error // reads them and returns the call with them
}

// bodyOf is the body of a call that brings size bytes from r, -1 for all that come.
func bodyOf(ctx context.Context, r io.Reader, size int64, call func(context.Context, io.Reader) error) *body {
	announced := r
	if size >= 0 {
		announced = io.LimitReader(r, size)
	}
	return &body{
		midway: func() { _ = call(ctx, halfOf(r, size)) }, // it fails with its reader
		read:   func() { _, _ = io.Copy(io.Discard, announced) },
		later: func() func() error {
			data, _ := io.ReadAll(announced) // a short one fails when it lands
			return func() error { return call(context.WithoutCancel(ctx), bytes.NewReader(data)) }
		},
	}
}

// half gives the first half of a reader's bytes and then fails; where the size is not known, what the first Read gives.
type half struct {
	r    io.Reader
	left int64 // -1: the size is not known, and nothing was read
}

func halfOf(r io.Reader, size int64) *half {
	if size < 0 {
		return &half{r, -1}
	}
	return &half{r, size / 2}
}

func (h *half) Read(p []byte) (int, error) {
	if h.left == 0 {
		return 0, ErrDead
	}
	if h.left > 0 && int64(len(p)) > h.left {
		p = p[:h.left]
	}
	n, err := h.r.Read(p)
	h.left = max(0, h.left-int64(n))
	return n, err
}
