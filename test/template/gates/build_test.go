// SPDX-License-Identifier: Apache-2.0

package gates

import (
	"bytes"
	"debug/elf"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

const root = "../../.."

var doors = []string{"api", "finalize", "gc"}

// The functions are built once here, in a release, and by each other way that there is.
func TestBuild(t *testing.T) {
	command(t, root, nil, "make", "release")
	t.Run("is reproducible", buildElsewhere)
	t.Run("is sam's", buildBySAM)
	t.Run("is deployed", deployRelease)
}

// buildElsewhere: the same source gives the same zips, in whatever folder it lies.
func buildElsewhere(t *testing.T) {
	elsewhere := t.TempDir()
	for _, name := range []string{"Makefile", "go.mod", "go.sum"} {
		if err := os.WriteFile(filepath.Join(elsewhere, name), content(t, filepath.Join(root, name)), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"functions", "internal"} {
		if err := os.CopyFS(filepath.Join(elsewhere, name), os.DirFS(filepath.Join(root, name))); err != nil {
			t.Fatal(err)
		}
	}
	command(t, elsewhere, nil, "make", "lambda")
	for _, door := range doors {
		zip := filepath.Join("bin", "lambda", door+".zip")
		here, there := content(t, filepath.Join(root, zip)), content(t, filepath.Join(elsewhere, zip))
		if !bytes.Equal(here, there) {
			t.Errorf("two builds of %s differ", zip)
		}
		if len(here) > 6<<20 {
			t.Errorf("%s has %d bytes, more than 6 MiB: it starts slowly", zip, len(here))
		}
	}
}

// buildBySAM: sam builds from the source without a network, what make builds.
func buildBySAM(t *testing.T) {
	out := t.TempDir()
	offline := []string{"GOPROXY=off", "HTTP_PROXY=http://127.0.0.1:9", "HTTPS_PROXY=http://127.0.0.1:9"}
	command(t, root, offline, filepath.Join(tools(t), "sam"), "build", "--region", "eu-west-1", "--build-dir", out, "--cache-dir", t.TempDir())
	for id, door := range map[string]string{"Api": "api", "Finalize": "finalize", "Gc": "gc"} {
		bootstrap := filepath.Join(out, id, "bootstrap")
		file, err := elf.Open(bootstrap)
		if err != nil {
			t.Fatal(err)
		}
		if file.Machine != elf.EM_AARCH64 {
			t.Errorf("%s is for %v", id, file.Machine)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content(t, bootstrap), content(t, filepath.Join(root, "bin", "lambda", door, "bootstrap"))) {
			t.Errorf("sam builds another %s than make", id)
		}
	}
}

// bucket takes every PUT, and has nothing that anybody asks for.
type bucket struct {
	mu     sync.Mutex
	bodies [][]byte
}

func (b *bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPut {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b.mu.Lock()
	b.bodies = append(b.bodies, body)
	b.mu.Unlock()
	w.Header().Set("ETag", `"etag"`)
}

func (b *bucket) has(body []byte) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, one := range b.bodies {
		if bytes.Equal(one, body) {
			return true
		}
	}
	return false
}

func command(t *testing.T, folder string, env []string, program string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program, args...)
	cmd.Dir = folder
	cmd.Env = append(append(os.Environ(), "SAM_CLI_TELEMETRY=0", "NO_COLOR=1"), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", program, args, err, out)
	}
}

func content(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
