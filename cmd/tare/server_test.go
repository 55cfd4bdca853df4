// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

func TestServeKeepsWhatItAcknowledged(t *testing.T) {
	data, layer := shortFolder(t), largeLayer("layer ")
	s := start(t, data)
	d := s.pushImage("team/app", "v1", layer)
	s.pulls("team/app", "v1", layer)
	s.pulls("team/app", d, layer)
	if code := s.stop(); code != exitOK {
		t.Fatalf("exit code %d:\n%s", code, s.log)
	}
	s = start(t, data)
	s.pulls("team/app", "v1", layer)
}

func TestServeRefusesAFolderInUse(t *testing.T) {
	data := shortFolder(t)
	start(t, data)
	code, _, stderr := command(t, "", "serve", "--listen", "127.0.0.1:0", "--data", data)
	if code != exitFailed || !strings.Contains(stderr, "the data folder is in use") {
		t.Errorf("got %d:\n%s", code, stderr)
	}
	for _, args := range [][]string{{"compact", "--data", data}, {"restore", os.DevNull, "--data", data}} {
		if code, _, _ := command(t, "", args...); code != exitFailed {
			t.Errorf("%v: got %d", args, code)
		}
	}
}

func TestFoldersOfAnotherFormat(t *testing.T) {
	data := t.TempDir()
	writeFile(t, filepath.Join(data, formatName), `{"format":"tare","version":99}`)
	for _, args := range [][]string{{"serve", "--listen", "127.0.0.1:0"}, {"gc"}, {"compact"}, {"backup", "-"}} {
		fails(t, "a data folder of another format: "+data+" has version 99", append(args, "--data", data)...)
	}
}

func TestServeRefusesToBeOpen(t *testing.T) {
	data := shortFolder(t)
	code, _, stderr := command(t, "", "serve", "--listen", ":0", "--data", data)
	if code != exitUsage || !strings.Contains(stderr, "--htpasswd") {
		t.Errorf("got %d:\n%s", code, stderr)
	}
	if _, err := os.Stat(data); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it made a data folder nevertheless: %v", err)
	}
}

func TestServeThatCannotStartLeavesNothing(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	none := filepath.Join(t.TempDir(), "none")
	for name, args := range map[string][]string{
		"an address in use":           {"--listen", busy.Addr().String()},
		"an address of metrics":       {"--metrics-listen", busy.Addr().String()},
		"no htpasswd file":            {"--htpasswd", none},
		"no htpasswd file, anonymous": {"--htpasswd", none, "--anonymous-pull"},
		"a user who is not there":     {"--htpasswd", htpasswdOf(t, "a"), "--read-only-users", "b"},
		"no certificate":              {"--tls-cert", none, "--tls-key", none},
		"margins that cannot be":      {"--grace", "1h"},
	} {
		t.Run(name, func(t *testing.T) {
			data := filepath.Join(t.TempDir(), "new", "data")
			if code, _, stderr := command(t, "", append([]string{"serve", "--listen", "127.0.0.1:0", "--data", data}, args...)...); code == exitOK || stderr == "" {
				t.Errorf("exit code %d:\n%s", code, stderr)
			}
			if _, err := os.Stat(filepath.Dir(data)); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("it made a data folder nevertheless: %v", err)
			}
		})
	}
}

// htpasswdOf writes a file of users, each with their name as password.
func htpasswdOf(t *testing.T, names ...string) string {
	t.Helper()
	var b strings.Builder
	for _, name := range names {
		hash, err := bcrypt.GenerateFromPassword([]byte(name), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString(name + ":" + string(hash) + "\n")
	}
	path := filepath.Join(t.TempDir(), "htpasswd")
	writeFile(t, path, b.String())
	return path
}

func TestServeUsers(t *testing.T) {
	s := start(t, shortFolder(t), "--htpasswd", htpasswdOf(t, "writer", "reader"), "--read-only-users", "reader")
	upload := func(user string) reply { return s.ask(http.MethodPost, "/v2/app/blobs/uploads/", user, nil) }
	if a := s.want(s.ask(http.MethodGet, "/v2/", "", nil), http.StatusUnauthorized); a.Header.Get("WWW-Authenticate") != `Basic realm="tare"` {
		t.Errorf("challenge %q", a.Header.Get("WWW-Authenticate"))
	}
	s.want(s.ask(http.MethodGet, "/v2/", "writer:not-this-one", nil), http.StatusUnauthorized)
	s.want(s.ask(http.MethodGet, "/v2/", "reader:reader", nil), http.StatusOK)
	s.want(upload(""), http.StatusUnauthorized)
	s.want(upload("reader:reader"), http.StatusForbidden)
	s.want(upload("writer:writer"), http.StatusAccepted)
	s.want(s.ask(http.MethodGet, "/token", "writer:writer", nil), http.StatusNotFound)
	for _, path := range []string{"/healthz", "/readyz"} {
		s.want(s.ask(http.MethodGet, path, "", nil), http.StatusOK)
	}
	if strings.Contains(s.log.String(), "not-this-one") {
		t.Error("the log has a password")
	}
}

func TestServeAnonymousPull(t *testing.T) {
	data, layer := shortFolder(t), largeLayer("layer ")
	s := start(t, data)
	s.pushImage("app", "v1", layer)
	s.stop()

	s = start(t, data, "--htpasswd", htpasswdOf(t, "writer"), "--anonymous-pull")
	s.pulls("app", "v1", layer)
	a := s.want(s.ask(http.MethodGet, "/v2/", "", nil), http.StatusUnauthorized)
	realm := s.url + "/token"
	if got := a.Header.Get("WWW-Authenticate"); !strings.HasPrefix(got, `Bearer realm="`+realm+`"`) {
		t.Errorf("challenge %q", got)
	}
	s.want(s.ask(http.MethodGet, "/token", "writer:wrong", nil), http.StatusUnauthorized)
	for user, pushes := range map[string]int{"": http.StatusUnauthorized, "writer:writer": http.StatusAccepted} {
		var answer struct{ Token string }
		if err := json.Unmarshal([]byte(s.want(s.ask(http.MethodGet, "/token", user, nil), http.StatusOK).body), &answer); err != nil {
			t.Fatal(err)
		}
		bearer := []string{"Authorization", "Bearer " + answer.Token}
		s.want(s.ask(http.MethodGet, "/v2/", "", nil, bearer...), http.StatusOK)
		s.want(s.ask(http.MethodGet, "/v2/app/manifests/v1", "", nil, bearer...), http.StatusOK)
		s.want(s.ask(http.MethodPost, "/v2/app/blobs/uploads/", "", nil, bearer...), pushes)
		metrics := http.StatusUnauthorized
		if user != "" {
			metrics = http.StatusOK
		}
		s.want(s.ask(http.MethodGet, "/metrics", "", nil, bearer...), metrics)
	}
}

func TestMetricsAreNotOpenToStrangers(t *testing.T) {
	t.Run("loopback without users", func(t *testing.T) {
		s := start(t, shortFolder(t))
		s.pushImage("app", "v1", largeLayer("layer "))
		text := s.want(s.ask(http.MethodGet, "/metrics", "", nil), http.StatusOK).body
		for _, want := range []string{
			`tare_http_requests_total{method="PUT",route="manifest",status="201"} 1`,
			`tare_store_calls_total{call="commit",outcome="ok",store="table"}`,
			`tare_store_calls_total{call="put",outcome="ok",store="objects"} 1`,
			"tare_sweeps_total", "tare_disk_free_bytes", "tare_table_bytes", "tare_unfinished_uploads 0",
			"tare_http_received_bytes_total", "tare_http_request_duration_seconds_bucket", "tare_build_info", "go_goroutines", "process_start_time_seconds",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("no %s", want)
			}
		}
	})
	t.Run("users", func(t *testing.T) {
		s := start(t, shortFolder(t), "--htpasswd", htpasswdOf(t, "a"))
		s.want(s.ask(http.MethodGet, "/metrics", "", nil), http.StatusUnauthorized)
		s.want(s.ask(http.MethodGet, "/metrics", "a:b", nil), http.StatusUnauthorized)
		s.want(s.ask(http.MethodGet, "/metrics", "a:a", nil), http.StatusOK)
	})
	t.Run("open to other machines", func(t *testing.T) {
		s := start(t, shortFolder(t), "--listen", ":0", "--open")
		s.want(s.ask(http.MethodGet, "/metrics", "", nil), http.StatusNotFound)
	})
	t.Run("an address of its own", func(t *testing.T) {
		s := start(t, shortFolder(t), "--htpasswd", htpasswdOf(t, "a"), "--metrics-listen", "127.0.0.1:0")
		s.want(s.ask(http.MethodGet, "/metrics", "a:a", nil), http.StatusNotFound)
	})
	t.Run("profiles", func(t *testing.T) {
		data := shortFolder(t)
		s := start(t, data)
		s.want(s.ask(http.MethodGet, "/debug/pprof/", "", nil), http.StatusNotFound)
		admin, err := dialAdmin(t.Context(), data)
		if err != nil {
			t.Fatal(err)
		}
		defer admin.Close()
		resp, err := admin.http.Get("http://admin/debug/pprof/heap")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("on the socket: %s", resp.Status)
		}
	})
}

func TestServeTLS(t *testing.T) {
	dir := t.TempDir()
	certFile, keyFile := writeCertificate(t, dir, "first")
	s := start(t, shortFolder(t), "--tls-cert", certFile, "--tls-key", keyFile)
	if !strings.HasPrefix(s.url, "https://") {
		t.Fatalf("serves %s", s.url)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(s.url + "/v2/")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 || resp.TLS.PeerCertificates[0].Subject.CommonName != "first" {
		t.Errorf("got %s by %s", resp.Status, resp.Proto)
	}
}

func TestFloorOfFreeDisk(t *testing.T) {
	data, layer := shortFolder(t), largeLayer("layer ")
	s := start(t, data)
	d := s.pushImage("app", "v1", layer)
	upload := s.want(s.ask(http.MethodPost, "/v2/app/blobs/uploads/", "", nil), http.StatusAccepted).Header.Get("Location")
	s.stop()

	s = start(t, data, "--min-free", "8000000TiB")
	for _, a := range []reply{
		s.ask(http.MethodPost, "/v2/app/blobs/uploads/", "", nil),
		s.ask(http.MethodPatch, upload, "", strings.NewReader("more")),
		s.ask(http.MethodPut, upload+"?digest="+digestOf("more"), "", strings.NewReader("more")),
		s.ask(http.MethodPost, "/v2/app/blobs/uploads/?digest="+digestOf("x"), "", strings.NewReader("x")),
		s.ask(http.MethodPut, "/v2/app/manifests/v2", "", strings.NewReader("{}"), "Content-Type", "application/vnd.oci.image.manifest.v1+json"),
	} {
		s.want(a, http.StatusInsufficientStorage)
		if !strings.Contains(a.body, `"NO_SPACE"`) || !strings.Contains(a.body, "nearly full") {
			t.Errorf("%s: %s", a.Request.Method, a.body)
		}
	}
	s.pulls("app", "v1", layer)
	s.want(s.ask(http.MethodDelete, "/v2/app/manifests/"+d, "", nil), http.StatusAccepted)
	if code, out, stderr := command(t, "", "gc", "--data", data, "--give-up-margins", "--yes"); code != exitOK || !strings.Contains(out, "1 object") {
		t.Errorf("gc: %d\n%s%s", code, out, stderr)
	}
}

func TestStopLetsAnUploadFinish(t *testing.T) {
	data, layer := shortFolder(t), largeLayer("layer ")
	s := start(t, data)
	location := s.want(s.ask(http.MethodPost, "/v2/app/blobs/uploads/", "", nil), http.StatusAccepted).Header.Get("Location")
	waiting := s.want(s.ask(http.MethodPost, "/v2/app/blobs/uploads/", "", nil), http.StatusAccepted).Header.Get("Location")

	body, bytes := io.Pipe()
	patched := make(chan reply, 1)
	go func() { patched <- s.ask(http.MethodPatch, location, "", body) }()
	if _, err := io.WriteString(bytes, layer[:len(layer)/2]); err != nil {
		t.Fatal(err)
	}
	s.cancel()
	for s.ask(http.MethodGet, "/readyz", "", nil).StatusCode != http.StatusServiceUnavailable {
		runtime.Gosched()
	}
	refused := s.want(s.ask(http.MethodPost, "/v2/app/blobs/uploads/", "", nil, "X-Request-Id", "late"), http.StatusServiceUnavailable)
	for name, want := range map[string]string{"X-Request-Id": "late", "Docker-Distribution-Api-Version": "registry/2.0", "Retry-After": "5", "Content-Type": "application/json"} {
		if got := refused.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	says(t, refused.body, `"code":"UNAVAILABLE"`, "about to stop")
	says(t, s.log.String(), "request=late", "status=503")
	says(t, s.ask(http.MethodGet, "/metrics", "", nil).body, `tare_http_requests_total{method="POST",route="uploads",status="503"} 1`)
	s.want(s.ask(http.MethodPut, waiting+"?digest="+digestOf("small"), "", strings.NewReader("small")), http.StatusCreated)

	if _, err := io.WriteString(bytes, layer[len(layer)/2:]); err != nil {
		t.Fatal(err)
	}
	bytes.Close()
	location = s.want(<-patched, http.StatusAccepted).Header.Get("Location")
	s.want(s.ask(http.MethodPut, location+"?digest="+digestOf(layer), "", nil), http.StatusCreated)
	if code := <-s.code; code != exitOK {
		t.Errorf("exit code %d:\n%s", code, s.log)
	} else {
		s.code <- code
	}

	s = start(t, data)
	for _, content := range []string{layer, "small"} {
		s.want(s.ask(http.MethodGet, "/v2/app/blobs/"+digestOf(content), "", nil), http.StatusOK)
	}
}

func TestStopGivesUp(t *testing.T) {
	s := start(t, shortFolder(t), "--shutdown-timeout", "10ms")
	location := s.want(s.ask(http.MethodPost, "/v2/app/blobs/uploads/", "", nil), http.StatusAccepted).Header.Get("Location")
	body, bytes := io.Pipe()
	r, err := http.NewRequest(http.MethodPatch, s.url+location, body)
	if err != nil {
		t.Fatal(err)
	}
	cut := make(chan error, 1)
	go func() {
		resp, err := http.DefaultClient.Do(r)
		if err == nil {
			resp.Body.Close()
		}
		cut <- err
	}()
	if _, err := io.WriteString(bytes, "some"); err != nil {
		t.Fatal(err)
	}
	if code := s.stop(); code != exitOK || !strings.Contains(s.log.String(), "cut off") {
		t.Errorf("exit code %d:\n%s", code, s.log)
	}
	bytes.Close()
	if <-cut == nil {
		t.Error("the upload that did not end was answered")
	}
}

func TestServerEndsWithItsDisk(t *testing.T) {
	data := shortFolder(t)
	c := &console{clock: testClock(), log: discardLog(), out: io.Discard, err: io.Discard}
	cli, err := parse(t, "serve", "--data", data, "--listen", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cmd := &cli.Serve
	access, err := cmd.access()
	if err != nil {
		t.Fatal(err)
	}
	d, err := cmd.openDoors(c, access)
	if err != nil {
		t.Fatal(err)
	}
	defer d.close()
	f, err := openFolder(data, cmd.margins(), c.clock, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := cmd.server(c, d, f, newMetrics())
	if err != nil {
		t.Fatal(err)
	}
	failed := make(chan struct{})
	s.failed, s.failure = failed, func() error { return errors.New("input/output error") }
	if err := s.listen(); err != nil {
		t.Fatal(err)
	}
	close(failed)
	if err := s.run(context.Background(), time.Minute, time.Minute); err == nil || !strings.Contains(err.Error(), "cannot be trusted any more") || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("got %v", err)
	}
	if _, err := dialSocket(t.Context(), data); !errors.Is(err, errNoServer) {
		t.Errorf("the socket is there: %v", err)
	}
}
