// SPDX-License-Identifier: Apache-2.0

package s3store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tare/internal/store"
)

var (
	errLife    = errors.New("a life below a second or above seven days")
	errEnded   = errors.New("the credentials have ended")
	errBare    = errors.New("no credentials to sign with")
	errHoisted = errors.New("the client signs without the length and the checksum as headers")
)

// SignGet implements [store.Direct].
func (s *Store) SignGet(ctx context.Context, key string, life time.Duration) (store.SignedRequest, error) {
	return s.sign(ctx, key, life, func(c *s3.PresignClient) (*v4.PresignedHTTPRequest, error) {
		return c.PresignGetObject(ctx, &s3.GetObjectInput{Bucket: s.bucket, Key: &key})
	})
}

// SignHead implements [store.Direct].
func (s *Store) SignHead(ctx context.Context, key string, life time.Duration) (store.SignedRequest, error) {
	return s.sign(ctx, key, life, func(c *s3.PresignClient) (*v4.PresignedHTTPRequest, error) {
		return c.PresignHeadObject(ctx, &s3.HeadObjectInput{Bucket: s.bucket, Key: &key})
	})
}

// SignPut implements [store.Direct]. Length and checksum are signed as headers: S3 is not known to enforce a checksum in the
// query.
func (s *Store) SignPut(ctx context.Context, key string, size int64, sum [sha256.Size]byte, life time.Duration) (store.SignedRequest, error) {
	if size < 1 || size > store.MaxDirectPut {
		return store.SignedRequest{}, invalid(opSign, key, errSize(size))
	}
	return s.signBody(ctx, key, life, func(c *s3.PresignClient) (*v4.PresignedHTTPRequest, error) {
		return c.PresignPutObject(ctx, &s3.PutObjectInput{Bucket: s.bucket, Key: &key, ContentLength: &size, ChecksumSHA256: encode(sum[:])})
	})
}

// SignPart implements [store.Direct].
func (s *Store) SignPart(ctx context.Context, key, id string, number int, size int64, sum [sha256.Size]byte, life time.Duration) (store.SignedRequest, error) {
	switch {
	case size < 1 || size > store.MaxDirectPut:
		return store.SignedRequest{}, invalid(opSign, key, errSize(size))
	case number < 1 || number > store.MaxParts || id == "":
		return store.SignedRequest{}, invalid(opSign, key, errParts)
	}
	return s.signBody(ctx, key, life, func(c *s3.PresignClient) (*v4.PresignedHTTPRequest, error) {
		return c.PresignUploadPart(ctx, &s3.UploadPartInput{
			Bucket: s.bucket, Key: &key, UploadId: &id, PartNumber: aws.Int32(int32(number)),
			ContentLength: &size, ChecksumSHA256: encode(sum[:]),
		})
	})
}

func errSize(size int64) error { return fmt.Errorf("a body of %d bytes", size) }

// signBody signs a request with a body, and sees that the holder cannot send another.
func (s *Store) signBody(ctx context.Context, key string, life time.Duration, do func(*s3.PresignClient) (*v4.PresignedHTTPRequest, error)) (store.SignedRequest, error) {
	return s.sign(ctx, key, life, func(c *s3.PresignClient) (*v4.PresignedHTTPRequest, error) {
		signed, err := do(c)
		if err == nil && (signed.SignedHeader.Get("Content-Length") == "" || signed.SignedHeader.Get(checksumHeader) == "") {
			return nil, errHoisted
		}
		return signed, err
	})
}

// sign signs a request. The client may fetch credentials for it, and calls nothing else.
func (s *Store) sign(ctx context.Context, key string, life time.Duration, do func(*s3.PresignClient) (*v4.PresignedHTTPRequest, error)) (store.SignedRequest, error) {
	if err := check(ctx, opSign, key); err != nil {
		return store.SignedRequest{}, err
	}
	if life < time.Second || life > store.MaxURLLife {
		return store.SignedRequest{}, invalid(opSign, key, errLife)
	}
	p := &presigner{signer: v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }), now: s.clock.Now(), life: life}
	signed, err := do(s3.NewPresignClient(s.client, func(o *s3.PresignOptions) { o.Presigner = p }))
	if err == nil && p.ends.IsZero() {
		err = errBare // an unsigned URL
	}
	if err != nil {
		c := call{op: opSign, key: key}
		return store.SignedRequest{}, c.fail(ctx, err)
	}
	r := store.SignedRequest{Method: signed.Method, URL: signed.URL, Ends: p.ends}
	for name, values := range signed.SignedHeader {
		if name == "Host" || name == "Content-Length" {
			continue
		}
		if r.Header == nil {
			r.Header = make(map[string]string)
		}
		r.Header[name] = values[0]
	}
	return r, nil
}

// presigner signs at the store's time, and for no longer than the credentials are good. Those of a function carry no end
// (AWS Lambda, "Defined runtime environment variables", 2026-11): there the life that was asked for is what there is, and
// whoever asks keeps it short.
type presigner struct {
	signer *v4.Signer
	now    time.Time
	life   time.Duration
	ends   time.Time
}

// PresignHTTP implements [s3.HTTPPresignerV4].
func (p *presigner) PresignHTTP(
	ctx context.Context, creds aws.Credentials, r *http.Request, payloadHash, service, region string, _ time.Time, opts ...func(*v4.SignerOptions),
) (string, http.Header, error) {
	now, life := p.now.Truncate(time.Second), p.life // a signature has whole seconds
	if creds.CanExpire {
		life = min(life, creds.Expires.Sub(now))
	}
	life = life.Truncate(time.Second)
	if life < time.Second {
		return "", nil, errEnded
	}
	query := r.URL.Query()
	query.Set("X-Amz-Expires", strconv.FormatInt(int64(life/time.Second), 10))
	r.URL.RawQuery = query.Encode()
	p.ends = now.Add(life)
	return p.signer.PresignHTTP(ctx, creds, r, payloadHash, service, region, now, opts...)
}
