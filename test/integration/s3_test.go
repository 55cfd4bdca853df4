// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tare/internal/clock"
	"tare/internal/store"
	"tare/internal/store/s3store"
	"tare/internal/store/storetest"
	"tare/test/integration/account"
	"tare/test/standin"
)

// startS3 starts versitygw; in an account it stands for S3 itself, without an address.
func startS3(tb testing.TB) *standin.Server {
	if openAccount(tb, account.BucketName) != nil {
		return &standin.Server{}
	}
	return standin.S3(tb)
}

// startHurt starts versitygw for a test that stands in its way, which nobody can in an account.
func startHurt(tb testing.TB) *standin.Server {
	if openAccount(tb, account.BucketName) != nil {
		tb.Skip("not in an account")
	}
	return standin.S3(tb)
}

// s3Client makes a client of an engine that speaks S3, for as long as the test runs: versitygw waits for connections that
// are open before it ends.
func s3Client(tb testing.TB, url string) *s3.Client {
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	tb.Cleanup(transport.CloseIdleConnections)
	if a := openAccount(tb, account.BucketName); a != nil {
		return a.S3(func(o *s3.Options) { o.HTTPClient = &http.Client{Transport: transport} })
	}
	return s3.New(s3.Options{
		HTTPClient:   &http.Client{Transport: transport},
		BaseEndpoint: aws.String(url),
		Region:       standin.Region,
		Credentials:  credentials.NewStaticCredentialsProvider(standin.AccessKey, standin.SecretKey, ""),
		UsePathStyle: true,
	})
}

// newBucket makes a bucket of a name of its own, or empties that of the account, and tells the name.
func newBucket(tb testing.TB, url string) string {
	tb.Helper()
	if a := openAccount(tb, account.BucketName); a != nil {
		if err := account.EmptyBucket(tb.Context(), s3Client(tb, url), a.Bucket); err != nil {
			tb.Fatal(err)
		}
		return a.Bucket
	}
	name := "b" + strings.ToLower(rand.Text())
	if _, err := s3Client(tb, url).CreateBucket(tb.Context(), &s3.CreateBucketInput{Bucket: &name}); err != nil {
		tb.Fatal(err)
	}
	return name
}

// openBuckets gives each test a bucket of its own, and two clients of it, which reach it at a URL of their own.
func openBuckets(s *standin.Server, url string, opts s3store.Options) func(testing.TB) storetest.Buckets {
	return func(tb testing.TB) storetest.Buckets {
		bucket := newBucket(tb, s.URL)
		patient := s3store.New(s3Client(tb, s.URL), bucket, s3store.Options{})
		client := func() storetest.Bucket {
			c := s3store.New(s3Client(tb, url), bucket, opts)
			return storetest.Bucket{Objects: insistent{c, patient}, Multipart: c}
		}
		return storetest.Buckets{A: client(), B: client()}
	}
}

// insistent repeats deletes: versitygw, unlike S3, fails some of those of a key that is being put. They are repeated by a
// client of their own, which takes its time, and past what stands before the engine.
type insistent struct {
	store.Objects
	patient *s3store.Store
}

func (i insistent) Delete(ctx context.Context, key string) error {
	err := i.Objects.Delete(ctx, key)
	for range 5 {
		if !errors.Is(err, store.ErrUnknownOutcome) {
			return err
		}
		err = i.patient.Delete(ctx, key)
	}
	return err
}

func TestObjects(t *testing.T) {
	s := startS3(t)
	storetest.TestObjects(t, openBuckets(s, s.URL, s3store.Options{}))
}

func TestMultipart(t *testing.T) {
	s := startS3(t)
	storetest.TestMultipart(t, openBuckets(s, s.URL, s3store.Options{}))
}

func TestDirect(t *testing.T) {
	s := startS3(t)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	storetest.TestDirect(t, func(tb testing.TB) storetest.Signed {
		bucket := newBucket(tb, s.URL)
		signer := func(clk clock.Clock) *s3store.Store {
			return s3store.New(s3Client(tb, s.URL), bucket, s3store.Options{Clock: clk})
		}
		now := signer(nil)
		return storetest.Signed{
			Bucket: storetest.Bucket{Objects: now, Multipart: now},
			Direct: now,
			Earlier: func(ago time.Duration) store.Direct {
				return signer(clock.NewManual(clock.System{}.Now().Add(-ago)))
			},
		}
	})
}
