// SPDX-License-Identifier: Apache-2.0

package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tare/internal/store"
)

// maxResumes is how often in a row a reader goes on at a connection that gave nothing.
const maxResumes = 3

// Open implements [store.Objects]. The reader ends with ctx. It goes on, on a new connection, when one breaks, as long as the
// object has the same ETag. One that reads a whole object sees that it has the SHA-256 that S3 took it in with, where S3 knows
// one; what differs is ErrCorrupt from the Read that would have said io.EOF.
func (s *Store) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	if err := check(ctx, opOpen, key); err != nil {
		return nil, err
	}
	switch {
	case offset < 0 || length < -1:
		return nil, invalid(opOpen, key, errNegative)
	case length == 0:
		return s.openNothing(ctx, key, offset)
	}
	r := &reader{ctx: ctx, store: s, key: key, at: offset, end: math.MaxInt64}
	if length > 0 && length < r.end-offset {
		r.end = offset + length
	}
	err := r.open()
	if offset == 0 && statusOf(err) == http.StatusRequestedRangeNotSatisfiable {
		return io.NopCloser(bytes.NewReader(nil)), nil // S3 has no range of an empty object
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// openNothing is a range without bytes, which S3 knows none of.
func (s *Store) openNothing(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	info, err := s.Stat(ctx, key)
	if err != nil {
		return nil, err
	}
	if offset > 0 && offset >= info.Size {
		return nil, invalid(opOpen, key, errRange)
	}
	return io.NopCloser(bytes.NewReader(nil)), nil
}

// reader reads the bytes of one object from at to end.
type reader struct {
	ctx     context.Context // of the Open: S3 is asked again when a connection breaks
	store   *Store
	key     string
	etag    *string // of the object; nil until the first answer, and where that has none
	body    io.ReadCloser
	at, end int64
	idle    int // connections in a row that gave nothing
}

// open asks for the bytes from at to end. The first answer says where the object ends.
func (r *reader) open() error {
	in := &s3.GetObjectInput{Bucket: r.store.bucket, Key: &r.key, IfMatch: r.etag}
	switch {
	case r.end < math.MaxInt64:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", r.at, r.end-1))
	case r.at > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", r.at))
	default:
		in.ChecksumMode = types.ChecksumModeEnabled
	}
	c := call{op: opOpen, key: r.key}
	out, err := r.store.client.GetObject(r.ctx, in, c.watch)
	if err != nil {
		return c.fail(r.ctx, err)
	}
	whole := in.Range == nil && out.ContentRange == nil
	asked := in.Range != nil && strings.HasPrefix(aws.ToString(out.ContentRange), fmt.Sprintf("bytes %d-", r.at))
	if out.ContentLength == nil || *out.ContentLength > r.end-r.at || !whole && !asked {
		_ = out.Body.Close() // nothing was read of it
		return c.fail(r.ctx, errAnswer)
	}
	r.body, r.end = out.Body, r.at+*out.ContentLength
	r.etag = optional(aws.ToString(out.ETag))
	return nil
}

func (r *reader) Read(p []byte) (int, error) {
	for {
		if r.body == nil {
			if err := r.open(); err != nil {
				return 0, err
			}
		}
		if r.at == r.end {
			return 0, r.finish()
		}
		n, err := r.body.Read(p[:min(int64(len(p)), r.end-r.at)])
		r.at += int64(n)
		if n > 0 {
			r.idle = 0
		}
		if n > 0 || err == nil {
			return n, nil // the next Read meets the error again
		}
		if err := r.broken(err); err != nil {
			return 0, err
		}
	}
}

// broken drops a connection that ended before its time. It returns an error where going on makes no sense.
func (r *reader) broken(cause error) error {
	_ = r.body.Close() // it has failed already
	r.body = nil
	if errors.Is(cause, io.EOF) {
		cause = io.ErrUnexpectedEOF
	}
	if r.idle++; r.idle > maxResumes || r.etag == nil || r.ctx.Err() != nil {
		c := call{op: opOpen, key: r.key}
		return c.fail(r.ctx, cause)
	}
	return nil
}

// finish reads the end of a body that has given all that was announced: only now the client compares the checksum.
func (r *reader) finish() error {
	switch n, err := r.body.Read(make([]byte, 1)); {
	case n == 0 && errors.Is(err, io.EOF):
		return io.EOF
	case err == nil:
		err = errAnswer
		fallthrough
	default:
		return &store.Error{Op: opOpen, Key: r.key, Outcome: store.ErrCorrupt, Cause: err}
	}
}

func (r *reader) Close() error {
	if r.body == nil {
		return nil
	}
	return r.body.Close()
}
