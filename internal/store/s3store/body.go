// SPDX-License-Identifier: Apache-2.0

package s3store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io"
	"strconv"
	"strings"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"tare/internal/store"
)

// maxHeld is the largest body that is held in memory, so that the client can send it again. Tails and chunks of an upload
// through a function are below it.
const maxHeld = 16 << 20

// body is what a call sends.
type body struct {
	content io.Reader
	sum     *string           // its checksum, where it is known beforehand
	option  func(*s3.Options) // the way in which it is sent
}

// send makes a call that brings exactly size bytes of r. Where r gives other than that, or fails, the call is not made or
// does not succeed: S3 keeps nothing whose checksum does not follow.
func (s *Store) send(ctx context.Context, c *call, r io.Reader, size int64, do func(body) error) error {
	switch {
	case size < 0:
		return invalid(c.op, c.key, errNegative)
	case size > store.MaxDirectPut:
		return invalid(c.op, c.key, errTooLarge)
	case size <= maxHeld:
		return c.fail(ctx, held(ctx, r, size, do))
	}
	return c.fail(ctx, streamed(ctx, c, r, size, do))
}

// held reads all of r first.
func held(ctx context.Context, r io.Reader, size int64, do func(body) error) error {
	data, src := make([]byte, size), &source{ctx: ctx, r: r, left: size}
	if _, err := io.ReadFull(src, data); err != nil {
		return src.fault(err)
	}
	if _, err := src.Read(nil); !errors.Is(err, io.EOF) {
		return src.fault(err)
	}
	sum := sha256.Sum256(data)
	return do(body{bytes.NewReader(data), encode(sum[:]), func(*s3.Options) {}})
}

// streamed sends what r gives as it comes, once.
func streamed(ctx context.Context, c *call, r io.Reader, size int64, do func(body) error) error {
	src := &source{ctx: ctx, r: r, left: size}
	err := do(body{src, nil, func(o *s3.Options) {
		o.RetryMaxAttempts = 1
		o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
			return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("ChecksumTrailer", trailing(size)), "ComputePayloadHash", middleware.Before)
		})
	}})
	if src.err != nil {
		return src.fault(src.err)
	}
	if !src.done {
		c.reached, c.lost = false, false // the checksum was never sent
	}
	return err
}

// source gives exactly left bytes of a caller's reader, or fails.
type source struct {
	ctx  context.Context // ends with it: a reader need not
	r    io.Reader
	left int64
	done bool
	err  error // why it failed
}

func (s *source) Read(p []byte) (n int, err error) {
	if s.err == nil {
		s.err = s.ctx.Err()
	}
	switch {
	case s.err != nil:
		return 0, s.err
	case s.done:
		return 0, io.EOF
	case s.left == 0:
		return 0, s.end()
	}
	n, err = s.r.Read(p[:min(int64(len(p)), s.left)])
	s.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && s.left > 0:
		s.err = io.ErrUnexpectedEOF
	case err != nil && !errors.Is(err, io.EOF):
		s.err = err
	}
	return n, s.err
}

// end sees that the reader ends, too.
func (s *source) end() error {
	switch n, err := io.ReadFull(s.r, make([]byte, 1)); {
	case n > 0:
		s.err = errTooLong
	case !errors.Is(err, io.EOF):
		s.err = err
	default:
		s.done = true
		return io.EOF
	}
	return s.err
}

// fault is the error of a call whose reader failed.
func (s *source) fault(err error) error {
	if s.err != nil {
		err = s.err
	}
	return &misuse{err}
}

// trailing makes a body one chunk whose SHA-256 follows it (S3 API Reference, "Uploads with trailing checksums", 2026-11).
// The SDK does the same over TLS and refuses without; the stand-ins have none, and what is tested is what runs.
func trailing(size int64) func(context.Context, middleware.FinalizeInput, middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
	return func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (middleware.FinalizeOutput, middleware.Metadata, error) {
		req, ok := in.Request.(*smithyhttp.Request)
		if !ok {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, fmt.Errorf("a request of type %T", in.Request)
		}
		content, length := chunk(req.GetStream(), size)
		req, err := req.SetStream(content)
		if err != nil {
			return middleware.FinalizeOutput{}, middleware.Metadata{}, err
		}
		req.ContentLength = length
		req.Header.Set("Content-Encoding", "aws-chunked")
		req.Header.Set("Expect", "100-continue") // who is refused sends nothing
		req.Header.Set("X-Amz-Decoded-Content-Length", strconv.FormatInt(size, 10))
		req.Header.Set("X-Amz-Trailer", strings.ToLower(checksumHeader))
		in.Request = req
		return next.HandleFinalize(v4.SetPayloadHash(ctx, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"), in)
	}
}

const checksumHeader = "X-Amz-Checksum-Sha256"

// chunk returns a body in aws-chunked form, and its length.
func chunk(r io.Reader, size int64) (io.Reader, int64) {
	h := sha256.New()
	head := strconv.FormatInt(size, 16) + "\r\n"
	t := &trailer{sum: h, head: "\r\n0\r\n" + strings.ToLower(checksumHeader) + ":"}
	return io.MultiReader(strings.NewReader(head), io.TeeReader(r, h), t), int64(len(head)) + size + t.length()
}

// trailer is the end of a body. What it says is known when all before it was read.
type trailer struct {
	head string
	sum  hash.Hash
	rest io.Reader
}

const trailerEnd = "\r\n\r\n"

func (t *trailer) length() int64 {
	return int64(len(t.head) + base64.StdEncoding.EncodedLen(t.sum.Size()) + len(trailerEnd))
}

func (t *trailer) Read(p []byte) (int, error) {
	if t.rest == nil {
		t.rest = strings.NewReader(t.head + *encode(t.sum.Sum(nil)) + trailerEnd)
	}
	return t.rest.Read(p)
}

// encode is a checksum as S3 writes it.
func encode(sum []byte) *string {
	s := base64.StdEncoding.EncodeToString(sum)
	return &s
}
