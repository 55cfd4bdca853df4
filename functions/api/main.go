// SPDX-License-Identifier: Apache-2.0

// Command api is the registry as a function: it answers the requests of an HTTP API, and an operator's orders.
package main

import (
	"context"
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"

	"tare/functions/internal/cloud"
	"tare/internal/clock"
)

func main() {
	cloud.Start(build, func(d *door) { lambda.StartWithOptions(d) })
}

func build(e *cloud.Environment, log *slog.Logger) (*door, error) {
	finalize := e.Name("TARE_FINALIZE", "_-:$", 1, 170) // a name or an ARN (Lambda API Reference, Invoke, 2026-11)
	anonymousPull := e.Switch("TARE_ANONYMOUS_PULL")
	b, err := cloud.Open(e, clock.System{}, e.Duration("TARE_UNTAGGED_AFTER"))
	if err != nil {
		return nil, err
	}
	function := cloud.NewFunction(b.Config, finalize)
	return assemble(b.Stores, b.Ledger, clock.System{}, log, settings{
		anonymousPull: anonymousPull,
		settle: func(ctx context.Context, upload string) error {
			return function.Invoke(ctx, cloud.Settlement{Tare: cloud.Settle, Upload: upload})
		},
	})
}
