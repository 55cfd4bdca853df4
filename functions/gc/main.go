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
	on := e.Switch("TARE_SWEEP")
	b, err := cloud.Open(e, clock.System{}, e.Duration("TARE_UNTAGGED_AFTER"))
	if err != nil {
		return nil, err
	}
	return &door{ledger: b.Ledger, clock: clock.System{}, log: log, on: on}, nil
}
