// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var root = filepath.Join("..", "..")

// Each fault's text is in the code once, and the code compiles with the fault in it.
func TestFaultsAreUpToDate(t *testing.T) {
	names := map[string]bool{}
	code := load(t)
	for _, f := range faults() {
		if names[f.name] {
			t.Errorf("two faults have the name %s", f.name)
		}
		names[f.name] = true
		if f.why == "" || f.invariant == "" {
			t.Errorf("%s does not say what it breaks, or why", f.name)
		}
		source, err := f.mutate(root)
		if err != nil {
			t.Error(err)
			continue
		}
		if err := code.check(f.file, source); err != nil {
			t.Errorf("%s does not compile: %v", f.name, err)
		}
	}
	if len(names) < 25 {
		t.Errorf("there are %d faults", len(names))
	}
}

// code is the packages that faults are in, and what the compiler knows of those that they import.
type code struct {
	set      *token.FileSet
	files    map[string][]string // of a package, by its folder
	importer types.Importer
}

func load(t *testing.T) code {
	t.Helper()
	rooms := map[string]bool{}
	for _, f := range faults() {
		rooms["./"+path.Dir(f.file)] = true
	}
	args := []string{"list", "-export", "-deps", "-json=ImportPath,Dir,GoFiles,Export"}
	for room := range rooms {
		args = append(args, room)
	}
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = root
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, errs.String())
	}
	exports := map[string]string{}
	c := code{set: token.NewFileSet(), files: map[string][]string{}}
	c.importer = importer.ForCompiler(c.set, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath, Dir, Export string
			GoFiles                 []string
		}
		if err := d.Decode(&p); err == io.EOF {
			return c
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if inner, ours := strings.CutPrefix(p.ImportPath, "tare/"); ours {
			for _, name := range p.GoFiles {
				c.files[inner] = append(c.files[inner], filepath.Join(p.Dir, name))
			}
		}
	}
}

// check type-checks a package with one of its files changed.
func (c code) check(file string, source []byte) error {
	var trees []*ast.File
	for _, name := range c.files[path.Dir(file)] {
		var content any
		if filepath.Base(name) == path.Base(file) {
			content = source
		}
		tree, err := parser.ParseFile(c.set, name, content, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		trees = append(trees, tree)
	}
	config := types.Config{Importer: c.importer}
	_, err := config.Check(path.Dir(file), c.set, trees, nil)
	return err
}

func TestFaultsThatAreOutOfDate(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte("one two two\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, f := range []fault{
		{file: "a.go", from: "three"},
		{file: "a.go", from: "two"},
		{file: "b.go", from: "one"},
	} {
		if _, err := f.mutate(dir); err == nil || !strings.Contains(err.Error(), "out of date") {
			t.Errorf("%q in %s: %v", f.from, f.file, err)
		}
	}
	got, err := fault{file: "a.go", from: "one", to: "1"}.mutate(dir)
	if err != nil || string(got) != "1 two two\n" {
		t.Errorf("%q, %v", got, err)
	}
}

func TestEvents(t *testing.T) {
	for name, c := range map[string]struct {
		events string
		want   []string
		hang   bool
	}{
		"all pass": {`{"Action":"start"}
{"Action":"run","Test":"A"}
{"Action":"pass","Test":"A"}
{"Action":"pass"}`, nil, false},
		"one within another": {`{"Action":"run","Test":"A"}
{"Action":"run","Test":"A/b"}
{"Action":"output","Test":"A/b","Output":"no"}
{"Action":"fail","Test":"A/b"}
{"Action":"fail","Test":"A"}
{"Action":"run","Test":"B"}
{"Action":"pass","Test":"B"}
{"Action":"fail"}`, []string{"A/b", "A"}, false},
		"the process ends": {`{"Action":"run","Test":"A"}
{"Action":"pass","Test":"A"}
{"Action":"run","Test":"B"}
{"Action":"run","Test":"B/c"}
{"Action":"output","Output":"fatal error"}
{"Action":"fail"}`, []string{"B/c", "B", "the suite"}, false},
		"a hang": {`{"Action":"run","Test":"A"}
{"Action":"output","Test":"A","Output":"panic: test timed out after 1m0s\n"}
{"Action":"fail"}`, []string{"A", "the suite"}, true},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := readEvents(strings.NewReader(c.events))
			if err != nil || !slices.Equal(got.tests, c.want) || got.hang != c.hang {
				t.Errorf("got %+v, %v", got, err)
			}
		})
	}
	_, err := readEvents(strings.NewReader(`{"Action":"build-output","Output":"undefined: x"}
{"Action":"fail","FailedBuild":"tare/x"}`))
	if err == nil || !strings.Contains(err.Error(), "undefined: x") {
		t.Errorf("what does not compile is %v", err)
	}
}

func TestReport(t *testing.T) {
	verdicts := []verdict{
		{fault: fault{name: "x", invariant: "C10"}, caught: []failure{{suite: "s", tests: []string{"A/b", "A"}}, {suite: "t", tests: []string{"B"}}}},
		{fault: fault{name: "y", invariant: "C2"}, caught: []failure{{suite: "t", tests: []string{"B", "A"}}}},
		{fault: fault{name: "z", invariant: "C10"}, caught: []failure{{suite: "s", tests: []string{"A"}}}},
	}
	want := "| C2 | `B`, `A` | y |\n| C10 | `A`, `B` | x, z |\n"
	if got := byInvariant(verdicts); !strings.HasSuffix(got, want) {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if err := survivors(verdicts); err != nil {
		t.Error(err)
	}
	verdicts[1].caught = nil
	if err := survivors(verdicts); !errors.Is(err, errSurvivors) || !strings.Contains(err.Error(), "y") {
		t.Errorf("of a fault that nothing catches: %v", err)
	}
}
