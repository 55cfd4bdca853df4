// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/refcount"
	"tare/internal/store/faultstore"
	"tare/internal/store/memstore"

	"github.com/opencontainers/go-digest"
)

// leastPart is the least size of a part where it has one: a large blob is more than a part, and a chunk of it is less.
const leastPart = 100

// gatheredScenarios are those of uploads, on a store whose parts have a least size.
func gatheredScenarios() []scenario {
	var gathered []scenario
	for _, sc := range append(blobScenarios(), sweepScenarios()...) {
		switch name, rest, _ := strings.Cut(sc.name, ","); {
		case name == "blob" && !strings.HasPrefix(rest, " small"), name == "sweep an upload", name == "sweep a canceled upload", name == "fsck":
			gathered = append(gathered, scenario{sc.name + ", gathered", gathering(sc.setup), sc.op, sc.twice})
		}
	}
	return append(gathered,
		scenario{"blob, less than a part, gathered", gathering(nil), patchBlob(repo, large[:90], 70, 0), true},
		scenario{"blob, in pieces, gathered", gathering(nil), patchBlob(repo, large+larger, 90, 0), false},
		scenario{"blob, an object is named for it, gathered", gathering(nil), endTwice(repo, large[:90], 70), true},
		scenario{"sweep the tail of an upload", all(gathering(nil), again(leaveBlob(repo, large[:90])), wait(25*time.Hour)),
			sweep(refcount.SweepOptions{}), true})
}

// endTwice uploads in a chunk and two closing requests, of which the first comes no further than to name its object.
func endTwice(r oci.Repository, content string, n int) operation {
	return func(ctx context.Context, p *process) error {
		up, err := p.reg.StartUpload(ctx, r)
		if err != nil {
			return err
		}
		if up, err = p.reg.WriteUpload(ctx, r, up.ID, 0, strings.NewReader(content[:n]), int64(n)); err != nil {
			return err
		}
		d, rest := digest.FromString(content), content[n:]
		first := p.boot(func(c faultstore.Call) faultstore.Action {
			if c.Kind == faultstore.Put {
				return faultstore.DieBefore
			}
			return faultstore.Pass
		})
		if _, err := first.reg.FinishUpload(ctx, r, up.ID, d, up.Offset, strings.NewReader(rest), int64(len(rest))); !errors.Is(err, faultstore.ErrDead) {
			return fmt.Errorf("%w: %w", err, errUnexpected)
		}
		_, err = p.reg.FinishUpload(ctx, r, up.ID, d, up.Offset, strings.NewReader(rest), int64(len(rest)))
		return p.toldOfBlob(r, d, content, err)
	}
}

// gathering is setup in a world whose parts have a least size.
func gathering(setup operation) operation {
	return func(ctx context.Context, p *process) error {
		p.store = open(p.clock, memstore.Options{MinPart: leastPart})
		if setup == nil {
			return nil
		}
		return again(setup)(ctx, p)
	}
}
