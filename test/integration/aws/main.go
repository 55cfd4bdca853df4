// SPDX-License-Identifier: Apache-2.0

// Command aws runs a program of tests in an account of AWS, or at endpoints that variables name (package account): it says
// what that costs, makes a table and a bucket, tells the tests their names, and removes both however the tests end. On a
// terminal it asks first.
package main

import (
	"bufio"
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

	"tare/test/integration/account"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "integration-aws:", err)
		os.Exit(1)
	}
}

// cost is what a run of all tests takes, as it was counted at the stand-ins, and rounded up.
const cost = `a run makes 200,000 write units and 100,000 read units of the table and 5,000 requests of the bucket, half of them writes
and lists, and keeps less than 100 MB for some minutes: about $0.20 (us-east-1, on demand, list prices of 2026-11)`

// removal is how long the table and the bucket may take to go.
const removal = 2 * time.Minute

func run(ctx context.Context, args []string, in *os.File, out io.Writer) (err error) {
	flags := flag.NewFlagSet("aws", flag.ContinueOnError)
	yes := flags.Bool("yes", false, "do not ask")
	flags.Usage = func() {
		fmt.Fprintln(flags.Output(), "usage: aws [-yes] PROGRAM [ARGUMENT…]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return nil
	} else if err != nil {
		return err
	}
	if flags.NArg() == 0 {
		return errors.New("which program of tests?")
	}
	a, err := account.Open(ctx, os.Getenv)
	if errors.Is(err, account.ErrNone) && os.Getenv("CI") != "" {
		fmt.Fprintln(out, "integration-aws is not run:", err)
		return nil
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "A table and a bucket, tare-integration-…, are made in region %s%s, and removed at the end;\n%s.\n", a.Region(), where(os.Getenv), cost)
	if !*yes && terminal(in) && !agreed(in, out) {
		return errors.New("not run")
	}
	defer func() {
		fmt.Fprintln(out, "Removing the table and the bucket.")
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), removal)
		defer cancel()
		err = errors.Join(err, a.Remove(ctx))
	}()
	if err := a.Create(ctx); err != nil {
		return err
	}
	tests := exec.CommandContext(ctx, flags.Arg(0), flags.Args()[1:]...)
	tests.Stdout, tests.Stderr = out, os.Stderr
	tests.Env = append(os.Environ(), account.TableName+"="+a.Table, account.BucketName+"="+a.Bucket)
	return tests.Run()
}

// where names the endpoints that variables name.
func where(environment func(string) string) string {
	var at []string
	for _, name := range []string{account.EndpointDynamoDB, account.EndpointS3} {
		if url := environment(name); url != "" {
			at = append(at, url)
		}
	}
	if at == nil {
		return ""
	}
	return ", at " + strings.Join(at, " and ") + " alone"
}

// terminal tells whether somebody can answer.
func terminal(f *os.File) bool {
	info, err := f.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return false
	}
	nobody, err := os.Stat(os.DevNull)
	return err != nil || !os.SameFile(info, nobody)
}

func agreed(in io.Reader, out io.Writer) bool {
	fmt.Fprint(out, "Go on? [y/N] ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	return err == nil && strings.HasPrefix(strings.ToLower(answer), "y")
}
