// SPDX-License-Identifier: Apache-2.0

package faultstore

import (
	"context"
	"crypto/sha256"

	"tare/internal/store"
)

// direct is a [store.Direct] that asks the process's plan about each call. Signing is no call. What clients send by what was
// signed does not pass here.
type direct struct {
	store.Direct
	p *Process
}

// Direct wraps the role of signed requests.
func (p *Process) Direct(d store.Direct) store.Direct { return &direct{d, p} }

func (d *direct) Parts(ctx context.Context, key, id string, after, limit int) ([]store.Part, error) {
	return act(d.p, Call{Kind: Parts, Object: key}, nil, func(Action) ([]store.Part, error) {
		return d.Direct.Parts(ctx, key, id, after, limit)
	})
}

func (d *direct) Sum(ctx context.Context, key string) (size int64, sum [sha256.Size]byte, known bool, err error) {
	_, err = act(d.p, Call{Kind: Sum, Object: key}, nil, func(Action) (struct{}, error) {
		var err error
		size, sum, known, err = d.Direct.Sum(ctx, key)
		return struct{}{}, err
	})
	if err != nil {
		return 0, [sha256.Size]byte{}, false, err
	}
	return size, sum, known, nil
}
