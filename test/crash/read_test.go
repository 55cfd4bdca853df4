// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"

	"tare/internal/oci"
	"tare/internal/refcount"

	"github.com/opencontainers/go-digest"
)

// readScenarios are all that clients and operators ask.
func readScenarios() []scenario {
	return []scenario{
		{"read", all(pushImage(repo, "v1", small, large), pushManifest(repo, signature(image(small, large), small))), readAll, false},
	}
}

func readAll(ctx context.Context, p *process) error {
	d := digest.FromString(image(small, large))
	none := func(int) {}
	for _, read := range []func() error{
		func() error { _, err := p.reg.ResolveManifest(ctx, repo, oci.Reference{Tag: "v1"}); return err },
		func() error { _, err := p.reg.ResolveManifest(ctx, repo, oci.Reference{Digest: d}); return err },
		func() error { _, err := p.reg.Manifest(ctx, repo, oci.Reference{Tag: "v1"}); return err },
		func() error { _, err := p.reg.Manifest(ctx, repo, oci.Reference{Digest: d}); return err },
		func() error { _, err := p.reg.ResolveBlob(ctx, repo, digest.FromString(small)); return err },
		func() error { _, err := p.read(ctx, repo, digest.FromString(small)); return err },
		func() error { _, err := p.read(ctx, repo, digest.FromString(large)); return err },
		func() error { _, _, err := p.reg.Tags(ctx, repo, "", 10); return err },
		func() error { _, _, err := p.reg.Repositories(ctx, "", 10, nil); return err },
		func() error { _, _, err := p.reg.Referrers(ctx, repo, d, "", ""); return err },
		func() error { _, err := p.ledger.History(ctx, repo, "v1"); return err },
		func() error { _, err := p.ledger.Size(ctx, repo); return err },
		func() error { _, err := p.ledger.Overdue(ctx); return err },
		func() error { return p.ledger.Waiting(ctx, func(refcount.Waiting) bool { return true }) },
		func() error { _, err := p.ledger.ExplainTag(ctx, repo, "v1", none); return err },
		func() error { _, err := p.ledger.Audit(ctx, p.scanner); return err },
	} {
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}
