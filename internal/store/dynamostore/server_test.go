// SPDX-License-Identifier: Apache-2.0

package dynamostore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"tare/internal/clock"
	"tare/internal/store"
	"tare/internal/store/dynamostore"
)

var start = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// answer is what the server says to one request.
type answer struct {
	status int // 0: it ends the connection
	body   string
	do     func() // called before
}

// server answers requests as a script says, each once, and remembers them.
type server struct {
	*dynamostore.Store
	clock *clock.Manual

	mu      sync.Mutex // guards what follows
	script  []answer
	asked   []string         // the operations
	bodies  []map[string]any // what they asked for
	refused int              // requests beyond the script
}

func serve(t *testing.T, script ...answer) *server {
	t.Helper()
	s := &server{script: script, clock: clock.NewManual(start)}
	h := httptest.NewServer(s)
	s.Store = dynamostore.New(client(h.URL, nil), "rows", dynamostore.Options{Clock: s.clock, Tries: 3, Timeout: 10 * time.Second})
	t.Cleanup(func() {
		h.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.refused > 0 || len(s.script) > 0 {
			t.Errorf("%d requests beyond the script, %d answers left", s.refused, len(s.script))
		}
	})
	return s
}

// requests are the operations that were asked for so far, and what was asked.
func (s *server) requests() (asked []string, bodies []map[string]any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked), slices.Clone(s.bodies)
}

func client(url string, h dynamodb.HTTPClient) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region: "eu-central-1", BaseEndpoint: aws.String(url), HTTPClient: h,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "key", SecretAccessKey: "secret"}, nil
		}),
	})
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	body := make(map[string]any)
	_ = json.Unmarshal(data, &body)
	_, op, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	s.mu.Lock()
	s.asked, s.bodies = append(s.asked, op), append(s.bodies, body)
	if len(s.script) == 0 {
		s.refused++
		s.mu.Unlock()
		panic(http.ErrAbortHandler)
	}
	a := s.script[0]
	s.script = s.script[1:]
	s.mu.Unlock()
	if a.do != nil {
		a.do()
	}
	if a.status == 0 {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(a.status)
	fmt.Fprint(w, a.body)
}

// The answers of DynamoDB, as its API Reference and Developer Guide show them (2026-11).

var (
	ok   = answer{status: 200, body: "{}"}
	lost = answer{}
)

func exception(status int, shape, message string) answer {
	return answer{status: status, body: fmt.Sprintf(`{"__type":%q,"message":%q}`, shape, message)}
}

func dynamo(name, message string) answer {
	return exception(400, "com.amazonaws.dynamodb.v20120810#"+name, message)
}

var (
	throttled    = dynamo("ThrottlingException", "Throughput exceeds the current capacity of your table or index.")
	provisioned  = dynamo("ProvisionedThroughputExceededException", "The level of configured provisioned throughput for the table was exceeded.")
	requestLimit = dynamo("RequestLimitExceeded", "Throughput exceeds the current throughput limit for your account.")
	conflicting  = dynamo("TransactionConflictException", "Transaction is ongoing for the item")
	inProgress   = dynamo("TransactionInProgressException", "The transaction with the given request token is already in progress.")
	mismatch     = dynamo("IdempotentParameterMismatchException", "Request was rejected because it has the same client token but a change in other parameters.")
	validation   = exception(400, "com.amazon.coral.validate#ValidationException", "Item size has exceeded the maximum allowed size")
	noTable      = dynamo("ResourceNotFoundException", "Requested resource not found")
	noRight      = exception(400, "com.amazon.coral.service#AccessDeniedException", "User is not authorized to perform: dynamodb:PutItem")
	expired      = exception(400, "com.amazon.coral.service#ExpiredTokenException", "The security token included in the request is expired")
	signature    = exception(400, "com.amazon.coral.service#InvalidSignatureException", "Signature expired")
	collection   = dynamo("ItemCollectionSizeLimitExceededException", "Collection size exceeded.")
	internal     = dynamo("InternalServerError", "The request processing has failed because of an unknown error, exception or failure.").as(500)
	unavailable  = exception(503, "com.amazonaws.dynamodb.v20120810#ServiceUnavailable", "DynamoDB is currently unavailable.")
	badGateway   = answer{status: 502, body: "<html><body>Bad Gateway</body></html>"}
	tooMany      = answer{status: 429, body: "slow down"}
	tooLarge     = answer{status: 413, body: "<html></html>"}
	halfAnswer   = answer{status: 200, body: `{"ConsumedCap`}
)

func (a answer) as(status int) answer {
	a.status = status
	return a
}

// canceled is a transaction that was canceled, with a reason for each operation: a code, or the JSON of a whole reason.
func canceled(reasons ...string) answer {
	list := make([]string, len(reasons))
	for i, r := range reasons {
		if list[i] = r; !strings.HasPrefix(r, "{") {
			list[i] = fmt.Sprintf(`{"Code":%q,"Message":"…"}`, r)
		}
		if r == "None" {
			list[i] = `{"Code":"None"}`
		}
	}
	return answer{status: 400, body: `{"__type":"com.amazonaws.dynamodb.v20120810#TransactionCanceledException",` +
		`"CancellationReasons":[` + strings.Join(list, ",") + `],"Message":"Transaction cancelled, please refer cancellation reasons for specific reasons"}`}
}

func key(sk string) store.Key { return store.Key{PK: "p", SK: sk} }

func put(sk string, conds ...store.Cond) store.Op {
	return store.Op{Key: key(sk), Kind: store.OpPut, Row: store.NewRow(store.Attr{Name: "n", Value: store.Int(1)}), If: conds}
}

func tx(ops ...store.Op) store.Tx { return store.Tx{Ops: ops, Token: "token"} }

var absent, exists = store.Cond{Is: store.Absent}, store.Cond{Is: store.Present}
