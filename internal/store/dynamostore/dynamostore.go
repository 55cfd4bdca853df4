// SPDX-License-Identifier: Apache-2.0

// Package dynamostore keeps the rows of a [store.Table] in one table of DynamoDB with one sparse index, [Schema]. Reads are
// strong, those of the index excepted; every commit is one TransactWriteItems under the transaction's own token, also where
// it has a single operation: nothing else of DynamoDB can be repeated after a lost reply (docs/decisions/0024).
//
// The SDK repeats nothing here. What DynamoDB says has not happened (a conflict with another transaction, a throttle, a
// connection that could not be made) is tried again a few times, after pauses with jitter. What may have happened is never
// tried again: it is ErrUnknownOutcome at once, and the caller repeats the transaction or gives it up.
package dynamostore

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tare/internal/clock"
	"tare/internal/store"
)

// The attributes that address a row, and the index.
const (
	attrPK    = "pk"
	attrSK    = "sk"
	indexName = "due"
)

// Options of a [Store]. The zero value has the defaults, but for the clock.
type Options struct {
	// Clock is what a transaction's Before is compared with, and what waits between tries.
	Clock clock.Clock

	// Timeout is for how long one request may take; 0: five seconds. A commit that takes longer has an unknown outcome.
	Timeout time.Duration

	// Tries is how often a request is sent at most while nothing comes of it; 0: ten. The pauses between take three
	// seconds in all, on average.
	Tries int
}

// Store is a [store.Table] and [store.Scanner] on a table of DynamoDB. It is safe for concurrent use, and as many as one
// likes may share a table.
type Store struct {
	client *dynamodb.Client
	table  string
	opts   Options
}

var (
	_ store.Table   = (*Store)(nil)
	_ store.Scanner = (*Store)(nil)
)

// New returns a store on the table, which must have the [Schema]. It calls nothing.
func New(client *dynamodb.Client, table string, opts Options) *Store {
	if opts.Timeout == 0 {
		opts.Timeout = 5 * time.Second
	}
	if opts.Tries == 0 {
		opts.Tries = 10
	}
	return &Store{client: client, table: table, opts: opts}
}

// Schema is the table that a [Store] needs: its keys, and the index of rows that are due, billed by request.
func Schema(table string) *dynamodb.CreateTableInput {
	define := func(name string, t types.ScalarAttributeType) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: aws.String(name), AttributeType: t}
	}
	keys := func(hash, sort string) []types.KeySchemaElement {
		return []types.KeySchemaElement{
			{AttributeName: aws.String(hash), KeyType: types.KeyTypeHash},
			{AttributeName: aws.String(sort), KeyType: types.KeyTypeRange},
		}
	}
	return &dynamodb.CreateTableInput{
		TableName:   aws.String(table),
		BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{
			define(attrPK, types.ScalarAttributeTypeS), define(attrSK, types.ScalarAttributeTypeS),
			define(store.AttrShard, types.ScalarAttributeTypeN), define(store.AttrDue, types.ScalarAttributeTypeN),
		},
		KeySchema: keys(attrPK, attrSK),
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{{
			IndexName:  aws.String(indexName),
			KeySchema:  keys(store.AttrShard, store.AttrDue),
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}},
	}
}

func fail(op, key string, outcome, cause error) error {
	return &store.Error{Op: op, Key: key, Outcome: outcome, Cause: cause}
}

// pause waits before try number n, counted from 1, of a request of which nothing came because of cause: a random time
// below a bound that doubles.
//
// Transactions that meet wait for up to two seconds in the end, though one takes only some milliseconds: DynamoDB does not say
// whether one that is canceled holds its rows until then, and if so, many that come again too soon cancel one another for
// ever (docs/decisions/0032).
func (s *Store) pause(ctx context.Context, n int, cause error) error {
	least, most := 20*time.Millisecond, 2*time.Second
	if !errors.Is(cause, store.ErrContended) {
		least, most = 50*time.Millisecond, time.Second
	}
	return s.opts.Clock.Pause(ctx, rand.N(min(least<<min(n-1, 16), most)))
}
