// SPDX-License-Identifier: Apache-2.0

package cloud_test

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// doors are the functions, each with the variables that it reads.
var doors = map[string][]string{
	"api":      {"TARE_TABLE", "TARE_BUCKET", "TARE_FINALIZE", "TARE_UNTAGGED_AFTER", "TARE_ANONYMOUS_PULL"},
	"finalize": {"TARE_TABLE", "TARE_BUCKET", "AWS_LAMBDA_FUNCTION_NAME"},
	"gc":       {"TARE_TABLE", "TARE_BUCKET", "TARE_UNTAGGED_AFTER", "TARE_SWEEP"},
}

// lambdas are the variables that Lambda sets and all of them read.
var lambdas = []string{"AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}

// good has all of them.
func good() map[string]string {
	return map[string]string{
		"TARE_TABLE": "tare-Table-1A2B3C", "TARE_BUCKET": "tare-bucket-1a2b3c", "TARE_FINALIZE": "arn:aws:lambda:eu-central-1:123456789012:function:tare-Finalize-1A2B",
		"TARE_UNTAGGED_AFTER": "", "TARE_ANONYMOUS_PULL": "off", "TARE_SWEEP": "on",
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "session",
		"AWS_LAMBDA_FUNCTION_NAME": "tare-Finalize-1A2B",
	}
}

// built builds the programs that Lambda starts, for this machine.
func built(t *testing.T) (folder string) {
	t.Helper()
	folder = t.TempDir()
	for name := range doors {
		build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(folder, name), "tare/functions/"+name)
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return folder
}

// outcome is what became of a program.
type outcome struct {
	asked          bool // for its first event; it was ended then
	status         int  // otherwise
	stdout, stderr string
}

// start starts a program with these variables and no others, before a Runtime API that has no event for it.
func start(t *testing.T, program string, variables map[string]string) outcome {
	t.Helper()
	ready := make(chan struct{}, 1)
	runtime := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/2018-06-01/runtime/invocation/next" {
			ready <- struct{}{}
			<-r.Context().Done()
		}
	}))
	defer runtime.Close()
	p := exec.CommandContext(t.Context(), program)
	p.Env = []string{"AWS_LAMBDA_RUNTIME_API=" + strings.TrimPrefix(runtime.URL, "http://")}
	for name, value := range variables {
		p.Env = append(p.Env, name+"="+value)
	}
	var out, errs bytes.Buffer
	p.Stdout, p.Stderr = &out, &errs
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- p.Wait() }()
	var o outcome
	select {
	case <-ready:
		o.asked = true
		_ = p.Process.Kill() // it may have ended by itself
		<-ended
	case <-ended:
	}
	o.status, o.stdout, o.stderr = p.ProcessState.ExitCode(), out.String(), errs.String()
	return o
}

func TestStart(t *testing.T) {
	folder := built(t)
	t.Run("wrong variables", func(t *testing.T) { wrongVariables(t, folder) })
	t.Run("right variables", func(t *testing.T) { rightVariables(t, folder) })
}

// A program of which a variable is missing or cannot be used ends before it asks for an event, with status 1 and one line that
// names the variable: Lambda then says "Runtime exited with error: exit status 1" to whoever invoked it, and has the line in the log.
func wrongVariables(t *testing.T, folder string) {
	t.Helper()
	wrong := map[string][]string{
		"TARE_TABLE": {"ab", "a table", "table\nother", strings.Repeat("a", 256)}, "TARE_BUCKET": {"b", "bucket/prefix", "s3://bucket", "\x01"},
		"TARE_FINALIZE": {"a function", "https://example.com/"}, "TARE_UNTAGGED_AFTER": {"soon", "-1h", "14 days", "9999999999d"},
		"TARE_ANONYMOUS_PULL": {"true", "ON", "on off"}, "TARE_SWEEP": {"yes", "1"}, "AWS_USE_FIPS_ENDPOINT": {"perhaps"},
	}
	for door, own := range doors {
		for _, name := range slices.Concat(own, lambdas, []string{"AWS_USE_FIPS_ENDPOINT"}) {
			values := append([]string{"", "  "}, wrong[name]...)
			switch name {
			case "TARE_UNTAGGED_AFTER": // empty, it keeps all
				values = wrong[name]
			case "AWS_USE_FIPS_ENDPOINT": // the SDK's own, which nobody has to set
				values = wrong[name]
			}
			for _, value := range values {
				variables := good()
				variables[name] = value
				checkStopped(t, door+" with "+name+"="+value, name, start(t, filepath.Join(folder, door), variables))
			}
			if variables := good(); name != "AWS_USE_FIPS_ENDPOINT" {
				delete(variables, name)
				checkStopped(t, door+" without "+name, name, start(t, filepath.Join(folder, door), variables))
			}
		}
	}
}

func checkStopped(t *testing.T, what, name string, o outcome) {
	t.Helper()
	line, found := strings.CutSuffix(o.stderr, "\n")
	if o.asked || o.status != 1 || o.stdout != "" || !found || strings.Contains(line, "\n") || !strings.HasPrefix(line, "tare: ") || !strings.Contains(line, name) {
		t.Errorf("%s: asked for an event %v, status %d, said %q%q", what, o.asked, o.status, o.stdout, o.stderr)
	}
}

// With what the template sets, a program says nothing and calls nobody until it asks for its first event. A variable that it
// does not know is a line in its log.
func rightVariables(t *testing.T, folder string) {
	t.Helper()
	for door, own := range doors {
		variables := map[string]string{"AWS_SESSION_TOKEN": "session"}
		for _, name := range slices.Concat(own, lambdas) {
			variables[name] = good()[name]
		}
		if o := start(t, filepath.Join(folder, door), variables); !o.asked || o.stdout+o.stderr != "" {
			t.Errorf("%s: asked for an event %v, status %d, said %q", door, o.asked, o.status, o.stdout+o.stderr)
		}
		variables["TARE_SWEEPS"] = "off"
		if o := start(t, filepath.Join(folder, door), variables); !o.asked || strings.Count(o.stderr, "\n") != 1 || !strings.Contains(o.stderr, `"level":"WARN"`) ||
			!strings.Contains(o.stderr, "TARE_SWEEPS") || strings.Contains(o.stderr, "off") {
			t.Errorf("%s with a variable that it does not know: asked for an event %v, said %q", door, o.asked, o.stderr)
		}
	}
}
