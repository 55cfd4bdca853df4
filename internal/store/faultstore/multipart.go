// SPDX-License-Identifier: Apache-2.0

package faultstore

import (
	"context"
	"io"
	"slices"

	"tare/internal/store"
)

// multipart is a [store.Multipart] that asks the process's plan about each call.
type multipart struct {
	p         *Process
	multipart store.Multipart
}

func (m *multipart) Begin(ctx context.Context, key string) (string, error) {
	return act(m.p, Call{Kind: Begin, Object: key}, nil, func(a Action) (string, error) {
		if a == Late {
			ctx = context.WithoutCancel(ctx)
		}
		return m.multipart.Begin(ctx, key)
	})
}

func (m *multipart) Part(ctx context.Context, key, id string, turn int64, number int, offset int64, r io.Reader, size int64) (store.Part, error) {
	part := func(ctx context.Context, r io.Reader) (store.Part, error) {
		return m.multipart.Part(ctx, key, id, turn, number, offset, r, size)
	}
	b := bodyOf(ctx, r, size, func(ctx context.Context, r io.Reader) error {
		_, err := part(ctx, r)
		return err
	})
	return act(m.p, Call{Kind: Part, Object: key}, b, func(Action) (store.Part, error) { return part(ctx, r) })
}

func (m *multipart) Complete(ctx context.Context, key, id string, parts []store.Part) error {
	parts = slices.Clone(parts)
	return simply(ctx, m.p, Call{Kind: Complete, Object: key}, func(ctx context.Context) error {
		return m.multipart.Complete(ctx, key, id, parts)
	})
}

func (m *multipart) Abort(ctx context.Context, key, id string) error {
	return simply(ctx, m.p, Call{Kind: Abort, Object: key}, func(ctx context.Context) error {
		return m.multipart.Abort(ctx, key, id)
	})
}

func (m *multipart) Pending(ctx context.Context, prefix string) ([]store.PendingUpload, error) {
	return act(m.p, Call{Kind: Pending, Object: prefix}, nil, func(Action) ([]store.PendingUpload, error) {
		return m.multipart.Pending(ctx, prefix)
	})
}

// Turn is no call.
func (m *multipart) Turn() int64 { return m.multipart.Turn() }

// MinPart is no call.
func (m *multipart) MinPart() int64 { return m.multipart.MinPart() }
