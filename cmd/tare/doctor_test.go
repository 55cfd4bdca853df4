// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"path/filepath"
	"strings"
	"testing"

	"tare/internal/doctor"
)

// examined runs the doctor with --json.
func examined(t *testing.T, args ...string) (int, examination) {
	t.Helper()
	code, out, stderr := command(t, "", append([]string{"doctor", "--json"}, args...)...)
	var e examination
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		t.Fatalf("exit code %d: %v\n%s%s", code, err, out, stderr)
	}
	return code, e
}

func TestDoctor(t *testing.T) {
	s := start(t, shortFolder(t), "--htpasswd", htpasswdOf(t, "writer", "reader"), "--read-only-users", "reader")
	password := filepath.Join(t.TempDir(), "password")
	writeFile(t, password, "writer\n")
	code, e := examined(t, s.url, "--user", "writer", "--password-file", password, "--load", "2")
	if code != exitOK || e.Failed != 0 || e.Passed < 15 || e.Exit != 0 || e.Format != 1 || e.Passed+e.Skipped != len(e.Checks) {
		t.Errorf("exit code %d: %+v", code, e)
	}
	for _, f := range e.Checks {
		if f.Result == doctor.Skipped && !strings.Contains(f.Check+f.Saw, "direct") {
			t.Errorf("%+v", f)
		}
	}
	code, out, _ := command(t, "", "doctor", s.url, "--user", "reader", "--password", "reader")
	if code != exitFailed || !strings.Contains(out, "failed   push of a blob") || !strings.Contains(out, "to change:") {
		t.Errorf("who may only pull: exit code %d:\n%s", code, out)
	}
	code, out, _ = command(t, "", "doctor", s.url, "--user", "writer", "--password", "not-this-one")
	if code != exitFailed || !strings.Contains(out, "failed   login") || strings.Contains(out, "not-this-one") {
		t.Errorf("a wrong password: exit code %d:\n%s", code, out)
	}
}

// What docker login keeps is used, unless it is said otherwise, and is not shown.
func TestDoctorWithDockersCredential(t *testing.T) {
	s := start(t, shortFolder(t), "--htpasswd", htpasswdOf(t, "writer"))
	folder := t.TempDir()
	t.Setenv("DOCKER_CONFIG", folder)
	host := strings.TrimPrefix(s.url, "http://")
	secret := base64.StdEncoding.EncodeToString([]byte("writer:writer"))
	writeFile(t, filepath.Join(folder, "config.json"), `{"auths":{"`+host+`":{"auth":"`+secret+`"}}}`)
	code, out, stderr := command(t, "", "doctor", s.url)
	if code != exitOK || !strings.Contains(out, "passed   login: status 200") || strings.Contains(out+stderr, secret) {
		t.Errorf("exit code %d:\n%s%s", code, out, stderr)
	}
	if code, out, _ = command(t, "", "doctor", s.url, "--anonymous"); code != exitOK || !strings.Contains(out, "skipped  login: no credentials") {
		t.Errorf("anonymous: exit code %d:\n%s", code, out)
	}
	writeFile(t, filepath.Join(folder, "config.json"), "{")
	if code, _, stderr = command(t, "", "doctor", s.url); code != exitFailed || !strings.Contains(stderr, "--anonymous") {
		t.Errorf("a broken configuration: exit code %d: %s", code, stderr)
	}
}

// The time that it may take ends: what it brought is taken away.
func TestDoctorTimeout(t *testing.T) {
	s := start(t, shortFolder(t))
	code, out, stderr := command(t, "", "doctor", s.url, "--anonymous", "--timeout", "1ns")
	if code != exitFailed || !strings.Contains(stderr, "broken off") {
		t.Errorf("exit code %d:\n%s%s", code, out, stderr)
	}
}

// A proxy that zeroes the lengths of HEAD, and one that drops the challenge.
func TestDoctorBehindProxies(t *testing.T) {
	s := start(t, shortFolder(t), "--htpasswd", htpasswdOf(t, "writer"))
	target, err := url.Parse(s.url)
	if err != nil {
		t.Fatal(err)
	}
	for check, change := range map[string]func(*http.Response){
		"HEAD of a manifest": func(r *http.Response) {
			if r.Request.Method == http.MethodHead {
				r.Header.Set("Content-Length", "0")
			}
		},
		"challenge": func(r *http.Response) { r.Header.Del("WWW-Authenticate") },
	} {
		proxy := httptest.NewServer(&httputil.ReverseProxy{
			Rewrite:        func(p *httputil.ProxyRequest) { p.SetURL(target) },
			ModifyResponse: func(r *http.Response) error { change(r); return nil },
		})
		code, e := examined(t, proxy.URL, "--user", "writer", "--password", "writer")
		proxy.Close()
		found := false
		for _, f := range e.Checks {
			found = found || f.Check == check && f.Result == doctor.Failed
		}
		if code != exitFailed || !found {
			t.Errorf("%s: exit code %d: %+v", check, code, e)
		}
	}
}

func TestDoctorUsage(t *testing.T) {
	for _, args := range [][]string{{"host", "--anonymous", "--user", "me", "--password", "x"}, {"host", "--timeout", "0s"}, {}, {"ftp://host"}, {"host", "--user", "me"}, {"host", "--load", "65"}, {"host", "--load", "-1"}, {"host/path"}} {
		if code, _, stderr := command(t, "", append([]string{"doctor"}, args...)...); code != exitUsage || stderr == "" {
			t.Errorf("%v: exit code %d: %s", args, code, stderr)
		}
	}
	code, out, _ := command(t, "", "doctor", "http://127.0.0.1:1")
	if code != exitFailed || !strings.Contains(out, "failed   challenge") {
		t.Errorf("nobody there: exit code %d:\n%s", code, out)
	}
}
