// SPDX-License-Identifier: Apache-2.0

package dynamostore

import (
	"context"
	"errors"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tare/internal/store"
)

// chunk is what one request for a page brings: items, and the position behind them where there may be more.
type chunk struct {
	items []item
	next  item
}

// Query implements [store.Table].
func (s *Store) Query(ctx context.Context, q store.Query) (store.Page, error) {
	if err := ctx.Err(); err != nil {
		return store.Page{}, err
	}
	if err := q.Validate(); err != nil {
		return store.Page{}, err
	}
	var e expression
	condition := e.name(attrPK) + " = " + e.value(&types.AttributeValueMemberS{Value: q.PK})
	var start item
	switch {
	case q.Prefix == "" && q.After != "":
		condition += " AND " + e.name(attrSK) + " > " + e.value(&types.AttributeValueMemberS{Value: q.After})
	case q.Prefix != "":
		condition += " AND begins_with(" + e.name(attrSK) + ", " + e.value(&types.AttributeValueMemberS{Value: q.Prefix}) + ")"
		switch {
		case strings.HasPrefix(q.After, q.Prefix):
			start = encodeKey(store.Key{PK: q.PK, SK: q.After}) // a position need not be there
		case q.After > q.Prefix:
			return store.Page{}, nil
		}
	}
	return s.page(ctx, "query", q.PK, q.Limit, start, func(ctx context.Context, limit int, start item) (chunk, error) {
		answer, err := s.client.Query(ctx, &dynamodb.QueryInput{
			TableName: aws.String(s.table), ConsistentRead: aws.Bool(true), KeyConditionExpression: aws.String(condition),
			ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values, Limit: aws.Int32(int32(limit)), ExclusiveStartKey: start,
		}, whole)
		if err != nil {
			return chunk{}, err
		}
		return chunk{answer.Items, answer.LastEvaluatedKey}, nil
	})
}

// Scan implements [store.Scanner]. The order is that of DynamoDB's partitions.
func (s *Store) Scan(ctx context.Context, after store.Key, limit int) (store.Page, error) {
	if err := ctx.Err(); err != nil {
		return store.Page{}, err
	}
	if err := store.ValidateLimit("scan", limit); err != nil {
		return store.Page{}, err
	}
	var start item
	if after != (store.Key{}) {
		start = encodeKey(after)
	}
	return s.page(ctx, "scan", after.String(), limit, start, func(ctx context.Context, limit int, start item) (chunk, error) {
		answer, err := s.client.Scan(ctx, &dynamodb.ScanInput{
			TableName: aws.String(s.table), ConsistentRead: aws.Bool(true), Limit: aws.Int32(int32(limit)), ExclusiveStartKey: start,
		}, whole)
		if err != nil {
			return chunk{}, err
		}
		return chunk{answer.Items, answer.LastEvaluatedKey}, nil
	})
}

var errNothing = errors.New("pages without rows")

// page reads chunks until it has limit rows or the next one would bring it over MaxPage bytes. DynamoDB ends a chunk
// where it likes.
func (s *Store) page(ctx context.Context, op, key string, limit int, start item, send func(ctx context.Context, limit int, start item) (chunk, error)) (store.Page, error) {
	var page store.Page
	bytes := 0
	for idle := 0; idle < s.opts.Tries; {
		got, err := read(ctx, s, op, key, func(ctx context.Context) (chunk, error) {
			return send(ctx, limit-len(page.Items), start)
		})
		if err != nil {
			return store.Page{}, err
		}
		for _, it := range got.items {
			k, row, err := decodeItem(it)
			if err != nil {
				return damaged(page, k, err)
			}
			bytes += row.Size(k)
			if len(page.Items) > 0 && bytes > store.MaxPage {
				page.More = true
				return page, nil
			}
			page.Items = append(page.Items, store.Item{Key: k, Row: row})
		}
		if got.next == nil {
			return page, nil
		}
		if len(page.Items) >= limit || bytes > store.MaxPage-store.MaxRow {
			page.More = true
			return page, nil
		}
		start = got.next
		if idle++; len(got.items) > 0 {
			idle = 0
		}
	}
	return store.Page{}, fail(op, key, store.ErrUnavailable, errNothing)
}

// damaged ends a page before a row that cannot be read.
func damaged(page store.Page, k store.Key, cause error) (store.Page, error) {
	if len(page.Items) == 0 {
		return page, &store.DamagedRow{Key: k, Cause: cause}
	}
	page.More = true
	return page, nil
}
