// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"
)

// What DynamoDB's documents are called, and how it names its exceptions.
const (
	dynamoType  = "application/x-amz-json-1.0"
	dynamoShape = "com.amazonaws.dynamodb.v20120810#"
)

// DynamoError is the fault in which DynamoDB answers an exception and does nothing: "ThrottlingException",
// "ProvisionedThroughputExceededException", "RequestLimitExceeded", "TransactionInProgressException" and others with 400,
// "InternalServerError" with 500, "ServiceUnavailable" with 503 (DynamoDB Developer Guide, "Error handling", 2026-11).
func DynamoError(status int, exception, message string) Fault {
	return Refuse(status, dynamoType, dynamoDocument(exception, message))
}

// DynamoErrorAfter is the fault in which DynamoDB does a request and answers an exception: what a 5xx may mean.
func DynamoErrorAfter(status int, exception, message string) Fault {
	return RefuseAfter(status, dynamoType, dynamoDocument(exception, message))
}

func dynamoDocument(exception, message string) string {
	text, err := json.Marshal(message)
	if err != nil {
		panic(err) // a string is always JSON
	}
	return fmt.Sprintf(`{"__type":"%s%s","message":%s}`, dynamoShape, exception, text)
}

// Throttle is the fault in which DynamoDB throttles a request to an on-demand table.
var Throttle = DynamoError(http.StatusBadRequest, "ThrottlingException",
	"Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or index so please try again shortly.")

// document is a request or an answer. Numbers are as they are written.
type document = map[string]any

// reasons are the codes with which a transaction is canceled, and what DynamoDB says to them (API Reference,
// TransactWriteItems, 2026-11).
var reasons = map[string]string{
	"TransactionConflict":           "Transaction is ongoing for the item",
	"ThrottlingError":               "Throughput exceeds the current capacity of your table or index.",
	"ProvisionedThroughputExceeded": "The level of configured provisioned throughput for the table was exceeded.",
	"ConditionalCheckFailed":        "The conditional request failed",
	"ValidationError":               "Item size to update has exceeded the maximum allowed size",
}

// Cancel is the fault in which DynamoDB cancels a transaction with a code for each operation that is named by its index,
// and "None" for the others, and does nothing.
func Cancel(codes map[int]string) Fault {
	return func(x *exchange) {
		var tx struct{ TransactItems []json.RawMessage }
		if err := json.Unmarshal(x.request.Body, &tx); err != nil {
			x.cut()
		}
		x.receive()
		x.answer(http.StatusBadRequest, http.Header{"Content-Type": {dynamoType}}, canceled(len(tx.TransactItems), codes))
	}
}

// canceled is the document of a transaction of n operations that was canceled.
func canceled(n int, codes map[int]string) []byte {
	type reason struct {
		Code    string
		Message string `json:",omitempty"`
	}
	list, names := make([]reason, n), make([]string, n)
	for i := range list {
		names[i] = "None"
		if code, ok := codes[i]; ok {
			names[i] = code
		}
		list[i] = reason{names[i], reasons[names[i]]}
	}
	body, err := json.Marshal(document{
		"__type":              dynamoShape + "TransactionCanceledException",
		"Message":             "Transaction cancelled, please refer cancellation reasons for specific reasons [" + strings.Join(names, ", ") + "]",
		"CancellationReasons": list,
	})
	if err != nil {
		panic(err) // strings are always JSON
	}
	return body
}

// Unprocessed is the fault in which a BatchGetItem reads the first n of its keys and gives the others back.
func Unprocessed(n int) Fault {
	return edit(func(request document, ask func(document) document) document {
		tables, ok := request["RequestItems"].(map[string]any)
		if !ok {
			return ask(request)
		}
		back := make(map[string]any)
		for name, t := range tables {
			table := t.(map[string]any)
			keys := table["Keys"].([]any)
			if len(keys) > n {
				rest := make(map[string]any)
				for k, v := range table {
					rest[k] = v
				}
				rest["Keys"], table["Keys"] = keys[n:], keys[:n]
				back[name] = rest
			}
			if n == 0 {
				delete(tables, name)
			}
		}
		if len(tables) == 0 {
			return document{"Responses": map[string]any{}, "UnprocessedKeys": back}
		}
		answer := ask(request)
		if answer != nil {
			answer["UnprocessedKeys"] = back
		}
		return answer
	})
}

// IndexEmpty is the fault in which a Query of an index answers as if the index had not seen any commit yet.
func IndexEmpty(x *exchange) {
	x.receive()
	x.answer(http.StatusOK, http.Header{"Content-Type": {dynamoType}}, []byte(`{"Items":[],"Count":0,"ScannedCount":0}`))
}

// ShortPage is the fault in which a Query or Scan ends its page after n rows, with a position to go on from, as DynamoDB
// may at any row. With 0 the page is empty and the position is where it began, or that of the first row before it.
func ShortPage(n int) Fault {
	return edit(func(request document, ask func(document) document) document {
		if n == 0 {
			if at, ok := request["ExclusiveStartKey"]; ok {
				return document{"Items": []any{}, "Count": 0, "ScannedCount": 0, "LastEvaluatedKey": at}
			}
			return ask(request)
		}
		if limit, ok := request["Limit"].(json.Number); !ok || less(n, limit) {
			request["Limit"] = n
		}
		return ask(request)
	})
}

func less(n int, limit json.Number) bool {
	l, err := limit.Int64()
	return err == nil && int64(n) < l
}

// edit is the fault in which the request is altered before it is sent: change gets it and a way to send it, and returns
// the answer, or nil where the engine's own error was passed on.
func edit(change func(request document, ask func(document) document) document) Fault {
	return func(x *exchange) {
		request, err := parse(x.request.Body)
		if err != nil {
			x.cut()
		}
		answer := change(request, func(altered document) document {
			body, err := json.Marshal(altered)
			if err != nil {
				x.cut()
			}
			replace(x.r, body)
			got := x.send(x.r)
			if got.Code != http.StatusOK {
				x.answer(got.Code, got.Header(), got.Body.Bytes())
				return nil
			}
			parsed, err := parse(got.Body.Bytes())
			if err != nil {
				x.cut()
			}
			return parsed
		})
		if answer == nil {
			return // answered
		}
		body, err := json.Marshal(answer)
		if err != nil {
			x.cut()
		}
		x.answer(http.StatusOK, http.Header{"Content-Type": {dynamoType}}, body)
	}
}

// parse reads a document and keeps numbers as they are written.
func parse(body []byte) (document, error) {
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.UseNumber()
	var parsed document
	err := d.Decode(&parsed)
	return parsed, err
}

// Overlap is the plan that cancels transactions as DynamoDB does where they meet: one that shares an item with another
// that is under way, be the item written or only checked, is canceled with TransactionConflict at each such item
// (Developer Guide, "Transaction conflict handling in DynamoDB", 2026-11). hold is for how long each is under way besides
// what the engine takes; 5 to 10 ms is what DynamoDB takes.
func Overlap(hold time.Duration) Plan {
	return meetings(func(b *busyItems, keys []string) (held []string, conflicts map[int]string) {
		if conflicts = b.take(keys); len(conflicts) > 0 {
			return nil, conflicts
		}
		time.Sleep(hold)
		return keys, nil
	})
}

// Collide is the plan that cancels transactions where they meet, as [Overlap] does, and lets those that are canceled hold
// their items meanwhile: each item is asked for at its own moment, one that another transaction has is a conflict, and only
// when all were asked for is the transaction canceled or done. So two transactions can cancel each other. DynamoDB's authors
// describe it so ("Distributed Transactions at Scale in Amazon DynamoDB", USENIX ATC 2023, §3.2); its documents do not say.
// hold is for how long a transaction is under way besides what the engine takes.
func Collide(hold time.Duration) Plan {
	return meetings(func(b *busyItems, keys []string) (held []string, conflicts map[int]string) {
		conflicts = make(map[int]string)
		for _, i := range rand.Perm(len(keys)) {
			time.Sleep(hold / time.Duration(len(keys)))
			if len(b.take(keys[i:i+1])) > 0 {
				conflicts[i] = conflict
				continue
			}
			held = append(held, keys[i])
		}
		return held, conflicts
	})
}

const conflict = "TransactionConflict"

// meetings is the plan of transactions that ask for their items by claim, which tells what they hold then, and where they
// met another one. Where they met none the engine gets them, and in any case they let go in the end.
func meetings(claim func(b *busyItems, keys []string) (held []string, conflicts map[int]string)) Plan {
	busy := &busyItems{keys: make(map[string]bool)}
	return func(r Request) Fault {
		if r.Operation != "TransactWriteItems" {
			return nil
		}
		return func(x *exchange) {
			keys, err := itemKeys(r.Body)
			if err != nil {
				x.pass()
				return
			}
			held, conflicts := claim(busy, keys)
			defer busy.release(held)
			if len(conflicts) > 0 {
				x.answer(http.StatusBadRequest, http.Header{"Content-Type": {dynamoType}}, canceled(len(keys), conflicts))
				return
			}
			x.pass()
		}
	}
}

// busyItems are those that a transaction has.
type busyItems struct {
	mu   sync.Mutex
	keys map[string]bool
}

// take takes all items, or tells which of them others have.
func (b *busyItems) take(keys []string) (conflicts map[int]string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	conflicts = make(map[int]string)
	for i, k := range keys {
		if b.keys[k] {
			conflicts[i] = conflict
		}
	}
	if len(conflicts) > 0 {
		return conflicts
	}
	for _, k := range keys {
		b.keys[k] = true
	}
	return nil
}

func (b *busyItems) release(keys []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range keys {
		delete(b.keys, k)
	}
}

// itemKeys names the items of a transaction, in order: by pk and sk, the key of Tare's table.
func itemKeys(body []byte) ([]string, error) {
	type item struct {
		Key, Item struct {
			PK struct{ S string } `json:"pk"`
			SK struct{ S string } `json:"sk"`
		}
	}
	var tx struct {
		TransactItems []struct{ Put, Update, Delete, ConditionCheck *item }
	}
	if err := json.Unmarshal(body, &tx); err != nil {
		return nil, err
	}
	keys := make([]string, len(tx.TransactItems))
	for i, t := range tx.TransactItems {
		switch {
		case t.Put != nil:
			keys[i] = t.Put.Item.PK.S + "\x00" + t.Put.Item.SK.S
		default:
			for _, it := range []*item{t.Update, t.Delete, t.ConditionCheck} {
				if it != nil {
					keys[i] = it.Key.PK.S + "\x00" + it.Key.SK.S
				}
			}
		}
	}
	return keys, nil
}
