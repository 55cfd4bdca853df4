// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
	"tare/internal/registry"
	"tare/internal/store/faultstore"
)

// What a store says is told to the client in one way, whatever it was asked for.
func TestStoreErrors(t *testing.T) {
	for action, want := range map[faultstore.Action]oci.Code{
		faultstore.Unavailable: oci.Unavailable,
		faultstore.Full:        oci.NoSpace,
		faultstore.LoseCall:    oci.Unavailable,
		faultstore.DieBefore:   oci.Internal,
	} {
		w := newWorld(t, registry.Options{})
		ctx, d := t.Context(), w.upload(repo, pattern(1, 1000))
		up, err := w.StartUpload(ctx, repo)
		w.must(err)
		body, ref := image("", d), oci.Reference{Tag: "t"}
		w.push(body, "t")
		w.start(func(c faultstore.Call) faultstore.Action {
			if c.Kind == faultstore.Get && c.Keys[0].PK == "k" { // the secret
				return faultstore.Pass
			}
			return action
		})
		again, err := w.StartUpload(ctx, repo)
		w.must(err)
		page := func(_ []string, _ bool, err error) error { return err }
		_, _, referrersErr := w.Referrers(ctx, repo, d, "", "")
		for what, err := range map[string]error{
			"ResolveManifest": second(w.ResolveManifest(ctx, repo, ref)),
			"Manifest":        second(w.Manifest(ctx, repo, ref)),
			"ResolveBlob":     second(w.ResolveBlob(ctx, repo, d)),
			"Blob":            second(w.Blob(ctx, repo, d)),
			"PushBlob":        second(w.PushBlob(ctx, repo, d, strings.NewReader(pattern(1, 1000)), 1000)),
			"ResumeUpload":    second(w.ResumeUpload(ctx, repo, up.ID)),
			"WriteUpload":     second(w.WriteUpload(ctx, repo, again.ID, -1, strings.NewReader("x"), 1)),
			"FinishUpload":    second(w.FinishUpload(ctx, repo, again.ID, digest.FromString("x"), -1, strings.NewReader("x"), 1)),
			"CancelUpload":    w.CancelUpload(ctx, repo, again.ID),
			"MountBlob":       second(w.MountBlob(ctx, repo, d, "team/other")),
			"PushManifest":    second(w.PushManifest(ctx, repo, oci.ManifestPush{Body: body, Tags: []oci.Tag{"u"}})),
			"DeleteTag":       w.DeleteTag(ctx, repo, "t"),
			"DeleteManifest":  w.DeleteManifest(ctx, repo, digest.FromBytes(body)),
			"DeleteBlob":      w.DeleteBlob(ctx, repo, d),
			"Tags":            page(w.Tags(ctx, repo, "", 10)),
			"Repositories":    page(w.Repositories(ctx, "", 10, nil)),
			"Referrers":       referrersErr,
		} {
			var e *oci.Error
			if !errors.As(err, &e) || e.Code != want || e.Cause == nil {
				t.Errorf("%s, %s: got %v, want %s", what, action, err, want)
			}
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestStartUploadWithoutAStore(t *testing.T) {
	w := newWorld(t, registry.Options{})
	w.start(func(faultstore.Call) faultstore.Action { return faultstore.Unavailable })
	_, err := w.StartUpload(t.Context(), repo)
	w.mustBe(err, oci.Unavailable)
}

// The end of a request's context is not the registry's error.
func TestCanceledContext(t *testing.T) {
	w := newWorld(t, registry.Options{})
	d := w.upload(repo, pattern(1, 1000))
	w.push(image("", d), "t")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for what, err := range map[string]error{
		"Manifest":     second(w.Manifest(ctx, repo, oci.Reference{Tag: "t"})),
		"Blob":         second(w.Blob(ctx, repo, d)),
		"PushBlob":     second(w.PushBlob(ctx, repo, d, strings.NewReader(pattern(1, 1000)), 1000)),
		"PushManifest": second(w.PushManifest(ctx, repo, oci.ManifestPush{Body: image("", d), Tags: []oci.Tag{"u"}})),
		"DeleteTag":    w.DeleteTag(ctx, repo, "t"),
	} {
		var e *oci.Error
		if !errors.Is(err, context.Canceled) || errors.As(err, &e) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
