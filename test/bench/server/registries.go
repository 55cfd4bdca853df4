// SPDX-License-Identifier: Apache-2.0

package server

import (
	"debug/buildinfo"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// Names that the report treats in a way of their own.
const (
	TareName = "tare"
	BareName = "bare"
)

// Tare is the registry that this repository builds, as it ships.
func Tare(binary string) Registry {
	return Registry{
		Name:    TareName,
		Version: version(binary),
		Syncs:   true,
		command: func(dir, addr string) (*exec.Cmd, error) {
			return exec.Command(binary, "serve", "--listen", addr, "--data", dir), nil
		},
	}
}

// Distribution is the CNCF's registry on its filesystem driver, with the descriptor cache of its shipped configuration, and without
// access log and traces.
func Distribution(binary string) Registry {
	return Registry{
		Name:    "distribution",
		Version: version(binary),
		Syncs:   true,
		command: func(dir, addr string) (*exec.Cmd, error) {
			config, err := writeConfig(dir, map[string]any{
				"version": "0.1",
				"log":     map[string]any{"level": "error", "accesslog": map[string]any{"disabled": true}},
				"storage": map[string]any{
					"filesystem":  map[string]any{"rootdirectory": dir},
					"cache":       map[string]any{"blobdescriptor": "inmemory"},
					"delete":      map[string]any{"enabled": true},
					"maintenance": map[string]any{"uploadpurging": map[string]any{"enabled": false}},
				},
				"http": map[string]any{"addr": addr},
			})
			if err != nil {
				return nil, err
			}
			cmd := exec.Command(binary, "serve", config)
			cmd.Env = append(os.Environ(), "OTEL_TRACES_EXPORTER=none")
			return cmd, nil
		},
	}
}

// Olareg is olareg on a folder, as it ships.
func Olareg(binary string) Registry {
	return Registry{
		Name:    "olareg",
		Version: version(binary),
		command: func(dir, addr string) (*exec.Cmd, error) {
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			return exec.Command(binary, "serve", "--addr", host, "--port", port, "--store-type", "dir", "--dir", dir, "--api-delete"), nil
		},
	}
}

// Zot is zot on a folder, as it ships.
func Zot(binary string) Registry {
	return Registry{
		Name:    "zot",
		Version: version(binary),
		command: func(dir, addr string) (*exec.Cmd, error) {
			host, port, err := net.SplitHostPort(addr)
			if err != nil {
				return nil, err
			}
			config, err := writeConfig(dir, map[string]any{
				"storage": map[string]any{"rootDirectory": dir},
				"http":    map[string]any{"address": host, "port": port},
				"log":     map[string]any{"level": "error"},
			})
			if err != nil {
				return nil, err
			}
			return exec.Command(binary, "serve", config), nil
		},
	}
}

// Bare is the handler of package bare, which binary must serve when it is called with "bare", an address and a folder.
func Bare(binary string) Registry {
	return Registry{
		Name:    BareName,
		Version: "net/http",
		Syncs:   true,
		command: func(dir, addr string) (*exec.Cmd, error) {
			return exec.Command(binary, "bare", addr, dir), nil
		},
	}
}

// writeConfig puts a configuration beside the data. JSON is YAML, too.
func writeConfig(dir string, config any) (string, error) {
	raw, err := json.Marshal(config)
	if err != nil {
		return "", err
	}
	name := filepath.Join(filepath.Dir(dir), "config.json")
	return name, os.WriteFile(name, raw, 0o600)
}

// version is what the binary says that it was built from, and empty where it does not say.
func version(binary string) string {
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		return ""
	}
	return info.Main.Version
}
