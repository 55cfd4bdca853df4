// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"

	"tare/internal/refcount"
)

// parse parses a command line.
func parse(t *testing.T, args ...string) (*commands, error) {
	t.Helper()
	var cli commands
	parser, err := newParser(&cli, io.Discard, io.Discard, func(int) {})
	if err != nil {
		t.Fatal(err)
	}
	_, err = parser.Parse(args)
	return &cli, err
}

func configOf(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "tare.json")
	writeFile(t, path, content)
	return path
}

func TestPrecedence(t *testing.T) {
	file := configOf(t, `{"listen":"file:1","data":"file","lease":"13h","read-only-users":["a","b"],"anonymous-pull":true,"min-free":"10MiB","access-log":true}`)
	t.Run("defaults", func(t *testing.T) {
		cli, err := parse(t, "serve")
		if err != nil {
			t.Fatal(err)
		}
		if s := cli.Serve; s.Listen != "127.0.0.1:5000" || s.Data != "data" || s.MinFree != nil || s.AccessLog || s.AnonymousPull || s.Open {
			t.Errorf("got %+v", s)
		}
		if got, want := cli.Serve.margins(), refcount.DefaultMargins(); got != want {
			t.Errorf("margins: got %+v, want %+v", got, want)
		}
	})
	t.Run("file", func(t *testing.T) {
		cli, err := parse(t, "serve", "--config", file)
		if err != nil {
			t.Fatal(err)
		}
		s := cli.Serve
		if s.Listen != "file:1" || s.Data != "file" || s.Lease != duration(13*time.Hour) || !s.AnonymousPull || !s.AccessLog ||
			!reflect.DeepEqual(s.ReadOnlyUsers, []string{"a", "b"}) || s.MinFree == nil || *s.MinFree != 10<<20 {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("file named by the environment, for another command", func(t *testing.T) {
		t.Setenv("TARE_CONFIG", file)
		cli, err := parse(t, "gc")
		if err != nil {
			t.Fatal(err)
		}
		if cli.GC.Data != "file" || cli.GC.Lease != duration(13*time.Hour) {
			t.Errorf("got %+v", cli.GC)
		}
	})
	t.Run("environment over file", func(t *testing.T) {
		t.Setenv("TARE_LISTEN", "env:2")
		t.Setenv("TARE_LEASE", "14h")
		t.Setenv("TARE_READ_ONLY_USERS", "c")
		t.Setenv("TARE_ANONYMOUS_PULL", "false")
		t.Setenv("TARE_MIN_FREE", "1GiB")
		cli, err := parse(t, "serve", "--config", file)
		if err != nil {
			t.Fatal(err)
		}
		s := cli.Serve
		if s.Listen != "env:2" || s.Data != "file" || s.Lease != duration(14*time.Hour) || s.AnonymousPull ||
			!reflect.DeepEqual(s.ReadOnlyUsers, []string{"c"}) || *s.MinFree != 1<<30 {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("flag over environment and file", func(t *testing.T) {
		t.Setenv("TARE_LISTEN", "env:2")
		t.Setenv("TARE_READ_ONLY_USERS", "c")
		cli, err := parse(t, "serve", "--config", file, "--listen", "flag:3", "--read-only-users", "d,e", "--min-free", "0", "--access-log=false")
		if err != nil {
			t.Fatal(err)
		}
		s := cli.Serve
		if s.Listen != "flag:3" || !reflect.DeepEqual(s.ReadOnlyUsers, []string{"d", "e"}) || *s.MinFree != 0 || s.AccessLog || !s.AnonymousPull {
			t.Errorf("got %+v", s)
		}
	})
}

func TestConfigurationRefused(t *testing.T) {
	tests := []struct {
		name, content, want string
		file                bool // the error names the file
	}{
		{"a name that is no setting", `{"lisen":"x"}`, `"lisen"`, true},
		{"a flag of one command", `{"give-up-margins":true}`, `"give-up-margins"`, true},
		{"consent", `{"yes":true}`, `"yes"`, true},
		{"another file", `{"config":"x"}`, `"config"`, true},
		{"an argument", `{"file":"x"}`, `"file"`, true},
		{"not JSON", `listen = x`, "not a JSON object", true},
		{"a list", `[]`, "not a JSON object", true},
		{"nothing", `null`, "not a JSON object", true},
		{"more after it", `{} {}`, "after the JSON object", true},
		{"an object as value", `{"listen":{}}`, "--listen", true},
		{"null", `{"listen":null}`, "--listen", true},
		{"a list of numbers", `{"read-only-users":[1]}`, "--read-only-users", true},
		{"a wrong duration", `{"lease":"soon"}`, "--lease", false},
		{"a wrong boolean", `{"open":"perhaps"}`, "--open", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			path := configOf(t, tt.content)
			_, err := parse(t, "serve", "--config", path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || tt.file && !strings.Contains(err.Error(), path) {
				t.Errorf("got %v, want it to say %q", err, tt.want)
			}
		})
	}
	if _, err := parse(t, "serve", "--config", filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a file that is not there was accepted")
	}
}

func TestConsentIsNoSetting(t *testing.T) {
	t.Setenv("TARE_YES", "true")
	t.Setenv("TARE_GIVE_UP_MARGINS", "true")
	cli, err := parse(t, "gc")
	if err != nil || cli.GC.Yes || cli.GC.GiveUpMargins {
		t.Errorf("got %+v, %v", cli.GC, err)
	}
}

// command runs the program to its end.
func command(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &out, &err)
	return code, out.String(), err.String()
}

func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		name string
		args []string
		want int
		says string
	}{
		{"help", []string{"--help"}, exitOK, "Usage: tare"},
		{"help of a command", []string{"serve", "--help"}, exitOK, "--htpasswd"},
		{"version", []string{"version"}, exitOK, "tare "},
		{"nothing", nil, exitUsage, "expected one of"},
		{"an unknown command", []string{"destroy"}, exitUsage, "destroy"},
		{"an unknown flag", []string{"serve", "--fast"}, exitUsage, "--fast"},
		{"no data folder", []string{"gc", "--data", filepath.Join(dir, "none")}, exitFailed, "no such file"},
		{"neither tag nor digest", []string{"undelete", "app", "--data", dir}, exitUsage, "neither repository:tag"},
		{"margins that cannot be", []string{"serve", "--data", filepath.Join(dir, "a"), "--listen", "127.0.0.1:0", "--grace", "1h"}, exitUsage, "Grace"},
		{"a folder that is no data folder", []string{"backup", filepath.Join(dir, "f.tar"), "--data", dir}, exitFailed, "no data folder"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, out, err := command(t, "", tt.args...)
			if code != tt.want || !strings.Contains(out+err, tt.says) {
				t.Errorf("got %d, want %d and %q in:\n%s%s", code, tt.want, tt.says, out, err)
			}
		})
	}
}

// A configuration file is a JSON object of known settings, whose values go to their flags as they would on a command
// line, a list's parts one by one; or it is refused.
func FuzzConfig(f *testing.F) {
	for _, content := range []string{
		"", "null", "{}", "[]", "{} {}", "{}x", `{"listen":"a:1"}`, `{"listen":{}}`, `{"listen":null}`, `{"lisen":"x"}`, `{"config":"x"}`, `{"yes":true}`,
		`{"read-only-users":["a","b"],"anonymous-pull":true,"min-free":"10MiB"}`, `{"read-only-users":["a,b"]}`, `{"read-only-users":[1]}`, `{"read-only-users":[]}`,
		`{"read-only-users":"a,b"}`, `{"min-free":10485760}`, `{"min-free":1e300}`, `{"lease":"13h","lease":"14h"}`, `{"listen":"\ud800"}`,
	} {
		f.Add(content)
	}
	var cli commands
	app, err := newParser(&cli, io.Discard, io.Discard, func(int) {})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, content string) {
		resolver, err := loadConfig(strings.NewReader(content))
		if err != nil {
			return
		}
		var want map[string]any
		d := json.NewDecoder(strings.NewReader(content))
		d.UseNumber()
		if err := d.Decode(&want); err != nil || want == nil {
			t.Fatalf("%q is accepted: %v", content, err)
		}
		if resolver.Validate(app.Model) != nil {
			return
		}
		for name, value := range want {
			got, err := resolver.Resolve(nil, nil, &kong.Flag{Value: &kong.Value{Name: name}})
			switch value := value.(type) {
			case string:
				if err != nil || got != value {
					t.Fatalf("%s: %q becomes %q, %v", name, value, got, err)
				}
			case bool:
				if err != nil || got != fmt.Sprint(value) {
					t.Fatalf("%s: %v becomes %q, %v", name, value, got, err)
				}
			case []any:
				if err == nil && len(value) > 0 && fmt.Sprint(value) != fmt.Sprint(strings.Split(got.(string), ",")) {
					t.Fatalf("%s: %v becomes %q", name, value, got)
				}
			case json.Number:
				if err != nil || got != value.String() {
					t.Fatalf("%s: %v becomes %q, %v", name, value, got, err)
				}
			default:
				if err == nil {
					t.Fatalf("%s: %v becomes %q", name, value, got)
				}
			}
		}
	})
}
