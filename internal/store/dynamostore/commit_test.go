// SPDX-License-Identifier: Apache-2.0

package dynamostore_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/store"
	"tare/internal/store/dynamostore"
)

// is tells whether an error is one outcome of the store and no other.
func is(err, outcome error) bool {
	e, ok := errors.AsType[*store.Error](err)
	return ok && e.Outcome == outcome
}

func TestEachAnswerToACommit(t *testing.T) {
	for name, c := range map[string]struct {
		script []answer
		want   error // nil: success
	}{
		"success": {[]answer{ok}, nil},

		// Nothing happened: again, and no more than Tries times.
		"throttled":             {[]answer{throttled, ok}, nil},
		"provisioned":           {[]answer{provisioned, requestLimit, ok}, nil},
		"throttled for long":    {[]answer{throttled, provisioned, requestLimit}, store.ErrUnavailable},
		"contended":             {[]answer{canceled("None", "TransactionConflict"), conflicting, ok}, nil},
		"contended for long":    {[]answer{conflicting, conflicting, canceled("TransactionConflict", "None")}, store.ErrContended},
		"throttled in it":       {[]answer{canceled("None", "ThrottlingError"), canceled("ProvisionedThroughputExceeded", "None"), ok}, nil},
		"too many requests":     {[]answer{tooMany, ok}, nil},
		"reasons that are new":  {[]answer{canceled("None", "SomethingNew"), ok}, nil},
		"too few reasons":       {[]answer{canceled("ConditionalCheckFailed"), canceled(), ok}, nil},
		"reasons of no failure": {[]answer{canceled("None", "None"), ok}, nil},
		"contended and refused": {[]answer{canceled("ConditionalCheckFailed", "TransactionConflict"), ok}, nil},
		"throttled and refused": {[]answer{canceled("ThrottlingError", "ConditionalCheckFailed"), ok}, nil},

		// Nothing happened, and it would be the same again.
		"refused":                 {[]answer{canceled("None", "ConditionalCheckFailed")}, store.ErrConflict},
		"refused and invalid":     {[]answer{canceled("ValidationError", "ConditionalCheckFailed")}, store.ErrConflict},
		"refused at last":         {[]answer{throttled, conflicting, canceled("ConditionalCheckFailed", "None")}, store.ErrConflict},
		"invalid":                 {[]answer{validation}, store.ErrInvalid},
		"invalid in it":           {[]answer{canceled("ValidationError", "None")}, store.ErrInvalid},
		"another's token":         {[]answer{mismatch}, store.ErrInvalid},
		"no table":                {[]answer{noTable}, store.ErrUnavailable},
		"no right":                {[]answer{noRight}, store.ErrUnavailable},
		"expired credentials":     {[]answer{expired}, store.ErrUnavailable},
		"expired signature":       {[]answer{signature}, store.ErrUnavailable},
		"too large for a proxy":   {[]answer{tooLarge}, store.ErrUnavailable},
		"a full collection":       {[]answer{collection}, store.ErrFull},
		"a full collection in it": {[]answer{canceled("ItemCollectionSizeLimitExceeded", "None")}, store.ErrFull},
		"a row that is no row": {[]answer{canceled("None", `{"Code":"ConditionalCheckFailed","Item":{"pk":{"S":"p"},"sk":{"S":"b"},"x":{"BOOL":true}}}`)},
			store.ErrCorrupt},

		// Who knows: never again by itself, also after what was sure.
		"in progress":               {[]answer{inProgress}, store.ErrUnknownOutcome},
		"internal error":            {[]answer{internal}, store.ErrUnknownOutcome},
		"service unavailable":       {[]answer{unavailable}, store.ErrUnknownOutcome},
		"bad gateway":               {[]answer{badGateway}, store.ErrUnknownOutcome},
		"no answer":                 {[]answer{lost}, store.ErrUnknownOutcome},
		"half an answer":            {[]answer{halfAnswer}, store.ErrUnknownOutcome},
		"no answer at last":         {[]answer{throttled, conflicting, lost}, store.ErrUnknownOutcome},
		"a moved service":           {[]answer{{status: 301}}, store.ErrUnknownOutcome},
		"an answer that is no JSON": {[]answer{{status: 200, body: "<html>"}}, store.ErrUnknownOutcome},
	} {
		t.Run(name, func(t *testing.T) {
			s := serve(t, c.script...)
			err := s.Commit(t.Context(), tx(put("a", absent), put("b", exists)))
			if c.want == nil && err != nil || c.want != nil && !is(err, c.want) && (c.want != store.ErrConflict || !errors.Is(err, store.ErrConflict)) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			asked, bodies := s.requests()
			for i := range bodies {
				if asked[i] != "TransactWriteItems" || !reflect.DeepEqual(bodies[i], bodies[0]) {
					t.Errorf("request %d is another: %s %v", i, asked[i], bodies[i])
				}
			}
		})
	}
}

func TestARefusalNamesAllThatFailed(t *testing.T) {
	s := serve(t, canceled("None",
		`{"Code":"ConditionalCheckFailed","Message":"The conditional request failed"}`,
		`{"Code":"ConditionalCheckFailed","Item":{"pk":{"S":"p"},"sk":{"S":"c"}}}`,
		`{"Code":"ConditionalCheckFailed","Item":{"pk":{"S":"p"},"sk":{"S":"d"},"n":{"N":"-9223372036854775808"},"s":{"S":""},"b":{"B":"AP8="}}}`))
	err := s.Commit(t.Context(), tx(put("a"), put("b", exists), put("c", absent), put("d", absent)))
	conflict, ok := errors.AsType[*store.Conflict](err)
	if !ok || len(conflict.Failed) != 3 {
		t.Fatalf("got %v", err)
	}
	for i, want := range []store.Row{nil, {}, store.NewRow(store.Attr{Name: "n", Value: store.Int(-1 << 63)}, store.Attr{Name: "s", Value: store.String("")},
		store.Attr{Name: "b", Value: store.Bytes("\x00\xff")})} {
		if got := conflict.Failed[i]; got.Op != i+1 || !got.Row.Equal(want) {
			t.Errorf("failure %d: operation %d, row %v; want %d, %v", i, got.Op, got.Row, i+1, want)
		}
	}
}

func TestTheRequestOfACommit(t *testing.T) {
	s := serve(t, ok)
	n := func(name string, n int64) store.Attr { return store.Attr{Name: name, Value: store.Int(n)} }
	err := s.Commit(t.Context(), tx(
		store.Op{Key: key("a"), Kind: store.OpPut, Row: store.NewRow(n("n", 1), store.Attr{Name: "b", Value: store.Bytes("")})},
		store.Op{Key: key("b"), Kind: store.OpUpdate, Set: []store.Attr{n("x", 1), n("y", 2)}, Add: []store.Attr{n("z", -1)}, Remove: []string{"due"},
			If: []store.Cond{exists, {Attr: "x", Is: store.Less, Value: store.Int(5)}, {Attr: "due", Is: store.Absent}}},
		store.Op{Key: key("c"), Kind: store.OpDelete},
		store.Op{Key: key("d"), Kind: store.OpCheck, If: []store.Cond{absent}},
	))
	if err != nil {
		t.Fatal(err)
	}
	str := func(v string) map[string]any { return map[string]any{"S": v} }
	num := func(v string) map[string]any { return map[string]any{"N": v} }
	at := func(sk string) map[string]any { return map[string]any{"pk": str("p"), "sk": str(sk)} }
	want := map[string]any{"ClientRequestToken": "token", "TransactItems": []any{
		map[string]any{"Put": map[string]any{"TableName": "rows", "Item": map[string]any{"pk": str("p"), "sk": str("a"), "n": num("1"), "b": map[string]any{"B": ""}}}},
		map[string]any{"Update": map[string]any{"TableName": "rows", "Key": at("b"),
			"ConditionExpression":                 "attribute_exists(#n0) AND #n1 < :v0 AND attribute_not_exists(#n2)",
			"UpdateExpression":                    "SET #n1 = :v1, #n3 = :v2 ADD #n4 :v3 REMOVE #n2",
			"ExpressionAttributeNames":            map[string]any{"#n0": "pk", "#n1": "x", "#n2": "due", "#n3": "y", "#n4": "z"},
			"ExpressionAttributeValues":           map[string]any{":v0": num("5"), ":v1": num("1"), ":v2": num("2"), ":v3": num("-1")},
			"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}},
		map[string]any{"Delete": map[string]any{"TableName": "rows", "Key": at("c")}},
		map[string]any{"ConditionCheck": map[string]any{"TableName": "rows", "Key": at("d"), "ConditionExpression": "attribute_not_exists(#n0)",
			"ExpressionAttributeNames": map[string]any{"#n0": "pk"}, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}},
	}}
	if _, bodies := s.requests(); !reflect.DeepEqual(bodies[0], want) {
		t.Errorf("asked for\n%v\nwant\n%v", bodies[0], want)
	}
}

func TestBeforeIsKept(t *testing.T) {
	x := tx(put("a"))
	x.Before = start.Add(time.Minute)

	t.Run("at that moment nothing is sent", func(t *testing.T) {
		s := serve(t)
		s.clock.Advance(time.Minute)
		if err := s.Commit(t.Context(), x); !is(err, store.ErrExpired) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("between tries", func(t *testing.T) {
		var s *server
		busy := conflicting
		busy.do = func() { s.clock.Advance(time.Hour) }
		s = serve(t, busy)
		if err := s.Commit(t.Context(), x); !is(err, store.ErrExpired) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("on the way to the wire", func(t *testing.T) {
		// The process freezes when its connection is made: the request must not go out when it thaws.
		clk := clock.NewManual(start)
		asleep := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			clk.Advance(time.Hour)
			return new(net.Dialer).DialContext(ctx, network, address)
		}}}
		s := serve(t)
		url := listen(t, s)
		st := dynamostore.New(client(url, asleep), "rows", dynamostore.Options{Clock: clk})
		if err := st.Commit(t.Context(), x); !is(err, store.ErrExpired) {
			t.Errorf("got %v", err)
		}
	})
}

// listen gives the server an address of its own.
func listen(t *testing.T, h http.Handler) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go func() { _ = s.Serve(l) }()
	t.Cleanup(func() { _ = s.Close() })
	return "http://" + l.Addr().String()
}

// failing is a network that fails in a way of its own.
type failing func(*http.Request) (*http.Response, error)

func (f failing) Do(r *http.Request) (*http.Response, error) { return f(r) }

func TestWhatTheNetworkTookMayHaveHappened(t *testing.T) {
	broken := errors.New("connection reset")
	for name, c := range map[string]struct {
		take  func(body io.Reader) // how much of the body leaves
		tries int
		want  error
	}{
		"nothing":        {func(io.Reader) {}, 3, store.ErrUnavailable},
		"all but a byte": {func(r io.Reader) { _, _ = io.CopyN(io.Discard, r, 20) }, 3, store.ErrUnavailable},
		"all":            {func(r io.Reader) { _, _ = io.Copy(io.Discard, r) }, 1, store.ErrUnknownOutcome},
		"all, byte by byte": {func(r io.Reader) {
			for b := make([]byte, 1); ; {
				if n, _ := r.Read(b); n == 0 {
					return
				}
			}
		}, 1, store.ErrUnknownOutcome},
	} {
		t.Run(name, func(t *testing.T) {
			tries := 0
			network := failing(func(r *http.Request) (*http.Response, error) {
				tries++
				c.take(r.Body)
				return nil, broken
			})
			s := dynamostore.New(client("http://rows.example", network), "rows", dynamostore.Options{Clock: clock.NewManual(start), Tries: 3})
			if err := s.Commit(t.Context(), tx(put("a"))); !is(err, c.want) || !errors.Is(err, broken) || tries != c.tries {
				t.Errorf("got %v after %d tries, want %v after %d", err, tries, c.want, c.tries)
			}
		})
	}
}

// A request that was given up before its last byte left must not send that byte afterwards.
func TestWhatWasGivenUpDoesNotLeave(t *testing.T) {
	var body io.Reader
	network := failing(func(r *http.Request) (*http.Response, error) {
		body = r.Body
		return nil, errors.New("no connection")
	})
	s := dynamostore.New(client("http://rows.example", network), "rows", dynamostore.Options{Clock: clock.NewManual(start), Tries: 1})
	if err := s.Commit(t.Context(), tx(put("a"))); !is(err, store.ErrUnavailable) {
		t.Fatal(err)
	}
	if sent, err := io.ReadAll(body); err == nil || strings.HasSuffix(string(sent), "}") {
		t.Errorf("it left all the same: %q, %v", sent, err)
	}
}

// A transport may give the same body again within one call, when its connection turned out dead. What was in time at first
// may be too late then; and whether it was applied at first nobody knows.
func TestABodyThatIsGivenAgainKeepsBefore(t *testing.T) {
	for name, c := range map[string]struct {
		passes time.Duration
		leaves bool
	}{"in time": {time.Minute - 1, true}, "too late": {time.Minute, false}} {
		t.Run(name, func(t *testing.T) {
			clk := clock.NewManual(start)
			tries := 0
			network := failing(func(r *http.Request) (*http.Response, error) {
				tries++
				if _, err := io.ReadAll(r.Body); err != nil {
					t.Errorf("the first time: %v", err)
				}
				clk.Advance(c.passes)
				again, err := r.GetBody()
				if err != nil {
					t.Fatal(err)
				}
				sent, err := io.ReadAll(again)
				if left := err == nil && strings.HasSuffix(string(sent), "}"); left != c.leaves {
					t.Errorf("the second time: left %v: %q, %v", left, sent, err)
				}
				return nil, errors.Join(errors.New("connection reset"), err)
			})
			s := dynamostore.New(client("http://rows.example", network), "rows", dynamostore.Options{Clock: clk, Tries: 3})
			x := tx(put("a"))
			x.Before = start.Add(time.Minute)
			if err := s.Commit(t.Context(), x); !is(err, store.ErrUnknownOutcome) || tries != 1 {
				t.Errorf("got %v after %d tries", err, tries)
			}
		})
	}
}

func TestACanceledCommit(t *testing.T) {
	for _, sent := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		network := failing(func(r *http.Request) (*http.Response, error) {
			if sent {
				_, _ = io.Copy(io.Discard, r.Body)
			}
			cancel()
			return nil, context.Canceled
		})
		s := dynamostore.New(client("http://rows.example", network), "rows", dynamostore.Options{Clock: clock.NewManual(start)})
		err := s.Commit(ctx, tx(put("a")))
		if sent && !is(err, store.ErrUnknownOutcome) || !sent && err != context.Canceled {
			t.Errorf("sent %v: got %v", sent, err)
		}
	}
}

// A request is not waited for beyond the moment before which it must be applied.
func TestACommitThatIsNotAnsweredInTime(t *testing.T) {
	network := failing(func(r *http.Request) (*http.Response, error) {
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
		return nil, r.Context().Err()
	})
	s := dynamostore.New(client("http://rows.example", network), "rows", dynamostore.Options{Clock: clock.NewManual(start), Timeout: time.Hour})
	x := tx(put("a"))
	x.Before = start.Add(2 * time.Second)
	if err := s.Commit(t.Context(), x); !is(err, store.ErrUnknownOutcome) {
		t.Errorf("got %v", err)
	}
}

// What breaks a limit is not sent.
func TestLimitsAreKeptBeforeSending(t *testing.T) {
	s := serve(t)
	large := store.NewRow(store.Attr{Name: "b", Value: store.Bytes(strings.Repeat("x", store.MaxRow))})
	for what, err := range map[string]error{
		"a large row":     s.Commit(t.Context(), tx(store.Op{Key: key("a"), Kind: store.OpPut, Row: large})),
		"no token":        s.Commit(t.Context(), store.Tx{Ops: []store.Op{put("a")}}),
		"a row twice":     s.Commit(t.Context(), tx(put("a"), put("a"))),
		"a blind removal": s.Commit(t.Context(), tx(store.Op{Key: key("a"), Kind: store.OpUpdate, Remove: []string{"n"}})),
	} {
		if !is(err, store.ErrInvalid) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if _, err := s.Get(t.Context(), slices.Repeat([]store.Key{key("a")}, store.MaxGet+1)...); !is(err, store.ErrInvalid) {
		t.Errorf("101 keys: got %v", err)
	}
	if _, err := s.Due(t.Context(), 0, 1, store.DueKey{}, 0); !is(err, store.ErrInvalid) {
		t.Errorf("a page of none: got %v", err)
	}
	if asked, _ := s.requests(); len(asked) != 0 {
		t.Errorf("sent %s", asked)
	}
}
