// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"tare/internal/doctor"
)

// doctorCmd examines a registry that runs anywhere.
type doctorCmd struct {
	URL          string `arg:"" help:"The registry's address: https://host." placeholder:"URL"`
	User         string `help:"Log in with this name. The credential must be one that may push and delete."`
	Password     string `help:"Its password. On the command line others can see it: rather set TARE_PASSWORD, or use --password-file."`
	PasswordFile string `help:"Read the password from this file; - is the standard input." placeholder:"FILE" env:"-"`
	Load         int    `help:"Let this many clients push at the same time, five images each; at most 64." placeholder:"N" env:"-"`
	JSON         bool   `name:"json" help:"Print one JSON object." env:"-"`
}

// examination is what --json prints. Its fields stay as they are; there may come more.
type examination struct {
	Format   int              `json:"format"` // 1
	URL      string           `json:"url"`
	Started  time.Time        `json:"started"`
	Finished time.Time        `json:"finished"`
	Passed   int              `json:"passed"`
	Failed   int              `json:"failed"`
	Skipped  int              `json:"skipped"`
	Exit     int              `json:"exit"`
	Checks   []doctor.Finding `json:"checks"`
}

// maxPassword bounds what is read for one.
const maxPassword = 4096

// Run examines, prints what it finds, and fails when a check did.
func (cmd *doctorCmd) Run(ctx context.Context, c *console) error {
	if cmd.Load < 0 || cmd.Load > doctor.MaxLoad {
		return usagef("--load %d: 0 to %d", cmd.Load, doctor.MaxLoad)
	}
	password, err := cmd.password(c)
	if err != nil {
		return err
	}
	if (cmd.User == "") != (password == "") {
		return usagef("--user and a password (TARE_PASSWORD or --password-file) belong together")
	}
	e := examination{Format: 1, URL: cmd.URL, Started: c.clock.Now()}
	o := doctor.Options{URL: cmd.URL, User: cmd.User, Password: password, Load: cmd.Load, Clock: c.clock}
	err = doctor.Examine(ctx, o, func(f doctor.Finding) {
		e.Checks = append(e.Checks, f)
		switch f.Result {
		case doctor.Passed:
			e.Passed++
		case doctor.Failed:
			e.Failed++
		case doctor.Skipped:
			e.Skipped++
		}
		if !cmd.JSON {
			printCheck(c.out, f)
		}
	})
	if err != nil {
		return usageError{err}
	}
	e.Finished = c.clock.Now()
	if e.Failed > 0 || ctx.Err() != nil {
		e.Exit = exitFailed
	}
	if err := cmd.finish(ctx, c, e); err != nil {
		return err
	}
	if e.Exit != exitOK {
		return verdict(e.Exit)
	}
	return nil
}

// finish prints what came of it all.
func (cmd *doctorCmd) finish(ctx context.Context, c *console, e examination) error {
	if cmd.JSON {
		b, err := json.MarshalIndent(e, "", "  ")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(c.out, "%s\n", b)
		return err
	}
	if ctx.Err() != nil {
		fmt.Fprintln(c.err, "The examination was broken off.")
	}
	_, err := fmt.Fprintf(c.out, "%d passed, %d failed, %d do not apply\n", e.Passed, e.Failed, e.Skipped)
	return err
}

// password reads it from where it is said to be. The end of its line is none of it.
func (cmd *doctorCmd) password(c *console) (string, error) {
	if cmd.PasswordFile == "" {
		return cmd.Password, nil
	}
	from := c.in
	if cmd.PasswordFile != "-" {
		f, err := os.Open(cmd.PasswordFile)
		if err != nil {
			return "", err
		}
		defer f.Close()
		from = f
	}
	b, err := io.ReadAll(io.LimitReader(from, maxPassword))
	return strings.TrimRight(string(b), "\r\n"), err
}

// printCheck writes a finding for a person.
func printCheck(w io.Writer, f doctor.Finding) {
	fmt.Fprintf(w, "%-7s  %s: %s\n", f.Result, f.Check, f.Saw)
	if f.Means != "" {
		fmt.Fprintf(w, "         it means: %s\n         to change: %s\n", f.Means, f.Change)
	}
}
