// SPDX-License-Identifier: Apache-2.0

package diskstore

import (
	"context"
	"sync"
	"sync/atomic"
)

// horizon is the last durable transaction, and who waits for a later one.
type horizon struct {
	durable atomic.Int64
	dead    <-chan struct{} // closed when no later one will come

	mu    sync.Mutex    // guards moved
	moved chan struct{} // closed at each advance that somebody waits for; nil while nobody does
}

// advance says that transaction id is durable.
func (h *horizon) advance(id int) {
	h.durable.Store(int64(id))
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.moved != nil {
		close(h.moved)
		h.moved = nil
	}
}

// wait returns when transaction id is durable, or with an error when it never will be or ctx ends.
func (h *horizon) wait(ctx context.Context, id int) error {
	for {
		if h.durable.Load() >= int64(id) {
			return nil
		}
		h.mu.Lock()
		if h.moved == nil {
			h.moved = make(chan struct{})
		}
		moved := h.moved
		h.mu.Unlock()
		if h.durable.Load() >= int64(id) {
			return nil
		}
		select {
		case <-moved:
		case <-h.dead:
			return errFailed
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
