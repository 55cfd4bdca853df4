// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"crypto/rand"
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

// openBuckets gives each test a bucket of its own, and two clients of it.
func openBuckets(s *standin.Server) func(testing.TB) storetest.Buckets {
	return func(tb testing.TB) storetest.Buckets {
		bucket := newBucket(tb, s.URL)
		client := func() storetest.Bucket {
			c := s3store.New(s3Client(tb, s.URL), bucket, s3store.Options{})
			return storetest.Bucket{Objects: c, Multipart: c}
		}
		return storetest.Buckets{A: client(), B: client()}
	}
}

func TestObjects(t *testing.T) { storetest.TestObjects(t, openBuckets(startS3(t))) }

func TestMultipart(t *testing.T) { storetest.TestMultipart(t, openBuckets(startS3(t))) }

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
