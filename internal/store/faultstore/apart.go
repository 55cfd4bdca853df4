// SPDX-License-Identifier: Apache-2.0

package faultstore

import (
	"context"

	"tare/internal/store"
)

// Apart is a table whose batches of reads are of as many moments as they have keys, which the contract allows.
type Apart struct {
	store.Table
	Backward bool                 // the last key is read first
	Between  func(next store.Key) // called before each key is read; nil: nothing is
}

// Get reads the keys one by one.
func (a Apart) Get(ctx context.Context, keys ...store.Key) ([]store.Row, error) {
	rows := make([]store.Row, len(keys))
	for i := range keys {
		if a.Backward {
			i = len(keys) - 1 - i
		}
		if a.Between != nil {
			a.Between(keys[i])
		}
		r, err := a.Table.Get(ctx, keys[i])
		if err != nil {
			return nil, err
		}
		rows[i] = r[0]
	}
	return rows, nil
}
