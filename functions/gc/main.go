// SPDX-License-Identifier: Apache-2.0

// Command gc is the sweep as a function that a schedule calls.
package main

import (
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"

	"tare/functions/internal/cloud"
	"tare/internal/clock"
)

func main() {
	cloud.Start(build, func(d *door) { lambda.StartWithOptions(d) })
}

func build(e *cloud.Environment, log *slog.Logger) (*door, error) {
	c, err := cloud.Config(e)
	if err != nil {
		return nil, err
	}
	untagged, on := e.Duration("TARE_UNTAGGED_AFTER"), e.Switch("TARE_SWEEP")
	stores, err := cloud.Open(c, e, clock.System{})
	if err != nil {
		return nil, err
	}
	ledger, err := cloud.Ledger(stores, clock.System{}, untagged)
	if err != nil {
		return nil, err
	}
	return &door{ledger: ledger, clock: clock.System{}, log: log, on: on}, nil
}
