// SPDX-License-Identifier: Apache-2.0

// Command soak has real clients use a real registry, with margins of seconds, while its process is killed, its power is
// cut, its disk fills up and its disk fails; it then asks the registry for everything that it ever acknowledged, and for
// nothing else. The README beside it tells how.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"tare/test/soak/disk"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	tare         string
	distribution string
	olareg       string
	dir          string
	only         string
	seed         uint64
	kills        int
	cuts         int
	fills        int
	faults       int
	keep         bool
	ci           bool
}

func parse(args []string) (options, error) {
	o := options{ci: os.Getenv("CI") != ""}
	var short bool
	flags := flag.NewFlagSet("soak", flag.ContinueOnError)
	flags.StringVar(&o.tare, "tare", "tare", "the `binary` of tare")
	flags.StringVar(&o.distribution, "distribution", os.Getenv("TARE_SOAK_DISTRIBUTION"), "the `binary` of distribution, to cut its power for comparison; TARE_SOAK_DISTRIBUTION")
	flags.StringVar(&o.olareg, "olareg", os.Getenv("TARE_SOAK_OLAREG"), "the `binary` of olareg, likewise; TARE_SOAK_OLAREG")
	flags.StringVar(&o.dir, "dir", os.TempDir(), "the `folder` below which the data lies")
	flags.StringVar(&o.only, "only", "", "only these of kills, cuts, full, faults and beside, with commas")
	flags.Uint64Var(&o.seed, "seed", rand.Uint64()>>32, "what clients do, and when something happens to the registry")
	flags.IntVar(&o.kills, "kills", 0, "how often the process is killed; 300, with -short 25")
	flags.IntVar(&o.cuts, "cuts", 0, "how often the power goes; 20, with -short 4")
	flags.IntVar(&o.fills, "fills", 0, "how often the disk fills up; 6, with -short 2")
	flags.IntVar(&o.faults, "faults", 0, "how often the disk fails; 10, with -short 2")
	flags.BoolVar(&o.keep, "keep", false, "keep the data, and the registry's log, of a run that fails")
	flags.BoolVar(&short, "short", o.ci, "a run of some three minutes; what CI does")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	for _, count := range []struct {
		n           *int
		long, short int
	}{{&o.kills, 300, 25}, {&o.cuts, 20, 4}, {&o.fills, 6, 2}, {&o.faults, 10, 2}} {
		switch {
		case *count.n > 0:
		case short:
			*count.n = count.short
		default:
			*count.n = count.long
		}
	}
	return o, nil
}

// soak is a run.
type soak struct {
	options
	dir    string
	log    *slog.Logger
	rigs   []*rig
	rivals []*rig
	seeds  uint64
	sums   sums
}

// sums are what happened to registries.
type sums struct{ kills, cuts, fills, faults int }

// part is one of the things that happen.
type part struct {
	name string
	root bool // it mounts file systems
	run  func(*soak, context.Context) error
}

func parts() []part {
	return []part{
		{"kills", false, (*soak).kill},
		{"cuts", true, (*soak).cut},
		{"full", true, (*soak).fill},
		{"faults", true, (*soak).fault},
		{"beside", true, (*soak).beside},
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parse(args)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	if o.tare, err = exec.LookPath(o.tare); err != nil {
		return err
	}
	if o.tare, err = filepath.Abs(o.tare); err != nil {
		return err
	}
	s := &soak{options: o, log: slog.New(slog.NewTextHandler(os.Stderr, nil))}
	if s.dir, err = os.MkdirTemp(o.dir, "tare-soak-"); err != nil {
		return err
	}
	defer func() {
		if err == nil || !o.keep {
			err = errors.Join(err, os.RemoveAll(s.dir))
		} else {
			fmt.Fprintf(out, "kept: %s\n", s.dir)
		}
	}()
	fmt.Fprintf(out, "soak of %s, seed %d\n", o.tare, o.seed)
	begun := time.Now()
	err = s.all(ctx, out)
	return errors.Join(err, s.report(out, time.Since(begun)))
}

// all runs the parts. What cannot be done on this machine is left out, and CI fails by it.
func (s *soak) all(ctx context.Context, out io.Writer) error {
	impossible := disk.Possible(filepath.Join(s.dir, "possible"))
	var failures error
	for _, p := range parts() {
		if s.only != "" && !strings.Contains(","+s.only+",", ","+p.name+",") {
			continue
		}
		if p.root && impossible != nil {
			fmt.Fprintf(out, "left out: %s: %v\n", p.name, impossible)
			if s.ci {
				failures = errors.Join(failures, fmt.Errorf("%s: %w", p.name, impossible))
			}
			continue
		}
		s.log.Info("Part.", "name", p.name)
		if err := p.run(s, ctx); err != nil {
			failures = errors.Join(failures, fmt.Errorf("%s: %w", p.name, err))
		}
		if ctx.Err() != nil {
			break
		}
	}
	return failures
}
