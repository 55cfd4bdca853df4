// SPDX-License-Identifier: Apache-2.0

package cloud

import (
	"cmp"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tare/internal/clock"
	"tare/internal/refcount"
	"tare/internal/store/dynamostore"
	"tare/internal/store/s3store"
)

// Base is what every function stands on.
type Base struct {
	Config aws.Config
	Bucket string
	Stores Stores
	Ledger *refcount.Ledger
}

// Open makes the base of what the environment names, without calling anything. What a door has read of the environment before
// is judged, too.
func Open(e *Environment, clk clock.Clock, untagged time.Duration) (Base, error) {
	c, err := Config(e)
	// Developer Guide, "Naming rules" of DynamoDB; User Guide, "Bucket naming rules" of S3 (2026-11).
	table, bucket := e.Name("TARE_TABLE", "_-.", 3, 255), e.Name("TARE_BUCKET", "-.", 3, 63)
	if err := cmp.Or(err, e.Err()); err != nil {
		return Base{}, err
	}
	c.HTTPClient = awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = dialTimeout }).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout = dialTimeout
			t.ResponseHeaderTimeout = headerTimeout
		})
	objects := s3store.New(s3.NewFromConfig(c), bucket, s3store.Options{Clock: clk})
	stores := Stores{
		Table:   dynamostore.New(dynamodb.NewFromConfig(c), table, dynamostore.Options{Clock: clk}),
		Objects: objects, Parts: objects, Direct: objects,
	}
	ledger, err := Ledger(stores, clk, untagged)
	return Base{c, bucket, stores, ledger}, err
}

// What bounds a service that does not answer. All are in the same Region.
const (
	dialTimeout   = 3 * time.Second
	headerTimeout = 15 * time.Second
)
