// SPDX-License-Identifier: Apache-2.0

package s3store

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"tare/internal/store"
)

// minPart is the least size of every part but the last (User Guide, "Amazon S3 multipart upload limits", 2026-11).
const minPart = 5 << 20

// MinPart implements [store.Multipart].
func (s *Store) MinPart() int64 { return minPart }

// Turn implements [store.Multipart]. It only counts: S3 orders nothing, and the last of two parts with one number that comes
// in replaces the other. Who writes never gives a number twice.
func (s *Store) Turn() int64 { return s.turns.Add(1) }

// Begin implements [store.Multipart]. The upload takes no part without a SHA-256. One whose reply was lost stays until
// the sweep or the bucket's rule finds it.
func (s *Store) Begin(ctx context.Context, key string) (string, error) {
	if err := check(ctx, opBegin, key); err != nil {
		return "", err
	}
	c := call{op: opBegin, key: key, writes: true}
	out, err := s.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: s.bucket, Key: &key, ChecksumAlgorithm: types.ChecksumAlgorithmSha256, ChecksumType: types.ChecksumTypeComposite,
	}, c.watch)
	if err == nil && aws.ToString(out.UploadId) == "" {
		c.lost, err = true, errAnswer
	}
	if err != nil {
		return "", c.fail(ctx, err)
	}
	return *out.UploadId, nil
}

// Part implements [store.Multipart]. turn and offset are not looked at beyond their range.
func (s *Store) Part(ctx context.Context, key, id string, turn int64, number int, offset int64, r io.Reader, size int64) (store.Part, error) {
	if err := check(ctx, opPart, key); err != nil {
		return store.Part{}, err
	}
	switch {
	case turn < 1 || offset < 0:
		return store.Part{}, invalid(opPart, key, errNegative)
	case number < 1 || number > store.MaxParts:
		return store.Part{}, invalid(opPart, key, errParts)
	case id == "":
		return store.Part{}, missing(opPart, key, nil)
	}
	c := call{op: opPart, key: key, writes: true}
	p := store.Part{Number: number, Size: size}
	err := s.send(ctx, &c, r, size, func(b body) error {
		out, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
			Bucket: s.bucket, Key: &key, UploadId: &id, PartNumber: aws.Int32(int32(number)),
			Body: b.content, ContentLength: &size, ChecksumSHA256: b.sum,
		}, c.watch, b.option)
		if err == nil && (out.ETag == nil || out.ChecksumSHA256 == nil) {
			err = errAnswer
		}
		if err == nil {
			p.Mark = mark(out.ETag, out.ChecksumSHA256)
		}
		return err
	})
	if err != nil {
		return store.Part{}, err
	}
	return p, nil
}

// mark is a part's ETag without its quotes and, behind a space, its checksum, which Complete has to name both.
func mark(etag, sum *string) string {
	return strings.Trim(aws.ToString(etag), `"`) + " " + aws.ToString(sum)
}

// Complete implements [store.Multipart]. S3 puts the parts together from what the marks name, and compares the size of the
// whole. It may answer success when a call that was made before has completed the upload, be it of other parts, and that there is
// no upload when an attempt of this call has, whose reply was lost: the checksum of the object tells.
func (s *Store) Complete(ctx context.Context, key, id string, parts []store.Part) error {
	if err := check(ctx, opComplete, key); err != nil {
		return err
	}
	if id == "" {
		return missing(opComplete, key, nil)
	}
	l, ok := listed(parts)
	sum, err := "", invalid(opComplete, key, errParts)
	if ok {
		sum, err = s.complete(ctx, key, id, l)
	}
	if errors.Is(err, store.ErrInvalid) {
		// Of an upload that is not there no parts are right.
		if _, lookErr := s.Parts(ctx, key, id, 0, 1); errors.Is(lookErr, store.ErrNotFound) {
			err = lookErr
		}
	}
	switch {
	case ok && errors.Is(err, store.ErrNotFound), err == nil && sum == "":
		return s.compare(ctx, key, l)
	case err == nil && sum != l.sum:
		return missing(opComplete, key, errEarlier)
	}
	return err
}

// complete returns the composite checksum of the object; "" where the answer has none: that of a call that only finds the
// object need not.
func (s *Store) complete(ctx context.Context, key, id string, l list) (sum string, err error) {
	c := call{op: opComplete, key: key, writes: true}
	out, err := s.client.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
		Bucket: s.bucket, Key: &key, UploadId: &id, MultipartUpload: &types.CompletedMultipartUpload{Parts: l.parts},
		MpuObjectSize: &l.size, ChecksumType: types.ChecksumTypeComposite,
	}, c.watch)
	if err == nil && out.ETag == nil {
		err = errAnswer // S3 begins its answer before it knows: one without an end is none
	}
	if err != nil {
		return "", c.fail(ctx, err)
	}
	return withoutCount(out.ChecksumSHA256), nil
}

// compare asks whether an object is there and made of the parts of l, be it by another call. An object whose checksum does not
// say so is as good as another's: whoever needs it has to read it.
func (s *Store) compare(ctx context.Context, key string, l list) error {
	c := call{op: opComplete, key: key, lost: true}
	out, err := s.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: s.bucket, Key: &key, ChecksumMode: types.ChecksumModeEnabled}, c.watch)
	switch {
	case err != nil:
		return c.fail(ctx, err)
	case withoutCount(out.ChecksumSHA256) != l.sum, aws.ToInt64(out.ContentLength) != l.size:
		return missing(opComplete, key, errEarlier)
	}
	return nil
}

// withoutCount is a composite checksum without the number of parts behind it, which not every engine names.
func withoutCount(composite *string) string {
	sum, _, _ := strings.Cut(aws.ToString(composite), "-")
	return sum
}

// list is parts as S3 wants them.
type list struct {
	parts []types.CompletedPart
	size  int64  // of the object that they make
	sum   string // its composite checksum: that of the parts' checksums
}

// listed makes a list. ok is false where the parts cannot be an upload's.
func listed(parts []store.Part) (l list, ok bool) {
	h := sha256.New()
	for i, p := range parts {
		etag, sum, _ := strings.Cut(p.Mark, " ")
		raw, err := base64.StdEncoding.DecodeString(sum)
		if p.Number < 1 || p.Number > store.MaxParts || p.Size < 0 || p.Size > store.MaxDirectPut || i > 0 && p.Number <= parts[i-1].Number ||
			etag == "" || err != nil || len(raw) != sha256.Size {
			return list{}, false
		}
		l.parts = append(l.parts, types.CompletedPart{PartNumber: aws.Int32(int32(p.Number)), ETag: &etag, ChecksumSHA256: &sum})
		l.size += p.Size
		h.Write(raw)
	}
	l.sum = *encode(h.Sum(nil))
	return l, len(parts) > 0
}

// Abort implements [store.Multipart]. A part that is under way meanwhile may stay behind on S3; the tombstone that leads here
// waits until none can be, and the bucket's rule for unfinished uploads is behind it.
func (s *Store) Abort(ctx context.Context, key, id string) error {
	if err := check(ctx, opAbort, key); err != nil {
		return err
	}
	if id == "" {
		return nil
	}
	c := call{op: opAbort, key: key, writes: true}
	_, err := s.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{Bucket: s.bucket, Key: &key, UploadId: &id}, c.watch)
	return ignoreAbsent(c.fail(ctx, err))
}

// Pending implements [store.Multipart].
func (s *Store) Pending(ctx context.Context, prefix string) ([]store.PendingUpload, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := call{op: opPending, key: prefix}
	var pending []store.PendingUpload
	in := &s3.ListMultipartUploadsInput{Bucket: s.bucket, Prefix: optional(prefix)}
	for {
		out, err := s.client.ListMultipartUploads(ctx, in, c.watch)
		if err != nil {
			return nil, c.fail(ctx, err)
		}
		for _, u := range out.Uploads {
			if key := aws.ToString(u.Key); store.ValidObjectKey(key) && strings.HasPrefix(key, prefix) {
				pending = append(pending, store.PendingUpload{Key: key, ID: aws.ToString(u.UploadId)})
			}
		}
		if !aws.ToBool(out.IsTruncated) {
			return pending, nil
		}
		in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
		if in.KeyMarker == nil {
			return nil, c.fail(ctx, errAnswer)
		}
	}
}

// missing is the error of an upload that is not there. One without an id is none, and S3 would take it for something else.
func missing(op, key string, cause error) error {
	return &store.Error{Op: op, Key: key, Outcome: store.ErrNotFound, Cause: cause}
}
