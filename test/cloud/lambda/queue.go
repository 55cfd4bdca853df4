// SPDX-License-Identifier: Apache-2.0

package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Failure is the record that the failure destination of a function gets. dg invocation-async-retain-records: "Example
// invocation record".
type Failure struct {
	Version         string          `json:"version"`
	Timestamp       time.Time       `json:"timestamp"`
	RequestContext  RequestContext  `json:"requestContext"`
	RequestPayload  json.RawMessage `json:"requestPayload"`
	ResponseContext ResponseContext `json:"responseContext"`
	ResponsePayload json.RawMessage `json:"responsePayload,omitempty"`

	Destination string `json:"-"` // its ARN; "": the function has none, and AWS would have dropped the event
}

// RequestContext says which event was given up, and why.
type RequestContext struct {
	RequestID              string `json:"requestId"`
	FunctionARN            string `json:"functionArn"`
	Condition              string `json:"condition"` // RetriesExhausted, EventAgeExceeded
	ApproximateInvokeCount int    `json:"approximateInvokeCount"`
}

// ResponseContext is what became of the last attempt.
type ResponseContext struct {
	StatusCode      int    `json:"statusCode"`
	ExecutedVersion string `json:"executedVersion"`
	FunctionError   string `json:"functionError,omitempty"`
}

// queue holds the events that are invoked asynchronously. They are tried at once and in no order.
type queue struct {
	service *Service
	ctx     context.Context
	stop    context.CancelFunc
	workers sync.WaitGroup

	mu      sync.Mutex
	pending int
	failed  []Failure
	closed  bool
}

func (q *queue) start(s *Service) {
	q.service = s
	q.ctx, q.stop = context.WithCancel(context.Background())
}

func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.stop()
	q.workers.Wait()
}

// Enqueue takes an event for a function and returns its request id; what becomes of it, the caller does not hear.
func (s *Service) Enqueue(name string, event []byte) (string, error) {
	f, err := s.find(name)
	if err != nil {
		return "", err
	}
	if len(event) > MaxEvent {
		return "", fmt.Errorf("%w: %d bytes, invoked asynchronously", ErrTooLarge, len(event))
	}
	if !json.Valid(event) {
		return "", ErrNotJSON
	}
	q, id := &s.queue, newID()
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return "", fmt.Errorf("%w: the service is closed", ErrNotFound)
	}
	q.pending++
	q.workers.Go(func() {
		q.attempt(f, id, slices.Clone(event))
		q.mu.Lock()
		q.pending--
		q.mu.Unlock()
	})
	return id, nil
}

// Pending is how many events wait, or are in the hands of a function.
func (s *Service) Pending() int {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return s.queue.pending
}

// Failures are the events that were given up so far.
func (s *Service) Failures() []Failure {
	s.queue.mu.Lock()
	defer s.queue.mu.Unlock()
	return slices.Clone(s.queue.failed)
}

// wait is how long AWS waits. dg invocation-async-error-handling: "a one-minute wait between the first two attempts, and two
// minutes between the second and third attempts"; for throttles and system errors "increases exponentially from 1 second
// after the first attempt to a maximum of 5 minutes".
func wait(attempt int, throttled bool) time.Duration {
	if throttled {
		return min(time.Second<<min(attempt-1, 9), 5*time.Minute)
	}
	return time.Duration(attempt) * time.Minute
}

// attempt tries until the function has answered, or the event is too old, or was tried often enough. A throttle is no
// attempt of the function. dg invocation-async-error-handling.
func (q *queue) attempt(f *function, id string, event []byte) {
	begin, errs, throttles := time.Now(), 0, 0
	for {
		result, err := f.invoke(id, event)
		var pause time.Duration
		switch {
		case err == nil && result.Error == "":
			return
		case err == nil:
			if errs++; errs > f.Retries {
				q.fail(f, id, event, "RetriesExhausted", errs, result)
				return
			}
			pause = q.service.options.Wait(errs, false)
		case errors.Is(err, ErrThrottled):
			throttles++
			pause = q.service.options.Wait(throttles, true)
		default: // the service is closed
			return
		}
		if f.Age > 0 && time.Since(begin)+pause > f.Age {
			q.fail(f, id, event, "EventAgeExceeded", errs, result)
			return
		}
		select {
		case <-time.After(pause):
		case <-q.ctx.Done():
			return
		}
	}
}

func (q *queue) fail(f *function, id string, event []byte, condition string, attempts int, last Result) {
	record := Failure{
		Version:         "1.0",
		Timestamp:       time.Now().UTC(),
		RequestContext:  RequestContext{id, f.ARN + ":$LATEST", condition, attempts},
		RequestPayload:  event,
		ResponseContext: ResponseContext{200, "$LATEST", last.Error},
		ResponsePayload: last.Payload,
		Destination:     f.OnFailure,
	}
	fmt.Fprintf(q.service.options.Log, "%s gave up an event (%s): %s: %s\n", f.Name, condition, event, last.Payload)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failed = append(q.failed, record)
}
