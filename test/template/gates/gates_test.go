// SPDX-License-Identifier: Apache-2.0

// Package gates has the programs of others look at template.yaml and at what it expands to. They come from PyPI, so that this
// is no part of the ordinary tests: `make template` installs them and names their folder in TARE_TEMPLATE_BIN.
package gates

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"tare/test/template"
)

const source = "../../../template.yaml"

func TestTemplate(t *testing.T) {
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	for _, gate := range []template.Gate{template.SAM, template.Lint, template.Parliament} {
		t.Run(string(gate), func(t *testing.T) {
			if out, passed := look(t, gate, string(text)); !passed {
				t.Error(out)
			}
		})
	}
	t.Run("expanded", func(t *testing.T) {
		file := expand(t, string(text))
		expanded, err := template.Read(file)
		if err != nil {
			t.Fatal(err)
		}
		const copied = "../../cloud/template/testdata/expanded.json"
		if !bytes.Equal(content(t, file), content(t, copied)) {
			t.Errorf("%s, which suites of the cloud read, is of another template: make it anew by expand.py", copied)
		}
		doors, err := template.Doors("../../../functions")
		if err != nil {
			t.Fatal(err)
		}
		released, err := template.ReadReleased("../released.json")
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range template.Check(expanded, doors, released) {
			t.Error(line)
		}
	})
}

// Each gate finds the faults that it is there for. A new version of one may see less than the last: cfn-lint without the
// expansion, and SAM's own check, let a cycle and actions that do not exist pass.
func TestGatesFindFaults(t *testing.T) {
	text, err := os.ReadFile(source)
	if err != nil {
		t.Fatal(err)
	}
	for _, fault := range template.Faults() {
		if fault.Gate == template.Invariants {
			continue
		}
		t.Run(fault.Name+" "+string(fault.Gate), func(t *testing.T) {
			t.Parallel()
			planted, err := fault.Plant(string(text))
			if err != nil {
				t.Fatal(err)
			}
			if out, passed := look(t, fault.Gate, planted); passed || !strings.Contains(out, fault.Says) {
				t.Errorf("it was not found: %q is not in:\n%s", fault.Says, out)
			}
		})
	}
}

// look has a gate look at a template, and tells what it said and whether it was content.
func look(t *testing.T, gate template.Gate, text string) (out string, passed bool) {
	t.Helper()
	switch gate {
	case template.SAM:
		return run(t, "sam", "validate", "--lint", "--region", "eu-west-1", "--template-file", write(t, text))
	case template.Lint:
		return run(t, "cfn-lint", "--regions", "eu-west-1", "--template", expand(t, text))
	case template.Parliament:
		return run(t, "python", "../statements.py", expand(t, text))
	}
	t.Fatalf("there is no gate %q", gate)
	return "", false
}

// expand gives the file of the expanded template.
func expand(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "expanded.json")
	if out, passed := run(t, "python", "../expand.py", write(t, text), file); !passed {
		t.Fatal(out)
	}
	return file
}

func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "template.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func run(t *testing.T, program string, args ...string) (out string, passed bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(tools(t), program), args...)
	cmd.Env = append(os.Environ(), "SAM_CLI_TELEMETRY=0", "AWS_DEFAULT_REGION=eu-west-1", "NO_COLOR=1")
	text, err := cmd.CombinedOutput()
	return string(text), err == nil
}

// tools is the folder of sam, cfn-lint and the python that has them.
func tools(t *testing.T) string {
	t.Helper()
	folder := os.Getenv("TARE_TEMPLATE_BIN")
	if folder == "" {
		t.Fatal("TARE_TEMPLATE_BIN does not name the folder of sam, cfn-lint and python: `make template` does")
	}
	return folder
}
