// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"fmt"
	"net/http"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2"
	"oras.land/oras-go/v2/content"
	"oras.land/oras-go/v2/content/memory"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"
)

// What oras-go does: the library of oras and helm.

func (w *worker) oras(repo string) (*remote.Repository, error) {
	r, err := remote.NewRepository(w.Addr + "/" + repo)
	if err != nil {
		return nil, err
	}
	r.PlainHTTP = true
	r.Client = &auth.Client{Client: &http.Client{Transport: w.Transport}}
	return r, nil
}

// pushArtifact pushes files under a tag, or without one as what refers to another manifest.
func (w *worker) pushArtifact(ctx context.Context) error {
	if subject, err := w.pick(); err == nil && w.random.IntN(2) == 0 {
		to, err := w.oras(subject.repo)
		if err != nil {
			return err
		}
		_, err = w.pack(ctx, to, &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest, Digest: digest.Digest(subject.digest), Size: 1})
		return err
	}
	local := memory.New()
	packed, err := w.pack(ctx, local, nil)
	if err != nil {
		return err
	}
	if err := local.Tag(ctx, packed, "packed"); err != nil {
		return err
	}
	to, err := w.oras(w.repo())
	if err != nil {
		return err
	}
	_, err = oras.Copy(ctx, local, "packed", to, w.tag(), oras.DefaultCopyOptions)
	return err
}

// pack makes an artifact of one file.
func (w *worker) pack(ctx context.Context, to content.Pusher, subject *ocispec.Descriptor) (ocispec.Descriptor, error) {
	layer, err := oras.PushBytes(ctx, to, "application/octet-stream", w.layer())
	if err != nil {
		return ocispec.Descriptor{}, err
	}
	return oras.PackManifest(ctx, to, oras.PackManifestVersion1_1, "application/vnd.soak", oras.PackManifestOptions{
		Subject: subject,
		Layers:  []ocispec.Descriptor{layer},
		ManifestAnnotations: map[string]string{
			ocispec.AnnotationCreated: "2026-01-01T00:00:00Z",
			"soak":                    fmt.Sprint(w.random.IntN(1000)),
		},
	})
}

// pullArtifact pulls what a tag points to, all of it.
func (w *worker) pullArtifact(ctx context.Context) error {
	from, err := w.oras(w.repo())
	if err != nil {
		return err
	}
	_, err = oras.Copy(ctx, from, w.tag(), memory.New(), "pulled", oras.DefaultCopyOptions)
	return err
}
