// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tare/internal/refcount"
)

// sweepScenarios are sweeps, audits, and what prepares a sweep.
func sweepScenarios() []scenario {
	wide := many(wideWorth)
	day := wait(25 * time.Hour)
	return []scenario{
		{"sweep a link, a blob and an object", all(pushBlobs(repo, small, large), day), sweep(refcount.SweepOptions{}), true},
		{"sweep tombstones", all(pushBlobs(repo, large), day, sweep(refcount.SweepOptions{}), day), sweep(refcount.SweepOptions{}), true},
		{"sweep a deleted image", all(pushImage(repo, "v1", small, large), deleteManifest(repo, image(small, large), ":v1"), day), sweep(refcount.SweepOptions{}), true},
		{"sweep a deleted heavy manifest", all(pushBlobs(repo, small), pushManifest(repo, heavyManifest(), "heavy"), deleteManifest(repo, heavyManifest(), ":heavy"), day), sweep(refcount.SweepOptions{}), true},
		{"sweep a deleted wide image", all(pushImage(repo, "wide", wide[:4]...), deleteManifest(repo, image(wide[:4]...), ":wide"), day), sweep(refcount.SweepOptions{}), false},
		{"sweep, margins given up", all(pushImage(repo, "v1", small, large), pushBlob(repo, larger), deleteManifest(repo, image(small, large), ":v1"), cancelBlob(repo, larger)),
			sweep(refcount.SweepOptions{GiveUpMargins: true}), true},
		{"sweep an upload", all(leaveBlob(repo, large), day), sweep(refcount.SweepOptions{}), true},
		{"sweep an upload that fits a row", all(leaveBlob(repo, small), day), sweep(refcount.SweepOptions{}), true},
		{"sweep a canceled upload", all(cancelBlob(repo, large), day), sweep(refcount.SweepOptions{}), true},
		{"sweep the history of a tag", all(pushImage(repo, "v1", small), deleteTag(repo, "v1"), wait(40*24*time.Hour)), sweep(refcount.SweepOptions{}), true},
		{"sweep an expired tag", all(pushBlobs(repo, small), pushExpiring(repo, small, "v1"), wait(2*time.Hour)), sweep(refcount.SweepOptions{}), true},
		{"sweep, a repository is claimed", emptied(), sweep(refcount.SweepOptions{}), true},
		{"sweep, a repository goes", all(emptied(), sweep(refcount.SweepOptions{}), wait(11*time.Minute)), sweep(refcount.SweepOptions{}), true},
		{"sweep, something arrived in a repository", all(emptied(), sweep(refcount.SweepOptions{}), pushBlob(repo, small), wait(11*time.Minute)),
			sweep(refcount.SweepOptions{}), true},
		{"sweep a stage", all(pushBlobs(repo, wide...), dying(pushManifest(repo, image(wide...), "wide"), 4), wait(11*time.Minute)),
			sweep(refcount.SweepOptions{}), false},
		{"sweep an undelete that was not finished", all(pushImage(repo, "wide", wide...), deleteManifest(repo, image(wide...), ":wide"),
			dying(undelete(repo, image(wide...)), 6), wait(11*time.Minute)), sweep(refcount.SweepOptions{}), false},
		{"sweep by the untagged rule", all(pushBlob(repo, large), pushImage(repo, "v1", small), pushManifest(repo, signature(image(small), large)), forget, untaggedRule),
			all(deleteTag(repo, "v1"), wait(49*time.Hour), sweep(refcount.SweepOptions{})), false},
		{"apply the untagged rule", all(pushBlob(repo, large), pushImage(repo, "v1", small), pushManifest(repo, signature(image(small), large)), deleteTag(repo, "v1"),
			forget, untaggedRule), all(applyUntagged, wait(49*time.Hour), sweep(refcount.SweepOptions{})), false},
		{"fsck", all(pushImage(repo, "v1", small, large), pushManifest(repo, index(image(small, large)), "all"), mount(other, large, repo),
			leaveBlob(repo, large)), fsck, false},
	}
}

func sweep(opts refcount.SweepOptions) operation {
	return func(ctx context.Context, p *process) error {
		if opts.GiveUpMargins {
			p.blobs = map[string]promise{}
		}
		rep, err := p.ledger.Sweep(ctx, opts)
		return errors.Join(append(rep.Errors, err)...)
	}
}

// fsck audits, and fails where it finds anything to repair.
func fsck(ctx context.Context, p *process) error {
	_, err := p.ledger.Fsck(ctx, p.scanner, refcount.FsckOptions{Repair: true, Hash: refcount.HashAll, Found: func(f refcount.Finding) error {
		return fmt.Errorf("a false alarm: %s: %w", f, errUnexpected)
	}})
	return err
}

// emptied has a repository whose last manifest and blob went, and which is due.
func emptied() operation {
	return all(pushImage(repo, "v1", small), deleteManifest(repo, image(small), ":v1"), wait(25*time.Hour), sweep(refcount.SweepOptions{}), wait(11*time.Minute))
}

// untaggedRule has the registry delete what has no tag for a day, from its next start on.
func untaggedRule(_ context.Context, p *process) error {
	p.margins.Untagged = 24 * time.Hour
	return nil
}

func applyUntagged(ctx context.Context, p *process) error { return p.ledger.ApplyUntagged(ctx) }

// forget takes back what clients were told of manifests: a rule may remove them.
func forget(_ context.Context, p *process) error {
	p.manifests = map[string]promise{}
	return nil
}
