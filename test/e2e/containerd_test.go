// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/platforms"
)

// TestContainerd drives the library that containerd, BuildKit and Docker's containerd store push and pull with.
func TestContainerd(t *testing.T) {
	client{push: containerdPush, pull: containerdPull, bulk: http.MethodPut, exact: true}.roundTrips(t)
}

func containerdResolver(e endpoint) remotes.Resolver {
	authorizer := docker.NewDockerAuthorizer(docker.WithAuthCreds(func(string) (string, string, error) {
		return e.user, e.password, nil
	}))
	options := []docker.RegistryOpt{
		docker.WithClient(&http.Client{Transport: e.transport}),
		docker.WithAuthorizer(authorizer),
	}
	if e.ca == "" {
		options = append(options, docker.WithPlainHTTP(docker.MatchAllHosts))
	}
	return docker.NewResolver(docker.ResolverOptions{Hosts: docker.ConfigureDefaultRegistries(options...)})
}

func containerdPush(t *testing.T, e endpoint, name string, img image) error {
	store, err := local.NewStore(img.layout)
	if err != nil {
		t.Fatal(err)
	}
	pusher, err := containerdResolver(e).Pusher(t.Context(), e.ref(name))
	if err != nil {
		return err
	}
	return remotes.PushContent(t.Context(), pusher, img.root, store, nil, platforms.All, nil)
}

func containerdPull(t *testing.T, e endpoint, name string, img image) error {
	folder := shortDir(t)
	store, err := local.NewStore(folder)
	if err != nil {
		t.Fatal(err)
	}
	resolver := containerdResolver(e)
	resolved, root, err := resolver.Resolve(t.Context(), e.ref(name))
	if err != nil {
		return err
	}
	fetcher, err := resolver.Fetcher(t.Context(), resolved)
	if err != nil {
		return err
	}
	fetch := images.Handlers(remotes.FetchHandler(store, fetcher), images.ChildrenHandler(store))
	if err := images.Dispatch(t.Context(), fetch, nil, root); err != nil {
		return err
	}
	img.sameIn(t, folder)
	return nil
}

// TestCtr drives a containerd daemon through its command.
func TestCtr(t *testing.T) {
	need(t, uploadDigest)
	pusher, puller := containerd(t), containerd(t)
	client{
		push: func(t *testing.T, e endpoint, name string, img image) error {
			pusher.in(t).must("ctr", "images", "import", "--all-platforms", "--no-unpack", "--base-name", "e2e.example/app", img.ociArchive(t))
			args := append([]string{"images", "push"}, ctrOptions(t, e)...)
			_, err := pusher.in(t).run("ctr", append(args, e.ref(name), "e2e.example/app:latest")...)
			return err
		},
		pull: func(t *testing.T, e endpoint, name string, img image) error {
			args := append([]string{"content", "fetch", "--all-platforms"}, ctrOptions(t, e)...)
			if _, err := puller.in(t).run("ctr", append(args, e.ref(name))...); err != nil {
				return err
			}
			exported := puller.file("exported.tar")
			puller.in(t).must("ctr", "images", "export", "--all-platforms", exported, e.ref(name))
			img.sameIn(t, untar(t, exported))
			return nil
		},
		bulk:  http.MethodPut,
		exact: true,
	}.roundTrips(t)
}

// TestCtrPull pulls as a node does before it runs a container: the layers are unpacked too.
func TestCtrPull(t *testing.T) {
	e := serve(t, access{}).endpoint
	img := newImage(t, t.Name())
	e.put(t, "team/app:1.0", img)
	b := containerd(t)
	b.must("ctr", append(append([]string{"images", "pull", "--snapshotter", "native"}, ctrOptions(t, e)...), e.ref("team/app:1.0"))...)
	out := b.must("ctr", "snapshots", "--snapshotter", "native", "list")
	if unpacked := strings.Count(out, "Committed"); unpacked != 2 {
		t.Errorf("%d layers were unpacked, want 2: %s", unpacked, out)
	}
}

// ctrOptions returns the options by which the command reaches the endpoint. It speaks plain HTTP to loopback unless its
// configuration of the host says otherwise.
func ctrOptions(t *testing.T, e endpoint) []string {
	t.Helper()
	options := []string{"--plain-http"}
	if e.ca != "" {
		hosts := shortDir(t)
		if err := os.Mkdir(filepath.Join(hosts, e.addr), 0o700); err != nil {
			t.Fatal(err)
		}
		config := fmt.Sprintf("[host.%q]\nca = %q\n", e.url(""), e.ca)
		if err := os.WriteFile(filepath.Join(hosts, e.addr, "hosts.toml"), []byte(config), 0o600); err != nil {
			t.Fatal(err)
		}
		options = []string{"--hosts-dir", hosts}
	}
	if e.user != "" {
		options = append(options, "--user", e.user+":"+e.password)
	}
	return options
}

// containerd starts a daemon with empty storage and nothing that needs the kernel's help, and returns the box of its
// clients.
func containerd(t *testing.T) *box {
	t.Helper()
	needRoot(t)
	b := newBox(t, endpoint{})
	socket, config := b.file("containerd.sock"), b.file("config.toml")
	const disabled = `version = 2
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.internal.v1.opt", "io.containerd.tracing.processor.v1.otlp",
  "io.containerd.internal.v1.tracing", "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.overlayfs", "io.containerd.snapshotter.v1.zfs",
]
`
	if err := os.WriteFile(config, []byte(disabled), 0o600); err != nil {
		t.Fatal(err)
	}
	daemon := &daemon{
		words: []string{find(t, "containerd"), "--config", config, "--root", b.file("root"), "--state", b.file("state"), "--address", socket},
		env:   b.env,
		log:   b.file("containerd.log"),
	}
	ctr := find(t, "ctr")
	b.env = append(b.env, "CONTAINERD_ADDRESS="+socket)
	daemon.start(t, func() bool {
		version := exec.CommandContext(t.Context(), ctr, "version")
		version.Env = b.env
		return version.Run() == nil
	})
	return b
}

// ociArchive writes the layout as one file.
func (img image) ociArchive(t *testing.T) string {
	t.Helper()
	file := filepath.Join(shortDir(t), "layout.tar")
	out, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	files := make(map[string][]byte)
	err = filepath.WalkDir(img.layout, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(img.layout, path)
		if err != nil {
			return err
		}
		files[name], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	writeTar(t, out, files)
	return file
}

// untar unpacks the files of an archive into a folder.
func untar(t *testing.T, archive string) string {
	t.Helper()
	folder := shortDir(t)
	for name, body := range readTar(t, archive) {
		file := filepath.Join(folder, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return folder
}
