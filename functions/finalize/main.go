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
	self := e.Name("AWS_LAMBDA_FUNCTION_NAME", "_-", 1, 64)
	b, err := cloud.Open(e, clock.System{}, 0) // it writes no manifests
	if err != nil {
		return nil, err
	}
	uploads, err := upload.New(b.Ledger, b.Stores.Objects, b.Stores.Parts, clock.System{}, upload.Options{Direct: b.Stores.Direct})
	if err != nil {
		return nil, err
	}
	return &door{uploads: uploads, self: cloud.NewFunction(b.Config, self), bucket: b.Bucket, clock: clock.System{}, log: log}, nil
}
