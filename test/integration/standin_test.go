// SPDX-License-Identifier: Apache-2.0

package integration

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"tare/test/standin"
)

// answers tells whether somebody speaks HTTP at the address.
func answers(t *testing.T, url string) bool {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Close = true
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return false
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return err == nil
}

func TestStandinsStartAndStop(t *testing.T) {
	for name, start := range map[string]func(testing.TB) *standin.Server{"dynoxide": standin.DynamoDB, "versitygw": standin.S3} {
		t.Run(name, func(t *testing.T) {
			s := start(t)
			first := s.URL
			if !answers(t, first) || s.Pid() == 0 {
				t.Fatalf("it does not answer:\n%s", s.Log())
			}
			if err := s.Kill(); err != nil || answers(t, first) || s.Pid() != 0 {
				t.Fatalf("it answers after its end, or: %v", err)
			}
			if err := s.Start(t.Context()); err != nil || !answers(t, s.URL) {
				t.Fatalf("it does not start again: %v", err)
			}
			if err := s.Stop(); err != nil || answers(t, s.URL) {
				t.Fatalf("it answers after its end, or: %v", err)
			}
			if err := s.Stop(); err != nil {
				t.Fatalf("a second end: %v", err)
			}
		})
	}
}

// dynamo sends a request to dynoxide by hand.
func dynamo(t *testing.T, url, operation, body string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.0")
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	r.Header.Set("X-Amz-Date", "20261121T000000Z")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/20261121/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	var got bytes.Buffer
	if _, err := got.ReadFrom(answer.Body); err != nil {
		t.Fatal(err)
	}
	return got.String()
}

func TestDynoxideKeepsWhatItAcknowledged(t *testing.T) {
	s := standin.DynamoDB(t)
	dynamo(t, s.URL, "CreateTable", `{"TableName":"table","BillingMode":"PAY_PER_REQUEST",
		"AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"}],"KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}]}`)
	dynamo(t, s.URL, "PutItem", `{"TableName":"table","Item":{"pk":{"S":"a"},"n":{"N":"1"}}}`)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := dynamo(t, s.URL, "GetItem", `{"TableName":"table","Key":{"pk":{"S":"a"}},"ConsistentRead":true}`); !strings.Contains(got, `"n":{"N":"1"}`) {
		t.Errorf("the row after a kill: %s", got)
	}
}
