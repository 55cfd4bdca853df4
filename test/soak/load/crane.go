// SPDX-License-Identifier: Apache-2.0

package load

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// What go-containerregistry does: the library of crane and ko.

func (w *worker) options(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithTransport(w.Transport)}
}

// reference is a tag or digest of a repository.
func (w *worker) reference(repo, reference string) (name.Reference, error) {
	separator := ":"
	if strings.Contains(reference, ":") {
		separator = "@"
	}
	return name.ParseReference(w.Addr+"/"+repo+separator+reference, name.Insecure)
}

// build makes an image of layers.
func (w *worker) build(layers ...v1.Layer) (v1.Image, error) {
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	if w.random.IntN(3) > 0 {
		img = mutate.Annotations(img, map[string]string{"soak": fmt.Sprint(w.random.Uint64())}).(v1.Image)
	}
	return mutate.AppendLayers(img, layers...)
}

func (w *worker) image() (v1.Image, error) {
	layers := make([]v1.Layer, 1+w.random.IntN(4))
	for i := range layers {
		layers[i] = static.NewLayer(w.layer(), types.OCILayer)
	}
	return w.build(layers...)
}

// write pushes an image under a tag, or under its digest alone.
func (w *worker) write(ctx context.Context, img v1.Image) error {
	target := w.tag()
	if w.random.IntN(8) == 0 {
		digest, err := img.Digest()
		if err != nil {
			return err
		}
		target = digest.String()
	}
	ref, err := w.reference(w.repo(), target)
	if err != nil {
		return err
	}
	return remote.Write(ref, img, w.options(ctx)...)
}

func (w *worker) pushImage(ctx context.Context) error {
	img, err := w.image()
	if err != nil {
		return err
	}
	return w.write(ctx, img)
}

// pushWide pushes more layers than one transaction has room for.
func (w *worker) pushWide(ctx context.Context) error {
	layers := make([]v1.Layer, 110)
	for i, n := range w.random.Perm(narrow)[:len(layers)] {
		layers[i] = static.NewLayer(filler(uint64(1000+n), 20), types.OCILayer)
	}
	img, err := w.build(layers...)
	if err != nil {
		return err
	}
	return w.write(ctx, img)
}

// pushLong pushes a manifest that is too long for a row.
func (w *worker) pushLong(ctx context.Context) error {
	img, err := w.image()
	if err != nil {
		return err
	}
	long := strings.Repeat(fmt.Sprintf("%016x", w.random.Uint64()), 3000)
	return w.write(ctx, mutate.Annotations(img, map[string]string{"long": long}).(v1.Image))
}

func (w *worker) pushIndex(ctx context.Context) error {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for range 1 + w.random.IntN(3) {
		img, err := w.image()
		if err != nil {
			return err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img})
	}
	ref, err := w.reference(w.repo(), w.tag())
	if err != nil {
		return err
	}
	return remote.WriteIndex(ref, index, w.options(ctx)...)
}

// copyImage copies to any repository, by mounts where it can.
func (w *worker) copyImage(ctx context.Context) error {
	from, err := w.pick()
	if err != nil {
		return err
	}
	ref, err := w.reference(from.repo, from.digest)
	if err != nil {
		return err
	}
	got, err := remote.Get(ref, w.options(ctx)...)
	if err != nil {
		return err
	}
	to, err := w.reference(w.repo(), w.tag())
	if err != nil {
		return err
	}
	if got.MediaType.IsIndex() {
		index, err := got.ImageIndex()
		if err != nil {
			return err
		}
		return remote.WriteIndex(to, index, w.options(ctx)...)
	}
	img, err := got.Image()
	if err != nil {
		return err
	}
	return remote.Write(to, img, w.options(ctx)...)
}

// pullImage pulls what a tag points to, if it is an image.
func (w *worker) pullImage(ctx context.Context) error {
	ref, err := w.reference(w.repo(), w.tag())
	if err != nil {
		return err
	}
	img, err := remote.Image(ref, w.options(ctx)...)
	if err != nil {
		return err
	}
	if _, err := img.RawConfigFile(); err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, layer := range layers {
		r, err := layer.Compressed()
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, r)
		r.Close()
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *worker) listTags(ctx context.Context) error {
	repo, err := name.NewRepository(w.Addr+"/"+w.repo(), name.Insecure)
	if err != nil {
		return err
	}
	_, err = remote.List(repo, w.options(ctx)...)
	return err
}

func (w *worker) moveTag(ctx context.Context) error {
	from, err := w.pick()
	if err != nil {
		return err
	}
	ref, err := w.reference(from.repo, from.digest)
	if err != nil {
		return err
	}
	got, err := remote.Get(ref, w.options(ctx)...)
	if err != nil {
		return err
	}
	to, err := name.NewTag(w.Addr+"/"+from.repo+":"+w.tag(), name.Insecure)
	if err != nil {
		return err
	}
	return remote.Tag(to, got, w.options(ctx)...)
}

func (w *worker) deleteTag(ctx context.Context) error {
	ref, err := w.reference(w.repo(), w.tag())
	if err != nil {
		return err
	}
	return remote.Delete(ref, w.options(ctx)...)
}

func (w *worker) deleteManifest(ctx context.Context) error {
	victim, err := w.pick()
	if err != nil {
		return err
	}
	ref, err := w.reference(victim.repo, victim.digest)
	if err != nil {
		return err
	}
	if err := remote.Delete(ref, w.options(ctx)...); err != nil {
		return err
	}
	remember(w.Load, &w.deleted, victim)
	return nil
}

func (w *worker) undelete(ctx context.Context) error {
	victim, ok := take(w, &w.deleted)
	if !ok || w.Undelete == nil {
		return errNothing("deleted manifest")
	}
	finish := w.Ledger.Undelete(victim.repo, victim.digest)
	err := w.Undelete(ctx, victim.repo+"@"+victim.digest)
	finish(err == nil)
	return err
}
