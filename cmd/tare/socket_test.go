// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// echo accepts one connection and says the word on it.
func echo(l net.Listener, word string) {
	conn, err := l.Accept()
	if err != nil {
		return // closed: the dialer's side fails the test
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, word)
}

func TestSocket(t *testing.T) {
	short, err := os.MkdirTemp("", "s") // t.TempDir's names can be too long by themselves
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	long := filepath.Join(short, strings.Repeat("long/", 60))
	if err := os.MkdirAll(long, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"short path": short, "long path": long} {
		t.Run(name, func(t *testing.T) {
			if _, err := dialSocket(t.Context(), dir); !errors.Is(err, errNoServer) {
				t.Errorf("before: %v", err)
			}
			// What a server that was killed leaves behind.
			dead, err := listenSocket(dir)
			if err != nil {
				t.Fatal(err)
			}
			if err := dead.(*socketListener).Listener.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := dialSocket(t.Context(), dir); !errors.Is(err, errNoServer) {
				t.Errorf("with a dead socket: %v", err)
			}

			l, err := listenSocket(dir)
			if err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(filepath.Join(dir, socketName))
			if err != nil {
				t.Fatal(err)
			}
			if info.Mode() != os.ModeSocket|0o600 {
				t.Errorf("mode %v", info.Mode())
			}
			go echo(l, "hello")
			conn, err := dialSocket(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			word, err := io.ReadAll(conn)
			if string(word) != "hello" || err != nil {
				t.Errorf("got %q, %v", word, err)
			}
			conn.Close()

			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if _, err := dialSocket(t.Context(), dir); !errors.Is(err, errNoServer) {
				t.Errorf("after: %v", err)
			}
			left, err := filepath.Glob(filepath.Join(dir, ".*"))
			if err != nil || len(left) > 0 {
				t.Errorf("left behind: %v %v", left, err)
			}
		})
	}
}
