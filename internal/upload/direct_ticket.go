// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
)

// directTicket is what the id of a direct upload says. It is base64url without padding of
//
//	26 bytes  the object's name after its first letter
//	 8 bytes  the end: milliseconds since 1970, big-endian
//	32 bytes  the digest, 64 of a sha512
//	16 bytes  the first half of HMAC-SHA256 over all this and the repository's name
//
// under a key that is made of the secret for such ids with digests of one algorithm alone: no id of another kind is one, and no
// byte of a repository's name is one of a longer digest. The digest is in it since a finished upload has no row: whoever repeats its end is told of the blob.
type directTicket struct {
	id     string
	object string
	repo   oci.Repository
	digest oci.Digest
	end    time.Time
}

const (
	objectLetter = "o"
	objectBytes  = 26
	directHead   = objectBytes + 8
)

// issueDirect makes a ticket for an object, good for UploadTTL from now.
func (u *Uploads) issueDirect(ctx context.Context, repo oci.Repository, object string, d oci.Digest, now time.Time) (directTicket, error) {
	key, err := u.keys.Key(ctx)
	if err != nil {
		return directTicket{}, err
	}
	t := directTicket{object: object, repo: repo, digest: d, end: now.Add(u.ledger.Margins().UploadTTL)}
	sum, err := hex.DecodeString(d.Encoded())
	if err != nil {
		return directTicket{}, err
	}
	raw := append([]byte{}, object[len(objectLetter):]...)
	raw = binary.BigEndian.AppendUint64(raw, uint64(t.end.UnixMilli()))
	raw = append(raw, sum...)
	t.id = idEncoding.EncodeToString(append(raw, sign(directKey(key, d.Algorithm()), raw, repo)...))
	return t, nil
}

// checkDirect reads an id. One that was not issued for the repository, or whose end has come, is BlobUploadUnknown.
func (u *Uploads) checkDirect(ctx context.Context, repo oci.Repository, id string) (directTicket, error) {
	if u.opts.Direct == nil {
		return directTicket{}, errNoDirect
	}
	algorithm := digest.SHA256
	switch idEncoding.DecodedLen(len(id)) {
	case directHead + sha256.Size + macBytes:
	case directHead + 2*sha256.Size + macBytes:
		algorithm = digest.SHA512
	default:
		return directTicket{}, errNoUpload
	}
	raw, err := idEncoding.DecodeString(id)
	if err != nil || len(raw) != idEncoding.DecodedLen(len(id)) { // the decoder passes over line breaks
		return directTicket{}, errNoUpload
	}
	signed, mac := raw[:len(raw)-macBytes], raw[len(raw)-macBytes:]
	end := time.UnixMilli(int64(binary.BigEndian.Uint64(signed[objectBytes:]))).UTC()
	if !u.clock.Now().Before(end) {
		return directTicket{}, errNoUpload // whether it was ours need not be known
	}
	ours, err := u.keys.Accepts(ctx, func(key []byte) bool { return hmac.Equal(mac, sign(directKey(key, algorithm), signed, repo)) })
	switch {
	case err != nil:
		return directTicket{}, err
	case !ours:
		return directTicket{}, errNoUpload
	}
	d := digest.NewDigestFromEncoded(algorithm, hex.EncodeToString(signed[directHead:]))
	return directTicket{id, objectLetter + string(signed[:objectBytes]), repo, d, end}, nil
}

// directKey makes the key that signs the ids of direct uploads of an algorithm's digests of the one that signs all.
func directKey(key []byte, algorithm digest.Algorithm) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte("direct uploads, " + algorithm))
	return h.Sum(nil)
}
