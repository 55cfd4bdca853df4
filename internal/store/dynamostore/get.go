// SPDX-License-Identifier: Apache-2.0

package dynamostore

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tare/internal/store"
)

// Get implements [store.Table]: with a GetItem for one key, and with BatchGetItem for several, again for the keys that
// DynamoDB gives back unread, until all are read or several answers in a row bring nothing.
func (s *Store) Get(ctx context.Context, keys ...store.Key) ([]store.Row, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := store.ValidateGet(keys); err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return nil, nil
	}
	if len(keys) == 1 {
		row, err := s.getOne(ctx, keys[0])
		return []store.Row{row}, err
	}
	found, err := s.getAll(ctx, keys)
	if err != nil {
		return nil, err
	}
	rows := make([]store.Row, len(keys))
	for i, k := range keys {
		rows[i] = found[k]
	}
	return rows, nil
}

func (s *Store) getOne(ctx context.Context, k store.Key) (store.Row, error) {
	request := &dynamodb.GetItemInput{TableName: aws.String(s.table), Key: encodeKey(k), ConsistentRead: aws.Bool(true)}
	answer, err := read(ctx, s, "get", k.String(), func(ctx context.Context) (*dynamodb.GetItemOutput, error) {
		return s.client.GetItem(ctx, request, whole)
	})
	if err != nil {
		return nil, err
	}
	row, err := decodeRow(answer.Item)
	if err != nil {
		return nil, fail("get", k.String(), store.ErrCorrupt, err)
	}
	return row, nil
}

// getAll reads the rows that are there.
func (s *Store) getAll(ctx context.Context, keys []store.Key) (map[store.Key]store.Row, error) {
	first := keys[0].String()
	found := make(map[store.Key]store.Row, len(keys))
	rest, left := s.batch(keys)
	for idle := 0; left > 0; {
		request := &dynamodb.BatchGetItemInput{RequestItems: rest}
		answer, err := read(ctx, s, "get", first, func(ctx context.Context) (*dynamodb.BatchGetItemOutput, error) {
			return s.client.BatchGetItem(ctx, request, whole)
		})
		if err != nil {
			return nil, err
		}
		for _, it := range answer.Responses[s.table] {
			k, row, err := decodeItem(it)
			if err != nil {
				return nil, fail("get", k.String(), store.ErrCorrupt, err)
			}
			found[k] = row
		}
		rest = answer.UnprocessedKeys
		unread := len(rest[s.table].Keys)
		if unread < left {
			left, idle = unread, 0
			continue
		}
		if idle++; idle == s.opts.Tries {
			return nil, fail("get", first, store.ErrUnavailable, fmt.Errorf("%d of %d rows are not read", unread, len(keys)))
		}
		if err := s.pause(ctx, idle, nil); err != nil {
			return nil, err
		}
	}
	return found, nil
}

// batch makes the request for keys, each once: DynamoDB refuses one that comes twice.
func (s *Store) batch(keys []store.Key) (request map[string]types.KeysAndAttributes, n int) {
	seen := make(map[store.Key]struct{}, len(keys))
	var list []item
	for _, k := range keys {
		if _, twice := seen[k]; !twice {
			seen[k] = struct{}{}
			list = append(list, encodeKey(k))
		}
	}
	return map[string]types.KeysAndAttributes{s.table: {Keys: list, ConsistentRead: aws.Bool(true)}}, len(list)
}

func decodeItem(it item) (store.Key, store.Row, error) {
	k, err := decodeKey(it)
	if err != nil {
		return k, nil, err
	}
	row, err := decodeRow(it)
	return k, row, err
}
