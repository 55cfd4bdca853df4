// SPDX-License-Identifier: Apache-2.0

// Package server runs the registry that is soaked, a process on a folder, and ends it in all ways in which a process
// ends. It ends only processes that it has started.
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
	"syscall"
	"time"
)

const (
	startLimit = 30 * time.Second
	poll       = 2 * time.Millisecond
)

// Registry is a registry on a data folder, running or not.
type Registry struct {
	Binary string
	Data   string // the data folder
	Log    string // the file to which it logs
	Addr   string // host and port

	arguments   []string
	environment []string
	health      string        // the path that answers 200 when it serves
	cmd         *exec.Cmd     // the latest process
	done        chan struct{} // closed when it has ended; nil before the first one
}

// New returns a tare that is not running, on a free loopback port. The settings are those of the settings file.
func New(binary, data, log string, settings map[string]string) (*Registry, error) {
	r, err := registry(binary, data, log)
	if err != nil {
		return nil, err
	}
	r.arguments = []string{"serve", "--listen", r.Addr}
	r.environment = append(r.environment, variable("data")+"="+data)
	for name, value := range settings {
		r.environment = append(r.environment, variable(name)+"="+value)
	}
	r.health = "/readyz"
	return r, nil
}

func registry(binary, data, log string) (*Registry, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &Registry{Binary: binary, Data: data, Log: log, Addr: listener.Addr().String(), environment: os.Environ()}
	return r, listener.Close()
}

// variable is the environment variable of a setting.
func variable(name string) string {
	return "TARE_" + string(bytes.ToUpper(bytes.ReplaceAll([]byte(name), []byte("-"), []byte("_"))))
}

// Start starts a process.
func (r *Registry) Start() error {
	log, err := os.OpenFile(r.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd, done := exec.Command(r.Binary, r.arguments...), make(chan struct{})
	cmd.Env = r.environment
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		cmd.Wait() // its status is in the command
		close(done)
	}()
	r.cmd, r.done = cmd, done
	return nil
}

// Ready waits until the process serves.
func (r *Registry) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	ticks := time.NewTicker(poll)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("the registry does not become ready: %w", ctx.Err())
		case <-r.done:
			return fmt.Errorf("the registry ended (%v) before it was ready: %s", r.cmd.ProcessState, r.Tail())
		case <-ticks.C:
		}
		answer, err := client.Get("http://" + r.Addr + r.health)
		if err != nil {
			continue
		}
		answer.Body.Close()
		if answer.StatusCode == http.StatusOK {
			return nil
		}
	}
}

// Kill ends the process, if there is one, by SIGKILL and waits until it is gone.
func (r *Registry) Kill() error {
	if r.done == nil {
		return nil
	}
	if err := r.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	<-r.done
	return nil
}

// Stop ends the process as an operator does, and tells how it went.
func (r *Registry) Stop(ctx context.Context) error {
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	status, err := r.Ended(ctx)
	if err == nil && status != 0 {
		err = fmt.Errorf("the registry was stopped and ended with status %d: %s", status, r.Tail())
	}
	return err
}

// Ended waits until the process ends by itself and returns its exit status, or -1 when a signal ended it.
func (r *Registry) Ended(ctx context.Context) (int, error) {
	select {
	case <-r.done:
		return r.cmd.ProcessState.ExitCode(), nil
	case <-ctx.Done():
		return 0, fmt.Errorf("the registry does not end: %w", ctx.Err())
	}
}

// Alive tells whether the process runs.
func (r *Registry) Alive() bool {
	select {
	case <-r.done:
		return false
	default:
		return true
	}
}

// Command runs another command of the program on the data folder, with the settings of the registry, and returns what it
// printed.
func (r *Registry) Command(ctx context.Context, arguments ...string) (string, error) {
	cmd := exec.CommandContext(ctx, r.Binary, arguments...)
	cmd.Env = r.environment
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("tare %s: %w: %s", arguments[0], err, bytes.TrimSpace(errs.Bytes()))
	}
	return string(out), err
}

// Tail is the end of the log.
func (r *Registry) Tail() string {
	raw, err := os.ReadFile(r.Log)
	if err != nil {
		return err.Error()
	}
	return string(bytes.TrimSpace(raw[max(0, len(raw)-1000):]))
}
