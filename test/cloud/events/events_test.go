// SPDX-License-Identifier: Apache-2.0

package events

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
)

func compile(t *testing.T, pattern string) *Pattern {
	t.Helper()
	p, err := Compile(json.RawMessage(pattern))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPatterns(t *testing.T) {
	const event = `{"source":"aws.s3","detail":{"object":{"key":"oabc","size":5},"reason":"CompleteMultipartUpload","list":["a","b"]}}`
	for pattern, want := range map[string]bool{
		`{"source":["aws.s3"]}`:                                   true,
		`{"source":["aws.ec2","aws.s3"]}`:                         true,
		`{"source":["aws.ec2"]}`:                                  false,
		`{"detail":{"object":{"key":[{"prefix":"o"}]}}}`:          true,
		`{"detail":{"object":{"key":[{"prefix":"x"}]}}}`:          false,
		`{"detail":{"object":{"key":[{"suffix":"c"}]}}}`:          true,
		`{"detail":{"object":{"size":[5]}}}`:                      true,
		`{"detail":{"object":{"size":["5"]}}}`:                    false,
		`{"detail":{"gone":[{"exists":false}]}}`:                  true,
		`{"detail":{"reason":[{"exists":false}]}}`:                false,
		`{"detail":{"list":["b"]}}`:                               true,
		`{"detail":{"reason":{"deep":["x"]}}}`:                    false,
		`{"source":["aws.s3"],"detail":{"reason":["PutObject"]}}`: false,
	} {
		if got := compile(t, pattern).Match([]byte(event)); got != want {
			t.Errorf("%s: %v, want %v", pattern, got, want)
		}
	}
	for _, pattern := range []string{`{"a":[]}`, `{"a":"b"}`, `{"a":[{"anything-but":["b"]}]}`, `{"$or":[]}`, `{"a":[{"prefix":1}]}`, `[]`, `{"a":[{}]}`} {
		if _, err := Compile(json.RawMessage(pattern)); err == nil {
			t.Errorf("%s is taken", pattern)
		}
	}
}

// log keeps what was delivered.
type log struct {
	mu     sync.Mutex
	events []string
}

func (l *log) deliver(event []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.events = append(l.events, string(event))
	return nil
}

func drain(t *testing.T, b *Bus) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); b.Pending() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("events do not arrive")
		}
	}
}

func TestWeather(t *testing.T) {
	b, l := NewBus(Weather{Seed: 1, Delay: 5 * time.Millisecond, Duplicate: 0.5}), new(log)
	defer b.Close()
	b.Rule(compile(t, `{"n":[{"exists":true}]}`), l.deliver)
	const n = 100
	for i := range n {
		b.Tell(fmt.Appendf(nil, `{"n":%d}`, i))
		b.Tell([]byte(`{"m":1}`))
	}
	drain(t, b)
	distinct, ordered := map[string]bool{}, true
	for i, e := range l.events {
		distinct[e] = true
		ordered = ordered && e == fmt.Sprintf(`{"n":%d}`, i)
	}
	if len(distinct) != n || len(l.events) < n+n/4 || ordered {
		t.Errorf("%d events, %d distinct, in order: %v", len(l.events), len(distinct), ordered)
	}
	if c := b.Counts(); c.Told != 2*n || c.Picked != n || c.Delivered != len(l.events) {
		t.Errorf("%v", c)
	}
	lossy := NewBus(Weather{Lose: 1})
	defer lossy.Close()
	lossy.Rule(compile(t, `{}`), l.deliver)
	lossy.Tell([]byte(`{}`))
	if c := lossy.Counts(); c.Lost != 1 || lossy.Pending() != 0 {
		t.Errorf("%v", c)
	}
}

func TestBucket(t *testing.T) {
	const completed = `<CompleteMultipartUploadResult><ETag>"abc-2"</ETag></CompleteMultipartUploadResult>`
	answer := completed
	s3 := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Host != "s3.test" {
			t.Errorf("host %s", r.Host)
		}
		io.Copy(io.Discard, r.Body)
		w.Header().Set("ETag", `"e"`)
		switch {
		case r.Header.Get("X-Fail") != "":
			w.WriteHeader(412)
		case r.Method == "POST":
			io.WriteString(w, answer)
		}
	}))
	defer s3.Close()
	bus, l := NewBus(Weather{}), new(log)
	defer bus.Close()
	bus.Rule(compile(t, `{"source":["aws.s3"]}`), l.deliver)
	bucket, err := NewBucket(s3.URL, bus, "eu-west-1", "123456789012")
	if err != nil {
		t.Fatal(err)
	}
	front := httptest.NewServer(bucket)
	defer front.Close()
	do := func(method, path, body string, header ...string) string {
		t.Helper()
		r, err := http.NewRequest(method, front.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Host = "s3.test"
		for _, h := range header {
			r.Header.Set(h, "1")
		}
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		got, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		drain(t, bus)
		return string(got)
	}
	last := func() (kind, key, reason string, size int64) {
		t.Helper()
		if len(l.events) == 0 {
			return "", "", "", 0
		}
		var e struct {
			Kind   string `json:"detail-type"`
			Detail struct {
				Object struct {
					Key  string
					Size int64
				}
				Reason string
			}
		}
		if err := json.Unmarshal([]byte(l.events[len(l.events)-1]), &e); err != nil {
			t.Fatal(err)
		}
		l.events = nil
		return e.Kind, e.Detail.Object.Key, e.Detail.Reason, e.Detail.Object.Size
	}
	want := func(step, kind, key, reason string, size int64) {
		t.Helper()
		if k, o, r, s := last(); k != kind || o != key || r != reason || s != size {
			t.Errorf("%s: %s of %s by %s with %d bytes", step, k, o, r, s)
		}
	}
	do("PUT", "/b/ok", "12345")
	want("put", "Object Created", "ok", "PutObject", 5)
	do("PUT", "/b/ok", "12345", "X-Fail")
	do("PUT", "/b/ok?tagging", "x")
	do("GET", "/b/ok", "")
	do("PUT", "/b/om?uploadId=u&partNumber=1", "123456")
	do("PUT", "/b/om?uploadId=u&partNumber=2", "12")
	do("PUT", "/b/om?uploadId=u&partNumber=2", "123")
	do("PUT", "/b/om?uploadId=u&partNumber=3", "1234567")
	do("POST", "/b/om?uploads", "")
	want("nothing", "", "", "", 0)
	const list = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part><Part><PartNumber>2</PartNumber></Part></CompleteMultipartUpload>`
	answer = `<Error><Code>InternalError</Code></Error>`
	do("POST", "/b/om?uploadId=u", list)
	want("an error with status 200", "", "", "", 0)
	answer = completed
	if got := do("POST", "/b/om?uploadId=u", list); got != completed {
		t.Errorf("the answer became %s", got)
	}
	want("complete", "Object Created", "om", "CompleteMultipartUpload", 9)
	do("DELETE", "/b/ok", "")
	want("delete", "Object Deleted", "ok", "DeleteObject", 0)
}
