// SPDX-License-Identifier: Apache-2.0

// Package lambda plays AWS Lambda for functions whose runtime is provided.al2023: it starts their bootstrap as a process,
// speaks the Runtime API with it, gives it one event at a time and stops it between two. Sources of its rules, as the
// comments name them:
//
//   - dg: the Lambda Developer Guide, https://docs.aws.amazon.com/lambda/latest/dg/, by page, read in November 2026;
//   - api: the Lambda API Reference, action Invoke;
//   - seen: an error that a running function printed, by the public issue that quotes it;
//   - ours: not documented, and chosen so that it is harder for a function than what is likely.
//
// What it does not play: the share of a processor that goes with the memory, the read-only file system, and that a
// process's monotonic clock stops with it: here it runs on.
package lambda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Limits of one invocation.
const (
	// MaxRequest is the most bytes of an event that is invoked synchronously. dg gettingstarted-limits: "6 MB each for
	// request and response (synchronous)"; seen: "must be smaller than 6291456 bytes".
	MaxRequest = 6291456
	// MaxResponse is the most bytes of an answer. seen (anomalyco/console#63): "Exceeded maximum allowed payload size
	// (6291556 bytes)."
	MaxResponse = 6291556
	// MaxEvent is the most bytes of an event that is invoked asynchronously. dg gettingstarted-limits: "1 MB
	// (asynchronous)".
	MaxEvent = 1 << 20
	// maxEnvironment is what a function's variables may have together. dg gettingstarted-limits: "4 KB, for all
	// environment variables associated with the function, in aggregate".
	maxEnvironment = 4 << 10
)

// Errors of an invocation that never reached the function.
var (
	ErrThrottled = errors.New("rate exceeded")                 // TooManyRequestsException
	ErrTooLarge  = errors.New("the event is too large")        // RequestTooLargeException
	ErrNotFound  = errors.New("there is no such function")     // ResourceNotFoundException
	ErrNotJSON   = errors.New("the event is not a JSON value") // InvalidRequestContentException
)

// Function is a function as it is deployed.
type Function struct {
	Name        string
	ARN         string
	Bootstrap   string // the program
	Timeout     time.Duration
	Memory      int // MB
	Environment map[string]string
	Credentials map[string]string // of its role; reserved variables
	Concurrency int               // reserved; 0: whatever the account has
	Retries     int               // MaximumRetryAttempts of asynchronous invocations
	Age         time.Duration
	OnFailure   string // where events go that were given up; "": nowhere
}

// Options are the account and the Region.
type Options struct {
	Region  string
	Account string
	// Concurrency is how many processes may be there at once. dg lambda-concurrency: 1,000 in an account; "New AWS
	// accounts have reduced concurrency". 0: 1000.
	Concurrency int
	// Common are variables that every function has beside its own: where the stand-ins are.
	Common map[string]string
	// Log takes what functions print, a line at a time behind the function's name; nil: nowhere.
	Log io.Writer
	// Idle is after how long without an event a process ends; 0: 5 minutes (ours; AWS names no time).
	Idle time.Duration
	// Observe is told of every invocation that reached a process, by the function's name, before its caller is; nil: nobody is.
	Observe func(function string, r Result)
	// Recycle ends a process after so many events; 0: never. A function may rely on no memory of the last event.
	Recycle int
	// Wait is how long an event waits before its next attempt, after a function's error and after a throttle; nil: as
	// AWS does it.
	Wait func(attempt int, throttled bool) time.Duration
}

// Service is Lambda in one account and Region. Its methods may be called at once.
type Service struct {
	options   Options
	functions map[string]*function
	queue     queue

	mu        sync.Mutex
	processes int // of all functions
}

// Result is how an invocation of a function ended.
type Result struct {
	ID      string // request id
	Payload []byte
	Error   string        // X-Amz-Function-Error; "": the function answered
	Init    time.Duration // from exec to the first question for an event; 0: the process was warm
	Took    time.Duration // from the event to the answer
}

// New returns a service with these functions. No process runs until the first event.
func New(o Options, functions ...Function) (*Service, error) {
	if o.Concurrency == 0 {
		o.Concurrency = 1000
	}
	if o.Idle == 0 {
		o.Idle = 5 * time.Minute
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	if o.Log == nil {
		o.Log = io.Discard
	}
	s := &Service{options: o, functions: map[string]*function{}}
	for _, f := range functions {
		if err := check(f); err != nil {
			return nil, fmt.Errorf("function %s: %w", f.Name, err)
		}
		s.functions[f.Name] = newFunction(s, f)
	}
	s.queue.start(s)
	return s, nil
}

// reserved are names that a function's configuration may not set. dg configuration-envvars: "Reserved environment
// variables".
var reserved = []string{
	"_HANDLER", "_X_AMZN_TRACE_ID", "AWS_DEFAULT_REGION", "AWS_REGION", "AWS_EXECUTION_ENV", "AWS_LAMBDA_FUNCTION_NAME",
	"AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "AWS_LAMBDA_FUNCTION_VERSION", "AWS_LAMBDA_INITIALIZATION_TYPE",
	"AWS_LAMBDA_LOG_GROUP_NAME", "AWS_LAMBDA_LOG_STREAM_NAME", "AWS_ACCESS_KEY", "AWS_ACCESS_KEY_ID",
	"AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_LAMBDA_RUNTIME_API", "LAMBDA_TASK_ROOT", "LAMBDA_RUNTIME_DIR",
}

func check(f Function) error {
	size := 0
	for name, value := range f.Environment {
		if slices.Contains(reserved, name) {
			return fmt.Errorf("its configuration sets the reserved variable %s", name)
		}
		size += len(name) + len(value)
	}
	switch info, err := os.Stat(f.Bootstrap); {
	case err != nil:
		return err
	case info.IsDir() || info.Mode()&0o111 == 0:
		return fmt.Errorf("%s is not a program", f.Bootstrap)
	case size > maxEnvironment:
		return fmt.Errorf("its variables have %d bytes, more than %d", size, maxEnvironment)
	case f.Timeout < time.Second || f.Timeout > 15*time.Minute:
		// dg gettingstarted-limits: "Function timeout: 900 seconds (15 minutes)".
		return fmt.Errorf("its timeout is %v", f.Timeout)
	case f.Memory < 128 || f.Memory > 10240:
		// dg gettingstarted-limits: "128 MB to 10,240 MB, in 1-MB increments".
		return fmt.Errorf("its memory is %d MB", f.Memory)
	}
	return nil
}

// find returns a function by its name, its ARN or the partial ARN, all of which may end in :$LATEST. api: "FunctionName".
func (s *Service) find(name string) (*function, error) {
	name = strings.TrimSuffix(name, ":$LATEST")
	if i := strings.LastIndex(name, ":function:"); i >= 0 {
		name = name[i+len(":function:"):]
	}
	if f, ok := s.functions[name]; ok {
		return f, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrNotFound, name)
}

// Invoke invokes a function and waits for its answer. An event that was handed to a process is not taken back when the
// context ends: the function runs on, as on AWS, and only the wait is over.
func (s *Service) Invoke(ctx context.Context, name string, event []byte) (Result, error) {
	f, err := s.find(name)
	if err != nil {
		return Result{}, err
	}
	if len(event) >= MaxRequest {
		return Result{}, fmt.Errorf("%w: %d bytes", ErrTooLarge, len(event))
	}
	type outcome struct {
		result Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		r, err := f.invoke(newID(), event)
		done <- outcome{r, err}
	}()
	select {
	case o := <-done:
		return o.result, o.err
	case <-ctx.Done():
		return Result{}, ctx.Err()
	}
}

// Processes tells how many processes of a function there are, and how many were started since the service was.
func (s *Service) Processes(name string) (running, started int) {
	f, err := s.find(name)
	if err != nil {
		return 0, 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count, f.started
}

// Retire ends the processes of a function that wait for an event, as a new deployment does, and returns when they are gone.
// Those that have an event, or have just answered one, get no other.
func (s *Service) Retire(name string) error {
	f, err := s.find(name)
	if err != nil {
		return err
	}
	f.retire()
	return nil
}

// Close takes no more events, ends every process and returns when they are gone. Events in the queue are dropped.
func (s *Service) Close() {
	s.queue.close()
	for _, f := range s.functions {
		f.close()
	}
}

// take reserves a place for a process in the account.
func (s *Service) take() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.processes >= s.options.Concurrency {
		return false
	}
	s.processes++
	return true
}

func (s *Service) give() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.processes--
}

// environment is everything that a process of the function finds in its environment. dg configuration-envvars: "Defined
// runtime environment variables"; AWS_EXECUTION_ENV is not defined for provided.al2023.
func (s *Service) environment(f Function, folder, runtimeAPI, stream string) []string {
	all := map[string]string{
		"LANG": "en_US.UTF-8",
		"PATH": "/usr/local/bin:/usr/bin/:/bin:/opt/bin",
		"TZ":   ":UTC",
	}
	maps.Copy(all, s.options.Common)
	maps.Copy(all, f.Environment)
	maps.Copy(all, f.Credentials)
	maps.Copy(all, map[string]string{
		"_HANDLER":                        "bootstrap",
		"AWS_REGION":                      s.options.Region,
		"AWS_DEFAULT_REGION":              s.options.Region,
		"AWS_LAMBDA_FUNCTION_NAME":        f.Name,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": fmt.Sprint(f.Memory),
		"AWS_LAMBDA_FUNCTION_VERSION":     "$LATEST",
		"AWS_LAMBDA_INITIALIZATION_TYPE":  "on-demand",
		"AWS_LAMBDA_LOG_GROUP_NAME":       "/aws/lambda/" + f.Name,
		"AWS_LAMBDA_LOG_STREAM_NAME":      stream,
		"AWS_LAMBDA_RUNTIME_API":          runtimeAPI,
		"LAMBDA_TASK_ROOT":                folder,
		"LAMBDA_RUNTIME_DIR":              "/var/runtime",
	})
	var list []string
	for name, value := range all {
		list = append(list, name+"="+value)
	}
	slices.Sort(list)
	return list
}
