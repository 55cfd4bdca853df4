// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
)

// Fault is what happens to a request instead of simply passing; nil lets it pass.
type Fault func(*exchange)

// LoseCall takes the whole request and ends the connection: it does not happen, and the client cannot know.
func LoseCall(x *exchange) {
	x.receive()
	x.cut()
}

// LoseReply lets the request happen and ends the connection instead of answering.
func LoseReply(x *exchange) {
	x.send(x.r)
	x.cut()
}

// Reset is [LoseCall] with a connection that is reset rather than ended.
func Reset(x *exchange) {
	x.receive()
	x.reset()
}

// Late ends the connection as [LoseCall] does, and keeps the request for [Proxy.Land].
func Late(x *exchange) {
	x.putOff()
	x.cut()
}

// Refuse answers with an error document and does not do the request. The body is taken.
func Refuse(status int, contentType, document string) Fault {
	return func(x *exchange) {
		x.receive()
		x.answer(status, http.Header{"Content-Type": {contentType}}, []byte(document))
	}
}

// RefuseAfter does the request and answers with an error document all the same.
func RefuseAfter(status int, contentType, document string) Fault {
	return func(x *exchange) {
		x.send(x.r)
		x.answer(status, http.Header{"Content-Type": {contentType}}, []byte(document))
	}
}

// CutBody takes n bytes of the request's body and ends the connection.
func CutBody(n int64) Fault {
	return func(x *exchange) {
		_, _ = io.CopyN(io.Discard, x.r.Body, n) // a body that is shorter is cut at its end
		x.cut()
	}
}

// CutAnswer lets the request happen, answers with n bytes of the body, under the length that it had, and ends the
// connection.
func CutAnswer(n int) Fault {
	return func(x *exchange) {
		answer := x.send(x.r)
		for name, values := range answer.Header() {
			x.w.Header()[name] = values
		}
		x.w.WriteHeader(answer.Code)
		body := answer.Body.Bytes()
		_, _ = x.w.Write(body[:min(n, len(body))])
		if f, ok := x.w.(http.Flusher); ok {
			f.Flush()
		}
		x.cut()
	}
}

// On is the plan in which a fault happens to the nth request of an operation, counted from 1 when the plan is made.
func On(operation string, nth int, f Fault) Plan {
	return Script(operation, map[int]Fault{nth: f})
}

// Script is the plan in which faults happen to the requests of an operation with these numbers, counted from 1 when the
// plan is made.
func Script(operation string, faults map[int]Fault) Plan {
	var mu sync.Mutex
	n := 0
	return func(r Request) Fault {
		if r.Operation != operation {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		n++
		return faults[n]
	}
}

// Always is the plan in which a fault happens to every request of an operation.
func Always(operation string, f Fault) Plan {
	return func(r Request) Fault {
		if r.Operation != operation {
			return nil
		}
		return f
	}
}

// Sometimes is the plan in which one of the faults happens to every request of these operations with probability p, as
// the seed has it. The order of concurrent requests is the machine's.
func Sometimes(seed uint64, p float64, operations []string, faults ...Fault) Plan {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 0))
	return func(r Request) Fault {
		if !slices.Contains(operations, r.Operation) {
			return nil
		}
		mu.Lock()
		defer mu.Unlock()
		if random.Float64() >= p {
			return nil
		}
		return faults[random.IntN(len(faults))]
	}
}

// First is the plan of several: the first that has a fault for a request is followed.
func First(plans ...Plan) Plan {
	return func(r Request) Fault {
		for _, plan := range plans {
			if f := plan(r); f != nil {
				return f
			}
		}
		return nil
	}
}

// S3Error is the fault in which S3 answers an error and does nothing: "SlowDown" with 503, "InternalError" with 500,
// "OperationAborted" with 409, … (Amazon S3 API Reference, "Error responses", 2026-11).
func S3Error(status int, code, message string) Fault {
	return Refuse(status, "application/xml", s3Document(code, message))
}

// S3ErrorAfter is the fault in which S3 does a request and answers an error.
func S3ErrorAfter(status int, code, message string) Fault {
	return RefuseAfter(status, "application/xml", s3Document(code, message))
}

func s3Document(code, message string) string {
	return fmt.Sprintf("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>%s</Message><RequestId>0000</RequestId><HostId>0000</HostId></Error>",
		code, message)
}
