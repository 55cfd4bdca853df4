// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store"
)

// ResolveManifest implements [oci.Puller] with one read.
func (r *Registry) ResolveManifest(ctx context.Context, repo oci.Repository, ref oci.Reference) (oci.Descriptor, error) {
	m, err := r.find(ctx, repo, ref)
	return manifestDescriptor(m), translate(err)
}

func (r *Registry) find(ctx context.Context, repo oci.Repository, ref oci.Reference) (refcount.Manifest, error) {
	if ref.Digest != "" {
		return r.ledger.FindManifest(ctx, repo, ref.Digest)
	}
	return r.ledger.FindTag(ctx, repo, ref.Tag)
}

func manifestDescriptor(m refcount.Manifest) oci.Descriptor {
	return oci.Descriptor{MediaType: m.MediaType, Digest: m.Digest, Size: m.Size, ArtifactType: m.ArtifactType}
}

// Manifest implements [oci.Puller] with one batch of reads by digest and two reads by tag. A manifest larger than
// [refcount.MaxInlineBody] takes an object read more.
func (r *Registry) Manifest(ctx context.Context, repo oci.Repository, ref oci.Reference) (oci.Content, error) {
	m, body, err := r.read(ctx, repo, ref)
	if err == nil && body.Object != "" {
		body.Bytes, err = r.readObject(ctx, body.Object, m.Size)
	}
	if err != nil {
		return oci.Content{}, translate(err)
	}
	return oci.Content{Descriptor: manifestDescriptor(m), Body: body.Bytes}, nil
}

func (r *Registry) read(ctx context.Context, repo oci.Repository, ref oci.Reference) (refcount.Manifest, refcount.Body, error) {
	if ref.Digest != "" {
		return r.ledger.ReadManifest(ctx, repo, ref.Digest)
	}
	m, err := r.ledger.FindTag(ctx, repo, ref.Tag)
	if err != nil {
		return m, refcount.Body{}, err
	}
	body, err := r.ledger.ReadBody(ctx, repo, m.Digest)
	return m, body, err
}

// readObject reads a manifest that has size bytes. One that is gone was deleted since its row was read.
func (r *Registry) readObject(ctx context.Context, object string, size int64) (string, error) {
	f, err := r.objects.Open(ctx, object, 0, -1)
	if errors.Is(err, store.ErrNotFound) {
		return "", &oci.Error{Code: oci.ManifestUnknown, Message: "the manifest was deleted", Cause: err}
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	var b strings.Builder
	n, err := io.Copy(&b, io.LimitReader(f, size+1))
	if err == nil && n != size {
		err = fmt.Errorf("%w: object %s does not have the %d bytes of its manifest", store.ErrCorrupt, object, size)
	}
	return b.String(), err
}

// ResolveBlob implements [oci.Puller] with one read.
func (r *Registry) ResolveBlob(ctx context.Context, repo oci.Repository, d oci.Digest) (oci.Blob, error) {
	link, location, err := r.locate(ctx, repo, d, store.Direct.SignHead)
	return oci.Blob{Descriptor: blobDescriptor(d, link), Location: location}, translate(err)
}

// Blob implements [oci.Puller] with one read; Open makes another for the bytes.
func (r *Registry) Blob(ctx context.Context, repo oci.Repository, d oci.Digest) (oci.Blob, error) {
	link, location, err := r.locate(ctx, repo, d, store.Direct.SignGet)
	if err != nil {
		return oci.Blob{}, translate(err)
	}
	return oci.Blob{
		Descriptor: blobDescriptor(d, link),
		Location:   location,
		Open: func(ctx context.Context, offset, length int64) (io.ReadCloser, error) {
			f, err := r.open(ctx, link, offset, length)
			if errors.Is(err, store.ErrNotFound) {
				err = &oci.Error{Code: oci.BlobUnknown, Message: "the blob was deleted", Cause: err}
			}
			return f, translate(err)
		},
	}, nil
}

// sign is a method of [store.Direct].
type sign func(d store.Direct, ctx context.Context, key string, life time.Duration) (store.SignedRequest, error)

// locate looks at a blob, and signs a URL of its object where that is what readers are sent to. An object stays for as long as
// a URL that was signed within MaxStep of the look (C9); where the signing came later the look is repeated.
func (r *Registry) locate(ctx context.Context, repo oci.Repository, d oci.Digest, s sign) (refcount.Link, string, error) {
	m := r.ledger.Margins()
	for range maxLooks {
		link, err := r.ledger.Look(ctx, repo, d)
		if err != nil || r.opts.Direct == nil || refcount.Inline(link.Object) {
			return link, "", err
		}
		signed, err := s(r.opts.Direct, ctx, link.Object, m.URLLife)
		if err != nil {
			return link, "", err
		}
		if !signed.Ends.After(link.Read.Add(m.URLLife + m.MaxStep)) {
			return link, signed.URL, nil
		}
	}
	return refcount.Link{}, "", oci.Errorf(oci.Unavailable, "the registry was too slow to sign a URL")
}

// maxLooks bounds how often a look is repeated.
const maxLooks = 3

func blobDescriptor(d oci.Digest, link refcount.Link) oci.Descriptor {
	return oci.Descriptor{MediaType: oci.MediaTypeBlob, Digest: d, Size: link.Size}
}

// open opens the bytes that a link names. What the store opens is passed on as it is, so that the kernel can send a file.
func (r *Registry) open(ctx context.Context, link refcount.Link, offset, length int64) (io.ReadCloser, error) {
	if !refcount.Inline(link.Object) {
		return r.objects.Open(ctx, link.Object, offset, length)
	}
	content, err := r.ledger.Content(ctx, link.Object)
	if err != nil {
		return nil, err
	}
	size := int64(len(content))
	if length < 0 {
		length = size - offset
	}
	if offset < 0 || offset > size || length > size-offset {
		return nil, fmt.Errorf("%w: %d bytes from %d of a blob of %d", store.ErrInvalid, length, offset, size)
	}
	return io.NopCloser(strings.NewReader(content[offset : offset+length])), nil
}
