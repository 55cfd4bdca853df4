// SPDX-License-Identifier: Apache-2.0

package s3store

import (
	"context"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tare/internal/store"
)

// The names of the calls, in errors.
const (
	opPut      = "put"
	opOpen     = "open"
	opStat     = "stat"
	opDelete   = "delete"
	opList     = "list"
	opBegin    = "begin"
	opPart     = "part"
	opComplete = "complete"
	opAbort    = "abort"
	opPending  = "pending"
	opSign     = "sign"
	opParts    = "parts"
	opSum      = "sum"
)

// Put implements [store.Objects]. An object of more than 5 GiB is ErrInvalid: it has to come in parts. Nothing keeps a put
// from replacing an object: S3 could be asked to (If-None-Match), and would then refuse the repetition of a lost reply.
func (s *Store) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	if err := check(ctx, opPut, key); err != nil {
		return err
	}
	c := call{op: opPut, key: key, writes: true}
	return s.send(ctx, &c, r, size, func(b body) error {
		out, err := s.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: s.bucket, Key: &key, Body: b.content, ContentLength: &size, ChecksumSHA256: b.sum,
		}, c.watch, b.option)
		if err == nil && out.ChecksumSHA256 == nil {
			err = errAnswer // an engine that compares none
		}
		return err
	})
}

// check tells whether a call can be made at all.
func check(ctx context.Context, op, key string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !store.ValidObjectKey(key) {
		return invalid(op, key, errKey)
	}
	return nil
}

// Stat implements [store.Objects].
func (s *Store) Stat(ctx context.Context, key string) (store.ObjectInfo, error) {
	if err := check(ctx, opStat, key); err != nil {
		return store.ObjectInfo{}, err
	}
	c := call{op: opStat, key: key}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: s.bucket, Key: &key}, c.watch)
	if err == nil && out.ContentLength == nil {
		err = errAnswer
	}
	if err != nil {
		return store.ObjectInfo{}, c.fail(ctx, err)
	}
	return store.ObjectInfo{Key: key, Size: *out.ContentLength}, nil
}

// Delete implements [store.Objects]. In a bucket with versions the object is absent from then on, and S3 keeps it until the
// bucket's rules remove it.
func (s *Store) Delete(ctx context.Context, key string) error {
	if err := check(ctx, opDelete, key); err != nil {
		return err
	}
	c := call{op: opDelete, key: key, writes: true}
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: s.bucket, Key: &key}, c.watch)
	return ignoreAbsent(c.fail(ctx, err))
}

// List implements [store.Objects]. A page of S3 may have fewer entries than were asked for, and more behind it.
func (s *Store) List(ctx context.Context, prefix, after string, limit int) ([]store.ObjectInfo, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := store.ValidateLimit(opList, limit); err != nil {
		return nil, err
	}
	c := call{op: opList, key: prefix}
	var page []store.ObjectInfo
	in := &s3.ListObjectsV2Input{Bucket: s.bucket, Prefix: optional(prefix), StartAfter: optional(after)}
	for {
		in.MaxKeys = aws.Int32(int32(limit - len(page)))
		out, err := s.client.ListObjectsV2(ctx, in, c.watch)
		if err != nil {
			return nil, c.fail(ctx, err)
		}
		for _, o := range out.Contents {
			if key := aws.ToString(o.Key); store.ValidObjectKey(key) && strings.HasPrefix(key, prefix) {
				page = append(page, store.ObjectInfo{Key: key, Size: aws.ToInt64(o.Size)})
			}
		}
		if len(page) >= limit || !aws.ToBool(out.IsTruncated) {
			return page, nil
		}
		if in.ContinuationToken = out.NextContinuationToken; in.ContinuationToken == nil {
			return nil, c.fail(ctx, errAnswer)
		}
	}
}

// optional is a field that is not sent when it is empty.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
