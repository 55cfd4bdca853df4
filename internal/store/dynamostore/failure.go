// SPDX-License-Identifier: Apache-2.0

package dynamostore

import (
	"context"
	"errors"
	"net/http"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"tare/internal/store"
)

// verdict is what the failure of a request means.
type verdict struct {
	outcome error
	again   bool // nothing happened, and the same may be sent again soon
}

// judge reads the error of a request that was sent (Developer Guide, "Error handling with DynamoDB", 2026-11). DynamoDB
// does nothing of what it answers with 4xx. A 5xx, an answer that is cut short and silence leave a write unknown.
// A canceled transaction has reasons of its own: see cancellation.
func judge(err error) verdict {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		switch api.ErrorCode() {
		case "ProvisionedThroughputExceededException", "ThrottlingException", "RequestLimitExceeded", "Throttling", "TooManyRequestsException",
			"RequestThrottled", "RequestThrottledException", "ReplicatedWriteConflictException":
			return verdict{store.ErrUnavailable, true}
		case "TransactionConflictException":
			return verdict{store.ErrContended, true}
		case "TransactionInProgressException":
			return verdict{store.ErrUnknownOutcome, false} // an earlier sending under this token is under way
		case "IdempotentParameterMismatchException", "ValidationException", "SerializationException":
			return verdict{store.ErrInvalid, false}
		case "ItemCollectionSizeLimitExceededException":
			return verdict{store.ErrFull, false}
		}
	}
	if r, ok := errors.AsType[*smithyhttp.ResponseError](err); ok {
		switch status := r.HTTPStatusCode(); {
		case status == http.StatusTooManyRequests:
			return verdict{store.ErrUnavailable, true}
		case status >= 400 && status < 500:
			return verdict{store.ErrUnavailable, false} // credentials, rights, no such table
		}
	}
	return verdict{store.ErrUnknownOutcome, false}
}

// read sends a request that changes nothing until it is answered, a few times at most. It fails with the context's error,
// or with that of a store.
func read[T any](ctx context.Context, s *Store, op, key string, send func(context.Context) (T, error)) (T, error) {
	var none T
	var failure error
	for try := range s.opts.Tries {
		if try > 0 {
			if err := s.pause(ctx, try, failure); err != nil {
				return none, err
			}
		}
		limited, cancel := context.WithTimeout(ctx, s.opts.Timeout)
		got, err := send(limited)
		cancel()
		if err == nil {
			return got, nil
		}
		if ctx.Err() != nil {
			return none, ctx.Err()
		}
		v := judge(err)
		if errors.Is(v.outcome, store.ErrUnknownOutcome) {
			v = verdict{store.ErrUnavailable, true} // a read can be sent again whatever became of it
		}
		failure = fail(op, key, v.outcome, err)
		if !v.again {
			break
		}
	}
	return none, failure
}
