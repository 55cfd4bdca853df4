// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	startTimeout = 30 * time.Second
	stopTimeout  = 30 * time.Second
)

// A daemon is a process that runs beside the test. It ends with the test at the latest.
type daemon struct {
	words  []string
	env    []string
	log    string     // file
	cmd    *exec.Cmd  // nil: not running
	exited chan error // receives the end of cmd, once
}

// start runs the daemon and returns when it is ready. A daemon that has ended can be started again.
func (d *daemon) start(t *testing.T, ready func() bool) {
	t.Helper()
	if d.exited == nil {
		t.Cleanup(func() {
			if d.cmd != nil {
				// Errors in ending are for those who call stop: the tests of everything else have what they wanted.
				_ = d.end()
			}
			if t.Failed() {
				d.tellLog(t)
			}
		})
	}
	log, err := os.OpenFile(d.log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(d.words[0], d.words[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr = d.env, log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	d.cmd, d.exited = cmd, make(chan error, 1)
	go func(exited chan<- error) { exited <- cmd.Wait() }(d.exited)
	if err := d.await(t.Context(), ready); err != nil {
		t.Fatalf("%s: %v", d.words[0], err)
	}
}

// await asks until the answer is yes, the daemon has ended, or the time is over.
func (d *daemon) await(ctx context.Context, ready func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !ready() {
		select {
		case err := <-d.exited:
			d.cmd = nil
			return fmt.Errorf("ended before it was ready: %v", err)
		case <-ctx.Done():
			return errors.New("not ready in time")
		case <-tick.C:
		}
	}
	return nil
}

// answers says whether a GET is answered, if only by the wish for credentials.
func answers(ctx context.Context, transport http.RoundTripper, url string) bool {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return false
	}
	response.Body.Close()
	return response.StatusCode == http.StatusOK || response.StatusCode == http.StatusUnauthorized
}

// end asks the daemon to end and returns how it did; one that does not is killed.
func (d *daemon) end() error {
	cmd := d.cmd
	d.cmd = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	select {
	case err := <-d.exited:
		return err
	case <-time.After(stopTimeout):
		return errors.Join(errors.New("did not end when it was asked to"), cmd.Process.Kill(), <-d.exited)
	}
}

// kill ends the daemon without a word.
func (d *daemon) kill(t *testing.T) {
	t.Helper()
	if err := d.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-d.exited
	d.cmd = nil
}

// tellLog adds the end of the daemon's log to the test's.
func (d *daemon) tellLog(t *testing.T) {
	t.Helper()
	const most = 16 << 10
	log, err := os.ReadFile(d.log)
	if err != nil {
		t.Log(err)
		return
	}
	if len(log) > most {
		log = log[len(log)-most:]
	}
	t.Logf("%s\n%s", strings.Join(d.words, " "), log)
}
