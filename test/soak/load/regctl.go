// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/regclient/regclient"
	"github.com/regclient/regclient/config"
	"github.com/regclient/regclient/scheme/reg"
	"github.com/regclient/regclient/types/descriptor"
	"github.com/regclient/regclient/types/ref"
)

// What regclient does: the library of regctl.

// chunk is what it sends at once of a blob of more than that.
const chunk = 20 << 10

func (w *worker) regctl() *regclient.RegClient {
	return regclient.New(
		regclient.WithConfigHost(config.Host{Name: w.Addr, Hostname: w.Addr, TLS: config.TLSDisabled}),
		regclient.WithRegOpts(
			reg.WithHTTPClient(&http.Client{Transport: w.Transport}),
			reg.WithBlobSize(chunk, chunk),
			reg.WithRetryLimit(1),
			reg.WithDelay(breath, time.Second),
		),
		regclient.WithSlog(slog.New(slog.DiscardHandler)),
	)
}

// copyTree copies an image, or an index, with all that refers to it.
func (w *worker) copyTree(ctx context.Context) error {
	from, err := w.pick()
	if err != nil {
		return err
	}
	source, err := ref.New(w.Addr + "/" + from.repo + "@" + from.digest)
	if err != nil {
		return err
	}
	target, err := ref.New(w.Addr + "/" + w.repo() + ":" + w.tag())
	if err != nil {
		return err
	}
	return w.regctl().ImageCopy(ctx, source, target, regclient.ImageWithReferrers())
}

func (w *worker) uploadByRegctl(ctx context.Context) error {
	repo, b := w.repo(), w.fresh()
	target, err := ref.New(w.Addr + "/" + repo)
	if err != nil {
		return err
	}
	want := descriptor.Descriptor{Digest: digest.Digest(digestOf(b)), Size: int64(len(b))}
	if _, err := w.regctl().BlobPut(ctx, target, want, bytes.NewReader(b)); err != nil {
		return err
	}
	remember(w.Load, &w.loose, blob{repo, digestOf(b)})
	return nil
}
