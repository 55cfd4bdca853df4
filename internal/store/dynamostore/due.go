// SPDX-License-Identifier: Apache-2.0

package dynamostore

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"tare/internal/store"
)

// Due implements [store.Table]. The index follows the table within seconds at most times; nothing says how long it may
// take (A2).
func (s *Store) Due(ctx context.Context, shard int, until int64, after store.DueKey, limit int) ([]store.DueKey, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := store.ValidateLimit("due", limit); err != nil {
		return nil, err
	}
	var start item
	if after != (store.DueKey{}) {
		if after.Due > until {
			return nil, nil // DynamoDB refuses a start outside the range
		}
		start = encodeKey(after.Key)
		start[store.AttrShard], start[store.AttrDue] = number(int64(shard)), number(after.Due)
	}
	var e expression
	condition := e.name(store.AttrShard) + " = " + e.value(number(int64(shard))) + " AND " + e.name(store.AttrDue) + " <= " + e.value(number(until))
	var keys []store.DueKey
	for idle := 0; idle < s.opts.Tries; idle++ {
		answer, err := read(ctx, s, "due", "", func(ctx context.Context) (*dynamodb.QueryOutput, error) {
			return s.client.Query(ctx, &dynamodb.QueryInput{
				TableName: aws.String(s.table), IndexName: aws.String(indexName), KeyConditionExpression: aws.String(condition),
				ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values,
				Limit: aws.Int32(int32(limit - len(keys))), ExclusiveStartKey: start,
			}, whole)
		})
		if err != nil {
			return nil, err
		}
		for _, it := range answer.Items {
			k, row, err := decodeItem(it)
			if err != nil {
				return nil, fail("due", k.String(), store.ErrCorrupt, err)
			}
			keys = append(keys, store.DueKey{Due: row.Num(store.AttrDue), Key: k})
			idle = -1
		}
		if answer.LastEvaluatedKey == nil || len(keys) >= limit {
			return keys, nil
		}
		start = answer.LastEvaluatedKey
	}
	return nil, fail("due", "", store.ErrUnavailable, errNothing)
}
