// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// maxCall bounds the body of a call: DynamoDB takes 16 MB (quotas, 2026-11).
const maxCall = 16 << 20

// DynamoDB judges calls and hands those that pass on, signed anew.
func (j *Judge) DynamoDB(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCall))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		sum := sha256.Sum256(body)
		payload := hex.EncodeToString(sum[:])
		a, _, err := j.authenticate(r, "dynamodb", payload)
		if err != nil {
			j.refuseSigned(a, r, err)
			writeDynamoError(w, err)
			return
		}
		_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810.")
		needs, err := j.dynamoNeeds(operation, body)
		if err != nil {
			j.refuse(Refusal{Kind: Unknown, Actor: a.id, Resource: "DynamoDB " + operation, Why: err.Error()})
			writeDynamoError(w, &fault{"UnknownOperationException", "the judge knows no such call: " + err.Error()})
			return
		}
		if refusal := j.pass(a, operation, needs...); refusal != nil {
			writeDynamoError(w, denied(a, refusal))
			return
		}
		inner := r.Clone(r.Context())
		inner.Body = io.NopCloser(bytes.NewReader(body))
		j.sign(inner, "dynamodb", payload)
		next.ServeHTTP(w, inner)
	})
}

// A call with one table needs the action of its own name; those that go by an index need it of the index alone.
var oneTable = [...]string{"GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query", "Scan", "DescribeTable"}

// dynamoNeeds says what a call needs (DynamoDB Developer Guide, "DynamoDB API permissions" and "IAM for transactions",
// 2026-11): a batch the batch's action of each table, a transaction the action of each of its items.
func (j *Judge) dynamoNeeds(operation string, body []byte) ([]need, error) {
	type item struct{ TableName string }
	var call struct {
		TableName    string
		IndexName    string
		RequestItems map[string]json.RawMessage
		// One of the fields of each is set.
		TransactItems []struct{ Put, Update, Delete, ConditionCheck, Get *item }
	}
	if err := json.Unmarshal(body, &call); err != nil {
		return nil, err
	}
	var needs []need
	add := func(action, table, index string) error {
		if table == "" {
			return errors.New("it names no table")
		}
		arn := table
		if !strings.HasPrefix(table, "arn:") {
			s := j.config.Setting
			arn = fmt.Sprintf("arn:%s:dynamodb:%s:%s:table/%s", s.Partition, s.Region, s.Account, table)
		}
		if index != "" {
			arn += "/index/" + index
		}
		n := need{action: "dynamodb:" + action, resource: arn}
		if !slices.ContainsFunc(needs, func(o need) bool { return o.action == n.action && o.resource == n.resource }) {
			needs = append(needs, n)
		}
		return nil
	}
	switch {
	case slices.Contains(oneTable[:], operation):
		return needs, errors.Join(add(operation, call.TableName, call.IndexName), nonEmpty(&needs))
	case operation == "BatchGetItem" || operation == "BatchWriteItem":
		for table := range call.RequestItems {
			if err := add(operation, table, ""); err != nil {
				return nil, err
			}
		}
		return needs, nonEmpty(&needs)
	case operation == "TransactWriteItems" || operation == "TransactGetItems":
		for _, t := range call.TransactItems {
			found := 0
			for action, i := range map[string]*item{"PutItem": t.Put, "UpdateItem": t.Update, "DeleteItem": t.Delete, "ConditionCheckItem": t.ConditionCheck, "GetItem": t.Get} {
				if i == nil {
					continue
				}
				found++
				if err := add(action, i.TableName, ""); err != nil {
					return nil, err
				}
			}
			if found != 1 {
				return nil, fmt.Errorf("an item with %d actions", found)
			}
		}
		return needs, nonEmpty(&needs)
	default:
		return nil, fmt.Errorf("%q is not known here", operation)
	}
}

// nonEmpty fails where nothing is needed: such a call would pass unjudged.
func nonEmpty(needs *[]need) error {
	if len(*needs) == 0 {
		return errors.New("it has no items")
	}
	return nil
}

// dynamoCode gives DynamoDB's own name of a fault.
func dynamoCode(code string) string {
	switch code {
	case "AccessDenied":
		return "com.amazon.coral.service#AccessDeniedException"
	case "SignatureDoesNotMatch", "RequestTimeTooSkewed":
		return "com.amazon.coral.service#InvalidSignatureException"
	case "InvalidAccessKeyId", "InvalidToken":
		return "com.amazon.coral.service#UnrecognizedClientException"
	case "UnknownOperationException":
		return "com.amazon.coral.service#UnknownOperationException"
	default:
		return "com.amazon.coral.service#IncompleteSignatureException"
	}
}

func writeDynamoError(w http.ResponseWriter, err error) {
	var f *fault
	errors.As(err, &f)
	text, _ := json.Marshal(map[string]string{"__type": dynamoCode(f.code), "Message": f.text})
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = w.Write(text) // a client that went away does not read it
}
