// SPDX-License-Identifier: Apache-2.0

// Command finalize verifies what clients brought to the bucket themselves in parts, and makes blobs of it.
package main

import (
	"log/slog"

	"github.com/aws/aws-lambda-go/lambda"

	"tare/functions/internal/cloud"
	"tare/internal/clock"
	"tare/internal/upload"
)

func main() {
	cloud.Start(build, func(d *door) { lambda.StartWithOptions(d) })
}

func build(e *cloud.Environment, log *slog.Logger) (*door, error) {
	c, err := cloud.Config(e)
	if err != nil {
		return nil, err
	}
	self := e.Text("AWS_LAMBDA_FUNCTION_NAME")
	stores, err := cloud.Open(c, e, clock.System{})
	if err != nil {
		return nil, err
	}
	ledger, err := cloud.Ledger(stores, clock.System{}, 0) // it writes no manifests
	if err != nil {
		return nil, err
	}
	uploads, err := upload.New(ledger, stores.Objects, stores.Parts, clock.System{}, upload.Options{Direct: stores.Direct})
	if err != nil {
		return nil, err
	}
	return &door{uploads: uploads, self: cloud.NewFunction(c, self), bucket: e.Text("TARE_BUCKET"), clock: clock.System{}, log: log}, nil
}
