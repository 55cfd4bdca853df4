// SPDX-License-Identifier: Apache-2.0

package standin_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tare/test/standin"
)

// engine answers each request with what it is, and remembers how many came.
type engine struct {
	mu    sync.Mutex
	calls []string
	block chan struct{} // where set: requests wait until it is closed
	begun chan struct{}
}

func (e *engine) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	e.mu.Lock()
	e.calls = append(e.calls, r.Host+" "+string(body))
	block := e.block
	e.mu.Unlock()
	if block != nil {
		e.begun <- struct{}{}
		<-block
	}
	fmt.Fprintf(w, `{"Took":%q,"Items":[]}`, string(body))
}

func (e *engine) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.calls)
}

func open(t *testing.T) (*engine, *standin.Proxy) {
	e := &engine{begun: make(chan struct{}, 10)}
	s := httptest.NewServer(e)
	t.Cleanup(s.Close)
	return e, standin.NewProxy(t, s.URL)
}

// ask sends a request of DynamoDB's form and returns what came back; 0 where the connection ended.
func ask(t *testing.T, p *standin.Proxy, operation, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.URL, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Host = "signed.example"
	r.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, ""
	}
	defer answer.Body.Close()
	got, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, ""
	}
	return answer.StatusCode, string(got)
}

func TestWhatPassesIsAsItWas(t *testing.T) {
	e, p := open(t)
	if status, _ := ask(t, p, "GetItem", `{"a":1}`); status != http.StatusOK || e.calls[0] != `signed.example {"a":1}` {
		t.Errorf("status %d, the engine saw %q", status, e.calls)
	}
	if p.Hurt() != 0 || p.Seen()["GetItem"] != 1 {
		t.Errorf("hurt %d, seen %v", p.Hurt(), p.Seen())
	}
}

func TestFaults(t *testing.T) {
	two := `{"TransactItems":[{"Delete":{}},{"Delete":{}}]}`
	for name, c := range map[string]struct {
		fault  standin.Fault
		status int
		says   string
		calls  int // that reach the engine
	}{
		"lost call":    {standin.LoseCall, 0, "", 0},
		"lost reply":   {standin.LoseReply, 0, "", 1},
		"reset":        {standin.Reset, 0, "", 0},
		"late":         {standin.Late, 0, "", 0},
		"cut body":     {standin.CutBody(3), 0, "", 0},
		"cut answer":   {standin.CutAnswer(3), 0, "", 1},
		"throttled":    {standin.Throttle, 400, "#ThrottlingException", 0},
		"error":        {standin.DynamoError(500, "InternalServerError", "x"), 500, "InternalServerError", 0},
		"error after":  {standin.DynamoErrorAfter(500, "InternalServerError", "x"), 500, "InternalServerError", 1},
		"canceled":     {standin.Cancel(map[int]string{1: "TransactionConflict"}), 400, "[None, TransactionConflict]", 0},
		"empty index":  {standin.IndexEmpty, 200, `"Count":0`, 0},
		"slow down":    {standin.S3Error(503, "SlowDown", "x"), 503, "<Code>SlowDown</Code>", 0},
		"s3 after all": {standin.S3ErrorAfter(500, "InternalError", "x"), 500, "<Code>InternalError</Code>", 1},
	} {
		t.Run(name, func(t *testing.T) {
			e, p := open(t)
			p.Use(standin.On("TransactWriteItems", 2, c.fault))
			for n := 1; n <= 3; n++ {
				status, body := ask(t, p, "TransactWriteItems", two)
				if n != 2 && status != http.StatusOK {
					t.Errorf("request %d: status %d", n, status)
				}
				if n == 2 && (status != c.status || !strings.Contains(body, c.says)) {
					t.Errorf("status %d and %q, want %d and %q", status, body, c.status, c.says)
				}
			}
			if e.count() != 2+c.calls || p.Hurt() != 1 {
				t.Errorf("%d requests reached the engine, %d were hurt", e.count(), p.Hurt())
			}
		})
	}
}

func TestLateRequestsLand(t *testing.T) {
	e, p := open(t)
	p.Use(standin.Always("PutItem", standin.Late))
	if status, _ := ask(t, p, "PutItem", `{"a":1}`); status != 0 || e.count() != 0 {
		t.Fatalf("status %d, %d calls", status, e.count())
	}
	if landed, err := p.Land(); !landed || err != nil || e.count() != 1 || e.calls[0] != `signed.example {"a":1}` {
		t.Errorf("landed %v, error %v, the engine saw %q", landed, err, e.calls)
	}
	if landed, _ := p.Land(); landed {
		t.Error("it landed twice")
	}
}

func TestUnprocessedKeysComeBack(t *testing.T) {
	e, p := open(t)
	p.Use(standin.Always("BatchGetItem", standin.Unprocessed(1)))
	_, body := ask(t, p, "BatchGetItem", `{"RequestItems":{"t":{"ConsistentRead":true,"Keys":[{"pk":{"S":"a"}},{"pk":{"S":"b"}},{"pk":{"S":"c"}}]}}}`)
	var answer struct {
		UnprocessedKeys map[string]struct {
			ConsistentRead bool
			Keys           []any
		}
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil || len(answer.UnprocessedKeys["t"].Keys) != 2 || !answer.UnprocessedKeys["t"].ConsistentRead {
		t.Errorf("answer %s: %v", body, err)
	}
	if e.count() != 1 || !strings.Contains(e.calls[0], `"Keys":[{"pk":{"S":"a"}}]`) {
		t.Errorf("the engine saw %q", e.calls)
	}
}

func TestOverlappingTransactionsAreCanceled(t *testing.T) {
	e, p := open(t)
	p.Use(standin.Overlap(0))
	tx := func(keys ...string) string {
		var ops []string
		for i, k := range keys {
			at := fmt.Sprintf(`{"pk":{"S":"p"},"sk":{"S":%q}}`, k)
			ops = append(ops, []string{`{"Put":{"Item":` + at + `}}`, `{"ConditionCheck":{"Key":` + at + `}}`}[i%2])
		}
		return `{"TransactItems":[` + strings.Join(ops, ",") + `]}`
	}
	e.block = make(chan struct{})
	done := make(chan int)
	go func() {
		status, _ := ask(t, p, "TransactWriteItems", tx("a", "b"))
		done <- status
	}()
	select {
	case <-e.begun:
	case <-time.After(10 * time.Second):
		t.Fatal("the first transaction does not begin")
	}
	status, body := ask(t, p, "TransactWriteItems", tx("c", "d", "b"))
	if status != http.StatusBadRequest || !strings.Contains(body, "[None, None, TransactionConflict]") {
		t.Errorf("one that overlaps: status %d, %s", status, body)
	}
	close(e.block)
	if status := <-done; status != http.StatusOK {
		t.Errorf("the first one: status %d", status)
	}
	e.mu.Lock()
	e.block = nil
	e.mu.Unlock()
	if status, _ := ask(t, p, "TransactWriteItems", tx("c", "d", "b")); status != http.StatusOK {
		t.Errorf("the same again: status %d", status)
	}
	if p.Hurt() != 1 {
		t.Errorf("%d were hurt", p.Hurt())
	}
}
