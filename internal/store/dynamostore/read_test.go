// SPDX-License-Identifier: Apache-2.0

package dynamostore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"tare/internal/clock"
	"tare/internal/store"
	"tare/internal/store/dynamostore"
)

func TestEachAnswerToARead(t *testing.T) {
	for name, c := range map[string]struct {
		script []answer
		want   error // nil: success
	}{
		"success":            {[]answer{ok}, nil},
		"throttled":          {[]answer{throttled, provisioned, ok}, nil},
		"failed":             {[]answer{internal, unavailable, ok}, nil},
		"no answer":          {[]answer{lost, halfAnswer, ok}, nil},
		"a gateway":          {[]answer{badGateway, tooMany, ok}, nil},
		"throttled for long": {[]answer{throttled, provisioned, requestLimit}, store.ErrUnavailable},
		"failed for long":    {[]answer{lost, internal, badGateway}, store.ErrUnavailable},
		"no table":           {[]answer{noTable}, store.ErrUnavailable},
		"no right":           {[]answer{noRight}, store.ErrUnavailable},
		"invalid":            {[]answer{validation}, store.ErrInvalid},
	} {
		for kind, read := range map[string]func(*server) error{
			"get":   func(s *server) error { _, err := s.Get(t.Context(), key("a")); return err },
			"query": func(s *server) error { _, err := s.Query(t.Context(), store.Query{PK: "p", Limit: 1}); return err },
			"due":   func(s *server) error { _, err := s.Due(t.Context(), 0, 1, store.DueKey{}, 1); return err },
			"scan":  func(s *server) error { _, err := s.Scan(t.Context(), store.Key{}, 1); return err },
		} {
			s := serve(t, c.script...)
			if err := read(s); c.want == nil && err != nil || c.want != nil && !is(err, c.want) {
				t.Errorf("%s, %s: got %v, want %v", kind, name, err, c.want)
			}
		}
	}
}

// The transport looks whether a body is at its end when the answer may have come already, and ends the connection under the
// answer where that fails.
func TestARequestIsReadToItsEndAfterItsAnswer(t *testing.T) {
	var body io.Reader
	network := failing(func(r *http.Request) (*http.Response, error) {
		body = r.Body
		if _, err := io.CopyN(io.Discard, r.Body, r.ContentLength); err != nil {
			t.Error(err)
		}
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("{}"))}, nil
	})
	s := dynamostore.New(client("http://rows.example", network), "rows", dynamostore.Options{Clock: clock.NewManual(start)})
	for what, ask := range map[string]func() error{
		"get":    func() error { return second(s.Get(t.Context(), key("a"))) },
		"batch":  func() error { return second(s.Get(t.Context(), key("a"), key("b"))) },
		"query":  func() error { return second(s.Query(t.Context(), store.Query{PK: "p", Limit: 1})) },
		"due":    func() error { return second(s.Due(t.Context(), 0, 1, store.DueKey{}, 1)) },
		"scan":   func() error { return second(s.Scan(t.Context(), store.Key{}, 1)) },
		"commit": func() error { return s.Commit(t.Context(), tx(put("a"))) },
	} {
		if err := ask(); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if n, err := io.Copy(io.Discard, body); n != 0 || err != nil {
			t.Errorf("%s: %d bytes behind the end of the request, and %v", what, n, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestACanceledRead(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s := serve(t, answer{do: cancel})
	if _, err := s.Get(ctx, key("a")); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}

const rowA, rowB = `{"pk":{"S":"p"},"sk":{"S":"a"},"n":{"N":"1"}}`, `{"pk":{"S":"p"},"sk":{"S":"b"}}`

func found(items ...string) answer {
	return answer{status: 200, body: `{"Responses":{"rows":[` + strings.Join(items, ",") + `]}}`}
}

// unread is a batch of which some keys come back.
func unread(a answer, sks ...string) answer {
	keys := make([]string, len(sks))
	for i, sk := range sks {
		keys[i] = fmt.Sprintf(`{"pk":{"S":"p"},"sk":{"S":%q}}`, sk)
	}
	a.body = strings.TrimSuffix(a.body, "}") + `,"UnprocessedKeys":{"rows":{"ConsistentRead":true,"Keys":[` + strings.Join(keys, ",") + `]}}}`
	return a
}

func TestUnprocessedKeysAreAskedForAgain(t *testing.T) {
	keys := []store.Key{key("b"), key("none"), key("a"), key("b")}
	n := store.NewRow(store.Attr{Name: "n", Value: store.Int(1)})
	for name, script := range map[string][]answer{
		"at once":          {found(rowA, rowB)},
		"one by one":       {unread(found(), "a", "b"), unread(found(rowA), "b"), found(rowB)},
		"with idle rounds": {unread(found(), "none", "a", "b"), unread(found(), "none", "a", "b"), unread(found(), "a", "b"), unread(found(), "a", "b"), found(rowB, rowA)},
		"with throttles":   {throttled, unread(found(rowB), "a"), throttled, lost, found(rowA)},
	} {
		s := serve(t, script...)
		rows, err := s.Get(t.Context(), keys...)
		if want := []store.Row{{}, nil, n, {}}; err != nil || !reflect.DeepEqual(rows, want) {
			t.Errorf("%s: got %v, error %v", name, rows, err)
		}
		_, bodies := s.requests()
		table := bodies[0]["RequestItems"].(map[string]any)["rows"].(map[string]any)
		if len(table["Keys"].([]any)) != 3 || table["ConsistentRead"] != true {
			t.Errorf("%s: asked for %v", name, table)
		}
	}
	all := unread(found(), "none", "a", "b")
	if _, err := serve(t, all, all, all).Get(t.Context(), keys...); !is(err, store.ErrUnavailable) {
		t.Errorf("nothing is ever read: got %v", err)
	}
}

func TestRowsThatAreNoRows(t *testing.T) {
	bad := []string{`{"BOOL":true}`, `{"N":"1.5"}`, `{"N":"9223372036854775808"}`, `{"NULL":true}`, `{"L":[]}`, `{"M":{}}`, `{"SS":["a"]}`}
	for _, v := range bad {
		item := `{"pk":{"S":"p"},"sk":{"S":"b"},"n":` + v + `}`
		if _, err := serve(t, answer{status: 200, body: `{"Item":` + item + `}`}).Get(t.Context(), key("b")); !is(err, store.ErrCorrupt) {
			t.Errorf("get of %s: %v", v, err)
		}
		if _, err := serve(t, found(rowA, item)).Get(t.Context(), key("a"), key("b")); !is(err, store.ErrCorrupt) {
			t.Errorf("batch with %s: %v", v, err)
		}
		page, err := serve(t, items("", rowA, item, rowB)).Query(t.Context(), store.Query{PK: "p", Limit: 9})
		if err != nil || len(page.Items) != 1 || !page.More {
			t.Errorf("page before %s: %v, %v", v, page, err)
		}
		_, err = serve(t, items("", item, rowA)).Scan(t.Context(), store.Key{}, 9)
		if d, ok := errors.AsType[*store.DamagedRow](err); !ok || d.Key != key("b") {
			t.Errorf("page that begins with %s: %v", v, err)
		}
	}
}

// items is a page, with the position behind it where there may be more.
func items(next string, list ...string) answer {
	body := `{"Items":[` + strings.Join(list, ",") + `]`
	if next != "" {
		body += `,"LastEvaluatedKey":` + next
	}
	return answer{status: 200, body: body + "}"}
}

func TestPagesAreFilled(t *testing.T) {
	for name, c := range map[string]struct {
		script []answer
		rows   int
		more   bool
	}{
		"one":                     {[]answer{items("", rowA)}, 1, false},
		"none":                    {[]answer{items("")}, 0, false},
		"full":                    {[]answer{items(rowB, rowA, rowB)}, 2, true},
		"in two":                  {[]answer{items(rowA, rowA), items(rowB, rowB)}, 2, true},
		"in two, and no more":     {[]answer{items(rowA, rowA), items("", rowB)}, 2, false},
		"after empty ones":        {[]answer{items(rowA), items(rowA), items("", rowB)}, 1, false},
		"more, but there is none": {[]answer{items(rowA, rowA), items("")}, 1, false},
	} {
		s := serve(t, c.script...)
		page, err := s.Query(t.Context(), store.Query{PK: "p", Limit: 2})
		if err != nil || len(page.Items) != c.rows || page.More != c.more {
			t.Errorf("%s: %v, error %v", name, page, err)
		}
		_, bodies := s.requests()
		for i, b := range bodies {
			if _, started := b["ExclusiveStartKey"]; started != (i > 0) || b["ConsistentRead"] != true {
				t.Errorf("%s: request %d is %v", name, i, b)
			}
		}
	}
	if _, err := serve(t, items(rowA), items(rowA), items(rowA)).Scan(t.Context(), store.Key{}, 2); !is(err, store.ErrUnavailable) {
		t.Errorf("empty pages without end: %v", err)
	}
}

func TestTheRangeOfAQuery(t *testing.T) {
	str := func(v string) map[string]any { return map[string]any{"S": v} }
	for _, c := range []struct {
		prefix, after string
		condition     string
		value         string
		start         string
	}{
		{"", "", "#n0 = :v0", "", ""},
		{"", "m", "#n0 = :v0 AND #n1 > :v1", "m", ""},
		{"k#", "", "#n0 = :v0 AND begins_with(#n1, :v1)", "k#", ""},
		{"k#", "k#m", "#n0 = :v0 AND begins_with(#n1, :v1)", "k#", "k#m"},
		{"k#", "k#", "#n0 = :v0 AND begins_with(#n1, :v1)", "k#", "k#"},
		{"k#", "a", "#n0 = :v0 AND begins_with(#n1, :v1)", "k#", ""},
	} {
		s := serve(t, items(""))
		if _, err := s.Query(t.Context(), store.Query{PK: "p", Prefix: c.prefix, After: c.after, Limit: 1}); err != nil {
			t.Fatal(err)
		}
		values := map[string]any{":v0": str("p")}
		if c.value != "" {
			values[":v1"] = str(c.value)
		}
		var start any
		if c.start != "" {
			start = map[string]any{"pk": str("p"), "sk": str(c.start)}
		}
		_, bodies := s.requests()
		b := bodies[0]
		if b["KeyConditionExpression"] != c.condition || !reflect.DeepEqual(b["ExpressionAttributeValues"], values) || !reflect.DeepEqual(b["ExclusiveStartKey"], start) {
			t.Errorf("prefix %q after %q: asked for %v", c.prefix, c.after, b)
		}
	}
	page, err := serve(t).Query(t.Context(), store.Query{PK: "p", Prefix: "k#", After: "z", Limit: 1})
	if err != nil || len(page.Items) > 0 || page.More {
		t.Errorf("behind the prefix: %v, %v", page, err)
	}
}

func TestTheRangeOfDue(t *testing.T) {
	entry := `{"shard":{"N":"3"},"due":{"N":"7"},"pk":{"S":"p"},"sk":{"S":"a"}}`
	s := serve(t, items(entry, entry), items(entry), items("", entry))
	after := store.DueKey{Due: 5, Key: key("0")}
	got, err := s.Due(t.Context(), 3, 9, after, 3)
	if want := []store.DueKey{{Due: 7, Key: key("a")}, {Due: 7, Key: key("a")}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v", got, err)
	}
	num := func(v string) map[string]any { return map[string]any{"N": v} }
	_, bodies := s.requests()
	b := bodies[0]
	delete(b, "ExpressionAttributeNames")
	want := map[string]any{"TableName": "rows", "IndexName": "due", "KeyConditionExpression": "#n0 = :v0 AND #n1 <= :v1", "Limit": 3.0,
		"ExpressionAttributeValues": map[string]any{":v0": num("3"), ":v1": num("9")},
		"ExclusiveStartKey":         map[string]any{"shard": num("3"), "due": num("5"), "pk": map[string]any{"S": "p"}, "sk": map[string]any{"S": "0"}}}
	if !reflect.DeepEqual(b, want) {
		t.Errorf("asked for\n%v\nwant\n%v", b, want)
	}
	if bodies[1]["Limit"] != 2.0 || bodies[2]["Limit"] != 2.0 {
		t.Errorf("went on with %v and %v", bodies[1], bodies[2])
	}
	got, err = serve(t).Due(t.Context(), 3, 4, after, 3)
	if err != nil || got != nil {
		t.Errorf("a position behind the range: %v, %v", got, err)
	}
	if _, err := serve(t, items(entry), items(entry), items(entry)).Due(t.Context(), 3, math.MaxInt64, after, 3); !is(err, store.ErrUnavailable) {
		t.Errorf("empty pages without end: %v", err)
	}
}
