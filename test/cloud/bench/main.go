// SPDX-License-Identifier: Apache-2.0

// Command bench measures the cloud on this machine and prints tables in Markdown: cold start and what a warm function
// costs over its handler, small images, and clients that push the same base layers at once while transactions that overlap
// are canceled as DynamoDB cancels them. It fails where something was refused that may not be, or a bound is missed.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"sync"
	"syscall"
	"time"

	"tare/test/cloud/deploy"
	"tare/test/cloud/events"
	"tare/test/cloud/lambda"
	"tare/test/cloud/template"
	"tare/test/standin"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	template   string
	bootstraps string
	zips       string
	dynoxide   string
	versitygw  string
	rival      string
	sections   string
	overlap    time.Duration
	short      bool
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.template, "template", "", "the expanded template, a JSON `file`")
	flags.StringVar(&o.bootstraps, "functions", "", "the `folder` with api/bootstrap, finalize/bootstrap and gc/bootstrap")
	flags.StringVar(&o.zips, "zips", "", "the `folder` with what is deployed of them, as zips")
	flags.StringVar(&o.dynoxide, "dynoxide", os.Getenv("TARE_DYNOXIDE"), "the `program` that stands in for DynamoDB; TARE_DYNOXIDE")
	flags.StringVar(&o.versitygw, "versitygw", os.Getenv("TARE_VERSITYGW"), "the `program` that stands in for S3; TARE_VERSITYGW")
	flags.StringVar(&o.rival, "distribution", os.Getenv("TARE_BENCH_DISTRIBUTION"), "the `program` of the CNCF's registry; TARE_BENCH_DISTRIBUTION")
	flags.StringVar(&o.sections, "run", "", "only the sections whose name matches this `expression`")
	flags.DurationVar(&o.overlap, "overlap", 5*time.Millisecond, "how long a transaction is under way at least, where clients contend")
	flags.BoolVar(&o.short, "short", false, "do little work: it shows that everything runs, and no more than that")
	err := flags.Parse(args)
	return o, err
}

// section is a part of the report. It gets a cloud of its own.
type section struct {
	name    string
	overlap bool // transactions that overlap are canceled
	far     bool // the bucket is as far away as a network makes it
	measure func(ctx context.Context, b *bench) error
}

var sections = []section{
	{name: "start", measure: start},
	{name: "small images", measure: small},
	{name: "one repository", overlap: true, measure: oneRepository},
	{name: "new repositories", overlap: true, measure: newRepositories},
	{name: "large layers", far: true, measure: large},
}

// bench is a cloud with a registry in it, and what is said about it.
type bench struct {
	*deploy.Deployment
	client  *client
	out     io.Writer
	short   bool
	rival   string // program
	data    string // a folder for what is in the way of nobody
	results *results
	api     string // name of the function
	folder  string // of the zips
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	chosen, err := regexp.Compile(o.sections)
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range sections {
		if !chosen.MatchString(s.name) {
			continue
		}
		if err := one(ctx, o, s, out); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", s.name, err))
		}
	}
	return errors.Join(errs...)
}

// one runs a section in a cloud of its own.
func one(ctx context.Context, o options, s section, out io.Writer) (err error) {
	folder, err := os.MkdirTemp("", "bench-cloud")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	file, err := os.Open(o.template)
	if err != nil {
		return err
	}
	defer file.Close()
	stack, err := template.Read(file, template.Setting{Account: deploy.Account, Region: standin.Region})
	if err != nil {
		return err
	}
	b := &bench{out: out, short: o.short, rival: o.rival, data: folder, results: &results{}, folder: o.zips}
	settings := deploy.Options{
		Bootstraps: o.bootstraps, DynamoDB: o.dynoxide, S3: o.versitygw, Data: folder, Interval: time.Hour,
		Weather: events.Weather{Seed: 1}, Concurrency: 128, Observe: b.results.observe,
	}
	if s.overlap {
		settings.Overlap = o.overlap
	}
	if s.far {
		settings.Far = standin.Far{Rate: lineRate, Away: lineAway}
	}
	if b.Deployment, err = deploy.Start(ctx, stack, settings); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	for _, f := range stack.Functions {
		if f.ID == "Api" {
			b.api = f.Name
		}
	}
	credential, err := b.Mint(ctx, "bench", "push")
	if err != nil {
		return err
	}
	b.client = newClient(b.URL, credential)
	fmt.Fprintf(out, "\n### %s\n\n", s.name)
	return s.measure(ctx, b)
}

// results are what Lambda tells of invocations.
type results struct {
	mu  sync.Mutex
	all []lambda.Result
}

func (r *results) observe(_ string, one lambda.Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, lambda.Result{ID: one.ID, Error: one.Error, Init: one.Init, Took: one.Took})
}

// take returns what was told since the last time.
func (r *results) take() []lambda.Result {
	r.mu.Lock()
	defer r.mu.Unlock()
	taken := r.all
	r.all = nil
	return taken
}
