// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"context"
	"strings"
	"time"

	"tare/internal/refcount"
	"tare/internal/store/memstore"
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
		scenario{"sweep the tail of an upload", all(gathering(nil), again(leaveBlob(repo, large[:90])), wait(25*time.Hour)),
			sweep(refcount.SweepOptions{}), true})
}

// gathering is setup in a world whose parts have a least size.
func gathering(setup operation) operation {
	return func(ctx context.Context, p *process) error {
		p.store = memstore.New(p.clock, memstore.Options{MinPart: leastPart})
		if setup == nil {
			return nil
		}
		return again(setup)(ctx, p)
	}
}
