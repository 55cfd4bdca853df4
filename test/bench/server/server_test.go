// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tare/test/bench/bare"
	"tare/test/bench/load"
	"tare/test/bench/server"
)

// TestMain lets the test binary be two servers: the bare handler, and a tare that ends at once.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 {
		os.Exit(m.Run())
	}
	switch os.Args[1] {
	case "bare":
		fmt.Fprintln(os.Stderr, bare.Serve(os.Args[2], os.Args[3]))
		os.Exit(1)
	case "serve":
		fmt.Fprintln(os.Stderr, "no space:", os.Args[len(os.Args)-1])
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func start(t *testing.T, r server.Registry, parent string) *server.Process {
	t.Helper()
	p, err := r.Start(t.Context(), parent)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Stop() }) // For a test that fails early: a second stop does nothing.
	return p
}

func self(t *testing.T) string {
	t.Helper()
	binary, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return binary
}

func TestStartAndStop(t *testing.T) {
	parent := t.TempDir()
	p := start(t, server.Bare(self(t)), parent)
	conn, err := load.Dial(t.Context(), p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.PushImage("a", "tag", load.Smallest(), load.PUT); err != nil {
		t.Error(err)
	}
	if err := p.Failure(); err != nil {
		t.Error(err)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if err := p.Failure(); err == nil {
		t.Error("a stopped process is said to run")
	}
	left, err := filepath.Glob(filepath.Join(parent, "*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestWatch(t *testing.T) {
	p := start(t, server.Bare(self(t)), t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	memory, err := p.Watch(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if memory.Anonymous <= 0 || memory.Files <= 0 || memory.Peak < memory.Anonymous {
		t.Errorf("memory of a running process: %+v", memory)
	}
	if err := p.Stop(); err != nil {
		t.Error(err)
	}
	if memory, err := p.Memory(); err == nil {
		t.Errorf("memory of a stopped process: %+v", memory)
	}
}

func TestStartFails(t *testing.T) {
	parent := t.TempDir()
	if _, err := server.Olareg("/nonexistent/olareg").Start(t.Context(), parent); err == nil {
		t.Error("a binary that does not exist was started")
	}
	ends := server.Tare(self(t))
	ends.Arguments = []string{"the last argument"}
	if _, err := ends.Start(t.Context(), parent); err == nil || !strings.Contains(err.Error(), "no space: the last argument") {
		t.Errorf("a process that ends at once gave %v, without what it printed", err)
	}
}
