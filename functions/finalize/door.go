// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"tare/functions/internal/cloud"
	"tare/internal/clock"
	"tare/internal/refcount"
)

const (
	// reserve is how long before its end a call reads nothing more. One commit follows, and the call that goes on.
	reserve = 30 * time.Second
	// maxTurns is how many calls go on from one another: twelve of fifteen minutes read more than any layer has. Lambda stops
	// chains of more than 16 by itself (developer guide, "Recursive loop detection", 2026-11).
	maxTurns = 12
)

// settler is [upload.Uploads].
type settler interface {
	Settle(ctx context.Context, id string, deadline time.Time) (left bool, err error)
}

// invoker is this function, as it calls itself.
type invoker interface {
	Invoke(ctx context.Context, event any) error
}

// door settles direct uploads. Both of its events come at least once, in any order and late; who has the lease of an upload
// settles it, and the others end.
//
// A call that cannot come to the end calls the function again, asynchronously, and ends well: the hash goes on from the
// upload's row. So retries stay what they are for: an error is one, Lambda calls again with the same event, twice, and then
// gives it to the failure destination.
type door struct {
	uploads settler
	self    invoker
	bucket  string
	clock   clock.Clock
	log     *slog.Logger
}

// Invoke implements lambda.Handler. An event of another shape is an error: it is not half of one. That something which is not
// ours came to the bucket is no such event, and no failure either: no other call would find anything to do.
func (d *door) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	s, err := d.read(payload)
	if errors.Is(err, errForeign) {
		d.log.Warn("The bucket has an object that is none of the registry's.", "error", err)
		return []byte("{}"), nil
	}
	if err != nil {
		return nil, err
	}
	left, err := d.uploads.Settle(ctx, s.Upload, cloud.Until(ctx, d.clock, reserve))
	if err != nil {
		return nil, fmt.Errorf("settling %s: %w", s.Upload, err)
	}
	if !left {
		return []byte("{}"), nil
	}
	if s.Turn++; s.Turn >= maxTurns {
		return nil, fmt.Errorf("settling %s: it is not done after %d calls", s.Upload, maxTurns)
	}
	d.log.Info("A direct upload goes on in another call.", "upload", s.Upload, "turn", s.Turn)
	if err := d.self.Invoke(ctx, s); err != nil {
		return nil, err
	}
	return []byte("{}"), nil
}

// read reads one of the two events: a settlement, or that a multipart upload to the bucket was completed.
func (d *door) read(payload []byte) (s cloud.Settlement, err error) {
	var e struct {
		events.CloudWatchEvent
		Tare *string `json:"tare"`
	}
	if err := json.Unmarshal(payload, &e); err != nil {
		return s, fmt.Errorf("this is no event of this function: %w", err)
	}
	if e.Tare == nil {
		s, err = d.fromBucket(e.CloudWatchEvent)
	} else {
		err = cloud.Decode(payload, &s)
	}
	switch {
	case err != nil:
		return s, err
	case s.Tare != cloud.Settle:
		return s, fmt.Errorf(`this is no event of this function: "tare" is %q`, s.Tare)
	case !refcount.IsObject(s.Upload) || s.Turn < 0:
		return s, fmt.Errorf("this is no event of this function: %q is no upload", s.Upload)
	}
	return s, nil
}

// fromBucket reads an event of Amazon S3 (S3 User Guide, "EventBridge events", 2026-11).
func (d *door) fromBucket(e events.CloudWatchEvent) (s cloud.Settlement, err error) {
	if e.Source != "aws.s3" || e.DetailType != "Object Created" {
		return s, fmt.Errorf("this is no event of this function: %q of %q", e.DetailType, e.Source)
	}
	var detail struct {
		Bucket struct {
			Name string `json:"name"`
		} `json:"bucket"`
		Object struct {
			Key string `json:"key"`
		} `json:"object"`
		Reason string `json:"reason"`
	}
	if err := json.Unmarshal(e.Detail, &detail); err != nil {
		return s, fmt.Errorf("this is no event of this function: %w", err)
	}
	if detail.Bucket.Name != d.bucket || detail.Reason != "CompleteMultipartUpload" {
		return s, fmt.Errorf("this is no event of this function: %q in the bucket %q", detail.Reason, detail.Bucket.Name)
	}
	if detail.Object.Key != "" && !refcount.IsObject(detail.Object.Key) {
		return s, fmt.Errorf("%w: %q", errForeign, detail.Object.Key)
	}
	return cloud.Settlement{Tare: cloud.Settle, Upload: detail.Object.Key}, nil
}

// errForeign is the error of an event of the bucket about a key that the registry does not make.
var errForeign = errors.New("no key of ours")
