// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"io"
	"time"

	"tare/internal/oci"
)

// ticket is what an upload's id says. The id is base64url without padding of
//
//	16 bytes  random: the name of the session row, in hexadecimal
//	 8 bytes  the end: milliseconds since 1970, big-endian
//	16 bytes  the first half of HMAC-SHA256 over these 24 bytes and the repository's name
//
// under a secret of the ledger. Whoever has no id of the repository cannot make one, so an id that was never issued
// costs no call of a store, but for the secret itself, which is read again now and then.
type ticket struct {
	id   string
	row  string
	repo oci.Repository
	end  time.Time
}

const (
	nameBytes   = 16
	signedBytes = nameBytes + 8
	macBytes    = 16
)

var idEncoding = base64.RawURLEncoding.Strict()

// errNoUpload is the one answer to every id that is not good here and now.
var errNoUpload = oci.Errorf(oci.BlobUploadUnknown, "the upload is not known, or has ended")

// anonymous makes a ticket for an upload that ends with the request that it begins with, and whose id nobody learns.
func (u *Uploads) anonymous(repo oci.Repository) (ticket, error) {
	var name [nameBytes]byte
	_, err := io.ReadFull(u.opts.Random, name[:])
	return ticket{row: hex.EncodeToString(name[:]), repo: repo, end: u.clock.Now()}, err
}

// issue makes a ticket that is good for UploadTTL.
func (u *Uploads) issue(ctx context.Context, repo oci.Repository) (ticket, error) {
	key, err := u.keys.Key(ctx)
	if err != nil {
		return ticket{}, err
	}
	t := ticket{repo: repo, end: u.clock.Now().Add(u.ledger.Margins().UploadTTL)}
	raw := make([]byte, signedBytes, signedBytes+macBytes)
	if _, err := io.ReadFull(u.opts.Random, raw[:nameBytes]); err != nil {
		return ticket{}, err
	}
	binary.BigEndian.PutUint64(raw[nameBytes:], uint64(t.end.UnixMilli()))
	t.row = hex.EncodeToString(raw[:nameBytes])
	t.id = idEncoding.EncodeToString(append(raw, sign(key, raw, repo)...))
	return t, nil
}

// check reads an id. One that was not issued for the repository, or whose end has come, is BlobUploadUnknown.
func (u *Uploads) check(ctx context.Context, repo oci.Repository, id string) (ticket, error) {
	if len(id) != idEncoding.EncodedLen(signedBytes+macBytes) {
		return ticket{}, errNoUpload
	}
	// The decoder passes over line breaks, so that what it decodes can be shorter.
	raw, err := idEncoding.DecodeString(id)
	if err != nil || len(raw) != signedBytes+macBytes {
		return ticket{}, errNoUpload
	}
	signed, mac := raw[:signedBytes], raw[signedBytes:]
	end := time.UnixMilli(int64(binary.BigEndian.Uint64(signed[nameBytes:])))
	if !u.clock.Now().Before(end) {
		return ticket{}, errNoUpload // whether it was ours need not be known
	}
	ours, err := u.keys.Accepts(ctx, func(key []byte) bool { return hmac.Equal(mac, sign(key, signed, repo)) })
	if err != nil {
		return ticket{}, err
	}
	if !ours {
		return ticket{}, errNoUpload
	}
	return ticket{id, hex.EncodeToString(signed[:nameBytes]), repo, end}, nil
}

func sign(key, signed []byte, repo oci.Repository) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(signed)
	h.Write([]byte(repo))
	return h.Sum(nil)[:macBytes]
}
