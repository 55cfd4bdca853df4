// SPDX-License-Identifier: Apache-2.0

package s3store_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"tare/internal/store"
	"tare/internal/store/s3store"
)

// parts name a part as a store of this kind does.
var parts = []store.Part{{Number: 1, Size: 1, Mark: "0123456789abcdef0123456789abcdef LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE="}}

// calls make each call that can fail.
var calls = map[string]func(context.Context, *s3store.Store) error{
	"put":    func(ctx context.Context, s *s3store.Store) error { return s.Put(ctx, "k", strings.NewReader("x"), 1) },
	"stat":   func(ctx context.Context, s *s3store.Store) error { _, err := s.Stat(ctx, "k"); return err },
	"open":   func(ctx context.Context, s *s3store.Store) error { _, err := s.Open(ctx, "k", 0, -1); return err },
	"range":  func(ctx context.Context, s *s3store.Store) error { _, err := s.Open(ctx, "k", 5, 2); return err },
	"delete": func(ctx context.Context, s *s3store.Store) error { return s.Delete(ctx, "k") },
	"list":   func(ctx context.Context, s *s3store.Store) error { _, err := s.List(ctx, "", "", 10); return err },
	"begin":  func(ctx context.Context, s *s3store.Store) error { _, err := s.Begin(ctx, "k"); return err },
	"part": func(ctx context.Context, s *s3store.Store) error {
		_, err := s.Part(ctx, "k", "id", 1, 1, 0, strings.NewReader("x"), 1)
		return err
	},
	"complete": func(ctx context.Context, s *s3store.Store) error { return s.Complete(ctx, "k", "id", parts) },
	"abort":    func(ctx context.Context, s *s3store.Store) error { return s.Abort(ctx, "k", "id") },
	"pending":  func(ctx context.Context, s *s3store.Store) error { _, err := s.Pending(ctx, ""); return err },
	"parts": func(ctx context.Context, s *s3store.Store) error {
		_, err := s.Parts(ctx, "k", "id", 0, 10)
		return err
	},
	"sum": func(ctx context.Context, s *s3store.Store) error { _, _, _, err := s.Sum(ctx, "k"); return err },
}

var (
	reads  = []string{"stat", "open", "range", "list", "pending", "parts", "sum"}
	writes = []string{"put", "delete", "begin", "part", "complete", "abort"}
	every  = append(append([]string{}, reads...), writes...)
)

// wantCalls makes calls against a script, each on a server of its own, and wants an error and a number of requests.
func wantCalls(t *testing.T, what string, names []string, want error, requests int, script ...answer) {
	t.Helper()
	for _, name := range names {
		s, e := open(t, script...)
		err := calls[name](t.Context(), s)
		if !errors.Is(err, want) {
			t.Errorf("%s of %s: got error %v, want %v", name, what, err, want)
		}
		if want == store.ErrUnavailable && (errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrUnknownOutcome)) {
			t.Errorf("%s of %s: %v says more than one thing", name, what, err)
		}
		if got := e.count(); requests > 0 && got != requests {
			t.Errorf("%s of %s: %d requests, want %d", name, what, got, requests)
		}
	}
}

func TestWhatIsRefusedHasNotHappened(t *testing.T) {
	for name, code := range map[string]int{
		"NoSuchBucket": 404, "SignatureDoesNotMatch": 403, "InvalidAccessKeyId": 403, "ExpiredToken": 400,
		"PermanentRedirect": 301, "AuthorizationHeaderMalformed": 400, "PreconditionFailed": 412, "MethodNotAllowed": 405,
		"SomethingNew": 400,
	} {
		names := every
		if name == "NoSuchBucket" {
			names = append(append([]string{}, writes...), "open", "range", "list", "pending", "parts") // a HEAD does not tell
		}
		wantCalls(t, name, names, store.ErrUnavailable, 1, refuse(code, name))
	}
}

// A call that S3 refuses may be of one object that is not as others are. Who goes over many tells it from a bucket that cannot be
// used at all.
func TestRefusedOfOneOrOfAll(t *testing.T) {
	for name, c := range map[string]struct {
		answer answer
		one    bool
	}{
		"AccessDenied": {refuse(403, "AccessDenied"), true}, "MethodNotAllowed": {refuse(405, "MethodNotAllowed"), true},
		"InvalidObjectState": {refuse(403, "InvalidObjectState"), true}, "SomethingNew": {refuse(400, "SomethingNew"), true},
		"NoSuchBucket": {refuse(404, "NoSuchBucket"), false}, "PermanentRedirect": {refuse(301, "PermanentRedirect"), false},
		"ExpiredToken": {refuse(400, "ExpiredToken"), false}, "InvalidToken": {refuse(400, "InvalidToken"), false},
		"InvalidAccessKeyId": {refuse(403, "InvalidAccessKeyId"), false}, "SignatureDoesNotMatch": {refuse(403, "SignatureDoesNotMatch"), false},
		"RequestTimeTooSkewed": {refuse(403, "RequestTimeTooSkewed"), false}, "status 429": {status(429, ""), false},
	} {
		for _, call := range []string{"delete", "abort", "pending"} {
			s, _ := open(t, c.answer)
			err := calls[call](t.Context(), s)
			if !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrRefused) != c.one {
				t.Errorf("%s of %s: got %v", call, name, err)
			}
		}
	}
}

func TestWhatIsRefusedForNowIsTriedAgain(t *testing.T) {
	for name, code := range map[string]int{"SlowDown": 503, "RequestTimeout": 400, "TooManyRequestsException": 429} {
		names := append(append([]string{}, writes...), "open", "list", "pending", "parts")
		wantCalls(t, name, names, store.ErrUnavailable, attempts, refuse(code, name))
		wantCalls(t, name+" once", []string{"delete", "abort"}, nil, 2, refuse(code, name), status(204, ""))
	}
}

// Access that is denied must not be taken for absence, or a permission that is lost would lose blobs.
func TestAccessDeniedIsNotAbsence(t *testing.T) {
	wantCalls(t, "AccessDenied", every, store.ErrUnavailable, 1, refuse(403, "AccessDenied"))
	wantCalls(t, "a status 403", []string{"stat", "sum"}, store.ErrUnavailable, 1, status(403, ""))
	s, _ := open(t, status(403, ""))
	if _, err := s.Stat(t.Context(), "k"); !strings.Contains(err.Error(), "s3:ListBucket") {
		t.Errorf("the error does not say what else it may mean: %v", err)
	}
}

func TestAbsence(t *testing.T) {
	wantCalls(t, "NoSuchKey", []string{"open", "range"}, store.ErrNotFound, 1, refuse(404, "NoSuchKey"))
	wantCalls(t, "a status 404", []string{"stat", "sum"}, store.ErrNotFound, 1, status(404, ""))
	wantCalls(t, "NoSuchKey, cut off once", []string{"open", "range"}, store.ErrNotFound, 2, cutOff(404, "NoSuchKey"), refuse(404, "NoSuchKey"))
	wantCalls(t, "NoSuchUpload", []string{"part", "parts"}, store.ErrNotFound, 1, refuse(404, "NoSuchUpload"))
	wantCalls(t, "NoSuchUpload", []string{"complete"}, store.ErrNotFound, 2, refuse(404, "NoSuchUpload")) // it looks for the object
	wantCalls(t, "NoSuchUpload", []string{"abort"}, nil, 1, refuse(404, "NoSuchUpload"))
	wantCalls(t, "NoSuchKey", []string{"delete"}, nil, 1, refuse(404, "NoSuchKey"))
}

// present lists the parts of an upload that is there.
var present = status(200, "<ListPartsResult></ListPartsResult>")

func TestWhatTheCallerDidWrong(t *testing.T) {
	for name, code := range map[string]int{
		"InvalidPart": 400, "InvalidPartOrder": 400, "EntityTooSmall": 400, "BadDigest": 400, "InvalidRequest": 400, "MalformedXML": 400,
	} {
		wantCalls(t, name, []string{"complete"}, store.ErrInvalid, 2, refuse(code, name), present)
		wantCalls(t, name+" of no upload", []string{"complete"}, store.ErrNotFound, 3, refuse(code, name), refuse(404, "NoSuchUpload"))
	}
	wantCalls(t, "InvalidRequest", []string{"open", "range", "put", "delete"}, store.ErrInvalid, 1, refuse(400, "InvalidRequest"))
	wantCalls(t, "InvalidRange", []string{"range"}, store.ErrInvalid, 1, refuse(416, "InvalidRange"))
	wantCalls(t, "EntityTooLarge", []string{"put", "part"}, store.ErrInvalid, 1, refuse(400, "EntityTooLarge"))
	// Bytes that were damaged on their way to S3 are nobody's fault: the same put may succeed.
	wantCalls(t, "BadDigest", []string{"put", "part"}, store.ErrUnavailable, 1, refuse(400, "BadDigest"))
}

func TestConflictsOfS3ItselfAreContention(t *testing.T) {
	for _, name := range []string{"OperationAborted", "ConditionalRequestConflict"} {
		wantCalls(t, name, append([]string{"open", "list", "parts"}, writes...), store.ErrContended, 1, refuse(409, name))
	}
}

func TestWhatMayHaveHappened(t *testing.T) {
	for name, a := range map[string]answer{
		"InternalError":      refuse(500, "InternalError"),
		"ServiceUnavailable": refuse(503, "ServiceUnavailable"),
		"a gateway's 502":    status(502, "<html>bad gateway</html>"),
		"a lost connection":  hangUp,
	} {
		wantCalls(t, name, reads, store.ErrUnavailable, 0, a)
		wantCalls(t, name, writes, store.ErrUnknownOutcome, 0, a)
	}
	wantCalls(t, "an error under status 200", []string{"complete"}, store.ErrUnknownOutcome, attempts, refuse(200, "InternalError"))
	wantCalls(t, "SlowDown under status 200", []string{"complete"}, store.ErrUnavailable, attempts, refuse(200, "SlowDown"))
	wantCalls(t, "an empty 200", []string{"complete"}, store.ErrUnknownOutcome, 1, status(200, ""))
	wantCalls(t, "a 200 that ends early", []string{"complete"}, store.ErrUnknownOutcome, 0, status(200, "  \n  "))
	wantCalls(t, "a 200 without a checksum", []string{"put", "part"}, store.ErrUnknownOutcome, 1, status(200, ""))
	wantCalls(t, "a 200 without an id", []string{"begin"}, store.ErrUnknownOutcome, 0, status(200, "<InitiateMultipartUploadResult/>"))
}

// How often a call is made does not depend on the calls before it.
func TestRetriesAreEachCalls(t *testing.T) {
	s, e := open(t, refuse(503, "SlowDown"))
	for range 200 {
		if err := s.Delete(t.Context(), "k"); !errors.Is(err, store.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if got := e.count(); got != 200*attempts {
		t.Errorf("%d requests", got)
	}
}

// What the last attempt says is not all that may have happened.
func TestAnEarlierAttemptMayHaveHappened(t *testing.T) {
	for name, lost := range map[string]answer{"a lost connection": hangUp, "InternalError": refuse(500, "InternalError")} {
		for _, last := range []answer{refuse(503, "SlowDown"), refuse(403, "AccessDenied"), refuse(409, "OperationAborted"), refuse(400, "InvalidRequest")} {
			wantCalls(t, name+" and a refusal", []string{"put", "delete", "part", "begin", "abort"}, store.ErrUnknownOutcome, 0, lost, last)
		}
		// S3 looks at parts only while the upload is there, which it is not when an object was made of it.
		wantCalls(t, name+" and parts that are wrong", []string{"complete"}, store.ErrInvalid, 0, lost, refuse(400, "InvalidPart"), present)
		wantCalls(t, name+" and no upload", []string{"complete"}, store.ErrNotFound, 3, lost, refuse(404, "NoSuchUpload"))
		wantCalls(t, name+" and success", []string{"put"}, nil, 2, lost, took)
	}
}

func TestWhatWasNeverSentHasNotHappened(t *testing.T) {
	web := httptest.NewServer(http.NotFoundHandler())
	web.Close()
	none := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, errors.New("none today") })
	for _, name := range every {
		if err := calls[name](t.Context(), openAt(web.URL, secrets)); !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s where nobody listens: got error %v", name, err)
		}
		if err := calls[name](t.Context(), openAt(web.URL, none)); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "none today") {
			t.Errorf("%s without credentials: got error %v", name, err)
		}
	}
}

func TestTheContextsErrorStays(t *testing.T) {
	for _, name := range every {
		ctx, cancel := context.WithCancel(t.Context())
		s, _ := open(t, func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			cancel()
			<-r.Context().Done()
		})
		if err := calls[name](ctx, s); !errors.Is(err, context.Canceled) || errors.Is(err, store.ErrUnknownOutcome) || errors.Is(err, store.ErrUnavailable) {
			t.Errorf("%s: got error %v", name, err)
		}
	}
}
