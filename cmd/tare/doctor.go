// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"time"

	"oras.land/oras-go/v2/registry/remote/credentials"

	"tare/internal/doctor"
)

// doctorCmd examines a registry that runs anywhere.
type doctorCmd struct {
	URL          string        `arg:"" help:"The registry's address: https://host." placeholder:"URL"`
	User         string        `help:"Log in with this name, else with what docker login keeps. The credential must be one that may push and delete."`
	Password     string        `help:"Its password. On the command line others can see it: rather set TARE_PASSWORD, or use --password-file."`
	PasswordFile string        `help:"Read the password from this file; - is the standard input." placeholder:"FILE" env:"-"`
	Anonymous    bool          `help:"Log in with nothing, whatever docker login keeps." env:"-"`
	Timeout      time.Duration `help:"Break off after this time, and clean up." default:"20m" env:"-"`
	Load         int           `help:"Let this many clients push at the same time, five images each; at most 64." placeholder:"N" env:"-"`
	JSON         bool          `name:"json" help:"Print one JSON object." env:"-"`
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
	user := cmd.User
	switch {
	case (user == "") != (password == ""):
		return usagef("--user and a password (TARE_PASSWORD or --password-file) belong together")
	case user != "" && cmd.Anonymous:
		return usagef("--anonymous and --user contradict one another")
	case cmd.Timeout <= 0:
		return usagef("--timeout %v: more than nothing", cmd.Timeout)
	case user == "" && !cmd.Anonymous:
		if user, password, err = kept(ctx, cmd.URL); err != nil {
			return fmt.Errorf("what docker login keeps cannot be read (--anonymous does without): %w", err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, cmd.Timeout)
	defer cancel()
	e := examination{Format: 1, URL: cmd.URL, Started: c.clock.Now()}
	o := doctor.Options{URL: cmd.URL, User: user, Password: password, Load: cmd.Load, Clock: c.clock}
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

// kept is the credential that docker login keeps for the registry, in its configuration or with its helpers; "" where it keeps
// none. It is one that clients exchange for tokens where a helper has only such; that is of no use here.
func kept(ctx context.Context, registry string) (user, password string, err error) {
	if !strings.Contains(registry, "://") {
		registry = "https://" + registry
	}
	at, err := url.Parse(registry)
	if err != nil || at.Host == "" {
		return "", "", nil // Examine says what is wrong with it
	}
	store, err := credentials.NewStoreFromDocker(credentials.StoreOptions{})
	if err != nil {
		return "", "", err
	}
	found, err := store.Get(ctx, at.Host)
	if err != nil || found.Username == "" || found.Password == "" {
		return "", "", err
	}
	return found.Username, found.Password, nil
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
