// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"context"
	"io"
)

// Registry is what a registry does, in five roles. The order of arguments is context, repository, identity, content,
// options. Everything that a method does for a repository is invisible in every other one.
//
// All methods are safe for concurrent use. Errors for the client are *[Error]; Unavailable and Internal can come from
// any method and mean that nothing half-done is visible; repeating a call that ended so is always safe. A canceled
// context ends a call with the context's error.
type Registry interface {
	Puller
	Pusher
	DirectPusher
	Deleter
	Lister
}

// Puller reads.
type Puller interface {
	// ResolveManifest finds a manifest without its content. Errors: ManifestUnknown.
	ResolveManifest(ctx context.Context, repo Repository, ref Reference) (Descriptor, error)

	// Manifest reads a manifest. Errors: ManifestUnknown.
	Manifest(ctx context.Context, repo Repository, ref Reference) (Content, error)

	// ResolveBlob finds a blob that is visible in the repository, and by finding it promises that it stays for
	// a lease, long enough to push a manifest that needs it. Its Location answers HEAD, and it has no Open. Errors:
	// BlobUnknown.
	ResolveBlob(ctx context.Context, repo Repository, d Digest) (Blob, error)

	// Blob is ResolveBlob with a way to the bytes: its Location answers GET. Errors: BlobUnknown.
	Blob(ctx context.Context, repo Repository, d Digest) (Blob, error)
}

// Content is a manifest with its bytes, exactly as pushed.
type Content struct {
	Descriptor
	Body string
}

// Blob is a way to a blob's bytes, good for minutes.
type Blob struct {
	Descriptor
	// Location is a signed URL on another host that serves the bytes, or "" where Open must be used. It is a secret until
	// it ends.
	Location string
	// Open reads length bytes from offset; a length of -1 means to the end. The range lies inside the blob. The reader
	// may be an *os.File, which the kernel can send.
	Open func(ctx context.Context, offset, length int64) (io.ReadCloser, error)
}

// Pusher writes.
type Pusher interface {
	// PushBlob takes a whole blob in one request (POST with digest=). size is -1 where the length is not known. On
	// success the blob is visible in the repository and stays for a lease at least. Errors: DigestInvalid (the
	// content has another digest; nothing is kept), SizeInvalid, TooLarge, NoSpace.
	PushBlob(ctx context.Context, repo Repository, d Digest, body io.Reader, size int64) (Descriptor, error)

	// StartUpload returns a new upload. It writes nothing: the id is a signed token with an end.
	StartUpload(ctx context.Context, repo Repository) (Upload, error)

	// ResumeUpload tells how far an upload has come. Errors: BlobUploadUnknown.
	ResumeUpload(ctx context.Context, repo Repository, id string) (Upload, error)

	// WriteUpload appends body at the offset, which must be where the upload stands; -1 means wherever that is. size is
	// -1 where the length is not known. When the body breaks off, what came is kept for a resume as far as the store
	// can, and the error wraps the body's. Errors: BlobUploadUnknown, RangeInvalid (not where it stands; the Upload
	// says where that is), TooLarge, NoSpace.
	WriteUpload(ctx context.Context, repo Repository, id string, offset int64, body io.Reader, size int64) (Upload, error)

	// FinishUpload appends body as WriteUpload does (it may be empty) and makes the upload a blob under d, if that is
	// its digest; if not, nothing of it is kept. Repeating it after success succeeds. Errors: as WriteUpload and
	// PushBlob.
	FinishUpload(ctx context.Context, repo Repository, id string, d Digest, offset int64, body io.Reader, size int64) (Descriptor, error)

	// CancelUpload gives an upload up. Errors: BlobUploadUnknown.
	CancelUpload(ctx context.Context, repo Repository, id string) error

	// MountBlob makes a blob of the repository from visible in repo, without its bytes. It answers false where from
	// does not have it: the client then uploads. The caller must be allowed to read from.
	MountBlob(ctx context.Context, repo Repository, d Digest, from Repository) (bool, error)

	// PushManifest stores a manifest and moves its tags, all in one moment. On success it is readable by digest, by
	// tag, in the tag list and in the referrers of its subject, and everything that it references stays for as long
	// as it does, but for what the answer says is absent. Errors: ManifestInvalid, ManifestBlobUnknown (Detail names the
	// digest), DigestInvalid, PreconditionFailed, TooLarge.
	PushManifest(ctx context.Context, repo Repository, push ManifestPush) (PushedManifest, error)
}

// Upload is the state of an upload.
type Upload struct {
	ID       string // a token; URL-safe
	Offset   int64  // bytes received
	MinChunk int64  // smallest useful chunk, 0 where any will do
}

// ManifestPush is a manifest to store.
type ManifestPush struct {
	Digest    Digest // "" where the client gave none: the sha256 of Body
	Tags      []Tag  // may be empty where Digest is given; distinct
	MediaType string // the request's Content-Type, without parameters; "" where it gave none
	Body      []byte
	// IfMatch: the one tag must point to this digest. IfAbsent: the one tag must not be there. At most one is set.
	IfMatch  Digest
	IfAbsent bool
}

// PushedManifest is a manifest that was stored.
type PushedManifest struct {
	Descriptor
	// Absent is what it lists that need not be in the repository, and was not: each digest once, in the order of the
	// manifest. The subject is not among it.
	Absent []Digest
}

// Deleter removes.
type Deleter interface {
	// DeleteTag removes the name only. Errors: ManifestUnknown.
	DeleteTag(ctx context.Context, repo Repository, tag Tag) error

	// DeleteManifest removes a manifest, the tags that point to it, and its untagged referrers. Errors:
	// ManifestUnknown, InUse (an index that stays lists it).
	DeleteManifest(ctx context.Context, repo Repository, d Digest) error

	// DeleteBlob takes a blob out of the repository. Errors: BlobUnknown, InUse (a manifest lists it).
	DeleteBlob(ctx context.Context, repo Repository, d Digest) error
}

// Lister enumerates, page by page, in byte order.
type Lister interface {
	// Tags lists up to n tags after last ("" from the start; it need not be there); more says that there are further
	// ones. n = 0 answers none. Errors: NameUnknown.
	Tags(ctx context.Context, repo Repository, last string, n int) (tags []string, more bool, err error)

	// Repositories lists names that keep(name) accepts, as Tags does. A nil keep accepts all.
	Repositories(ctx context.Context, last string, n int, keep func(Repository) bool) (names []string, more bool, err error)

	// Referrers lists manifests whose subject is d, which need not exist, of one artifact type or of all (""). The page
	// begins after the opaque position last and is about MaxReferrers bytes long; next is the position of the next page,
	// "" at the end.
	Referrers(ctx context.Context, repo Repository, d Digest, artifactType, last string) (referrers []Descriptor, next string, err error)
}
