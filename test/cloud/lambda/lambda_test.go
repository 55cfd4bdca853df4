// SPDX-License-Identifier: Apache-2.0

package lambda

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tare/test/standin"
)

// bootstrap is the test's function, built once.
var bootstrap string

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "lambda")
	if err != nil {
		panic(err)
	}
	bootstrap = filepath.Join(folder, "bootstrap")
	if out, err := exec.Command("go", "build", "-o", bootstrap, "./testdata/function").CombinedOutput(); err != nil {
		panic(fmt.Sprintf("%v: %s", err, out))
	}
	status := m.Run()
	os.RemoveAll(folder)
	os.Exit(status)
}

const limit = 10 * time.Second

// serve returns a service with one function, f.
func serve(t *testing.T, o Options, change func(*Function)) *Service {
	t.Helper()
	f := Function{Name: "f", ARN: "arn:aws:lambda:eu-west-1:1:function:f", Bootstrap: bootstrap, Timeout: limit, Memory: 256, Retries: 2}
	if change != nil {
		change(&f)
	}
	o.Region = "eu-west-1"
	if o.Wait == nil {
		o.Wait = func(int, bool) time.Duration { return time.Millisecond }
	}
	s, err := New(o, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func invoke(t *testing.T, s *Service, event string) Result {
	t.Helper()
	r, err := s.Invoke(t.Context(), "f", []byte(event))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantFault wants an invocation that ended with an error of this kind.
func wantFault(t *testing.T, r Result, kind, message string) {
	t.Helper()
	var got struct{ ErrorType, ErrorMessage string }
	if err := json.Unmarshal(r.Payload, &got); err != nil {
		t.Fatal(err)
	}
	if r.Error != "Unhandled" || got.ErrorType != kind || !strings.Contains(got.ErrorMessage, message) {
		t.Errorf("got error %q with %s, want %s: %s", r.Error, r.Payload, kind, message)
	}
}

// until polls a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("waited in vain until ", what)
		}
	}
}

func TestEnvironmentAndHeaders(t *testing.T) {
	t.Setenv("EMULATOR_ONLY", "1")
	s := serve(t, Options{Common: map[string]string{"AWS_ACCESS_KEY_ID": "key"}}, func(f *Function) { f.Environment = map[string]string{"TARE_TABLE": "t"} })
	before := time.Now()
	r := invoke(t, s, `{}`)
	var got struct {
		Header      http.Header
		Environment []string
	}
	if err := json.Unmarshal(r.Payload, &got); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"TARE_TABLE=t", "AWS_ACCESS_KEY_ID=key", "AWS_REGION=eu-west-1", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=256",
		"AWS_LAMBDA_FUNCTION_NAME=f", "_HANDLER=bootstrap", "LAMBDA_TASK_ROOT=" + filepath.Dir(bootstrap),
	} {
		if !slices.Contains(got.Environment, want) {
			t.Errorf("the function has no %s", want)
		}
	}
	for _, line := range got.Environment {
		if strings.HasPrefix(line, "EMULATOR_ONLY=") || strings.HasPrefix(line, "HOME=") {
			t.Errorf("the function has %s", line)
		}
	}
	var deadline int64
	fmt.Sscan(got.Header.Get("Lambda-Runtime-Deadline-Ms"), &deadline)
	if at := time.UnixMilli(deadline); at.Before(before.Add(limit-time.Millisecond)) || at.After(time.Now().Add(limit)) {
		t.Errorf("the deadline is %v", at)
	}
	if got.Header.Get("Lambda-Runtime-Aws-Request-Id") != r.ID || got.Header.Get("Lambda-Runtime-Invoked-Function-Arn") == "" {
		t.Errorf("headers %v", got.Header)
	}
	if r.Init == 0 {
		t.Error("the first event was not cold")
	}
}

func TestOneProcessIsUsedAgain(t *testing.T) {
	s := serve(t, Options{}, nil)
	for n := range 20 {
		if r := invoke(t, s, `{}`); n > 0 && r.Init != 0 {
			t.Errorf("event %d was cold", n)
		}
	}
	if _, started := s.Processes("f"); started != 1 {
		t.Errorf("%d processes for events one after the other", started)
	}
}

// A function that works on after its answer stands still when it has asked for the next event, and goes on with it.
func TestFrozenBetweenEvents(t *testing.T) {
	file := filepath.Join(t.TempDir(), "n") // goes away after the process
	s := serve(t, Options{}, nil)
	read := func() string {
		b, err := os.ReadFile(file)
		if err != nil {
			return ""
		}
		return string(b)
	}
	invoke(t, s, fmt.Sprintf(`{"after":%q}`, file))
	pid := s.functions["f"].only(t).cmd.Process.Pid
	until(t, "the process is stopped", func() bool {
		status, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil {
			standin.Lacking(t, "this machine does not tell whether a process is stopped")
		}
		return strings.Contains(string(status), ") T ")
	})
	// A read may meet the file between two writes of the process only while the process runs.
	still := read()
	for range 30 {
		time.Sleep(time.Millisecond)
		if read() != still {
			t.Fatal("the process runs between events")
		}
	}
	// It runs while the next event is handled, so this one waits for a file that the work of the last one writes.
	os.Remove(file)
	invoke(t, s, fmt.Sprintf(`{"wait":%q}`, file))
}

// only returns the one process that waits.
func (f *function) only(t *testing.T) *process {
	t.Helper()
	var p *process
	until(t, "one process waits", func() bool {
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.idle) == 1 {
			p = f.idle[0]
		}
		return p != nil
	})
	return p
}

func TestConcurrency(t *testing.T) {
	s := serve(t, Options{}, func(f *Function) { f.Concurrency = 3 })
	file := filepath.Join(t.TempDir(), "go")
	var group sync.WaitGroup
	for range 3 {
		group.Go(func() {
			if r := invoke(t, s, fmt.Sprintf(`{"wait":%q}`, file)); r.Error != "" {
				t.Errorf("%s", r.Payload)
			}
		})
	}
	until(t, "three run", func() bool { n, _ := s.Processes("f"); return n == 3 })
	if _, err := s.Invoke(t.Context(), "f", []byte(`{}`)); !errors.Is(err, ErrThrottled) {
		t.Errorf("the fourth: %v", err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if r := invoke(t, s, `{}`); r.Error != "" || r.Init != 0 {
		t.Errorf("afterwards: %+v", r)
	}
}

func TestAccountLimit(t *testing.T) {
	s := serve(t, Options{Concurrency: 1}, nil)
	file := filepath.Join(t.TempDir(), "go")
	var group sync.WaitGroup
	group.Go(func() { invoke(t, s, fmt.Sprintf(`{"wait":%q}`, file)) })
	until(t, "one runs", func() bool { n, _ := s.Processes("f"); return n == 1 })
	if _, err := s.Invoke(t.Context(), "f", []byte(`{}`)); !errors.Is(err, ErrThrottled) {
		t.Errorf("the second: %v", err)
	}
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	group.Wait()
}

func TestFaults(t *testing.T) {
	t.Run("exit", func(t *testing.T) {
		s := serve(t, Options{}, nil)
		wantFault(t, invoke(t, s, `{"exit":7}`), "Runtime.ExitError", "exit status 7")
		if r := invoke(t, s, `{}`); r.Error != "" || r.Init == 0 {
			t.Errorf("the next event: %+v", r)
		}
	})
	t.Run("init exit", func(t *testing.T) {
		s := serve(t, Options{}, func(f *Function) { f.Environment = map[string]string{"INIT": "exit"} })
		wantFault(t, invoke(t, s, `{}`), "Runtime.ExitError", "exit status 3")
	})
	t.Run("init error", func(t *testing.T) {
		s := serve(t, Options{}, func(f *Function) { f.Environment = map[string]string{"INIT": "error"} })
		wantFault(t, invoke(t, s, `{}`), "Config", "TARE_TABLE is not set")
	})
	t.Run("timeout", func(t *testing.T) {
		s := serve(t, Options{}, func(f *Function) { f.Timeout = time.Second })
		wantFault(t, invoke(t, s, `{"hang":true}`), "Sandbox.Timedout", "Task timed out after 1.00 seconds")
		until(t, "the process is gone", func() bool { n, _ := s.Processes("f"); return n == 0 })
	})
	t.Run("memory", func(t *testing.T) {
		s := serve(t, Options{}, func(f *Function) { f.Memory = 128 })
		wantFault(t, invoke(t, s, `{"use":200}`), "Runtime.ExitError", "killed")
	})
	t.Run("told", func(t *testing.T) {
		s := serve(t, Options{}, nil)
		wantFault(t, invoke(t, s, `{"error":"no"}`), "Told", "no")
		if r := invoke(t, s, `{}`); r.Init != 0 {
			t.Error("an error ended the process")
		}
	})
	t.Run("answer too large", func(t *testing.T) {
		s := serve(t, Options{}, nil)
		if r := invoke(t, s, fmt.Sprintf(`{"size":%d}`, MaxResponse)); r.Error != "" || len(r.Payload) != MaxResponse {
			t.Errorf("at the limit: %d bytes, %q", len(r.Payload), r.Error)
		}
		wantFault(t, invoke(t, s, fmt.Sprintf(`{"size":%d}`, MaxResponse+1)), "Function.ResponseSizeTooLarge", "6291556")
	})
	t.Run("no JSON", func(t *testing.T) {
		s := serve(t, Options{}, nil)
		wantFault(t, invoke(t, s, `{"raw":"{"}`), "Runtime.InvalidResponse", "JSON")
	})
	t.Run("another id", func(t *testing.T) {
		var log bytes.Buffer
		s := serve(t, Options{Log: &log}, nil)
		invoke(t, s, `{"wrong_id":true}`)
		s.Close()
		if !strings.Contains(log.String(), "wrong id: 400") {
			t.Errorf("%s", log.String())
		}
	})
}

func TestEventLimits(t *testing.T) {
	s := serve(t, Options{}, nil)
	event := func(n int) []byte { return fmt.Appendf(nil, `{"x":"%s"}`, strings.Repeat("x", n-len(`{"x":""}`))) }
	if _, err := s.Invoke(t.Context(), "f", event(MaxRequest-1)); err != nil {
		t.Error(err)
	}
	if _, err := s.Invoke(t.Context(), "f", event(MaxRequest)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("6 MiB: %v", err)
	}
	if _, err := s.Enqueue("f", event(MaxEvent)); err != nil {
		t.Error(err)
	}
	if _, err := s.Enqueue("f", event(MaxEvent+1)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("asynchronously, 1 MiB and a byte: %v", err)
	}
}

func TestRecycle(t *testing.T) {
	s := serve(t, Options{Recycle: 2}, nil)
	for range 6 {
		invoke(t, s, `{}`)
	}
	if _, started := s.Processes("f"); started != 3 {
		t.Errorf("%d processes for 6 events, two each", started)
	}
}

// After it was retired, no process gets an event, however lately it has answered one.
func TestRetire(t *testing.T) {
	s := serve(t, Options{}, nil)
	for n := range 20 {
		if r := invoke(t, s, `{}`); r.Init == 0 {
			t.Fatalf("event %d came to a process that was retired", n)
		}
		if err := s.Retire("f"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestIdleProcessesEnd(t *testing.T) {
	s := serve(t, Options{Idle: time.Millisecond}, nil)
	invoke(t, s, `{}`)
	until(t, "none is left", func() bool { n, _ := s.Processes("f"); return n == 0 })
}

func TestAsynchronous(t *testing.T) {
	s := serve(t, Options{}, func(f *Function) { f.OnFailure = "arn:aws:sqs:eu-west-1:1:dead" })
	if _, err := s.Enqueue("f", []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	until(t, "the event is handled", func() bool { return s.Pending() == 0 })
	if n := len(s.Failures()); n != 0 {
		t.Fatalf("%d failures", n)
	}
	if _, err := s.Enqueue("f", []byte(`{"error":"never"}`)); err != nil {
		t.Fatal(err)
	}
	until(t, "the event is given up", func() bool { return len(s.Failures()) == 1 })
	f := s.Failures()[0]
	if f.Destination != "arn:aws:sqs:eu-west-1:1:dead" || f.RequestContext.Condition != "RetriesExhausted" ||
		f.RequestContext.ApproximateInvokeCount != 3 || string(f.RequestPayload) != `{"error":"never"}` || !strings.Contains(string(f.ResponsePayload), "never") {
		t.Errorf("%+v", f)
	}
}

func TestAgedEventsAreGivenUp(t *testing.T) {
	s := serve(t, Options{Wait: func(int, bool) time.Duration { return time.Hour }}, func(f *Function) { f.Age = time.Minute })
	if _, err := s.Enqueue("f", []byte(`{"error":"never"}`)); err != nil {
		t.Fatal(err)
	}
	until(t, "the event is given up", func() bool { return len(s.Failures()) == 1 })
	if c := s.Failures()[0].RequestContext; c.Condition != "EventAgeExceeded" || c.ApproximateInvokeCount != 1 {
		t.Errorf("%+v", c)
	}
}

func TestAPI(t *testing.T) {
	s := serve(t, Options{}, nil)
	allowed := true
	server := httptest.NewServer(s.API(func(r *http.Request, arn string) error {
		if !allowed {
			return errors.New("no statement allows lambda:InvokeFunction on " + arn)
		}
		return nil
	}))
	defer server.Close()
	call := func(name, kind, body string) (int, http.Header, string) {
		t.Helper()
		request, err := http.NewRequest("POST", server.URL+"/2015-03-31/functions/"+name+"/invocations", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("X-Amz-Invocation-Type", kind)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		var b bytes.Buffer
		b.ReadFrom(response.Body)
		return response.StatusCode, response.Header, b.String()
	}
	if status, header, _ := call("f", "", `{}`); status != 200 || header.Get("X-Amz-Function-Error") != "" {
		t.Errorf("%d %v", status, header)
	}
	if status, header, body := call("arn%3Aaws%3Alambda%3Aeu-west-1%3A1%3Afunction%3Af", "RequestResponse", `{"error":"no"}`); status != 200 ||
		header.Get("X-Amz-Function-Error") != "Unhandled" || !strings.Contains(body, "Told") {
		t.Errorf("%d %v %s", status, header, body)
	}
	if status, _, _ := call("f", "Event", `{}`); status != 202 {
		t.Errorf("Event: %d", status)
	}
	for _, refused := range []struct {
		name, kind, body string
		status           int
		code             string
	}{
		{"g", "", `{}`, 404, "ResourceNotFoundException"},
		{"f", "", `{`, 400, "InvalidRequestContentException"},
		{"f", "Sometimes", `{}`, 400, "InvalidParameterValueException"},
		{"f", "Event", `"` + strings.Repeat("x", MaxEvent) + `"`, 413, "RequestTooLargeException"},
		{"f", "", strings.Repeat(" ", MaxRequest) + "1", 413, "RequestTooLargeException"},
	} {
		if status, header, _ := call(refused.name, refused.kind, refused.body); status != refused.status || header.Get("X-Amzn-Errortype") != refused.code {
			t.Errorf("%s of %s: %d %s", refused.kind, refused.name, status, header.Get("X-Amzn-Errortype"))
		}
	}
	allowed = false
	if status, header, _ := call("f", "", `{}`); status != 403 || header.Get("X-Amzn-Errortype") != "AccessDeniedException" {
		t.Errorf("not allowed: %d %v", status, header)
	}
}

func TestConfigurationIsChecked(t *testing.T) {
	for _, change := range []func(*Function){
		func(f *Function) { f.Bootstrap = "/absent" },
		func(f *Function) { f.Timeout = 0 },
		func(f *Function) { f.Timeout = 901 * time.Second },
		func(f *Function) { f.Memory = 64 },
		func(f *Function) { f.Environment = map[string]string{"AWS_REGION": "x"} },
		func(f *Function) { f.Environment = map[string]string{"X": strings.Repeat("x", 4096)} },
	} {
		f := Function{Name: "f", Bootstrap: bootstrap, Timeout: limit, Memory: 128}
		change(&f)
		if _, err := New(Options{}, f); err == nil {
			t.Errorf("taken: %+v", f)
		}
	}
}

func TestCloseEndsWhatRuns(t *testing.T) {
	s := serve(t, Options{}, nil)
	var group sync.WaitGroup
	group.Go(func() { s.Invoke(t.Context(), "f", []byte(`{"hang":true}`)) })
	until(t, "it runs", func() bool { n, _ := s.Processes("f"); return n == 1 })
	s.Close()
	group.Wait()
	if n, _ := s.Processes("f"); n != 0 {
		t.Errorf("%d processes are left", n)
	}
}
