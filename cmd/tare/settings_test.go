// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"tare/internal/refcount"
)

// Every margin has a flag of its own.
func TestMarginsFromFlags(t *testing.T) {
	cli, err := parse(t, "gc", "--lease", "1h", "--grace", "2h", "--undo-window", "3h", "--upload-ttl", "4h", "--max-put", "5h",
		"--url-life", "6h", "--tombstone-delay", "7h", "--stage-lease", "8h", "--close-grace", "9h", "--max-step", "10h", "--skew", "11h",
		"--history", "12h", "--untagged-after", "13h")
	if err != nil {
		t.Fatal(err)
	}
	want := refcount.Margins{
		Lease: time.Hour, Grace: 2 * time.Hour, UndoWindow: 3 * time.Hour, UploadTTL: 4 * time.Hour, MaxPut: 5 * time.Hour,
		URLLife: 6 * time.Hour, TombstoneDelay: 7 * time.Hour, StageLease: 8 * time.Hour, CloseGrace: 9 * time.Hour,
		MaxStep: 10 * time.Hour, Skew: 11 * time.Hour, History: 12 * time.Hour, Untagged: 13 * time.Hour,
	}
	if got := cli.GC.margins(); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSparseIndexesAreASetting(t *testing.T) {
	const kind = "application/vnd.oci.image.index.v1+json"
	index := `{"schemaVersion":2,"mediaType":"` + kind + `","manifests":[{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"` + digestOf("none") + `","size":4}]}`
	for status, args := range map[int][]string{http.StatusNotFound: nil, http.StatusCreated: {"--allow-sparse-index"}} {
		s := start(t, shortFolder(t), args...)
		s.want(s.ask(http.MethodPut, "/v2/app/manifests/v1", "", strings.NewReader(index), "Content-Type", kind), status)
	}
}

func TestAccessLog(t *testing.T) {
	s := start(t, shortFolder(t), "--access-log", "--log-format", "json")
	s.want(s.ask(http.MethodGet, "/v2/", "", nil, "X-Request-Id", "mine"), http.StatusOK)
	s.stop()
	for line := range strings.Lines(s.log.String()) {
		var entry struct{ Msg, Request, Route string }
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("%v: %s", err, line)
		}
		if entry.Msg == "request" && entry.Request == "mine" && entry.Route == "base" {
			return
		}
	}
	t.Errorf("no line of the request in:\n%s", s.log)
}

// raw sends bytes to the server and reads its answer, for as long as the connection stays open at most a minute.
func (s *running) raw(request string) string {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.url, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		s.t.Fatal(err)
	}
	answer, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		s.t.Fatal(err)
	}
	return answer
}

func TestClientsThatStall(t *testing.T) {
	s := start(t, shortFolder(t), "--stall-timeout", "1s")
	if got := s.raw("PUT /v2/app/manifests/v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"); !strings.Contains(got, " 400 ") {
		t.Errorf("a body that stands still: %q", got)
	}
}

func TestLimitsOfHeaders(t *testing.T) {
	s := start(t, shortFolder(t))
	if got := s.raw("GET /v2/ HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", maxHeaderBytes+8<<10) + "\r\n\r\n"); !strings.Contains(got, " 431 ") {
		t.Errorf("headers that are too long: %q", got)
	}
	h := (&server{log: discardLog()}).front(nil, nil).http
	if h.ReadHeaderTimeout != readHeaderTimeout || h.IdleTimeout != idleTimeout {
		t.Errorf("headers may take %v, and a connection may be idle for %v", h.ReadHeaderTimeout, h.IdleTimeout)
	}
}

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	c := testClock()
	w := &counter{w: io.Discard, progress: newProgress(&console{err: &out, clock: c}), verb: "written"}
	for range 25 {
		if _, err := w.Write(make([]byte, 1<<10)); err != nil {
			t.Fatal(err)
		}
		c.Advance(time.Second)
	}
	w.progress.end()
	if want := "11.0 KiB written\n21.0 KiB written\n"; out.String() != want {
		t.Errorf("got %q, want %q", &out, want)
	}
}

func TestURLIsASetting(t *testing.T) {
	cli, err := parse(t, "serve", "--data", shortFolder(t), "--htpasswd", htpasswdOf(t, "a"), "--anonymous-pull", "--url", "https://registry.example/")
	if err != nil {
		t.Fatal(err)
	}
	c := testClock()
	f, err := openFolder(cli.Serve.Data, cli.Serve.margins(), c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	guard, err := cli.Serve.guard(&console{clock: c, log: discardLog()}, f)
	if err != nil {
		t.Fatal(err)
	}
	got := guard.Challenge(httptest.NewRequest(http.MethodGet, "/v2/", nil))
	if want := `Bearer realm="https://registry.example/token"`; !strings.HasPrefix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestWarningWithoutTLS(t *testing.T) {
	for listen, want := range map[string]bool{":0": true, "127.0.0.1:0": false} {
		s := start(t, shortFolder(t), "--listen", listen, "--open")
		s.stop()
		if got := strings.Contains(s.log.String(), "without TLS"); got != want {
			t.Errorf("%s: warned: %t\n%s", listen, got, s.log)
		}
	}
}

// The first lines say where the server is and how to push to it.
func TestServeSaysHowToPush(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	r, w := io.Pipe()
	data, ended := shortFolder(t), make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"serve", "--listen", "127.0.0.1:0", "--data", data}, nil, w, io.Discard)
	}()
	lines := bufio.NewReader(r)
	var said [4]string
	for i := range said {
		var err error
		if said[i], err = lines.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
	}
	go io.Copy(io.Discard, r)
	_, host, _ := strings.Cut(strings.TrimSpace(said[0]), " at http://")
	want := "\n  docker tag IMAGE " + host + "/IMAGE\n  docker push " + host + "/IMAGE\n"
	if got := strings.Join(said[1:], ""); host == "" || got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	cancel()
	if code := <-ended; code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

// The server chooses what Go's garbage collector may use, unless the environment does.
func TestMemoryIsTuned(t *testing.T) {
	percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(math.MaxInt64)
	t.Cleanup(func() {
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
	settings := func() (percent int, limit int64) {
		percent = debug.SetGCPercent(100)
		return percent, debug.SetMemoryLimit(math.MaxInt64)
	}
	t.Setenv("GOGC", "100")
	t.Setenv("GOMEMLIMIT", "off")
	start(t, shortFolder(t)).stop()
	if percent, limit := settings(); percent != 100 || limit != math.MaxInt64 {
		t.Errorf("chosen by the environment: %d and %d", percent, limit)
	}
	t.Setenv("GOGC", "")
	t.Setenv("GOMEMLIMIT", "")
	start(t, shortFolder(t)).stop()
	if percent, limit := settings(); percent != gcPercent || limit != memoryLimit {
		t.Errorf("got %d and %d, want %d and %d", percent, limit, gcPercent, memoryLimit)
	}
}

// What a command that was killed left in the folder goes when the folder is opened.
func TestScratchIsEmptied(t *testing.T) {
	data := shortFolder(t)
	start(t, data).stop()
	left := filepath.Join(data, scratchName, "snapshot-1", "table.db")
	if err := os.MkdirAll(filepath.Dir(left), 0o700); err != nil {
		t.Fatal(err)
	}
	writeFile(t, left, "rows")
	start(t, data)
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}
