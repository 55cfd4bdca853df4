// SPDX-License-Identifier: Apache-2.0

// Command bench measures tare beside other registries, in one run on one machine, and prints tables and verdicts in Markdown. The
// README beside it tells how to read them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"tare/test/bench/bare"
	"tare/test/bench/report"
	"tare/test/bench/server"
	"tare/test/bench/suite"
)

func main() {
	if len(os.Args) == 4 && os.Args[1] == "bare" {
		fail(bare.Serve(os.Args[2], os.Args[3]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "bench:", err)
	os.Exit(1)
}

// options are the flags.
type options struct {
	tare         string
	tareArgs     string
	distribution string
	olareg       string
	zot          string
	dir          string
	sections     string
	rounds       int
	short        bool
	list         bool
}

func parse(args []string) (options, error) {
	var o options
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.StringVar(&o.tare, "tare", os.Getenv("TARE_BENCH_TARE"), "the `binary` of tare; TARE_BENCH_TARE; empty to leave it out")
	flags.StringVar(&o.tareArgs, "tare-args", "", "more `arguments` for tare serve, separated by spaces")
	flags.StringVar(&o.distribution, "distribution", os.Getenv("TARE_BENCH_DISTRIBUTION"), "the `binary` of distribution; TARE_BENCH_DISTRIBUTION")
	flags.StringVar(&o.olareg, "olareg", os.Getenv("TARE_BENCH_OLAREG"), "the `binary` of olareg; TARE_BENCH_OLAREG")
	flags.StringVar(&o.zot, "zot", os.Getenv("TARE_BENCH_ZOT"), "the `binary` of zot; TARE_BENCH_ZOT")
	flags.StringVar(&o.dir, "dir", os.TempDir(), "the `folder`, on a disk, below which all registries keep their data")
	flags.StringVar(&o.sections, "run", "", "only the sections whose name matches this `expression`")
	flags.IntVar(&o.rounds, "rounds", 0, "how many rounds; 5, and 2 with -short, unless told otherwise")
	flags.BoolVar(&o.short, "short", false, "do little work: it shows that everything runs, and no more than that")
	flags.BoolVar(&o.list, "list", false, "print the names of the sections and end")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	if o.rounds == 0 {
		o.rounds = 5
		if o.short {
			o.rounds = 2
		}
	}
	return o, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	sections, err := selected(o)
	if err != nil {
		return err
	}
	if o.list {
		for _, section := range sections {
			fmt.Fprintln(out, section.Name)
		}
		return nil
	}
	s, err := newSuite(ctx, o)
	if err != nil {
		return err
	}
	defer os.RemoveAll(s.Dir)
	return measure(ctx, s, sections, o, out)
}

func selected(o options) ([]suite.Section, error) {
	expression, err := regexp.Compile(o.sections)
	if err != nil {
		return nil, err
	}
	size := suite.Full()
	if o.short {
		size = suite.Short()
	}
	var sections []suite.Section
	for _, section := range suite.Sections(size) {
		if expression.MatchString(section.Name) {
			sections = append(sections, section)
		}
	}
	if len(sections) == 0 {
		return nil, fmt.Errorf("no section matches %q", o.sections)
	}
	return sections, nil
}

func newSuite(ctx context.Context, o options) (suite.Suite, error) {
	var s suite.Suite
	self, err := os.Executable()
	if err != nil {
		return s, err
	}
	for _, candidate := range []struct {
		binary   string
		registry func(string) server.Registry
	}{
		{o.tare, server.Tare},
		{o.distribution, server.Distribution},
		{o.olareg, server.Olareg},
		{o.zot, server.Zot},
	} {
		if candidate.binary == "" {
			continue
		}
		binary, err := exec.LookPath(candidate.binary)
		if err != nil {
			return s, err
		}
		s.Registries = append(s.Registries, candidate.registry(binary))
	}
	if len(s.Registries) == 0 {
		return s, errors.New("no registry to measure: see -help")
	}
	if o.tare != "" {
		s.Registries[0].Arguments = strings.Fields(o.tareArgs)
	}
	if err := requireDisk(o.dir); err != nil {
		return s, err
	}
	s.Yardstick = server.Bare(self)
	s.Rounds = o.rounds
	s.Log = slog.New(slog.NewTextHandler(os.Stderr, nil))
	s.Dir, err = os.MkdirTemp(o.dir, "tare-bench-")
	return s, err
}

// measure runs the sections and writes the report as it grows.
func measure(ctx context.Context, s suite.Suite, sections []suite.Section, o options, out io.Writer) error {
	if err := writeConditions(out, s, o); err != nil {
		return err
	}
	var judged []report.Judged
	var failures error
	for _, section := range sections {
		results, err := s.Run(ctx, section)
		failures = errors.Join(failures, err)
		fmt.Fprintf(out, "\n## %s\n\n%s\n\n", section.Name, section.About)
		if err := results.WriteTable(out); err != nil {
			return errors.Join(failures, err)
		}
		if ctx.Err() != nil {
			return failures
		}
		for _, target := range section.Targets {
			judged = append(judged, report.Judged{Section: section.Name, Text: target.Text, Verdict: target.Judge(results)})
		}
	}
	fmt.Fprintf(out, "\n## Verdicts\n\n")
	if o.short {
		fmt.Fprintf(out, "This was a short run: less work than the targets speak of, and too little time for a figure to mean much.\n\n")
	}
	return errors.Join(failures, report.WriteVerdicts(out, judged))
}
