// SPDX-License-Identifier: Apache-2.0

// Command cloud starts the cloud of the template on this machine, without Docker and without an account: the bootstraps of
// the functions behind Lambda's Runtime API, a strict HTTP API before them, stand-ins for DynamoDB and S3 behind them.
//
//	cloud [flags] [command arguments…]
//
// With a command, it runs that with the variables of test/conformance (CONFORMANCE_URL and others) in its environment, and
// ends with its status; without one it runs until it is interrupted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"tare/test/cloud/deploy"
	"tare/test/cloud/judge"
	"tare/test/cloud/template"
	"tare/test/standin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	status, err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "cloud:", err)
		status = max(status, 1)
	}
	os.Exit(status)
}

// settings are the flags.
type settings struct {
	deploy.Options
	template   string
	parameters parameters
	logFile    string
	user       string
	rights     string
	credential string
	report     bool
	command    []string
}

// parameters are those of the template.
type parameters map[string]string

func (p parameters) String() string { return fmt.Sprint(map[string]string(p)) }

func (p parameters) Set(pair string) error {
	name, value, ok := strings.Cut(pair, "=")
	if !ok {
		return errors.New("a parameter is Name=value")
	}
	p[name] = value
	return nil
}

func parse(args []string) (settings, error) {
	s := settings{parameters: parameters{}}
	flags := flag.NewFlagSet("cloud", flag.ContinueOnError)
	flags.StringVar(&s.template, "template", "", "the expanded template, a JSON `file`")
	flags.Var(s.parameters, "parameter", "a `Name=value` of the template; may be repeated")
	flags.StringVar(&s.Bootstraps, "functions", "", "the `folder` with api/bootstrap, finalize/bootstrap and gc/bootstrap, built for this machine")
	flags.StringVar(&s.DynamoDB, "dynoxide", os.Getenv("TARE_DYNOXIDE"), "the `program` that stands in for DynamoDB; TARE_DYNOXIDE")
	flags.StringVar(&s.S3, "versitygw", os.Getenv("TARE_VERSITYGW"), "the `program` that stands in for S3; TARE_VERSITYGW")
	flags.StringVar(&s.Data, "data", "", "the `folder` of what is stored; empty: a temporary one, which goes away at the end")
	flags.StringVar(&s.Listen, "listen", "127.0.0.1:0", "the `address` of the HTTP API")
	flags.StringVar(&s.TLSCert, "tls-cert", "", "a certificate `file`; with -tls-key and -tls-ca, the HTTP API and the bucket speak TLS")
	flags.StringVar(&s.TLSKey, "tls-key", "", "its key, a `file`")
	flags.StringVar(&s.TLSAuthority, "tls-ca", "", "a `file` with who signed it, whom the functions then trust")
	flags.StringVar(&s.logFile, "log", "", "the `file` for what the functions print; empty: nowhere, - is the standard error")
	flags.StringVar(&s.user, "user", "me", "the `name` of the first credential")
	flags.StringVar(&s.rights, "rights", "admin", "its `rights`: pull, push or admin")
	flags.StringVar(&s.credential, "credential", "", "a `file` for it, as name:password; where it is there already, nothing is minted")
	flags.BoolVar(&s.report, "report", false, "at the end, tell which calls were made, and which permissions nothing used")
	anonymous := flags.Bool("anonymous-pull", false, "pulls need no credential")
	flags.Uint64Var(&s.Weather.Seed, "seed", 1, "of what the cloud does by chance")
	flags.DurationVar(&s.Weather.Delay, "delay", time.Second, "events of the bucket are late by up to this")
	flags.Float64Var(&s.Weather.Duplicate, "duplicate", 0.2, "the chance that such an event comes twice")
	flags.DurationVar(&s.Overlap, "overlap", 2*time.Millisecond, "how long a transaction is under way at least: who meets it in this time is canceled with TransactionConflict; 0: nobody is")
	flags.IntVar(&s.Concurrency, "concurrency", 64, "how many processes the functions have together at most")
	flags.IntVar(&s.Recycle, "recycle", 0, "a process ends after so many events; 0: never")
	flags.DurationVar(&s.Interval, "interval", 0, "between two sweeps; 0: as the template says")
	flags.Float64Var(&s.Double, "double", 0.2, "the chance that a sweep comes twice at once")
	flags.BoolVar(&s.TextBodies, "text-bodies", false, "manifests are strings in events, not base64")
	if err := flags.Parse(args); err != nil {
		return s, err
	}
	s.command = flags.Args()
	if *anonymous {
		s.parameters["Options"] = strings.TrimPrefix(s.parameters["Options"]+",anonymous-pull=on", ",")
	}
	for name, value := range map[string]string{"-template": s.template, "-functions": s.Bootstraps,
		"-dynoxide or TARE_DYNOXIDE": s.DynamoDB, "-versitygw or TARE_VERSITYGW": s.S3} {
		if value == "" {
			return s, fmt.Errorf("%s is not set", name)
		}
	}
	// Events are retried after a second and two here, and not after minutes.
	s.Retry = func(attempt int, throttled bool) time.Duration {
		if throttled {
			return 200 * time.Millisecond
		}
		return time.Duration(attempt) * time.Second
	}
	return s, nil
}

func run(ctx context.Context, args []string, out io.Writer) (status int, err error) {
	s, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return 0, nil
	}
	if err != nil {
		return 2, err
	}
	stack, err := read(s)
	if err != nil {
		return 1, err
	}
	if s.Data == "" {
		folder, err := os.MkdirTemp("", "cloud")
		if err != nil {
			return 1, err
		}
		defer os.RemoveAll(folder)
		s.Data = folder
	}
	switch s.logFile {
	case "":
	case "-":
		s.Log = os.Stderr
	default:
		file, err := os.OpenFile(s.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return 1, err
		}
		defer file.Close()
		s.Log = file
	}
	bench, err := judge.New(judge.Config{Stack: stack, Setting: setting(s), AccessKey: standin.AccessKey, SecretKey: standin.SecretKey})
	if err != nil {
		return 1, err
	}
	if err := bench.Services(); err != nil {
		return 1, err
	}
	s.Judge = bench
	d, err := deploy.Start(ctx, stack, s.Options)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, d.Close()) }()
	c, err := known(s.credential)
	if err != nil {
		if c, err = d.Mint(ctx, s.user, s.rights); err != nil {
			return 1, err
		}
	}
	if err := hand(s, d, c, out); err != nil {
		return 1, err
	}
	if len(s.command) == 0 {
		<-ctx.Done()
	} else {
		status, err = attend(ctx, s.command, d.URL, c)
	}
	seen := bench.Report()
	if s.report {
		report(out, d)
		seen.Print(out)
	}
	if faults := seen.Faults(); len(faults) > 0 {
		err = errors.Join(err, fmt.Errorf("%d requests were refused to the functions; the first: %v", len(faults), faults[0]))
	}
	return status, err
}

func read(s settings) (template.Stack, error) {
	file, err := os.Open(s.template)
	if err != nil {
		return template.Stack{}, err
	}
	defer file.Close()
	return template.Read(file, setting(s))
}

func setting(s settings) template.Setting {
	return template.Setting{Account: deploy.Account, Region: standin.Region, Parameters: s.parameters}
}

// known is the credential of an earlier cloud on the same data.
func known(file string) (deploy.Credential, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return deploy.Credential{}, err
	}
	name, token, ok := strings.Cut(strings.TrimSpace(string(text)), ":")
	if !ok {
		return deploy.Credential{}, fmt.Errorf("%s is not name:password", file)
	}
	return deploy.Credential{Name: name, Token: token}, nil
}

// hand tells who started the cloud how to use it.
func hand(s settings, d *deploy.Deployment, c deploy.Credential, out io.Writer) error {
	if s.credential != "" {
		// The file is there, whole, or it is not: others wait for it.
		next := s.credential + ".next"
		if err := os.WriteFile(next, []byte(c.Name+":"+c.Token), 0o600); err != nil {
			return err
		}
		if err := os.Rename(next, s.credential); err != nil {
			return err
		}
	}
	if len(s.command) > 0 {
		return nil
	}
	_, host, _ := strings.Cut(d.URL, "://")
	_, err := fmt.Fprintf(out, `The registry is at %s

  docker login -u %s -p %s %s
  docker tag alpine:3 %s/alpine:3 && docker push %s/alpine:3

Layers of more than about 4.7 MB do not fit through the function: docs/operations.md tells what clients then print.
`, d.URL, c.Name, c.Token, host, host, host)
	return err
}

// attend runs the command and returns its status.
func attend(ctx context.Context, command []string, url string, c deploy.Credential) (int, error) {
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), "CONFORMANCE_URL="+url, "CONFORMANCE_USER="+c.Name, "CONFORMANCE_PASSWORD="+c.Token, "CONFORMANCE_GATEWAY=1")
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return max(exit.ExitCode(), 1), nil
	}
	return 0, err
}

// report says what the cloud did by itself.
func report(out io.Writer, d *deploy.Deployment) {
	g := d.Gateway.Counts()
	fmt.Fprintf(out, "HTTP API: %d requests; by itself it answered 429 or 503 %d times, 413 %d, 500 %d, and late %d\n",
		g.Requests, g.Throttled, g.TooLarge, g.Failed, g.Late)
	fmt.Fprintf(out, "bucket: %v\n", d.Bus.Counts())
	t := d.Meter.Counts()
	fmt.Fprintf(out, "table: %v; %d transactions, %d sent again, %d canceled by a conflict, %d refused by a condition\n",
		t.Calls, t.Transactions, t.Repeated, t.Conflicts, t.Refused)
	for _, f := range d.Lambda.Failures() {
		fmt.Fprintf(out, "given up (%s): %s: %s\n", f.RequestContext.Condition, f.RequestPayload, f.ResponsePayload)
	}
}
