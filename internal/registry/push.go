// SPDX-License-Identifier: Apache-2.0

package registry

import (
	"context"
	"crypto/sha512"
	"encoding/hex"
	"encoding/json"
	"io"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/refcount"
)

// PushBlob implements [oci.Pusher].
func (r *Registry) PushBlob(ctx context.Context, repo oci.Repository, d oci.Digest, body io.Reader, size int64) (oci.Descriptor, error) {
	desc, err := r.uploads.Push(ctx, repo, d, body, size)
	return desc, translate(err)
}

// StartUpload implements [oci.Pusher].
func (r *Registry) StartUpload(ctx context.Context, repo oci.Repository) (oci.Upload, error) {
	up, err := r.uploads.Start(ctx, repo)
	return up, translate(err)
}

// ResumeUpload implements [oci.Pusher].
func (r *Registry) ResumeUpload(ctx context.Context, repo oci.Repository, id string) (oci.Upload, error) {
	up, err := r.uploads.Resume(ctx, repo, id)
	return up, translate(err)
}

// WriteUpload implements [oci.Pusher].
func (r *Registry) WriteUpload(ctx context.Context, repo oci.Repository, id string, offset int64, body io.Reader, size int64) (oci.Upload, error) {
	up, err := r.uploads.Write(ctx, repo, id, offset, body, size)
	return up, translate(err)
}

// FinishUpload implements [oci.Pusher].
func (r *Registry) FinishUpload(ctx context.Context, repo oci.Repository, id string, d oci.Digest, offset int64, body io.Reader, size int64) (oci.Descriptor, error) {
	desc, err := r.uploads.Finish(ctx, repo, id, d, offset, body, size)
	return desc, translate(err)
}

// CancelUpload implements [oci.Pusher].
func (r *Registry) CancelUpload(ctx context.Context, repo oci.Repository, id string) error {
	return translate(r.uploads.Cancel(ctx, repo, id))
}

// MountBlob implements [oci.Pusher] with one batch of reads and one commit, none where repo has the blob.
func (r *Registry) MountBlob(ctx context.Context, repo oci.Repository, d oci.Digest, from oci.Repository) (bool, error) {
	mounted, err := r.ledger.Mount(ctx, repo, d, from)
	return mounted, translate(err)
}

// PushManifest implements [oci.Pusher] with one batch of reads and one commit, unless the manifest has to be staged, or is
// an index that lists more than manifests of the repository.
func (r *Registry) PushManifest(ctx context.Context, repo oci.Repository, push oci.ManifestPush) (oci.PushedManifest, error) {
	if len(push.Tags) > refcount.MaxPushTags {
		return oci.PushedManifest{}, oci.Errorf(oci.TooLarge, "%d tags in one push, more than %d", len(push.Tags), refcount.MaxPushTags)
	}
	m, err := oci.ParseManifest(push.Body, push.MediaType)
	if err != nil {
		return oci.PushedManifest{}, err
	}
	d, err := digestOf(push)
	if err != nil {
		return oci.PushedManifest{}, err
	}
	desc := oci.Descriptor{MediaType: m.MediaType, Digest: d, Size: int64(len(push.Body)), ArtifactType: m.ArtifactType}
	p := refcount.Push{
		Repo:         repo,
		Digest:       d,
		MediaType:    m.MediaType,
		ArtifactType: m.ArtifactType,
		Body:         push.Body,
		Tags:         push.Tags,
		IfMatch:      push.IfMatch,
		IfAbsent:     push.IfAbsent,
	}
	r.references(&p, &m)
	if m.Subject != nil {
		p.Subject = m.Subject.Digest
		referrer, err := json.Marshal(m.Referrer(d, desc.Size))
		if err != nil {
			return oci.PushedManifest{}, translate(err)
		}
		p.Referrer = string(referrer)
	}
	absent, err := r.ledger.Push(ctx, p)
	return oci.PushedManifest{Descriptor: desc, Absent: absent}, translate(err)
}

// digestOf verifies the digest that a manifest was pushed under, or makes one.
func digestOf(push oci.ManifestPush) (oci.Digest, error) {
	d := digest.FromBytes(push.Body)
	if isSHA512(push.Digest) {
		sum := sha512.Sum512(push.Body)
		d = digest.NewDigestFromEncoded(digest.SHA512, hex.EncodeToString(sum[:]))
	}
	if push.Digest != "" && push.Digest != d {
		return "", oci.Errorf(oci.DigestInvalid, "the manifest has the digest %s, not %s", d, push.Digest)
	}
	return d, nil
}

func isSHA512(d oci.Digest) bool { return d != "" && d.Algorithm() == digest.SHA512 }

// references sorts what a manifest lists by what has to be there. The subject need not be, and is not held. What an index
// lists may be a blob: so BuildKit pushes its caches, and the media type does not always tell.
func (r *Registry) references(p *refcount.Push, m *oci.Manifest) {
	if m.Config != nil {
		p.Links = append(p.Links, m.Config.Digest)
	}
	for _, list := range [][]oci.Descriptor{m.Layers, m.Blobs} {
		for i := range list {
			if list[i].NonDistributable() {
				p.Foreign = append(p.Foreign, list[i].Digest)
			} else {
				p.Links = append(p.Links, list[i].Digest)
			}
		}
	}
	for i := range m.Manifests {
		if r.opts.SparseIndexes {
			p.Sparse = append(p.Sparse, m.Manifests[i].Digest)
		} else {
			p.Children = append(p.Children, m.Manifests[i].Digest)
		}
	}
}
