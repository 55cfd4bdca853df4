// SPDX-License-Identifier: Apache-2.0

package main

import (
	"archive/tar"
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

func lines(text string) []string { return strings.Split(strings.TrimSpace(text), "\n") }

// rows are the keys of all rows but the secrets, by way of a backup.
func (r *rig) rows(ctx context.Context) ([]string, error) {
	path := r.Log + ".backup"
	if _, err := r.Command(ctx, "backup", path); err != nil {
		return nil, err
	}
	defer os.Remove(path)
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	var keys []string
	archive := tar.NewReader(f)
	for {
		entry, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return keys, nil
		}
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(entry.Name, "rows/") {
			continue
		}
		more, err := rowKeys(archive)
		if err != nil {
			return nil, err
		}
		keys = append(keys, more...)
	}
}

// secrets is the partition that stays.
const secrets = "k"

func rowKeys(r io.Reader) ([]string, error) {
	var keys []string
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 8<<20)
	for lines.Scan() {
		var row struct{ PK, SK string }
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, err
		}
		if row.PK != secrets {
			keys = append(keys, row.PK+" "+row.SK)
		}
	}
	return keys, lines.Err()
}

// wantNoFiles loses every file of the folder that holds bytes of a client. The registry does not run.
func (r *rig) wantNoFiles() error {
	for _, dir := range []string{"objects", "parts", "tmp", "scratch"} {
		err := filepath.WalkDir(filepath.Join(r.Data, dir), func(path string, e fs.DirEntry, err error) error {
			if errors.Is(err, fs.ErrNotExist) {
				return nil
			}
			if err == nil && !e.IsDir() {
				r.ledger.Lose("everything is deleted, and the file %s is left", path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}
