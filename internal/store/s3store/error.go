// SPDX-License-Identifier: Apache-2.0

package s3store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"

	"tare/internal/store"
)

var (
	errKey      = errors.New("not an object key")
	errNegative = errors.New("a negative size, offset or number")
	errRange    = errors.New("the range does not begin inside the object")
	errParts    = errors.New("these are not an upload's parts in order")
	errEarlier  = errors.New("an earlier call made the object, and its checksum is not that of these parts")
	errTooLong  = errors.New("the reader has more bytes than were announced")
	errTooLarge = errors.New("more than S3 takes at once")
	errAnswer   = errors.New("an answer that is none of S3's")
)

// misuse is the error of what a caller gave: a reader that failed, a range that is not there. Nothing happened.
type misuse struct{ cause error }

func (m *misuse) Error() string { return m.cause.Error() }
func (m *misuse) Unwrap() error { return m.cause }

func invalid(op, key string, cause error) error {
	return &store.Error{Op: op, Key: key, Outcome: store.ErrInvalid, Cause: cause}
}

// call is one call of the client. It watches the attempts, because what the last of them says is not all that may have
// happened: a put whose reply was lost, and which was then told to slow down, may be there.
type call struct {
	op, key string
	writes  bool
	reached bool // the last attempt had a connection to send its request on
	lost    bool // an attempt may have done its work, and nobody knows
}

// watch is an option of the client's methods.
func (c *call) watch(o *s3.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Deserialize.Add(middleware.DeserializeMiddlewareFunc("WatchAttempts", c.attempt), middleware.Before)
	})
}

func (c *call) attempt(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	var connected atomic.Bool // the transport dials on a goroutine of its own
	out, metadata, err := next.HandleDeserialize(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	}), in)
	c.reached = connected.Load()
	if err != nil && errors.Is(c.outcome(err), store.ErrUnknownOutcome) {
		c.lost = true
	}
	return out, metadata, err
}

// fail makes an error of the contract from the client's. The context's own errors stay as they are.
func (c *call) fail(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if ctxErr := ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	if m, ok := errors.AsType[*misuse](err); ok {
		return invalid(c.op, c.key, m.cause) // S3 keeps nothing of a body that had no end
	}
	outcome := c.outcome(err)
	if c.lost && !errors.Is(outcome, store.ErrNotFound) && !c.refusesParts(outcome) {
		outcome = store.ErrUnknownOutcome
	}
	return &store.Error{Op: c.op, Key: c.key, Outcome: outcome, Cause: explain(err)}
}

// refusesParts tells that S3 has looked at the parts of an upload and found them wrong. It does that only while the upload is
// there, which it is not once an earlier attempt has made the object.
func (c *call) refusesParts(outcome error) bool {
	return c.op == opComplete && errors.Is(outcome, store.ErrInvalid)
}

// outcome is the one place where S3's errors get their meaning ("Error responses", API Reference, 2026-11).
//
// Below 500 S3 has refused and nothing happened. Its own 5xx, and a connection that broke, leave open whether a write was
// done. Only SlowDown and its kin are refusals, too. What S3 says of credentials, of the bucket or of its load is ErrUnavailable;
// what it denies, or forbids in words that are not known here, may be one object's own affair, and is ErrRefused.
//
// Access that is denied says nothing about the object: S3 denies a read of one that is not there, too, to who may not list the
// bucket (GetObject, "Permissions"). Taken for absence, it would turn a lost permission into lost blobs.
func (c *call) outcome(err error) error {
	lost := store.ErrUnavailable
	if c.writes && c.reached {
		lost = store.ErrUnknownOutcome
	}
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok {
		return lost
	}
	switch api.ErrorCode() {
	case "NoSuchKey", "NoSuchUpload", "NotFound": // a HEAD has no body, and so no code but its status
		return store.ErrNotFound
	case "InvalidArgument", "InvalidPart", "InvalidPartOrder", "InvalidRange", "InvalidRequest", "EntityTooLarge", "EntityTooSmall",
		"KeyTooLongError", "MalformedXML", "RequestedRangeNotSatisfiable":
		return store.ErrInvalid
	case "BadDigest":
		// Of bytes that we sent, it means that they were damaged on their way.
		if c.op == opComplete {
			return store.ErrInvalid
		}
		return store.ErrUnavailable
	case "ConditionalRequestConflict", "OperationAborted":
		return store.ErrContended
	case "SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded":
		return store.ErrUnavailable
	case "NoSuchBucket", "ExpiredToken", "InvalidToken", "InvalidAccessKeyId", "SignatureDoesNotMatch", "RequestTimeTooSkewed",
		"RequestExpired", "AccountProblem", "AllAccessDisabled", "NotSignedUp": // of no object in particular
		return store.ErrUnavailable
	}
	switch status := statusOf(err); {
	case status >= 300 && status < 400, status == http.StatusTooManyRequests:
		return store.ErrUnavailable
	case status >= 400 && status < 500:
		return store.ErrRefused
	}
	return lost
}

// statusOf is the status of the answer that err came with, 0 where none came.
func statusOf(err error) int {
	if res, ok := errors.AsType[interface {
		error
		HTTPStatusCode() int
	}](err); ok {
		return res.HTTPStatusCode()
	}
	return 0
}

// ignoreAbsent is for calls that want a thing to be absent.
func ignoreAbsent(err error) error {
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	return err
}

// explain makes a cause from the client's error. A timeout of the client's own must not look like the context's, and who is
// denied access is told what else that may mean.
func explain(err error) error {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return errors.New(err.Error())
	case statusOf(err) == http.StatusForbidden:
		return fmt.Errorf("%w (S3 says so, too, of an object that is not there, to who lacks s3:ListBucket: it is not taken for absence)", err)
	}
	return err
}
