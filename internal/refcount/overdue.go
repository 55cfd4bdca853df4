// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"time"

	"tare/internal/store"
)

// Overdue is for how long the row has been due that the sweep should have handled first; 0 where nothing is due. The index
// says so, which may lag behind the table: it is a figure to watch, and no more.
func (l *Ledger) Overdue(ctx context.Context) (time.Duration, error) {
	now := l.clock.Now()
	var most time.Duration
	for shard := range Shards {
		hits, err := l.table.Due(ctx, shard, now.UnixMilli(), store.DueKey{}, 1)
		if err != nil {
			return 0, err
		}
		if len(hits) > 0 {
			most = max(most, now.Sub(fromMilli(hits[0].Due)))
		}
	}
	return most, nil
}
