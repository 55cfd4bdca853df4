// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The same program gives the same zip, whenever and in whatever folder it was built.
func TestZip(t *testing.T) {
	var zips [2][]byte
	for i := range zips {
		folder := t.TempDir()
		program := filepath.Join(folder, "bootstrap")
		write(t, program, "program")
		at := time.Date(2020+i, 1, 1, 0, 0, 0, 0, time.Local)
		if err := os.Chtimes(program, at, at); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(folder, "api.zip")
		if err := run([]string{"zip", out, program}); err != nil {
			t.Fatal(err)
		}
		zips[i] = read(t, out)
	}
	if !bytes.Equal(zips[0], zips[1]) {
		t.Error("two zips of one program differ")
	}
	r, err := zip.NewReader(bytes.NewReader(zips[0]), int64(len(zips[0])))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.File) != 1 || r.File[0].Name != "bootstrap" || r.File[0].Mode() != 0o755 {
		t.Fatalf("the zip has %d files, first %q of mode %v", len(r.File), r.File[0].Name, r.File[0].Mode())
	}
	f, err := r.File[0].Open()
	if err != nil {
		t.Fatal(err)
	}
	if content, err := io.ReadAll(f); err != nil || string(content) != "program" {
		t.Errorf("bootstrap is %q, %v", content, err)
	}
}

// A release has the template of this repository with its zips, and no source.
func TestRelease(t *testing.T) {
	folder := t.TempDir()
	out := filepath.Join(folder, "release")
	write(t, filepath.Join(folder, "old"), "")
	args := []string{"release", out, "../../../template.yaml"}
	for _, name := range []string{"api.zip", "finalize.zip", "gc.zip"} {
		write(t, filepath.Join(folder, name), name)
		args = append(args, filepath.Join(folder, name))
	}
	for range 2 { // a second one replaces the first
		if err := run(args); err != nil {
			t.Fatal(err)
		}
	}
	template := string(read(t, filepath.Join(out, "template.yaml")))
	for _, name := range []string{"api.zip", "finalize.zip", "gc.zip"} {
		if strings.Count(template, "CodeUri: "+name+"\n") != 1 || string(read(t, filepath.Join(out, name))) != name {
			t.Errorf("the release has no %s", name)
		}
	}
	if strings.Contains(template, "BuildMethod") || strings.Contains(template, "CodeUri: .\n") {
		t.Error("the release wants to be built")
	}
}

// What cannot be deployed is no release.
func TestBadReleases(t *testing.T) {
	const function = "  Api:\n    Type: AWS::Serverless::Function\n    Metadata: {BuildMethod: makefile}\n    Properties:\n      CodeUri: .\n"
	for name, template := range map[string]string{
		"no function":       "Resources:\n",
		"another's source":  function + strings.ReplaceAll(function, "CodeUri: .", "CodeUri: functions/api"),
		"a zip that is not": function,
	} {
		folder := t.TempDir()
		write(t, filepath.Join(folder, "template.yaml"), template)
		write(t, filepath.Join(folder, "README.md"), "")
		if err := run([]string{"release", filepath.Join(folder, "out"), filepath.Join(folder, "template.yaml"), filepath.Join(folder, "README.md")}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := run([]string{"zip"}); err == nil {
		t.Error("a call without arguments has no error")
	}
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}
