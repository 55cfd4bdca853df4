// SPDX-License-Identifier: Apache-2.0

package lambda

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"syscall"
)

// runtimeAPI is what the process talks to. dg runtimes-api: four endpoints below /2018-06-01/.
func (p *process) runtimeAPI() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", p.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", p.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", p.invocationError)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", p.initError)
	return mux
}

// next gives the process its next event, and stops it until there is one. dg lambda-runtime-environment: "Lambda freezes
// the execution environment when the runtime and each extension have completed and there are no pending events."
func (p *process) next(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	busy := p.current != nil || p.asking
	p.asking = true
	p.mu.Unlock()
	if busy {
		refuse(w, http.StatusForbidden, "InvalidStateTransition", "the last event has no answer")
		return
	}
	p.signal(syscall.SIGSTOP)
	p.asks <- struct{}{}
	select {
	case i := <-p.given:
		p.mu.Lock()
		p.asking = false
		p.mu.Unlock()
		h := w.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(i.event)))
		h.Set("Lambda-Runtime-Aws-Request-Id", i.id)
		h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(i.deadline.UnixMilli(), 10))
		h.Set("Lambda-Runtime-Invoked-Function-Arn", p.function.ARN)
		h.Set("Lambda-Runtime-Trace-Id", trace())
		w.Write(i.event)
	case <-r.Context().Done(): // the process has ended
	}
}

// response takes the function's answer.
func (p *process) response(w http.ResponseWriter, r *http.Request) {
	// dg configuration-response-streaming: only a caller that invokes with a response stream gets one. The HTTP API does not.
	if r.Header.Get("Lambda-Runtime-Function-Response-Mode") != "" {
		p.answer(w, r, answer{(&fault{kind: "Runtime.InvalidResponse", message: "the answer is a stream"}).payload(r.PathValue("id")), "Unhandled"})
		return
	}
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxResponse))
	if err != nil {
		// seen (anomalyco/console#63): the runtime gets 413, the caller Function.ResponseSizeTooLarge.
		message := fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", MaxResponse)
		if i := p.finish(r.PathValue("id")); i != nil {
			i.answer <- answer{(&fault{kind: "Function.ResponseSizeTooLarge", message: message}).payload(i.id), "Unhandled"}
		}
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", message)
		return
	}
	if !json.Valid(payload) {
		p.answer(w, r, answer{(&fault{kind: "Runtime.InvalidResponse", message: "the answer is not JSON"}).payload(r.PathValue("id")), "Unhandled"})
		return
	}
	p.answer(w, r, answer{payload: payload})
}

// invocationError takes the function's error.
func (p *process) invocationError(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxResponse))
	if err != nil || !json.Valid(payload) {
		payload = (&fault{kind: r.Header.Get("Lambda-Runtime-Function-Error-Type"), message: "the error is not JSON"}).payload(r.PathValue("id"))
	}
	p.answer(w, r, answer{payload, "Unhandled"})
}

// initError takes the reason for which a process cannot take events. dg runtimes-api: "After the runtime has notified Lambda,
// it should exit"; here it has to, since nobody waits for anything else.
func (p *process) initError(w http.ResponseWriter, r *http.Request) {
	payload, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxResponse))
	if err != nil || !json.Valid(payload) {
		payload = (&fault{kind: r.Header.Get("Lambda-Runtime-Function-Error-Type"), message: "the error is not JSON"}).payload("")
	}
	p.mu.Lock()
	p.initFail = &fault{body: payload}
	p.mu.Unlock()
	accept(w)
}

// finish ends the invocation with this id, if it is the one that the process handles.
func (p *process) finish(id string) *invocation {
	p.mu.Lock()
	defer p.mu.Unlock()
	i := p.current
	if i == nil || i.id != id {
		return nil
	}
	p.current = nil
	return i
}

func (p *process) answer(w http.ResponseWriter, r *http.Request, a answer) {
	i := p.finish(r.PathValue("id"))
	if i == nil {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "this id is not that of the event in hand")
		return
	}
	accept(w)
	i.answer <- a
}

func accept(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	io.WriteString(w, `{"status":"OK"}`+"\n")
}

func refuse(w http.ResponseWriter, status int, kind, message string) {
	b, err := json.Marshal(map[string]string{"errorType": kind, "errorMessage": message})
	if err != nil {
		panic(err) // two strings
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(b)
}

// newID returns a request id, which is a UUID.
func newID() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}

func trace() string {
	var b [24]byte
	rand.Read(b[:])
	return fmt.Sprintf("Root=1-%x-%x;Parent=%x;Sampled=0", b[:4], b[4:16], b[16:])
}
