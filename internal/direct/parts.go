// SPDX-License-Identifier: Apache-2.0

package direct

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
)

// job is a part that can be sent.
type job struct {
	part
	request request
}

// sendParts sends the parts that are not there. While some are on their way, the next are hashed, and their requests signed:
// as few at a time as can be sent soon, since requests end.
func (p *push) sendParts(ctx context.Context) error {
	numbers, err := p.toSend(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	jobs := make(chan job, p.c.opts.Parallel) // nobody waits while the next are made ready
	var work sync.WaitGroup
	work.Go(func() {
		defer close(jobs)
		if err := p.prepare(ctx, numbers, jobs); err != nil {
			cancel(err)
		}
	})
	for range p.c.opts.Parallel {
		work.Go(func() {
			for j := range jobs {
				if err := p.sendPart(ctx, j); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	work.Wait()
	return context.Cause(ctx)
}

// toSend lists the parts that are to be sent, and counts those that are not as sent.
func (p *push) toSend(ctx context.Context) ([]int, error) {
	var there map[int]bool
	if p.resumed {
		var err error
		there, err = p.c.stored(ctx, p.repo, p.up)
		switch {
		case oci.CodeOf(err) == oci.BlobUploadInvalid:
			return nil, nil // they were put together
		case err != nil:
			return nil, err
		}
	}
	var numbers []int
	sent := int64(0)
	for number := 1; number <= p.up.Parts; number++ {
		if there[number] {
			sent += p.up.sizeOf(number)
		} else {
			numbers = append(numbers, number)
		}
	}
	p.mu.Lock()
	before := p.sent
	p.mu.Unlock()
	p.advance(sent - before)
	return numbers, nil
}

// prepare hashes parts, and has requests for them signed, batch by batch.
func (p *push) prepare(ctx context.Context, numbers []int, jobs chan<- job) error {
	for batch := range slices.Chunk(numbers, min(p.c.opts.Parallel, oci.MaxDirectParts)) {
		parts, err := p.hashed(ctx, batch)
		if err != nil {
			return err
		}
		signed, err := p.c.sign(ctx, p.repo, p.up.ID, parts)
		if err != nil {
			return err
		}
		for i, one := range parts {
			select {
			case jobs <- job{one, signed[i]}:
			case <-ctx.Done():
				return nil // whoever canceled knows why
			}
		}
	}
	return nil
}

// hashed hashes parts, all of a batch at once.
func (p *push) hashed(ctx context.Context, numbers []int) ([]part, error) {
	parts := make([]part, len(numbers))
	errs := make([]error, len(numbers))
	var work sync.WaitGroup
	for i, number := range numbers {
		work.Go(func() {
			size := p.up.sizeOf(number)
			h := sha256.New()
			n, err := io.Copy(h, &untilDone{ctx, p.content(int64(number-1)*p.up.PartSize, size)})
			if err == nil && n != size {
				err = io.ErrUnexpectedEOF
			}
			parts[i] = part{number, size, digest.NewDigestFromEncoded(digest.SHA256, hex.EncodeToString(h.Sum(nil)))}
			errs[i] = err
		})
	}
	work.Wait()
	return parts, errors.Join(errs...)
}

// untilDone is a reader that ends with its context.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilDone) Read(b []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(b)
}

func (p *push) sendPart(ctx context.Context, j job) error {
	return p.put(ctx, &j.request, int64(j.Number-1)*p.up.PartSize, j.Size, func() (request, error) {
		signed, err := p.c.sign(ctx, p.repo, p.up.ID, []part{j.part})
		if err != nil {
			return request{}, err
		}
		return signed[0], nil
	})
}
