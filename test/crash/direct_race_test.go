// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"strings"
	"testing"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"

	"github.com/opencontainers/go-digest"
)

// directParties do something with the one direct upload of the world, or with its blob.
func directParties() []party {
	return []party{
		{name: "complete", op: withDirect((*process).finishDirect), steps: true},
		{name: "ask", op: withDirect(func(p *process, ctx context.Context, up oci.DirectUpload) error {
			_, err := p.reg.DirectStatus(ctx, repo, up.ID, 0)
			return err
		}), steps: true},
		{name: "settle", op: withDirect(func(p *process, ctx context.Context, up oci.DirectUpload) error {
			_, err := p.uploads.Settle(ctx, objectOf(up.ID), p.clock.Now().Add(time.Minute))
			return err
		}), steps: true},
		{name: "send again", op: withDirect((*process).sendAgain)},
		{name: "cancel", op: withDirect(func(p *process, ctx context.Context, up oci.DirectUpload) error {
			return p.reg.CancelDirect(ctx, repo, up.ID)
		}), steps: true},
		{name: "push the blob", op: pushBlob(repo, large), steps: true},
		{name: "push the blob elsewhere", op: pushBlob(other, large)},
		{name: "delete the blob", op: removeBlob(repo, large), takes: true, steps: true},
		{name: "push an image", op: pushManifest(repo, image(small, large), "v1"), steps: true},
		{name: "expire", op: all(wait(25*time.Hour), sweep(refcount.SweepOptions{})), takes: true, steps: true},
		{name: "sweep, margins given up", op: sweep(refcount.SweepOptions{GiveUpMargins: true}), takes: true, steps: true},
		{name: "fsck", op: fsck},
	}
}

// withDirect is an operation on the upload of the world.
func withDirect(do func(*process, context.Context, oci.DirectUpload) error) operation {
	return func(ctx context.Context, p *process) error { return do(p, ctx, p.direct) }
}

func (p *process) finishDirect(ctx context.Context, up oci.DirectUpload) error {
	done, err := p.reg.CompleteDirect(ctx, repo, up.ID, 0)
	if err != nil || done.State != oci.DirectDone {
		return err
	}
	return p.toldOfBlob(repo, up.Digest, large, nil)
}

// sendAgain asks for URLs and sends all bytes once more, which the store may refuse by now.
func (p *process) sendAgain(ctx context.Context, up oci.DirectUpload) error {
	var parts []oci.DirectPart
	if up.Parts > 0 {
		parts = []oci.DirectPart{{Number: 1, Size: leastPart, Digest: digest.FromString(large[:leastPart])}}
	}
	signed, err := p.reg.SignDirect(ctx, repo, up.ID, parts)
	if err != nil {
		return err
	}
	content := large
	if up.Parts > 0 {
		content = large[:leastPart]
	}
	_ = p.bring(signed[0], content) // it may be too late
	return nil
}

// directMeetings are the states of the upload.
func directMeetings() []meeting {
	waiting := func(_ context.Context, p *process) error { p.waits = true; return nil }
	d := digest.FromString(large)
	put := func(ctx context.Context, p *process) (err error) {
		p.direct, err = p.reg.OpenDirect(ctx, repo, oci.DirectOpen{Digest: d, Size: int64(len(large))})
		if err != nil {
			return err
		}
		return p.bring(*p.direct.Put, large)
	}
	parts := func(content string) operation {
		return func(ctx context.Context, p *process) (err error) {
			p.direct, err = p.openParts(ctx, repo, d, content, everyPart)
			return err
		}
	}
	complete := func(ctx context.Context, p *process) error {
		_, err := p.reg.CompleteDirect(ctx, repo, p.direct.ID, 0)
		return err
	}
	start := all(gathering(pushBlob(repo, small)), waiting)
	return []meeting{
		{name: "one put", setup: all(start, again(put))},
		{name: "parts", setup: all(gathering(pushBlob(repo, small)), again(parts(large)))},
		{name: "parts, settled elsewhere", setup: all(start, again(parts(large)))},
		{name: "complete, settled elsewhere", setup: all(start, again(all(parts(large), complete)))},
		{name: "complete, the blob is elsewhere", setup: all(start, again(all(parts(large), complete, pushBlob(other, large))))},
		{name: "of other content", setup: all(gathering(pushBlob(repo, small)), again(parts(strings.ToUpper(large))))},
		{name: "of other content, settled elsewhere", setup: all(start, again(all(parts(strings.ToUpper(large)), complete)))},
	}
}

// TestDirectRace is TestRace at a direct upload.
func TestDirectRace(t *testing.T) {
	for _, m := range directMeetings() {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			ready := newWorld(t)
			if err := m.setup(context.Background(), ready.boot(nil)); err != nil {
				t.Fatal(err)
			}
			seen := map[string]bool{}
			for _, a := range directParties() {
				for _, b := range directParties() {
					r := race{ready: ready, a: a, b: b, seen: seen}
					t.Run(a.name+" and "+b.name, r.run)
				}
			}
		})
	}
}
