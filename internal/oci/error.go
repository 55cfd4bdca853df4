// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"time"
)

// Code is an error code of the specification's table, or one of ours in the same style. Clients see ours only with a
// fault of the registry: else the table's nearest is sent.
type Code string

// The codes of distribution-spec 1.1.1, "Error Codes", and below them those that it has no word for.
const (
	BlobUnknown         Code = "BLOB_UNKNOWN"
	BlobUploadInvalid   Code = "BLOB_UPLOAD_INVALID"
	BlobUploadUnknown   Code = "BLOB_UPLOAD_UNKNOWN"
	DigestInvalid       Code = "DIGEST_INVALID"
	ManifestBlobUnknown Code = "MANIFEST_BLOB_UNKNOWN"
	ManifestInvalid     Code = "MANIFEST_INVALID"
	ManifestUnknown     Code = "MANIFEST_UNKNOWN"
	NameInvalid         Code = "NAME_INVALID"
	NameUnknown         Code = "NAME_UNKNOWN"
	SizeInvalid         Code = "SIZE_INVALID"
	Unauthorized        Code = "UNAUTHORIZED"
	Denied              Code = "DENIED"
	Unsupported         Code = "UNSUPPORTED"
	TooManyRequests     Code = "TOOMANYREQUESTS"

	TagInvalid         Code = "TAG_INVALID"         // 400; the docker registry's code
	PreconditionFailed Code = "PRECONDITION_FAILED" // 412: If-Match or If-None-Match lost
	InUse              Code = "IN_USE"              // 405: something that stays refers to it
	RangeInvalid       Code = "RANGE_INVALID"       // 416
	TooLarge           Code = "TOO_LARGE"           // 413
	QueryTooLong       Code = "QUERY_TOO_LONG"      // 414
	PaginationInvalid  Code = "PAGINATION_INVALID"  // 400: n or last
	NoSpace            Code = "NO_SPACE"            // 507
	Unavailable        Code = "UNAVAILABLE"         // 503, with Retry-After
	Internal           Code = "INTERNAL"            // 500; the message never carries the cause
)

// Error is what a client is told. [errors.Is] matches another *Error by its code.
type Error struct {
	Code    Code
	Message string
	Detail  any   // nil, or something that encodes to JSON
	Cause   error // for the log only; never sent
	// RetryAfter is when to come back, for Unavailable and TooManyRequests; 0 leaves it to the HTTP layer.
	RetryAfter time.Duration
}

// Errorf makes an error with a message for the client.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

func (e *Error) Error() string {
	s := string(e.Code) + ": " + e.Message
	if e.Cause != nil {
		s += ": " + e.Cause.Error()
	}
	return s
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Cause }

// Is matches by code.
func (e *Error) Is(target error) bool {
	var t *Error
	return errors.As(target, &t) && t.Code == e.Code
}

// CodeOf returns the code of the first *Error in err's chain, Internal where there is none.
func CodeOf(err error) Code {
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return Internal
}
