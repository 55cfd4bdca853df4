// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/refcount"
	"tare/internal/store"
)

func testClock() *clock.Manual {
	return clock.NewManual(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC))
}

func discardLog() *slog.Logger { return slog.New(slog.DiscardHandler) }

// both runs a test of a command beside a running server, and on a folder that no server has open. Before each, fill has
// put something into the folder by way of a server.
func both(t *testing.T, fill func(*running), test func(t *testing.T, data string)) {
	t.Helper()
	for name, serves := range map[string]bool{"beside a server": true, "without a server": false} {
		t.Run(name, func(t *testing.T) {
			data := shortFolder(t)
			s := start(t, data)
			fill(s)
			if !serves {
				s.stop()
			}
			test(t, data)
		})
	}
}

// succeeds runs a command and returns what it printed.
func succeeds(t *testing.T, args ...string) string {
	t.Helper()
	code, out, stderr := command(t, "", args...)
	if code != exitOK {
		t.Fatalf("%v: exit code %d\n%s%s", args, code, out, stderr)
	}
	return out
}

// fails runs a command that has to fail for the reason.
func fails(t *testing.T, reason string, args ...string) {
	t.Helper()
	code, out, stderr := command(t, "", args...)
	if code == exitOK || !strings.Contains(stderr, reason) {
		t.Errorf("%v: exit code %d, want a failure that says %q:\n%s%s", args, code, reason, out, stderr)
	}
}

func says(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in:\n%s", want, text)
		}
	}
}

func TestGC(t *testing.T) {
	layer := largeLayer("layer ")
	fill := func(s *running) {
		s.pushImage("kept", "v1", largeLayer("other "))
		d := s.pushImage("app", "v1", layer)
		s.want(s.ask(http.MethodDelete, "/v2/app/manifests/"+d, "", nil), http.StatusAccepted)
	}
	both(t, fill, func(t *testing.T, data string) {
		out := succeeds(t, "gc", "--data", data)
		says(t, out, "Swept: nothing was due.", "Waiting:", "manifest", "can be undeleted until then", "blob in repository", "64.1 KiB", "23h")
		list := succeeds(t, "gc", "--data", data, "--list")
		says(t, list, "\tmanifest\tapp\tsha256:", "\tblob in repository\tapp\t"+digestOf(layer))

		fails(t, "say --yes", "gc", "--data", data, "--give-up-margins")
		out = succeeds(t, "gc", "--data", data, "--give-up-margins", "--yes")
		says(t, out, "1 manifest", "1 object", "64.0 KiB freed")
		fails(t, "no deleted manifest", "undelete", "app:v1", "--data", data)
		files, err := filepath.Glob(filepath.Join(data, "objects", "*", "*"))
		if err != nil || len(files) != 1 {
			t.Errorf("objects left: %v, %v", files, err)
		}
	})
}

// What docs/operations.md says of one damaged blob: when all that lists it is gone, and a sweep came, the same bytes are
// taken anew.
func TestDamagedBlobIsReplaced(t *testing.T) {
	data, layer := shortFolder(t), largeLayer("layer ")
	s := start(t, data)
	d := s.pushImage("app", "v1", layer)
	files, err := filepath.Glob(filepath.Join(data, "objects", "*", "*"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	writeFile(t, files[0], strings.ToUpper(layer))
	if a := s.ask(http.MethodGet, "/v2/app/blobs/"+digestOf(layer), "", nil); a.body == layer {
		t.Fatal("the blob is not damaged")
	}
	for _, path := range []string{"manifests/" + d, "blobs/" + digestOf(layer)} {
		s.want(s.ask(http.MethodDelete, "/v2/app/"+path, "", nil), http.StatusAccepted)
	}
	succeeds(t, "gc", "--data", data)
	s.pushImage("app", "v1", layer)
	s.pulls("app", "v1", layer)
}

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]bool{"give up\n": true, "  give up  \n": true, "give up": true, "yes\n": false, "\n": false, "": false} {
		var out bytes.Buffer
		c := &console{in: strings.NewReader(answer), err: &out, terminal: true}
		if err := c.confirm(giveUpWarning, giveUpWords); (err == nil) != want {
			t.Errorf("%q: %v", answer, err)
		}
		says(t, out.String(), "cannot be undeleted any more", `Type "give up"`)
	}
}

func TestUndelete(t *testing.T) {
	layer := largeLayer("layer ")
	var d string
	fill := func(s *running) {
		d = s.pushImage("team/app", "v1", layer)
		s.pushImage("team/app", "v2", layer)
		s.want(s.ask(http.MethodDelete, "/v2/team/app/manifests/"+d, "", nil), http.StatusAccepted)
		s.pushImage("team/app", "v2", largeLayer("newer "))
	}
	both(t, fill, func(t *testing.T, data string) {
		fails(t, "is no repository name", "undelete", "Team/App:v1", "--data", data)
		fails(t, "only sha256 and sha512", "undelete", "team/app@md5:1", "--data", data)
		fails(t, "knows no manifest", "undelete", "team/app:none", "--data", data)
		out := succeeds(t, "undelete", "team/app@"+d, "--data", data)
		says(t, out, "Brought back the manifest team/app@"+d, "Brought back the tag team/app:v1", "Did not bring back v2: the tag points to sha256:")
	})
}

// An undelete that cannot go on names what it lacks, and is not taken for a push by who looks at what waits.
func TestUndeleteWithoutABlob(t *testing.T) {
	layer := largeLayer("layer ")
	fill := func(s *running) {
		d := s.pushImage("app", "v1", layer)
		s.want(s.ask(http.MethodDelete, "/v2/app/manifests/"+d, "", nil), http.StatusAccepted)
		s.want(s.ask(http.MethodDelete, "/v2/app/blobs/"+digestOf(layer), "", nil), http.StatusAccepted)
	}
	both(t, fill, func(t *testing.T, data string) {
		fails(t, digestOf(layer), "undelete", "app:v1", "--data", data)
		says(t, succeeds(t, "gc", "--data", data), "deleted; an undelete or a push of it is not finished")
	})
}

func TestSize(t *testing.T) {
	shared := largeLayer("shared ")
	fill := func(s *running) {
		s.pushImage("a", "v1", shared)
		s.pushImage("b", "v1", shared)
		s.pushImage("b", "v2", largeLayer("own "))
		s.pushBlob("a/blobs", shared)
	}
	both(t, fill, func(t *testing.T, data string) {
		out := succeeds(t, "size", "--data", data)
		lines := strings.Split(strings.TrimSpace(out), "\n")
		if len(lines) != 4 {
			t.Fatalf("got:\n%s", out)
		}
		for i, want := range []string{"a 64.1 KiB 0 B 64.1 KiB 2 1 1", "a/blobs 64.0 KiB 0 B 64.0 KiB 1 0 0", "b 128.1 KiB 64.0 KiB 64.1 KiB 3 2 2"} {
			if got := strings.Join(strings.Fields(lines[i+1]), " "); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		one := succeeds(t, "size", "a", "--data", data)
		if strings.Contains(one, "\nb") {
			t.Errorf("got more than one repository:\n%s", one)
		}
		fails(t, "is no repository name", "size", "A", "--data", data)
		fails(t, "tare: there is no repository none", "size", "none", "--data", data)
	})
}

func TestBackupAndRestore(t *testing.T) {
	layer, other := largeLayer("layer "), largeLayer("other ")
	var d string
	fill := func(s *running) {
		s.pushNoted("app", "v1", layer, largeLayer("a manifest that does not fit into a row "))
		d = s.pushImage("app", "v2", other)
		s.want(s.ask(http.MethodDelete, "/v2/app/manifests/"+d, "", nil), http.StatusAccepted)
		location := s.want(s.ask(http.MethodPost, "/v2/app/blobs/uploads/", "", nil), http.StatusAccepted).Header.Get("Location")
		s.want(s.ask(http.MethodPatch, location, "", strings.NewReader(layer[:len(layer)-1])), http.StatusAccepted)
	}
	both(t, fill, func(t *testing.T, data string) {
		file := filepath.Join(t.TempDir(), "backup.tar")
		succeeds(t, "backup", file, "--data", data)
		if info, err := os.Stat(file); err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		if left, err := filepath.Glob(filepath.Join(data, scratchName, "*")); err != nil || len(left) > 0 {
			t.Errorf("left in scratch: %v, %v", left, err)
		}
		code, stream, _ := command(t, "", "backup", "-", "--data", data)
		if code != exitOK || len(stream) == 0 {
			t.Errorf("to the standard output: %d, %d bytes", code, len(stream))
		}

		restored := shortFolder(t)
		out := succeeds(t, "restore", file, "--data", restored)
		says(t, out, "Restored", "objects: 3")
		fails(t, "is not empty", "restore", file, "--data", restored)
		s := start(t, restored)
		s.pulls("app", "v1", layer)
		says(t, succeeds(t, "undelete", "app@"+d, "--data", restored), "Brought back the tag app:v2")
		s.pulls("app", "v2", other)

		again := shortFolder(t)
		if code, _, stderr := command(t, stream, "restore", "-", "--data", again); code != exitOK {
			t.Errorf("from the standard input: %d\n%s", code, stderr)
		}
	})
}

func TestRestoreOfHalfABackup(t *testing.T) {
	data, file := shortFolder(t), filepath.Join(t.TempDir(), "backup.tar")
	s := start(t, data)
	s.pushImage("app", "v1", largeLayer("layer "))
	succeeds(t, "backup", file, "--data", data)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, string(b[:len(b)-len(largeLayer("layer "))]))
	half := shortFolder(t)
	fails(t, "the backup is not complete", "restore", file, "--data", half)
	for _, args := range [][]string{{"serve", "--listen", "127.0.0.1:0"}, {"gc"}, {"compact"}, {"backup", "-"}} {
		fails(t, "did not come to its end", append(args, "--data", half)...)
	}
}

// A restore looks at what it restored: an archive can be whole and lack what its rows promise.
func TestRestoreIsChecked(t *testing.T) {
	data, file := shortFolder(t), filepath.Join(t.TempDir(), "backup.tar")
	s := start(t, data)
	s.pushImage("app", "v1", largeLayer("layer "))
	succeeds(t, "backup", file, "--data", data)
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	backup, _, err := readAll(b)
	if err != nil {
		t.Fatal(err)
	}
	var rows bytes.Buffer
	w, err := newArchiveWriter(&rows, archiveHeader{})
	if err != nil {
		t.Fatal(err)
	}
	for key, row := range backup.rows {
		if err := w.row(store.Item{Key: key, Row: row}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.close(); err != nil {
		t.Fatal(err)
	}
	writeFile(t, file, rows.String())
	restored := shortFolder(t)
	fails(t, "the backup was made of a damaged registry", "restore", file, "--data", restored)
	fails(t, "did not come to its end", "gc", "--data", restored)
}

func TestBackupFailsWhole(t *testing.T) {
	both(t, func(s *running) { s.pushImage("app", "v1", largeLayer("layer ")) }, func(t *testing.T, data string) {
		objects, err := filepath.Glob(filepath.Join(data, "objects", "*", "*"))
		if err != nil || len(objects) != 1 {
			t.Fatal(objects, err)
		}
		if err := os.Remove(objects[0]); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "backup.tar")
		code, _, _ := command(t, "", "backup", file, "--data", data)
		left, err := os.ReadDir(filepath.Dir(file))
		if code != exitFailed || err != nil || len(left) != 0 {
			t.Errorf("exit code %d, left %v, %v", code, left, err)
		}
	})
}

// writerFunc is a writer that is a function.
type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// No sweep has its turn from before the rows of a backup are copied until its last object is written.
func TestNoSweepDuringABackup(t *testing.T) {
	data := shortFolder(t)
	s := start(t, data)
	s.pushImage("app", "v1", largeLayer("layer "))
	s.stop()
	c := testClock()
	f, err := openFolder(data, refcount.DefaultMargins(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	o := &operator{folder: f, sweeper: newSweeper(f.ledger, c, discardLog(), nil), clock: c, log: discardLog()}
	writes := 0
	err = o.backup(t.Context(), writerFunc(func(p []byte) (int, error) {
		if writes++; len(o.sweeper.turn) > 0 {
			t.Errorf("a sweep could run at write %d", writes)
		}
		return len(p), nil
	}))
	if err != nil || writes == 0 || len(o.sweeper.turn) != 1 {
		t.Errorf("%v after %d writes, %d turns are left", err, writes, len(o.sweeper.turn))
	}
}

// compacted compacts a table and returns how many MiB the command says that it had and has.
func compacted(t *testing.T, data string) (before, after float64) {
	t.Helper()
	said := succeeds(t, "compact", "--data", data)
	if _, err := fmt.Sscanf(said, "The table had %f MiB and has %f MiB.", &before, &after); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	return before, after
}

func TestCompact(t *testing.T) {
	data := shortFolder(t)
	s := start(t, data)
	s.pushImage("app", "v1", largeLayer("layer "))
	fails(t, "stop the server first", "compact", "--data", data)
	s.stop()
	if before, after := compacted(t, data); after > before {
		t.Errorf("it grew from %v to %v MiB", before, after)
	}
	if before, after := compacted(t, data); after != before {
		t.Errorf("from %v to %v MiB, without anything to do", before, after)
	}
	s = start(t, data)
	s.pulls("app", "v1", largeLayer("layer "))
	fails(t, "no such file", "compact", "--data", shortFolder(t))
}

func TestHoldKeepsSweepsAway(t *testing.T) {
	c := testClock()
	f, err := openFolder(shortFolder(t), refcount.DefaultMargins(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s := newSweeper(f.ledger, c, discardLog(), nil)
	release, err := s.hold(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	none := func(refcount.Report) error { return nil }
	if _, err := s.sweep(ended, false, none); !errors.Is(err, context.Canceled) {
		t.Errorf("swept in spite of the hold: %v", err)
	}
	release()
	if _, err := s.sweep(t.Context(), false, none); err != nil {
		t.Error(err)
	}
}

func TestServerThatDied(t *testing.T) {
	dir := shortFolder(t)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := listenSocket(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		_, _ = w.Write([]byte(`{"line":{"swept":{"links":1}}}` + "\n"))
	})}
	go server.Serve(l)
	defer server.Close()
	fails(t, "the server went away", "gc", "--data", dir)
}

func TestSampleConfiguration(t *testing.T) {
	cli, err := parse(t, "serve", "--config", "../../contrib/systemd/tare.json")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cli.Serve.access(); err != nil {
		t.Error(err)
	}
}

// The service manager waits for longer than the server lets uploads finish, and hides nothing that the metrics are made of.
func TestUnit(t *testing.T) {
	b, err := os.ReadFile("../../contrib/systemd/tare.service")
	if err != nil {
		t.Fatal(err)
	}
	cli, err := parse(t, "serve")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(b), "\nTimeoutStopSec=")
	seconds, _, _ := strings.Cut(rest, "\n")
	if n, err := strconv.Atoi(seconds); err != nil || time.Duration(n)*time.Second <= time.Duration(cli.Serve.ShutdownTimeout) {
		t.Errorf("TimeoutStopSec=%s, the server may take %v", seconds, time.Duration(cli.Serve.ShutdownTimeout))
	}
	if strings.Contains(string(b), "\nProcSubset=") {
		t.Error("a part of /proc is hidden: the metrics lack process_start_time_seconds")
	}
}

// What a person names is taken apart without loss, at the one at or the last colon.
func FuzzTarget(f *testing.F) {
	for _, text := range []string{"", "app", "app:v1", "team/app@sha256:abc", ":", "@", "a:b:c", "a@b@c", "localhost:5000/app:v1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := parseTarget(text)
		if err != nil {
			if strings.ContainsAny(text, ":@") {
				t.Fatalf("%q: %v", text, err)
			}
			return
		}
		between := ":"
		if strings.Contains(text, "@") {
			between = "@"
		}
		if got.Repository+between+got.Reference != text || strings.ContainsAny(got.Repository, "@") || between == ":" && strings.Contains(got.Reference, ":") {
			t.Fatalf("%q: %+v", text, got)
		}
	})
}
