// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"errors"
	"hash"
	"io"
	"sync"
	"time"

	"tare/internal/store"
)

// An object is read by several ranges at once, since one connection to a store can be slower than a hash. In memory are that
// many blocks: fewer for a request, whose function has less of it, and which holds a piece, too.
const (
	aheadBlock    = 8 << 20
	settleBlocks  = 10
	requestBlocks = 4
	aheadTries    = 3
	aheadLimit    = 30 * time.Second // of a try
)

// block is a range of an object that was read, or is being.
type block struct {
	data []byte
	err  error
}

// readAhead gives an object from a byte on, of which it has size in all, in order to take, until that fails. At most so
// many blocks are read at once. Nothing of it is at work when it returns.
func (u *Uploads) readAhead(ctx context.Context, object string, from, size, blocks int64, take func([]byte) error) error {
	ctx, cancel := context.WithCancel(ctx)
	var work sync.WaitGroup
	defer work.Wait()
	defer cancel()
	free := make(chan []byte, blocks)
	for range min(blocks, (size-from+aheadBlock-1)/aheadBlock) {
		free <- make([]byte, min(aheadBlock, size-from))
	}
	coming := make(chan chan block, blocks)
	work.Go(func() {
		defer close(coming)
		for at := from; at < size && ctx.Err() == nil; at += aheadBlock {
			var buffer []byte
			select {
			case buffer = <-free:
			case <-ctx.Done():
				return
			}
			one := make(chan block, 1)
			coming <- one
			work.Go(func() {
				data := buffer[:min(aheadBlock, size-at)]
				one <- block{data, u.readBlock(ctx, object, at, data)}
			})
		}
	})
	taken := from
	for one := range coming {
		b := <-one
		if b.err == nil {
			b.err = take(b.data)
		}
		if b.err != nil {
			return b.err
		}
		taken += int64(len(b.data))
		free <- b.data[:cap(b.data)]
	}
	if taken < size {
		return ctx.Err()
	}
	return nil
}

// readMade hashes an object that was made of parts, and returns its size.
func (u *Uploads) readMade(ctx context.Context, object string, h hash.Hash) (int64, error) {
	o, err := u.objects.Stat(ctx, object)
	if err != nil {
		return 0, err
	}
	return o.Size, u.readAhead(ctx, object, 0, o.Size, requestBlocks, func(p []byte) error {
		h.Write(p)
		return nil
	})
}

// readBlock fills p from an object at a byte. A reading that breaks off, or takes longer than aheadLimit, is repeated.
func (u *Uploads) readBlock(ctx context.Context, object string, at int64, p []byte) error {
	var err error
	for try := range aheadTries {
		if try > 0 {
			if err := u.clock.Pause(ctx, time.Duration(try)*200*time.Millisecond); err != nil {
				return err
			}
		}
		err = u.readRange(ctx, object, at, p)
		if err == nil || ctx.Err() != nil || isGone(err) || errors.Is(err, store.ErrInvalid) {
			return err
		}
	}
	return err
}

func (u *Uploads) readRange(ctx context.Context, object string, at int64, p []byte) error {
	ctx, done := context.WithTimeout(ctx, aheadLimit)
	defer done()
	r, err := u.objects.Open(ctx, object, at, int64(len(p)))
	if err != nil {
		return err
	}
	_, err = io.ReadFull(r, p)
	return errors.Join(err, r.Close())
}
