// SPDX-License-Identifier: Apache-2.0

package cloud

import (
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tare/internal/clock"
	"tare/internal/store/dynamostore"
	"tare/internal/store/s3store"
)

// Open returns the stores that the environment names, without calling them.
func Open(c aws.Config, e *Environment, clk clock.Clock) (Stores, error) {
	// Developer Guide, "Naming rules" of DynamoDB; User Guide, "Bucket naming rules" of S3 (2026-11).
	table, bucket := e.Name("TARE_TABLE", "_-.", 3, 255), e.Name("TARE_BUCKET", "-.", 3, 63)
	if err := e.Err(); err != nil {
		return Stores{}, err
	}
	c.HTTPClient = awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout }).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout = dialTimeout
			t.ResponseHeaderTimeout = headerTimeout
		})
	objects := s3store.New(s3.NewFromConfig(c), bucket, s3store.Options{Clock: clk})
	return Stores{
		Table:   dynamostore.New(dynamodb.NewFromConfig(c), table, dynamostore.Options{Clock: clk}),
		Objects: objects, Parts: objects, Direct: objects,
	}, nil
}

// What bounds a service that does not answer. Both are in the same Region.
const (
	dialTimeout   = 3 * time.Second
	headerTimeout = 15 * time.Second
)
