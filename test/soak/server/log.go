// SPDX-License-Identifier: Apache-2.0

package server

import (
	"bufio"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"strings"
)

// Collected is what sweeps removed.
type Collected struct {
	Links, Blobs, Objects, Bytes, Uploads, Manifests, Repositories int64
}

// Logged is what a registry wrote into its log, in the format json.
type Logged struct {
	Collected
	Errors []string // the lines of the level error, and those with which a program of Go dies; the first twenty
}

// ReadLog adds up the log, if there is one. Lines that are no JSON are what a process prints when it starts, or dies.
func (r *Registry) ReadLog() (Logged, error) {
	var all Logged
	f, err := os.Open(r.Log)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return all, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct {
			Level   string `json:"level"`
			Message string `json:"msg"`
			Collected
		}
		if json.Unmarshal(lines.Bytes(), &line) != nil {
			line.Level = ""
		}
		died := strings.HasPrefix(lines.Text(), "panic: ") || strings.HasPrefix(lines.Text(), "fatal error: ")
		if (died || line.Level == "ERROR") && len(all.Errors) < 20 {
			all.Errors = append(all.Errors, lines.Text())
		}
		if line.Message == "Swept." {
			all.Collected = all.Plus(line.Collected)
		}
	}
	return all, lines.Err()
}

// Plus adds up.
func (c Collected) Plus(d Collected) Collected {
	return Collected{
		Links:        c.Links + d.Links,
		Blobs:        c.Blobs + d.Blobs,
		Objects:      c.Objects + d.Objects,
		Bytes:        c.Bytes + d.Bytes,
		Uploads:      c.Uploads + d.Uploads,
		Manifests:    c.Manifests + d.Manifests,
		Repositories: c.Repositories + d.Repositories,
	}
}
