// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// backupCmd writes an archive of a registry.
type backupCmd struct {
	folderFlags

	File string `arg:"" help:"Where to write the backup; - for the standard output. A file appears, or is replaced, when it is complete." placeholder:"FILE"`
}

// Run writes the archive.
func (cmd *backupCmd) Run(ctx context.Context, c *console) (err error) {
	if cmd.File == "-" && isTerminalWriter(c.out) {
		return usagef("a backup is not for a terminal: name a file, or send the output somewhere")
	}
	admin, err := openAdministration(ctx, c, cmd.folderFlags)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, admin.Close()) }()
	p := newProgress(c)
	defer p.end()
	write := func(w io.Writer) error {
		return admin.backup(ctx, &counter{w: w, progress: p, verb: "written"})
	}
	if cmd.File == "-" {
		return write(c.out)
	}
	if err := replaceFile(cmd.File, write); err != nil {
		return err
	}
	return syncDir(filepath.Dir(cmd.File))
}

// replaceFile writes a file that only its owner can read, and puts it in its place when all of it is on the disk. The
// name is durable when the directory has been synced, too.
func replaceFile(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // has mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(write(f), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func isTerminalWriter(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isTerminal(f)
}

// restoreCmd makes a data folder from an archive.
type restoreCmd struct {
	dataFlag

	File string `arg:"" help:"The backup; - for the standard input." placeholder:"FILE"`
}

// Run restores the archive into a folder that is absent or empty, and checks the result.
func (cmd *restoreCmd) Run(ctx context.Context, c *console) error {
	in := c.in
	if cmd.File != "-" {
		f, err := os.Open(cmd.File)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	p := newProgress(c)
	sum, err := restore(ctx, c, cmd.Data, io.TeeReader(in, &counter{w: io.Discard, progress: p, verb: "read"}))
	p.end()
	if err != nil {
		return err
	}
	fmt.Fprintf(c.out, "Restored rows: %d, objects: %d (%v), into %s.\n", sum.Rows, sum.Objects, size(sum.Bytes), cmd.Data)
	return nil
}
