// SPDX-License-Identifier: Apache-2.0

package server

import (
	"encoding/json"
	"net"
	"os"
)

// Olareg returns an olareg on a folder, as it ships.
func Olareg(binary, data, log string) (*Registry, error) {
	r, err := registry(binary, data, log)
	if err != nil {
		return nil, err
	}
	host, port, err := net.SplitHostPort(r.Addr)
	if err != nil {
		return nil, err
	}
	r.arguments = []string{"serve", "--addr", host, "--port", port, "--store-type", "dir", "--dir", data}
	r.health = "/v2/"
	return r, os.MkdirAll(data, 0o700)
}

// Distribution returns the CNCF's registry on its filesystem driver, without access log and traces.
func Distribution(binary, data, log string) (*Registry, error) {
	r, err := registry(binary, data, log)
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(map[string]any{ // JSON is YAML, too
		"version": "0.1",
		"log":     map[string]any{"level": "error", "accesslog": map[string]any{"disabled": true}},
		"storage": map[string]any{
			"filesystem":  map[string]any{"rootdirectory": data},
			"maintenance": map[string]any{"uploadpurging": map[string]any{"enabled": false}},
		},
		"http": map[string]any{"addr": r.Addr},
	})
	if err != nil {
		return nil, err
	}
	config := log + ".config"
	if err := os.WriteFile(config, raw, 0o600); err != nil {
		return nil, err
	}
	r.arguments = []string{"serve", config}
	r.environment = append(r.environment, "OTEL_TRACES_EXPORTER=none")
	r.health = "/v2/"
	return r, os.MkdirAll(data, 0o700)
}
