// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
	"time"
)

const (
	readyAfter = 30 * time.Second // at most, from start to the first answer
	stopAfter  = 10 * time.Second // at most, from the signal to the end
	pollEvery  = 5 * time.Millisecond
	startTries = 5 // each on another port: one that is free can be taken before the program has it
)

// Server is a stand-in that runs.
type Server struct {
	URL string // of the loopback interface; a new life has a new one

	command func(address, port string) []string
	mu      sync.Mutex // guards what follows
	life    *life
	log     log
}

// life is one process, from its start to its end.
type life struct {
	process *os.Process
	ended   chan struct{} // closed when it has ended; err is set then
	err     error
}

// StartProgram starts any other program that listens at an address which its arguments name, and returns when it answers.
func StartProgram(ctx context.Context, command func(address, port string) []string) (*Server, error) {
	return start(ctx, command)
}

func start(ctx context.Context, command func(address, port string) []string) (*Server, error) {
	s := &Server{command: command}
	return s, s.Start(ctx)
}

// Start starts a server again that was stopped or killed, with the same data and on a new port.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life != nil {
		return errors.New("it runs")
	}
	var err error
	for range startTries {
		if err = s.try(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return fmt.Errorf("%w\n%s", err, s.log.String())
}

// try starts a process on a port that is free now, and waits until that very process listens there.
func (s *Server) try(ctx context.Context) error {
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return err
	}
	args := s.command(address, port)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = &s.log, &s.log
	cmd.SysProcAttr = dieWithParent()
	l, err := begin(cmd)
	if err != nil {
		return err
	}
	if err := l.ready(ctx, address); err != nil {
		return errors.Join(err, l.end(syscall.SIGKILL))
	}
	s.life, s.URL = l, "http://"+address
	return nil
}

// begin starts a process. Linux ends it with the thread that started it, which therefore stays until it has ended.
func begin(cmd *exec.Cmd) (*life, error) {
	l := &life{ended: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		l.process = cmd.Process
		started <- err
		if err == nil {
			l.err = cmd.Wait()
			close(l.ended)
		}
	}()
	return l, <-started
}

// ready waits until the process listens at the address and takes a connection.
func (l *life) ready(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, readyAfter)
	defer cancel()
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		select {
		case <-l.ended:
			return fmt.Errorf("it ended before it answered: %w", errors.Join(l.err, errors.New("see its log")))
		case <-ctx.Done():
			return fmt.Errorf("it does not answer: %w", ctx.Err())
		case <-poll.C:
		}
		if !listens(l.process.Pid, address) {
			continue
		}
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err == nil {
			return conn.Close()
		}
	}
}

// end sends a signal and waits for the end. How a process ends that was told to is not asked.
func (l *life) end(sig syscall.Signal) error {
	if err := l.process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	timeout := time.NewTimer(stopAfter)
	defer timeout.Stop()
	select {
	case <-l.ended:
		return nil
	case <-timeout.C:
	}
	if sig == syscall.SIGKILL {
		return errors.New("it does not end")
	}
	return errors.Join(errors.New("it does not end when it is told to"), l.end(syscall.SIGKILL))
}

// Stop ends the process as a person would. One that does not run is no error; one that ended by itself is.
func (s *Server) Stop() error { return s.finish(syscall.SIGTERM) }

// Kill ends the process as a crash would. What it had acknowledged is there in its next life.
func (s *Server) Kill() error { return s.finish(syscall.SIGKILL) }

func (s *Server) finish(sig syscall.Signal) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.life
	if l == nil {
		return nil
	}
	s.life = nil
	select {
	case <-l.ended:
		return fmt.Errorf("it ended by itself: %w", errors.Join(l.err, errors.New("see its log")))
	default:
		return l.end(sig)
	}
}

// Pid is the number of the process; 0 when none runs.
func (s *Server) Pid() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.life == nil {
		return 0
	}
	return s.life.process.Pid
}

// Log is the end of what the processes printed.
func (s *Server) Log() string { return s.log.String() }

// log keeps the end of what is written to it.
type log struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

const logKept = 64 << 10 // bytes

func (l *log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.text.Len() > 2*logKept {
		l.text.Next(l.text.Len() - logKept)
	}
	return l.text.Write(p)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
