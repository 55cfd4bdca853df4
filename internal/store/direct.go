// SPDX-License-Identifier: Apache-2.0

package store

import (
	"context"
	"crypto/sha256"
	"time"
)

// Direct lets clients reach an object store themselves, by signed requests, and tells what they did there. A disk has no
// such role. All methods are safe for concurrent use; the Sign methods call nothing.
//
// A signed request is one that this process's credentials allow, for one key, until it ends: nothing takes it back. It may
// be sent any number of times, and one that began before its end may land up to MaxPut later. Its life is a second to
// [MaxURLLife]; any other is ErrInvalid. Ends is earlier where the credentials end earlier, and signing is ErrUnavailable
// where they have ended, or cannot be had.
type Direct interface {
	// SignGet signs a GET of the object, with any Range. Whether it is there is not asked.
	SignGet(ctx context.Context, key string, life time.Duration) (SignedRequest, error)

	// SignHead signs a HEAD of the object.
	SignHead(ctx context.Context, key string, life time.Duration) (SignedRequest, error)

	// SignPut signs a PUT of exactly size bytes whose SHA-256 is sum: the store refuses all others and keeps nothing of
	// them. size is 1 to [MaxDirectPut]; any other is ErrInvalid.
	SignPut(ctx context.Context, key string, size int64, sum [sha256.Size]byte, life time.Duration) (SignedRequest, error)

	// SignPart signs part number (1 to [MaxParts]) of a multipart upload that Multipart.Begin began, of exactly size bytes
	// whose SHA-256 is sum. A part that is sent again replaces the one before.
	SignPart(ctx context.Context, key, id string, number int, size int64, sum [sha256.Size]byte, life time.Duration) (SignedRequest, error)

	// Parts lists a page of the parts that a multipart upload has, by number, after a number (exclusive; 0 for the
	// start), up to limit (1 to MaxLimit). They can be given to Multipart.Complete. A missing upload is ErrNotFound.
	Parts(ctx context.Context, key, id string, after, limit int) ([]Part, error)

	// Sum tells the size of an object and the SHA-256 of its content as the store took it in. known is false where the
	// store has none of the whole object, as of one that was made of parts. Absent is ErrNotFound.
	Sum(ctx context.Context, key string) (size int64, sum [sha256.Size]byte, known bool, err error)
}

// SignedRequest is a request that its holder may send. It is a secret until it ends.
type SignedRequest struct {
	Method string
	URL    string
	Header map[string]string // must be sent as they are, besides Host and Content-Length; nil: none
	Ends   time.Time
}

// What S3 takes (User Guide, "Amazon S3 multipart upload limits", 2026-11).
const (
	MaxDirectPut = 5 << 30 // bytes of a single PUT and of a part
	MaxParts     = 10_000  // parts of an upload
)

// MaxURLLife is the longest life of a signed request (S3, "Authenticating Requests: Using Query Parameters", 2026-11).
const MaxURLLife = 7 * 24 * time.Hour
