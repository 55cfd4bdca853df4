// SPDX-License-Identifier: Apache-2.0

// Command mutation breaks the ledger, the uploads and the log of the embedded store on purpose, one fault at a time, and
// prints which suite finds out and how fast. It changes no file: each fault is an overlay of one file for `go test`.
//
// It exits with 1 when a fault stays unnoticed, which is a missing test, and with 2 when it could not ask: when a suite fails
// without a fault, or a fault's text is not in the code any more.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

func main() {
	var o options
	flag.StringVar(&o.pick, "run", "", "only the faults whose names match this regular expression")
	flag.StringVar(&o.suites, "suites", "", "only the suites whose names match this regular expression")
	flag.BoolVar(&o.all, "all", false, "run every suite to its end for every fault, and print the tests that break, by invariant")
	flag.IntVar(&o.parallel, "parallel", 1, "how many faults at once")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, o)
	stop()
	switch {
	case errors.Is(err, errSurvivors):
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	case err != nil:
		fmt.Fprintln(os.Stderr, "mutation:", err)
		os.Exit(2)
	}
}

type options struct {
	pick     string
	suites   string
	all      bool
	parallel int
}

var errSurvivors = errors.New("unnoticed")

// run asks for each fault that is picked.
func run(ctx context.Context, o options) error {
	picked, err := pick(o.pick, faults(), func(f fault) string { return f.name })
	if err != nil {
		return err
	}
	asked, err := pick(o.suites, suites(), func(s suite) string { return s.name })
	if err != nil {
		return err
	}
	root, err := moduleRoot(ctx)
	if err != nil {
		return err
	}
	temp, err := os.MkdirTemp("", "mutation")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	r := runner{root, temp, asked, o.all}
	for _, f := range picked {
		if _, err := f.mutate(root); err != nil {
			return err
		}
	}
	if err := r.sound(ctx); err != nil {
		return err
	}
	verdicts, err := r.ask(ctx, picked, max(1, o.parallel))
	if err != nil {
		return err
	}
	if o.all {
		fmt.Print("\n", byInvariant(verdicts))
	}
	return survivors(verdicts)
}

// pick returns those whose names match.
func pick[T any](pattern string, from []T, name func(T) string) ([]T, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, err
	}
	picked := slices.DeleteFunc(from, func(x T) bool { return !re.MatchString(name(x)) })
	if len(picked) == 0 {
		return nil, fmt.Errorf("nothing has a name that matches %q", pattern)
	}
	return picked, nil
}

func moduleRoot(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "list", "-m", "-f", "{{.Dir}}").Output()
	return strings.TrimSpace(string(out)), err
}

// verdict is what the suites made of a fault.
type verdict struct {
	fault
	caught []failure // by suite, in their order
	took   time.Duration
}

// ask runs the suites against each fault and prints what they say, in the order in which they say it.
func (r runner) ask(ctx context.Context, faults []fault, parallel int) ([]verdict, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	verdicts := make([]verdict, len(faults))
	var wg sync.WaitGroup
	var printing sync.Mutex
	places := make(chan struct{}, parallel)
	for i, f := range faults {
		places <- struct{}{}
		wg.Go(func() {
			defer func() { <-places }()
			v, err := r.judge(ctx, f)
			if err != nil {
				cancel(fmt.Errorf("%s: %w", f.name, err)) // the first one counts
				return
			}
			verdicts[i] = v
			printing.Lock()
			defer printing.Unlock()
			fmt.Println(v.line(r.all))
		})
	}
	wg.Wait()
	return verdicts, context.Cause(ctx)
}

// line says what caught the fault: the first test, or all of them.
func (v verdict) line(all bool) string {
	line := fmt.Sprintf("%-44s %-4s%7.1fs  ", v.name, v.invariant, v.took.Seconds())
	if len(v.caught) == 0 {
		return line + "UNNOTICED: " + v.why
	}
	var caught []string
	for _, c := range v.caught {
		if all {
			caught = append(caught, c.suite+": "+strings.Join(c.top(), " "))
		} else {
			caught = append(caught, c.first())
		}
	}
	return line + strings.Join(caught, "; ")
}

// survivors says how many faults there were and names those that nothing caught.
func survivors(verdicts []verdict) error {
	var names []string
	for _, v := range verdicts {
		if len(v.caught) == 0 {
			names = append(names, v.name)
		}
	}
	fmt.Printf("\n%d faults, %d caught\n", len(verdicts), len(verdicts)-len(names))
	if len(names) > 0 {
		return fmt.Errorf("%w: %s", errSurvivors, strings.Join(names, ", "))
	}
	return nil
}

// byInvariant is a table, in Markdown, of the tests that broke with each invariant.
func byInvariant(verdicts []verdict) string {
	var ids []string
	tests, names := map[string][]string{}, map[string][]string{}
	for _, v := range verdicts {
		id := v.invariant
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		names[id] = append(names[id], v.name)
		for _, c := range v.caught {
			for _, test := range c.top() {
				if test = "`" + test + "`"; !slices.Contains(tests[id], test) {
					tests[id] = append(tests[id], test)
				}
			}
		}
	}
	slices.SortFunc(ids, func(a, b string) int { // C2 before C10
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	var b strings.Builder
	fmt.Fprintln(&b, "| invariant | tests that broke | faults |\n|---|---|---|")
	for _, id := range ids {
		fmt.Fprintf(&b, "| %s | %s | %s |\n", id, strings.Join(tests[id], ", "), strings.Join(names[id], ", "))
	}
	return b.String()
}
