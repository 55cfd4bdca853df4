// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// backupOf is a backup of a registry with an image.
func backupOf(t *testing.T, layer string) string {
	t.Helper()
	data := shortFolder(t)
	s := start(t, data)
	s.pushImage("app", "v1", layer)
	s.stop()
	code, archive, stderr := command(t, "", "backup", "-", "--data", data)
	if code != exitOK {
		t.Fatal(stderr)
	}
	return archive
}

// readerFunc is a reader that is a function.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// Wherever a restore stops, there is no folder, or one that says so and that every command refuses.
func TestRestoreThatStops(t *testing.T) {
	archive := backupOf(t, largeLayer("layer "))
	reads := 0
	restoreTo := func(data string, stopAt int) int {
		rest := strings.NewReader(archive)
		reads = 0
		in := readerFunc(func(p []byte) (int, error) {
			if reads++; stopAt > 0 && reads >= stopAt {
				return 0, errors.New("stopped")
			}
			entries, err := os.ReadDir(data)
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Error(err)
			}
			if _, err := os.Stat(filepath.Join(data, restoringName)); len(entries) > 0 && err != nil {
				t.Errorf("read %d: there is a folder: %v", reads, err)
			}
			return rest.Read(p[:min(len(p), 4<<10)])
		})
		return run(context.Background(), []string{"restore", "-", "--data", data}, in, io.Discard, io.Discard)
	}
	if code := restoreTo(shortFolder(t), 0); code != exitOK || reads < 10 {
		t.Fatalf("exit code %d after %d reads", code, reads)
	}
	for last, stopAt := reads, 1; stopAt <= last; stopAt += 1 + last/8 {
		data := shortFolder(t)
		if code := restoreTo(data, stopAt); code != exitFailed {
			t.Fatalf("stopped at read %d: exit code %d", stopAt, code)
		}
		if _, err := os.Stat(data); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for _, args := range [][]string{{"size"}, {"gc"}, {"serve", "--listen", "127.0.0.1:0"}, {"restore", "-"}} {
			fails(t, "did not come to its end", append(args, "--data", data)...)
		}
	}
}

// A restore that has changed nothing leaves nothing.
func TestRestoreOfSomethingElse(t *testing.T) {
	for name, archive := range map[string]string{"text": "not a backup", "nothing": "", "zeros": strings.Repeat("\x00", 4096)} {
		data := shortFolder(t)
		code, _, stderr := command(t, archive, "restore", "-", "--data", data)
		if _, err := os.Stat(data); code != exitFailed || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: exit code %d, %v\n%s", name, code, err, stderr)
		}
	}
}

// What follows the end of a backup is no part of it, so that nobody can say what the file is.
func TestRestoreOfALongerBackup(t *testing.T) {
	archive, data := backupOf(t, largeLayer("layer ")), shortFolder(t)
	code, _, stderr := command(t, archive+"more", "restore", "-", "--data", data)
	if code != exitFailed || !strings.Contains(stderr, "something follows its end") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
	fails(t, "did not come to its end", "size", "--data", data)
}

// The root of a file system has a folder of its own, and can be a data folder.
func TestRestoreToAMountPoint(t *testing.T) {
	layer := largeLayer("layer ")
	archive, data := backupOf(t, layer), shortFolder(t)
	if err := os.MkdirAll(filepath.Join(data, "lost+found"), 0o700); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t, archive, "restore", "-", "--data", data); code != exitOK {
		t.Fatalf("exit code %d\n%s", code, stderr)
	}
	start(t, data).pulls("app", "v1", layer)
}

// A start that fails when its data folder is made takes it away again, and no other.
func TestStartWithoutASocket(t *testing.T) {
	base := t.TempDir()
	long := filepath.Join(base, strings.Repeat("long/", 30))
	if err := os.MkdirAll(long, 0o700); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(long, "data")
	t.Run("new", func(t *testing.T) {
		t.Setenv("TMPDIR", long)
		fails(t, "too long for a socket", "serve", "--listen", "127.0.0.1:0", "--data", data)
		if _, err := os.Stat(data); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the folder is there: %v", err)
		}
	})
	s := start(t, data)
	s.pushImage("app", "v1", "layer")
	s.stop()
	t.Run("old", func(t *testing.T) {
		t.Setenv("TMPDIR", long)
		fails(t, "too long for a socket", "serve", "--listen", "127.0.0.1:0", "--data", data)
	})
	start(t, data).pulls("app", "v1", "layer")
}
