// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"tare/functions/internal/cloud"
	"tare/internal/clock"
	"tare/internal/refcount"
)

// reserve is how long before its end a call begins nothing more.
const reserve = 20 * time.Second

// door sweeps when it is told to. Any number of calls may run at once, and each may end anywhere.
type door struct {
	ledger *refcount.Ledger
	clock  clock.Clock
	log    *slog.Logger
	on     bool
}

// Invoke implements lambda.Handler: one sweep, as far as the time of a call allows. The event is {"tare":"sweep"}; any other
// is an error. The last line of the log says what was done, and by how many seconds what is left is late.
func (d *door) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var event struct {
		Tare string `json:"tare"`
	}
	if err := cloud.Decode(payload, &event); err != nil {
		return nil, err
	}
	if event.Tare != "sweep" {
		return nil, fmt.Errorf(`this is no event of this function: "tare" is %q`, event.Tare)
	}
	if !d.on {
		d.log.Warn("The sweep is off: nothing is removed.")
		return []byte("{}"), nil
	}
	until := cloud.Until(ctx, d.clock, reserve)
	began := d.clock.Now()
	ctx, cancel := context.WithTimeout(ctx, until.Sub(began)+reserve/2)
	defer cancel()
	// The rule gets half of the time at most: what it finds is not due for a day at least.
	rest, ruled := d.ledger.GoOnUntagged(ctx, began.Add(until.Sub(began)/2))
	report, swept := d.ledger.Sweep(ctx, refcount.SweepOptions{Until: until})
	if err := errors.Join(ruled, swept, d.tell(ctx, report, rest, began)); err != nil {
		return nil, err
	}
	return []byte("{}"), nil
}

// tell writes the line that the metrics are made of.
func (d *door) tell(ctx context.Context, r refcount.Report, rest bool, began time.Time) error {
	for _, failure := range r.Errors {
		d.log.Error("The sweep could not handle a row.", "error", failure)
	}
	var lag time.Duration
	if r.Left || r.Failed > 0 {
		var err error
		if lag, err = d.ledger.Overdue(ctx); err != nil {
			return err
		}
	}
	d.log.Info("Swept.", "looked", r.Looked, "links", r.Links, "blobs", r.Blobs, "objects", r.Objects, "bytes", r.Bytes, "uploads", r.Sessions,
		"manifests", r.Manifests, "tags", r.Tags, "repositories", r.Repositories, "failed", r.Failed, "left", r.Left, "rule_left", rest,
		"lag", int64(lag/time.Second), "seconds", d.clock.Now().Sub(began).Seconds())
	return nil
}
