// SPDX-License-Identifier: Apache-2.0

// Package server starts the registries that are measured, each as a process of its own on a free loopback port with a folder of its
// own, and reads how much memory they take. It ends only processes that it has started. Linux only: it reads /proc.
package server

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	startLimit = 30 * time.Second
	startPoll  = 5 * time.Millisecond
	stopLimit  = 20 * time.Second
	startTries = 3
)

// errNotReady says that a process ended, or did not answer in time, before it had served a request.
var errNotReady = errors.New("did not become ready")

// Registry is a registry that can be started.
type Registry struct {
	Name    string
	Version string
	Syncs   bool // whether what it answers 201 is on disk by then, as far as its configuration goes

	// Arguments go to the process after those that it needs.
	Arguments []string

	// command prepares the process that serves dir, an empty folder, on addr.
	command func(dir, addr string) (*exec.Cmd, error)
}

// Process is a running registry.
type Process struct {
	Registry
	Addr string // host and port
	Dir  string

	cmd  *exec.Cmd
	log  string
	done chan struct{} // closed when the process has ended
}

// Start starts the registry on an empty folder below parent, and waits until it answers GET /v2/. A process that ends before that,
// as when another took its port, is started again a few times.
func (r Registry) Start(ctx context.Context, parent string) (*Process, error) {
	var err error
	for range startTries {
		var p *Process
		if p, err = r.start(parent); err != nil {
			return nil, err
		}
		if err = p.ready(ctx); err == nil {
			return p, nil
		}
		tail := p.logTail()
		if stopErr := p.Stop(); stopErr != nil {
			return nil, fmt.Errorf("%s: %w", r.Name, stopErr)
		}
		err = fmt.Errorf("%s: %w: %s", r.Name, err, tail)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, err
}

func (r Registry) start(parent string) (*Process, error) {
	home, err := os.MkdirTemp(parent, r.Name+"-")
	if err != nil {
		return nil, err
	}
	data := filepath.Join(home, "data")
	if err := os.Mkdir(data, 0o700); err != nil {
		return nil, err
	}
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	cmd, err := r.command(data, addr)
	if err != nil {
		return nil, err
	}
	cmd.Args = append(cmd.Args, r.Arguments...)
	p := &Process{Registry: r, Addr: addr, Dir: home, cmd: cmd, log: filepath.Join(home, "log"), done: make(chan struct{})}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	go func() {
		cmd.Wait() // How it ended matters only while it starts, and then its log says more.
		close(p.done)
	}()
	return p, nil
}

// freeAddr finds a loopback port that nobody listens on now.
func freeAddr() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

func (p *Process) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	poll := time.NewTicker(startPoll)
	defer poll.Stop()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", errNotReady, ctx.Err())
		case <-p.done:
			return errNotReady
		case <-poll.C:
		}
		if p.answers(ctx, client) {
			break
		}
	}
	// The answer may be that of a stranger who took the port first: then our process cannot listen, and ends.
	select {
	case <-p.done:
		return errNotReady
	default:
		return nil
	}
}

func (p *Process) answers(ctx context.Context, client *http.Client) bool {
	req, err := http.NewRequestWithContext(ctx, "GET", "http://"+p.Addr+"/v2/", nil)
	if err != nil {
		return false
	}
	resp, err := client.Do(req)
	if err != nil {
		return false
	}
	return resp.Body.Close() == nil && resp.StatusCode == http.StatusOK
}

// logTail is the end of what the process has printed, on one line.
func (p *Process) logTail() string {
	raw, err := os.ReadFile(p.log)
	if err != nil {
		return err.Error()
	}
	const most = 500
	raw = bytes.TrimSpace(raw[max(0, len(raw)-most):])
	return strings.ReplaceAll(string(raw), "\n", " | ")
}

// Stop asks the process to end, kills it when it does not within 20 seconds, removes its folder, and waits until the disk has the
// removal too, so that it does not fall into the measurement that follows.
func (p *Process) Stop() error {
	signalErr := p.cmd.Process.Signal(syscall.SIGTERM)
	if errors.Is(signalErr, os.ErrProcessDone) {
		signalErr = nil
	}
	limit := time.NewTimer(stopLimit)
	defer limit.Stop()
	select {
	case <-p.done:
	case <-limit.C:
		signalErr = p.cmd.Process.Kill()
		<-p.done
	}
	removeErr := os.RemoveAll(p.Dir)
	syscall.Sync()
	return errors.Join(signalErr, removeErr)
}

// Failure describes a process that has ended by itself; it is nil while the process runs.
func (p *Process) Failure() error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended (%s): %s", p.Name, p.cmd.ProcessState, p.logTail())
	default:
		return nil
	}
}
