// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func open(t *testing.T, path string) *os.File {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func TestTerminals(t *testing.T) {
	if !isTerminal(open(t, "/dev/ptmx")) {
		t.Error("a terminal is none")
	}
	if isTerminal(open(t, os.DevNull)) || isTerminal(strings.NewReader("")) {
		t.Error("what is no terminal is one")
	}
}

// A command of a script whose streams go nowhere has nobody to ask, and no terminal to spare.
func TestNothingIsNoTerminal(t *testing.T) {
	data := shortFolder(t)
	start(t, data)
	var out, err bytes.Buffer
	if code := run(t.Context(), []string{"gc", "--give-up-margins", "--data", data}, open(t, os.DevNull), &out, &err); code != exitUsage || !strings.Contains(err.String(), "say --yes") {
		t.Errorf("gc: exit code %d:\n%s", code, &err)
	}
	err.Reset()
	if code := run(t.Context(), []string{"backup", "-", "--data", data}, nil, open(t, os.DevNull), &err); code != exitOK {
		t.Errorf("backup: exit code %d:\n%s", code, &err)
	}
}
