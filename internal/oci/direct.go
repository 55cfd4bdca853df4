// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"time"
)

// DirectPusher lets clients bring the bytes of blobs to the registry's store themselves, by requests that the registry
// signs. It is an extension of the specification: docs/http.md, "Direct uploads".
//
// A direct upload is opened for a digest and a size. Its bytes come in one PUT, or in parts. It is completed when they are
// all there, and verified then: until the blob is visible nobody can read a byte of it. Ids are tokens that are good in
// their repository for a time. Unless it says otherwise, a method that takes one can answer BlobUploadUnknown (not known, given
// up, or ended) and DigestInvalid (the content was another; nothing of it is kept).
type DirectPusher interface {
	// HaveBlobs tells which blobs are visible in the repository, and promises for each what [Puller.ResolveBlob] does. The
	// answer is in the order of digests, up to [MaxHave] of them, without those that are not there. Errors: TooLarge.
	HaveBlobs(ctx context.Context, repo Repository, digests []Digest) ([]Descriptor, error)

	// TakesDirect tells whether direct uploads can be opened. Where not, the methods below answer Unsupported.
	TakesDirect() bool

	// OpenDirect opens a direct upload, unless the blob is in the repository already: that answers DirectDone. Errors:
	// SizeInvalid (of an empty blob, too), TooLarge, NoSpace.
	OpenDirect(ctx context.Context, repo Repository, o DirectOpen) (DirectUpload, error)

	// SignDirect signs the PUT of each part, up to [MaxDirectParts] of them, in their order, for an upload in parts. Without
	// parts it signs the one PUT of an upload without. Requests can be signed again at any time while the upload is open.
	// Errors: SizeInvalid (not a part's number and size), BlobUploadInvalid (it is complete, or not of this kind).
	SignDirect(ctx context.Context, repo Repository, id string, parts []DirectPart) ([]SignedRequest, error)

	// DirectParts lists up to limit parts that came, by number, after a number. Their digests are not told. Errors:
	// BlobUploadInvalid as SignDirect.
	DirectParts(ctx context.Context, repo Repository, id string, after, limit int) (parts []DirectPart, more bool, err error)

	// CompleteDirect says that all bytes are there. It answers DirectDone, or DirectVerifying where their verification takes
	// longer than wait, which it may exceed. Repeating it is safe; after success it succeeds. Errors: BlobUploadInvalid
	// (something is missing; the upload stays open). With [LeaveToEvent] for wait nobody is asked to verify it.
	CompleteDirect(ctx context.Context, repo Repository, id string, wait time.Duration) (DirectUpload, error)

	// DirectStatus tells how far an upload is, and while it is verified waits for the end of that, as CompleteDirect.
	DirectStatus(ctx context.Context, repo Repository, id string, wait time.Duration) (DirectUpload, error)

	// CancelDirect gives an upload up. One that is done stays so: BlobUploadUnknown. Content that was another is no error.
	CancelDirect(ctx context.Context, repo Repository, id string) error
}

// Limits of direct uploads.
const (
	MaxHave        = 100  // digests
	MaxDirectParts = 1000 // parts that are signed or listed at once
)

// LeaveToEvent is a wait: none, and the verification is left to the event that the store sends of a complete object. So who
// examines a registry learns whether that comes. Where the registry verifies uploads itself, there is no event, and it is no
// wait but the same.
const LeaveToEvent = time.Duration(-1)

// DirectOpen is what a direct upload is opened for.
type DirectOpen struct {
	Digest Digest
	Size   int64
	// Parts asks for an upload in parts, PartSize for parts of about that size; 0 leaves it to the registry, which decides in
	// any case.
	Parts    bool
	PartSize int64
}

// DirectState is how far a direct upload is.
type DirectState string

// The states.
const (
	DirectOpened    DirectState = "open"      // bytes may come
	DirectVerifying DirectState = "verifying" // all came, and are read
	DirectDone      DirectState = "done"      // the blob is in the repository
)

// DirectUpload is the state of a direct upload.
type DirectUpload struct {
	State  DirectState
	Digest Digest
	Size   int64

	ID   string    // "" where the blob was there
	Ends time.Time // until when the id is good

	Put *SignedRequest // the one PUT, in the answer to OpenDirect; nil for an upload in parts

	PartSize int64 // of every part but the last; 0 for one PUT
	Parts    int   // how many there are to be

	Verified int64 // bytes that were read
}

// DirectPart is a part of a direct upload. Parts are numbered from 1, in the order of the bytes.
type DirectPart struct {
	Number int
	Size   int64
	Digest Digest // sha256
}

// SignedRequest is a request that its holder may send to the store until it ends. It is a secret until then.
type SignedRequest struct {
	Method string
	URL    string
	Header map[string]string // to be sent as they are
	Ends   time.Time
}
