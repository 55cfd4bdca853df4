// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A box is the small world in which a client runs: a home of its own, no configuration of the machine's user, and a
// proxy that does not exist for everything outside loopback.
type box struct {
	t    *testing.T
	home string
	env  []string
}

// commandTimeout is enough for 6 GiB on a slow disk.
const commandTimeout = 10 * time.Minute

// newBox returns a box whose clients trust the endpoint's certificate, as far as they follow SSL_CERT_FILE.
func newBox(t *testing.T, e endpoint) *box {
	t.Helper()
	home := shortDir(t)
	b := &box{t: t, home: home, env: []string{
		"HOME=" + home,
		"PATH=" + os.Getenv("PATH"),
		"TMPDIR=" + home,
		"XDG_RUNTIME_DIR=" + home,
		"HTTP_PROXY=http://127.0.0.1:9",
		"HTTPS_PROXY=http://127.0.0.1:9",
		"NO_PROXY=127.0.0.1,localhost",
	}}
	if e.ca != "" {
		b.env = append(b.env, "SSL_CERT_FILE="+e.ca)
	}
	return b
}

// knowing returns a box whose clients know the endpoint's credentials, if there are any, from Docker's configuration: crane,
// oras, skopeo and podman read it.
func knowing(t *testing.T, e endpoint) *box {
	t.Helper()
	b := newBox(t, e)
	b.learn(e)
	return b
}

// learn writes the endpoint's credentials into the configuration of the box.
func (b *box) learn(e endpoint) {
	b.t.Helper()
	if e.user == "" {
		return
	}
	auth := base64.StdEncoding.EncodeToString([]byte(e.user + ":" + e.password))
	if err := os.MkdirAll(b.file(".docker"), 0o700); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(b.file(".docker/config.json"), fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, e.addr, auth), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

// in returns the box for a part of the test.
func (b box) in(t *testing.T) *box {
	b.t = t
	return &b
}

// file is the name of a file in the box.
func (b *box) file(name string) string { return filepath.Join(b.home, name) }

// run runs a client and returns what it wrote to its standard output.
func (b *box) run(client string, args ...string) (string, error) {
	return b.feed("", client, args...)
}

// feed runs a client that reads the input.
func (b *box) feed(input, client string, args ...string) (string, error) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), commandTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, find(b.t, client), args...)
	var stdout, stderr strings.Builder
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = b.home, b.env, strings.NewReader(input), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", client, strings.Join(args, " "), err, stdout.String(), stderr.String())
	}
	return stdout.String(), nil
}

// must runs a client that has to succeed.
func (b *box) must(client string, args ...string) string {
	b.t.Helper()
	out, err := b.run(client, args...)
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// find returns the file of a client. Without it the test is skipped, and fails where CI is set.
func find(t *testing.T, client string) string {
	t.Helper()
	built := os.Getenv("TARE_E2E_CLIENTS")
	if built == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			t.Fatal(err)
		}
		built = filepath.Join(cache, "tare-e2e")
	}
	if file, err := exec.LookPath(filepath.Join(built, client)); err == nil {
		return file
	}
	file, err := exec.LookPath(client)
	if err != nil {
		lacking(t, client+" is not installed: see install.sh")
	}
	return file
}

// needRoot is for clients that change their root folder, owners of files, or cgroups.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Getuid() != 0 {
		lacking(t, "the client needs root")
	}
}

func lacking(t *testing.T, what string) {
	t.Helper()
	if os.Getenv("CI") != "" {
		t.Fatal(what)
	}
	t.Skip(what)
}
