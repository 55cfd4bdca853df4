// SPDX-License-Identifier: Apache-2.0

package server_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tare/test/soak/server"
)

func TestReadLog(t *testing.T) {
	r := server.Registry{Log: filepath.Join(t.TempDir(), "log")}
	if logged, err := r.ReadLog(); err != nil || logged.Objects != 0 || len(logged.Errors) > 0 {
		t.Errorf("without a log: %+v, %v", logged, err)
	}
	lines := []string{
		"Tare serves",
		`{"level":"INFO","msg":"Swept.","links":3,"blobs":2,"objects":1,"bytes":100,"uploads":4,"manifests":5,"tags":0,"repositories":6,"failed":0}`,
		`{"level":"INFO","msg":"Administration.","request":"/gc","arguments":{"list":true}}`,
		`{"level":"ERROR","msg":"A sweep ended early."}`,
		`{"level":"INFO","msg":"Swept.","links":1,"bytes":50}`,
		"panic: there is no such row",
		`{"level":"INFO","msg":"Sw`, // and then it was killed
	}
	if err := os.WriteFile(r.Log, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	logged, err := r.ReadLog()
	if err != nil {
		t.Fatal(err)
	}
	want := server.Collected{Links: 4, Blobs: 2, Objects: 1, Bytes: 150, Uploads: 4, Manifests: 5, Repositories: 6}
	if logged.Collected != want {
		t.Errorf("collected %+v, want %+v", logged.Collected, want)
	}
	if len(logged.Errors) != 2 {
		t.Errorf("the errors are %q", logged.Errors)
	}
}
