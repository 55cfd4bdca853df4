// SPDX-License-Identifier: Apache-2.0

// Package s3store keeps objects in a bucket of Amazon S3. The bucket belongs to the registry alone: keys are taken as they
// are, and whatever else lies there is not listed.
//
// Each byte that is written goes with a SHA-256 that S3 compares before it keeps anything, in a header where the bytes are
// held in memory, in a trailer where they stream. Each part of an upload goes so, too. S3 is strongly consistent (A3; User
// Guide, "Amazon S3 data consistency model", 2026-11).
//
// An engine that speaks S3 and knows SHA-256 checksums will do; the tests run on one. S3 Express (directory buckets) will not:
// it does not list in order.
package s3store

import (
	"errors"
	"io"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tare/internal/clock"
	"tare/internal/store"
)

// Store is a [store.Objects], [store.Multipart] and [store.Direct] on a bucket. It is safe for concurrent use.
type Store struct {
	client *s3.Client
	bucket *string
	clock  clock.Clock
	turns  atomic.Int64
}

var (
	_ store.Objects   = (*Store)(nil)
	_ store.Multipart = (*Store)(nil)
	_ store.Direct    = (*Store)(nil)
)

// Options are what a Store needs beside its client. The zero value is for production.
type Options struct {
	// Clock tells the time at which requests are signed for others; nil is the machine's.
	Clock clock.Clock

	// Pause is for how long to wait after the nth attempt of a call, counted from 1; nil waits for a random time of up to
	// a second.
	Pause func(attempt int) time.Duration
}

// maxAttempts is how often a call is made that S3 or the network fails, where it can be repeated.
const maxAttempts = 4

// New returns a store on a bucket that exists. It makes no call. Region, endpoint and credentials are the client's; whether
// and when calls are repeated, and what is checked of bytes, is the store's.
func New(client *s3.Client, bucket string, opts Options) *Store {
	if opts.Clock == nil {
		opts.Clock = clock.System{}
	}
	own := s3.New(client.Options(), func(o *s3.Options) {
		o.Retryer = retryer(opts.Pause)
		// Every body has its SHA-256 from us. The SDK would add a CRC-32, and ask for checksums in URLs that it signs.
		o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		o.DisableLogOutputChecksumValidationSkipped = true
	})
	return &Store{client: own, bucket: &bucket, clock: opts.Clock}
}

// retryer is the SDK's, which also repeats what was answered and cut off.
func retryer(pause func(attempt int) time.Duration) aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		o.RateLimiter = ratelimit.None // its quota is shared by all calls, and a retry that finds nothing does not give its share back
		o.MaxBackoff = time.Second
		if pause != nil {
			o.Backoff = retry.BackoffDelayerFunc(func(attempt int, _ error) (time.Duration, error) { return pause(attempt), nil })
		}
		o.Retryables = append(o.Retryables, retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
			if errors.Is(err, io.ErrUnexpectedEOF) {
				return aws.TrueTernary
			}
			return aws.UnknownTernary
		}))
	})
}
