// SPDX-License-Identifier: Apache-2.0

package lambda

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// initLimit is how long a process has before it asks for its first event. dg lambda-runtime-environment: "The Init phase is
// limited to 10 seconds." AWS then tries once more within the function's timeout; here (ours) it is an error at once.
const initLimit = 10 * time.Second

// process is one execution environment: a process and the Runtime API that it alone sees.
type process struct {
	function *function
	number   int
	since    int // how often the processes of the function had been retired when it was made
	cmd      *exec.Cmd
	server   *http.Server
	asks     chan struct{}    // the process asks for an event
	given    chan *invocation // the event that it gets
	gone     chan struct{}    // closed when the process has ended

	mu       sync.Mutex
	ending   bool        // is killed, or may not be started
	current  *invocation // has no answer yet
	asking   bool
	initFail *fault // what the process said before it could take events

	events    int       // handled; the function's settle alone touches it
	idleSince time.Time // guarded by the function's lock
}

// invocation is an event in the hands of a process.
type invocation struct {
	id       string
	event    []byte
	deadline time.Time
	answer   chan answer // takes one
}

type answer struct {
	payload []byte
	err     string // X-Amz-Function-Error
}

// fault is an error that Lambda tells in place of the function.
type fault struct {
	kind    string
	message string
	body    []byte // what the function itself posted; nil: the above
}

func (f *fault) payload(id string) []byte {
	if f.body != nil {
		return f.body
	}
	b, err := json.Marshal(map[string]string{"errorType": f.kind, "errorMessage": "RequestId: " + id + " Error: " + f.message})
	if err != nil {
		panic(err) // two strings
	}
	return b
}

func newProcess(f *function, number int) *process {
	return &process{function: f, number: number, asks: make(chan struct{}, 1), given: make(chan *invocation), gone: make(chan struct{})}
}

// start runs the bootstrap and waits until it asks for an event. The fault says why it does not.
func (p *process) start() *fault {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return p.never(err)
	}
	p.server = &http.Server{Handler: p.runtimeAPI()}
	go p.server.Serve(listener)
	folder := filepath.Dir(p.function.Bootstrap)
	cmd := exec.Command(p.function.Bootstrap)
	cmd.Dir = folder
	stream := fmt.Sprintf("%s/[$LATEST]%032x", time.Now().UTC().Format("2006/01/02"), p.number)
	cmd.Env = p.function.service.environment(p.function.Function, folder, listener.Addr().String(), stream)
	out := &lines{to: p.function.service.options.Log, prefix: fmt.Sprintf("%s/%d ", p.function.Name, p.number)}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = attributes()
	p.mu.Lock()
	p.cmd = cmd
	p.mu.Unlock()
	failed := make(chan error, 1)
	go func() {
		// On Linux the child dies with the thread that made it.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.run()
		failed <- err
		if err == nil {
			p.cmd.Wait() // its status is in the command
		}
		p.server.Close()
		p.function.ended(p)
		close(p.gone)
	}()
	if err := <-failed; err != nil {
		<-p.gone
		return &fault{kind: "Runtime.InvalidEntrypoint", message: err.Error()}
	}
	late := time.NewTimer(initLimit)
	defer late.Stop()
	select {
	case <-p.asks:
		return nil
	case <-late.C:
		return &fault{kind: "Sandbox.Timedout", message: fmt.Sprintf("Task timed out after %.2f seconds", initLimit.Seconds())}
	case <-p.gone:
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.initFail != nil {
		return p.initFail
	}
	return p.exited()
}

// run starts the process, unless it was ended before that.
func (p *process) run() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ending {
		return errors.New("the service is closed")
	}
	return p.cmd.Start()
}

// never is for a process that could not even be tried.
func (p *process) never(err error) *fault {
	p.function.ended(p)
	close(p.gone)
	return &fault{kind: "Runtime.Unknown", message: err.Error()}
}

// exited says how the process ended, which it has.
func (p *process) exited() *fault {
	state := p.cmd.ProcessState
	if state.Success() {
		return &fault{kind: "Runtime.ExitError", message: "Runtime exited without providing a reason"}
	}
	return &fault{kind: "Runtime.ExitError", message: "Runtime exited with error: " + state.String()}
}

// handle gives the process, which asks for one, an event, and completes the result.
func (p *process) handle(result *Result, event []byte, timeout time.Duration) {
	begin := time.Now()
	i := &invocation{id: result.ID, event: event, deadline: begin.Add(timeout), answer: make(chan answer, 1)}
	p.mu.Lock()
	p.current = i
	p.mu.Unlock()
	p.signal(syscall.SIGCONT)
	late, stop := context.WithDeadline(context.Background(), i.deadline)
	defer stop()
	select {
	case p.given <- i:
	case <-p.gone:
	case <-late.Done():
	}
	var f *fault
	select {
	case a := <-i.answer:
		result.Payload, result.Error, result.Took = a.payload, a.err, time.Since(begin)
		if used := p.peak(); used > p.function.Memory<<20 {
			// dg troubleshooting-invocation: a function that uses more than its memory is killed.
			f = &fault{kind: "Runtime.ExitError", message: fmt.Sprintf("Runtime exited with error: signal: killed (%d MB used)", used>>20)}
			break
		}
		p.function.settle(p, i.deadline)
		return
	case <-p.gone:
		f = p.exited()
	case <-late.Done():
		f = &fault{kind: "Sandbox.Timedout", message: fmt.Sprintf("Task timed out after %.2f seconds", timeout.Seconds())}
	}
	result.Payload, result.Error, result.Took = f.payload(result.ID), "Unhandled", time.Since(begin)
	fmt.Fprintf(p.function.service.options.Log, "%s/%d %s\n", p.function.Name, p.number, result.Payload)
	p.end()
}

var highWater = regexp.MustCompile(`(?m)^VmHWM:\s+(\d+) kB$`)

// peak is the most memory that the process has had, in bytes; 0 where the machine does not tell.
func (p *process) peak() int {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	m := highWater.FindSubmatch(status)
	if m == nil {
		return 0
	}
	kilobytes, err := strconv.Atoi(string(m[1]))
	if err != nil {
		return 0
	}
	return kilobytes << 10
}

// signal sends a signal to the process; that it has ended is told elsewhere.
func (p *process) signal(s syscall.Signal) {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		fmt.Fprintf(p.function.service.options.Log, "%s/%d signal %v: %v\n", p.function.Name, p.number, s, err)
	}
}

// end kills the process, stopped or not, and waits until it is gone.
func (p *process) end() {
	p.mu.Lock()
	started := p.cmd != nil && p.cmd.Process != nil
	p.ending = true
	p.mu.Unlock()
	if started {
		p.signal(syscall.SIGKILL)
	}
	<-p.gone
}

// lines writes whole lines behind a prefix.
type lines struct {
	mu     sync.Mutex
	to     interface{ Write([]byte) (int, error) }
	prefix string
	rest   []byte
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rest = append(l.rest, b...)
	for {
		i := bytes.IndexByte(l.rest, '\n')
		if i < 0 {
			return len(b), nil
		}
		if _, err := l.to.Write(append([]byte(l.prefix), l.rest[:i+1]...)); err != nil {
			return 0, err
		}
		l.rest = l.rest[i+1:]
	}
}
