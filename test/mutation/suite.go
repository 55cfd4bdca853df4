// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// suite is tests that can catch a fault.
type suite struct {
	name string
	pkg  string
	args []string // which of its tests
	// timeout ends a suite that a fault has hang, which is to catch it.
	timeout time.Duration
}

// suites are in the order in which they are asked: the fast ones first. What a fault cannot reach is in go's cache. Left
// out are the golden traces, which show every change of a commit, right or wrong, and the faults that are planted in histories.
func suites() []suite {
	return []suite{
		{name: "refcount", pkg: "./internal/refcount", timeout: 3 * time.Minute},
		{name: "upload", pkg: "./internal/upload", timeout: 3 * time.Minute},
		{name: "registry", pkg: "./internal/registry", args: []string{"-skip=TestTraces|TestStoreCallsPerOperation|TestPageOfStoreCalls"}, timeout: 3 * time.Minute},
		{name: "histories", pkg: "./test/histories", args: []string{"-run=TestConcurrent|TestSequential|TestScripts$"}, timeout: 10 * time.Minute},
		{name: "diskstore", pkg: "./internal/store/diskstore", timeout: 10 * time.Minute},
		{name: "crash", pkg: "./test/crash", args: []string{"-run=TestCrash|TestLives"}, timeout: 10 * time.Minute},
		{name: "race", pkg: "./test/crash", args: []string{"-run=TestRace|TestDirectRace"}, timeout: 20 * time.Minute},
		{name: "conformance", pkg: "./test/conformance", timeout: 10 * time.Minute},
	}
}

// runner runs suites.
type runner struct {
	root   string
	temp   string
	suites []suite
	all    bool // to their ends, whatever fails
}

// sound tells whether all suites pass without a fault.
func (r runner) sound(ctx context.Context) error {
	for _, s := range r.suites {
		began := time.Now()
		failed, err := r.suite(ctx, s, "")
		if err != nil {
			return err
		}
		if len(failed.tests) > 0 {
			return fmt.Errorf("without a fault, %s", failed.first())
		}
		fmt.Printf("%-44s     %7.1fs  passes without a fault\n", strings.Join(append([]string{s.pkg}, s.args...), " "), time.Since(began).Seconds())
	}
	return nil
}

// judge runs the suites against a fault, all of them or up to the first that fails.
func (r runner) judge(ctx context.Context, f fault) (verdict, error) {
	began := time.Now()
	overlay, err := r.overlay(f)
	if err != nil {
		return verdict{}, err
	}
	v := verdict{fault: f}
	for _, s := range r.suites {
		failed, err := r.suite(ctx, s, overlay)
		if err != nil {
			return verdict{}, err
		}
		if len(failed.tests) > 0 {
			v.caught = append(v.caught, failed)
			if !r.all {
				break
			}
		}
	}
	v.took = time.Since(began)
	return v, nil
}

// overlay writes the mutated file and what tells go to take it in place of the one in the tree.
func (r runner) overlay(f fault) (string, error) {
	source, err := f.mutate(r.root)
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp(r.temp, "fault")
	if err != nil {
		return "", err
	}
	mutated, list := filepath.Join(dir, filepath.Base(f.file)), filepath.Join(dir, "overlay.json")
	replace := map[string]map[string]string{"Replace": {filepath.Join(r.root, filepath.FromSlash(f.file)): mutated}}
	b, err := json.Marshal(replace)
	return list, errors.Join(err, os.WriteFile(mutated, source, 0o600), os.WriteFile(list, b, 0o600))
}

// slack is how much longer than its tests a suite may take: to be built, and to end.
const slack = 5 * time.Minute

// suite runs a suite under an overlay, "" for none.
func (r runner) suite(ctx context.Context, s suite, overlay string) (failure, error) {
	ctx, cancel := context.WithTimeout(ctx, s.timeout+slack)
	defer cancel()
	args := []string{"test", "-json", "-vet=off", "-failfast=" + strconv.FormatBool(!r.all), "-timeout=" + s.timeout.String()}
	if overlay != "" {
		args = append(args, "-overlay="+overlay)
	}
	cmd := exec.CommandContext(ctx, "go", append(append(args, s.args...), s.pkg)...)
	cmd.Dir = r.root
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if ctx.Err() != nil {
		return failure{}, fmt.Errorf("%s: %w", s.pkg, ctx.Err())
	}
	failed, readErr := readEvents(&out)
	if readErr != nil {
		return failure{}, fmt.Errorf("%s: %w\n%s", s.pkg, errors.Join(readErr, err), errs.String())
	}
	if (err != nil) != (len(failed.tests) > 0) {
		return failure{}, fmt.Errorf("%s: %w, and %d tests failed\n%s", s.pkg, err, len(failed.tests), errs.String())
	}
	failed.suite = s.name
	return failed, nil
}

// failure is the tests of a suite that failed. No tests: it passed.
type failure struct {
	suite string
	tests []string // in their order; what contains a test comes after it
	hang  bool
}

// first names the first test.
func (f failure) first() string {
	name := f.suite + ": " + f.tests[0]
	if f.hang {
		name += " (hangs)"
	}
	return name
}

// top returns the names of the tests, without those within them.
func (f failure) top() []string {
	var names []string
	for _, test := range f.tests {
		if name, _, _ := strings.Cut(test, "/"); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// event is a line of `go test -json`.
type event struct {
	Action      string
	Test        string
	Output      string
	FailedBuild string
}

// readEvents reads what became of one package's tests. Where the process ended within tests, those are the ones that
// failed. A package that was not built is an error.
func readEvents(r io.Reader) (failure, error) {
	var f failure
	var build strings.Builder
	var running []string
	failed := false
	for d := json.NewDecoder(r); ; {
		var e event
		if err := d.Decode(&e); err == io.EOF {
			break
		} else if err != nil {
			return f, err
		}
		switch e.Action {
		case "run":
			running = append(running, e.Test)
		case "pass", "skip", "fail":
			if e.FailedBuild != "" {
				return f, fmt.Errorf("it does not compile:\n%s", build.String())
			}
			running = slices.DeleteFunc(running, func(name string) bool { return name == e.Test })
			failed = failed || e.Action == "fail"
			if e.Action == "fail" && e.Test != "" {
				f.tests = append(f.tests, e.Test)
			}
		case "output":
			f.hang = f.hang || strings.HasPrefix(e.Output, "panic: test timed out")
		case "build-output":
			build.WriteString(e.Output)
		}
	}
	if failed && len(f.tests) == 0 {
		slices.Reverse(running)
		f.tests = append(running, "the suite")
	}
	return f, nil
}
