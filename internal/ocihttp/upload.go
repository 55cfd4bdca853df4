// SPDX-License-Identifier: Apache-2.0

package ocihttp

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"tare/internal/oci"
)

// startUpload answers the one POST of the specification, which is four: mount a blob, take a whole one, start an upload,
// or start one because the mount cannot be done.
func (h *Handler) startUpload(x *exchange) error {
	q := x.r.URL.Query()
	switch a := q.Get("digest-algorithm"); a {
	case "", "sha256", "sha512":
	default:
		return oci.Errorf(oci.DigestInvalid, "%q: only sha256 and sha512 digests are supported", clip(a))
	}
	switch {
	case q.Has("mount"):
		return h.mountBlob(x, q)
	case q.Has("digest"):
		return h.pushBlob(x, q)
	}
	return h.openUpload(x)
}

// openUpload starts an upload.
func (h *Handler) openUpload(x *exchange) error {
	up, err := h.reg.StartUpload(x.r.Context(), x.repo)
	if err != nil {
		return err
	}
	return x.writeUploadState(http.StatusAccepted, up)
}

// pushBlob takes a whole blob.
func (h *Handler) pushBlob(x *exchange, q url.Values) error {
	d, err := oci.ParseDigest(q.Get("digest"))
	if err != nil {
		return err
	}
	if _, err := h.reg.PushBlob(x.r.Context(), x.repo, d, &x.body, x.r.ContentLength); err != nil {
		return err
	}
	return x.createdBlob(d)
}

// mountBlob mounts a blob, or starts an upload of it where the other repository is not named, does not have it, or is not
// the caller's to read: a mount that failed in any other way makes some clients give up.
func (h *Handler) mountBlob(x *exchange, q url.Values) error {
	d, err := oci.ParseDigest(q.Get("mount"))
	if err != nil {
		return err
	}
	from, err := oci.ParseRepository(q.Get("from"))
	if err != nil || !h.mayPull(x, from) {
		return h.openUpload(x)
	}
	mounted, err := h.reg.MountBlob(x.r.Context(), x.repo, d, from)
	if err != nil {
		return err
	}
	if !mounted {
		return h.openUpload(x)
	}
	return x.createdBlob(d)
}

// uploadStatus tells how far an upload has come.
func (h *Handler) uploadStatus(x *exchange) error {
	up, err := h.reg.ResumeUpload(x.r.Context(), x.repo, x.target.ref)
	if err != nil {
		return err
	}
	return x.writeUploadState(http.StatusNoContent, up)
}

// writeUpload takes a chunk, or all of a blob whose digest comes later.
func (h *Handler) writeUpload(x *exchange) error {
	s, err := x.chunk()
	if err != nil {
		return err
	}
	ctx, end := x.uploadContext()
	defer end()
	up, err := h.reg.WriteUpload(ctx, x.repo, x.target.ref, s.offset, &x.body, s.length)
	if err != nil {
		return h.uploadError(x, err)
	}
	return x.writeUploadState(http.StatusAccepted, up)
}

// finishUpload takes what is left of a blob, which may be all or nothing, and its digest.
func (h *Handler) finishUpload(x *exchange) error {
	value := x.r.URL.Query().Get("digest")
	if value == "" {
		return oci.Errorf(oci.DigestInvalid, "the digest parameter is missing")
	}
	d, err := oci.ParseDigest(value)
	if err != nil {
		return err
	}
	s, err := x.chunk()
	if err != nil {
		return err
	}
	ctx, end := x.uploadContext()
	defer end()
	if _, err := h.reg.FinishUpload(ctx, x.repo, x.target.ref, d, s.offset, &x.body, s.length); err != nil {
		return h.uploadError(x, err)
	}
	return x.createdBlob(d)
}

// cancelUpload gives an upload up.
func (h *Handler) cancelUpload(x *exchange) error {
	if err := h.reg.CancelUpload(x.r.Context(), x.repo, x.target.ref); err != nil {
		return err
	}
	return x.writeEmpty(http.StatusNoContent)
}

// uploadContext does not end when the client goes away: that ends the body, and what came of it is to be kept. It ends at
// the deadline of a server that has one for its answers.
func (x *exchange) uploadContext() (context.Context, context.CancelFunc) {
	ctx := context.WithoutCancel(x.r.Context())
	if deadline, ok := x.r.Context().Deadline(); ok {
		return context.WithDeadline(ctx, deadline)
	}
	return ctx, func() {}
}

// chunk tells where the body belongs and how long it is, as the Registry takes it: -1 for what is not said.
func (x *exchange) chunk() (span, error) {
	s := span{offset: -1, length: x.r.ContentLength}
	// A field that comes twice is a list, as its values are with a comma between them. A list is no range.
	header := strings.Join(x.r.Header["Content-Range"], ", ")
	if header == "" {
		return s, nil
	}
	said, ok := parseContentRange(header)
	switch {
	case !ok:
		return s, oci.Errorf(oci.BlobUploadInvalid, "Content-Range is %q, not first-last", clip(header))
	case s.length >= 0 && s.length != said.length:
		return s, oci.Errorf(oci.SizeInvalid, "Content-Range is %q, but Content-Length is %d", clip(header), s.length)
	case s.length < 0:
		x.body.want = said.length
	}
	return said, nil
}

// uploadError adds to the error of a chunk in the wrong place where the right one is.
func (h *Handler) uploadError(x *exchange, err error) error {
	if oci.CodeOf(err) != oci.RangeInvalid {
		return err
	}
	// Without these headers the error says the same: the client can ask for the status itself.
	if up, e := h.reg.ResumeUpload(x.r.Context(), x.repo, x.target.ref); e == nil {
		x.setUploadState(up)
	}
	return err
}

// setUploadState sets the headers that say where an upload is and how far it has come.
func (x *exchange) setUploadState(up oci.Upload) {
	header := x.Header()
	header["Location"] = []string{target{routeUpload, string(x.repo), up.ID}.path()}
	header["Range"] = []string{uploadRange(up.Offset)}
	header["Docker-Upload-Uuid"] = []string{up.ID}
	if up.MinChunk > 0 {
		header.Set("OCI-Chunk-Min-Length", strconv.FormatInt(up.MinChunk, 10))
	}
}

func (x *exchange) writeUploadState(status int, up oci.Upload) error {
	x.setUploadState(up)
	return x.writeEmpty(status)
}

func (x *exchange) createdBlob(d oci.Digest) error {
	return x.created(target{routeBlob, string(x.repo), string(d)}, d)
}
