// SPDX-License-Identifier: Apache-2.0

package dynamostore

import (
	"context"
	"errors"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"tare/internal/store"
)

// Commit implements [store.Table]. DynamoDB has no clock in its conditions: the last byte of a request does not leave
// after tx.Before, and what left before it is decided by DynamoDB within a request's time (A4).
func (s *Store) Commit(ctx context.Context, tx store.Tx) error {
	if err := tx.Validate(); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	request := s.transaction(tx)
	var err error
	for try := range s.opts.Tries {
		if try > 0 {
			if err := s.pause(ctx, try, err); err != nil {
				return err
			}
		}
		var again bool
		if again, err = s.send(ctx, tx, request); !again {
			return err
		}
	}
	return err
}

// send sends the transaction once. Where again is true nothing has happened, and it may be sent again.
func (s *Store) send(ctx context.Context, tx store.Tx, request *dynamodb.TransactWriteItemsInput) (again bool, err error) {
	first := tx.Ops[0].Key.String()
	life := s.opts.Timeout
	if !tx.Before.IsZero() {
		life = min(life, tx.Before.Sub(s.opts.Clock.Now()))
		if life <= 0 {
			return false, fail("commit", first, store.ErrExpired, nil)
		}
	}
	limited, cancel := context.WithTimeout(ctx, life)
	defer cancel()
	g := &gate{before: tx.Before, clock: s.opts.Clock}
	_, err = s.client.TransactWriteItems(limited, request, g.through)
	if err == nil {
		return false, nil
	}
	if g.shut() {
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case g.late():
			return false, fail("commit", first, store.ErrExpired, err)
		}
		return true, fail("commit", first, store.ErrUnavailable, err)
	}
	if canceled, ok := errors.AsType[*types.TransactionCanceledException](err); ok {
		return cancellation(tx, canceled)
	}
	v := judge(err)
	return v.again, fail("commit", first, v.outcome, err)
}

// transaction makes the request of a transaction: the same for the same transaction.
func (s *Store) transaction(tx store.Tx) *dynamodb.TransactWriteItemsInput {
	items := make([]types.TransactWriteItem, len(tx.Ops))
	for i := range tx.Ops {
		items[i] = s.operation(&tx.Ops[i])
	}
	return &dynamodb.TransactWriteItemsInput{TransactItems: items, ClientRequestToken: aws.String(tx.Token)}
}

// operation makes the item of an operation. One with conditions gives back, where they fail, the row that it found.
func (s *Store) operation(op *store.Op) types.TransactWriteItem {
	var e expression
	table, condition := aws.String(s.table), e.condition(op.If)
	found := types.ReturnValuesOnConditionCheckFailureAllOld
	if condition == nil {
		found = ""
	}
	switch op.Kind {
	case store.OpPut:
		return types.TransactWriteItem{Put: &types.Put{TableName: table, Item: encodeRow(op.Key, op.Row), ConditionExpression: condition,
			ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values, ReturnValuesOnConditionCheckFailure: found}}
	case store.OpUpdate:
		update := e.update(op)
		return types.TransactWriteItem{Update: &types.Update{TableName: table, Key: encodeKey(op.Key), UpdateExpression: update, ConditionExpression: condition,
			ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values, ReturnValuesOnConditionCheckFailure: found}}
	case store.OpDelete:
		return types.TransactWriteItem{Delete: &types.Delete{TableName: table, Key: encodeKey(op.Key), ConditionExpression: condition,
			ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values, ReturnValuesOnConditionCheckFailure: found}}
	}
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{TableName: table, Key: encodeKey(op.Key), ConditionExpression: condition,
		ExpressionAttributeNames: e.names, ExpressionAttributeValues: e.values, ReturnValuesOnConditionCheckFailure: found}}
}

// cancellation turns the reasons for which DynamoDB canceled a transaction into an outcome. It canceled it: nothing
// happened, whatever the reasons are (API Reference, TransactWriteItems, "Cancellation reason codes", 2026-11).
//
// A refusal has to name every operation whose conditions failed, since who reads it looks for its receipt first. Where
// another operation met a transaction or a throttle, its conditions were not looked at: the refusal would be incomplete, and
// the transaction is sent again instead. Conditions come before what is wrong with a row, as in every other table.
func cancellation(tx store.Tx, canceled *types.TransactionCanceledException) (again bool, err error) {
	first := tx.Ops[0].Key.String()
	if len(canceled.CancellationReasons) != len(tx.Ops) {
		return true, fail("commit", first, store.ErrUnavailable, canceled)
	}
	var failed []store.Failure
	var contended, throttled, invalid, full bool
	for i, reason := range canceled.CancellationReasons {
		switch aws.ToString(reason.Code) {
		case "None", "":
		case "ConditionalCheckFailed":
			row, err := decodeRow(reason.Item)
			if err != nil {
				return false, fail("commit", tx.Ops[i].Key.String(), store.ErrCorrupt, err)
			}
			failed = append(failed, store.Failure{Op: i, Row: row})
		case "TransactionConflict":
			contended = true
		case "ValidationError":
			invalid = true
		case "ItemCollectionSizeLimitExceeded":
			full = true
		default: // ThrottlingError, ProvisionedThroughputExceeded, or one that is new: its conditions were not looked at
			throttled = true
		}
	}
	switch {
	case contended:
		return true, fail("commit", first, store.ErrContended, canceled)
	case throttled:
		return true, fail("commit", first, store.ErrUnavailable, canceled)
	case failed != nil:
		return false, &store.Conflict{Failed: failed}
	case invalid:
		return false, fail("commit", first, store.ErrInvalid, canceled)
	case full:
		return false, fail("commit", first, store.ErrFull, canceled)
	}
	return true, fail("commit", first, store.ErrUnavailable, canceled)
}
