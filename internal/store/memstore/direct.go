// SPDX-License-Identifier: Apache-2.0

package memstore

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"tare/internal/clock"
	"tare/internal/store"
)

// Direct is a [store.Direct] of a [Store] whose Options have a MinPart. Its requests are served by [Store.Handler].
type Direct struct {
	store   *Store
	address string
	clock   clock.Clock
}

var _ store.Direct = (*Direct)(nil)

// Direct returns a client that signs requests for a server of [Store.Handler], which stands at address ("http://host:port"),
// and asks clk for the time. Requests that one client of a store signed are good for all of its servers, and for those of
// its clones.
func (s *Store) Direct(address string, clk clock.Clock) *Direct {
	return &Direct{s, strings.TrimSuffix(address, "/"), clk}
}

// The parts of a signed request, named as they are on S3 where it has a name for them.
const (
	checksumHeader = "X-Amz-Checksum-Sha256"
	endsField      = "ends" // in seconds of Unix time
	dateField      = "X-Amz-Date"
	numberField    = "partNumber"
	uploadField    = "uploadId"
	signatureField = "signature"
)

var errLife = errors.New("a life below a second or above seven days")

// SignGet implements [store.Direct].
func (d *Direct) SignGet(ctx context.Context, key string, life time.Duration) (store.SignedRequest, error) {
	return d.sign(ctx, http.MethodGet, key, nil, body{}, life)
}

// SignHead implements [store.Direct].
func (d *Direct) SignHead(ctx context.Context, key string, life time.Duration) (store.SignedRequest, error) {
	return d.sign(ctx, http.MethodHead, key, nil, body{}, life)
}

// SignPut implements [store.Direct].
func (d *Direct) SignPut(ctx context.Context, key string, size int64, sum [sha256.Size]byte, life time.Duration) (store.SignedRequest, error) {
	b, err := announce(key, size, sum)
	if err != nil {
		return store.SignedRequest{}, err
	}
	return d.sign(ctx, http.MethodPut, key, nil, b, life)
}

// SignPart implements [store.Direct].
func (d *Direct) SignPart(ctx context.Context, key, id string, number int, size int64, sum [sha256.Size]byte, life time.Duration) (store.SignedRequest, error) {
	if d.store.opts.MinPart == 0 || number < 1 || number > store.MaxParts || id == "" {
		return store.SignedRequest{}, fail("sign", key, store.ErrInvalid, fmt.Errorf("part %d of upload %q", number, id))
	}
	b, err := announce(key, size, sum)
	if err != nil {
		return store.SignedRequest{}, err
	}
	part := url.Values{numberField: {strconv.Itoa(number)}, uploadField: {id}}
	return d.sign(ctx, http.MethodPut, key, part, b, life)
}

// body is what a request announces of its bytes; both are empty where it has none.
type body struct{ size, checksum string }

func announce(key string, size int64, sum [sha256.Size]byte) (body, error) {
	if size < 1 || size > store.MaxDirectPut {
		return body{}, fail("sign", key, store.ErrInvalid, fmt.Errorf("a body of %d bytes", size))
	}
	return body{strconv.FormatInt(size, 10), base64.StdEncoding.EncodeToString(sum[:])}, nil
}

func (d *Direct) sign(ctx context.Context, method, key string, query url.Values, b body, life time.Duration) (store.SignedRequest, error) {
	switch {
	case ctx.Err() != nil:
		return store.SignedRequest{}, ctx.Err()
	case !store.ValidObjectKey(key):
		return store.SignedRequest{}, fail("sign", key, store.ErrInvalid, errKey)
	case life < time.Second || life > store.MaxURLLife:
		return store.SignedRequest{}, fail("sign", key, store.ErrInvalid, errLife)
	}
	now := d.clock.Now()
	ends := now.Add(life).Truncate(time.Second)
	signed := url.Values{endsField: {strconv.FormatInt(ends.Unix(), 10)}, dateField: {now.UTC().Format("20060102T150405Z")}}
	for name, values := range query {
		signed[name] = values
	}
	signed.Set(signatureField, signature(method, key, signed, b))
	r := store.SignedRequest{Method: method, URL: d.address + "/" + key + "?" + signed.Encode(), Ends: ends}
	if b.checksum != "" {
		r.Header = map[string]string{checksumHeader: b.checksum}
	}
	return r, nil
}

// signature covers all that a request may not change. It is made with no secret: who is to be kept out here is a client
// that makes mistakes.
func signature(method, key string, query url.Values, b body) string {
	mac := hmac.New(sha256.New, []byte("memstore"))
	fmt.Fprintf(mac, "%s\n%s\n%s\n%s\n%s", method, key, query.Encode(), b.size, b.checksum)
	return hex.EncodeToString(mac.Sum(nil))
}

// Parts implements [store.Direct].
func (d *Direct) Parts(ctx context.Context, key, id string, after, limit int) ([]store.Part, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := store.ValidateLimit("parts", limit); err != nil {
		return nil, err
	}
	if !store.ValidObjectKey(key) || after < 0 || d.store.opts.MinPart == 0 {
		return nil, fail("parts", key, store.ErrInvalid, errNegative)
	}
	d.store.bytesMu.RLock()
	defer d.store.bytesMu.RUnlock()
	u := d.store.upload(key, id)
	if u == nil {
		return nil, fail("parts", key, store.ErrNotFound, nil)
	}
	var parts []store.Part
	for number, p := range u.parts {
		if number > after {
			parts = append(parts, store.Part{Number: number, Size: int64(len(p.data)), Mark: p.mark})
		}
	}
	slices.SortFunc(parts, func(a, b store.Part) int { return a.Number - b.Number })
	return parts[:min(limit, len(parts))], nil
}

// Sum implements [store.Direct].
func (d *Direct) Sum(ctx context.Context, key string) (size int64, sum [sha256.Size]byte, known bool, err error) {
	if err := ctx.Err(); err != nil {
		return 0, sum, false, err
	}
	o, err := d.store.lookup("sum", key)
	if err != nil {
		return 0, sum, false, err
	}
	if !o.joined {
		sum = sha256.Sum256(o.data)
	}
	return int64(len(o.data)), sum, !o.joined, nil
}
