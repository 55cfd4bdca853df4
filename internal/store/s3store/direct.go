// SPDX-License-Identifier: Apache-2.0

package s3store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tare/internal/store"
)

// Parts implements [store.Direct]. A page of S3 may have fewer entries than were asked for, and more behind it.
func (s *Store) Parts(ctx context.Context, key, id string, after, limit int) ([]store.Part, error) {
	if err := check(ctx, opParts, key); err != nil {
		return nil, err
	}
	if err := store.ValidateLimit(opParts, limit); err != nil {
		return nil, err
	}
	switch {
	case after < 0:
		return nil, invalid(opParts, key, errNegative)
	case id == "":
		return nil, missing(opParts, key, nil)
	case after >= store.MaxParts:
		return nil, nil
	}
	c := call{op: opParts, key: key}
	var page []store.Part
	in := &s3.ListPartsInput{Bucket: s.bucket, Key: &key, UploadId: &id, PartNumberMarker: aws.String(strconv.Itoa(after))}
	for {
		in.MaxParts = aws.Int32(int32(limit - len(page)))
		out, err := s.client.ListParts(ctx, in, c.watch)
		if err != nil {
			return nil, c.fail(ctx, err)
		}
		for _, p := range out.Parts {
			page = append(page, store.Part{Number: int(aws.ToInt32(p.PartNumber)), Size: aws.ToInt64(p.Size), Mark: mark(p.ETag, p.ChecksumSHA256)})
		}
		if len(page) >= limit || !aws.ToBool(out.IsTruncated) {
			return page, nil
		}
		if in.PartNumberMarker = out.NextPartNumberMarker; in.PartNumberMarker == nil {
			return nil, c.fail(ctx, errAnswer)
		}
	}
}

// Sum implements [store.Direct]. S3 knows the sum of an object that came whole; of one that was made of parts it has a sum of
// sums, which is not told ("Checking object integrity", User Guide, 2026-11).
func (s *Store) Sum(ctx context.Context, key string) (size int64, sum [sha256.Size]byte, known bool, err error) {
	if err := check(ctx, opSum, key); err != nil {
		return 0, sum, false, err
	}
	c := call{op: opSum, key: key}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: s.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled}, c.watch)
	if err == nil && out.ContentLength == nil {
		err = errAnswer
	}
	if err != nil {
		return 0, sum, false, c.fail(ctx, err)
	}
	if out.ChecksumType == types.ChecksumTypeFullObject {
		got, err := base64.StdEncoding.DecodeString(aws.ToString(out.ChecksumSHA256))
		known = err == nil && copy(sum[:], got) == len(sum) && len(got) == len(sum)
	}
	return *out.ContentLength, sum, known, nil
}
