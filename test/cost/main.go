// SPDX-License-Identifier: Apache-2.0

// Command cost writes docs/cost.md: what operations cost on AWS, computed from the golden traces of store calls, the
// template and a dated table of prices.
//
//	go run ./test/cost > docs/cost.md
package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

func main() {
	if err := run(".", os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "cost:", err)
		os.Exit(1)
	}
}

// run writes the page from the repository at root.
func run(root string, out io.Writer) error {
	text, err := os.ReadFile(filepath.Join(root, "internal", "registry", "testdata", "traces.txt"))
	if err != nil {
		return err
	}
	traces, err := parseTraces(string(text))
	if err != nil {
		return err
	}
	template, err := os.ReadFile(filepath.Join(root, "template.yaml"))
	if err != nil {
		return err
	}
	d, err := parseTemplate(string(template))
	if err != nil {
		return err
	}
	page, err := newPage(traces, d)
	if err != nil {
		return err
	}
	return page.write(out)
}

// deployment is what the template says that costs something.
type deployment struct {
	apiMemory, finalizeMemory, gcMemory float64 // GB
	interval                            time.Duration
	sweeps                              float64 // a month
	alarms                              float64
}

const month = 730 * time.Hour

var (
	rateOf     = regexp.MustCompile(`ScheduleExpression: rate\((\d+) (minute|hour)s?\)`)
	alarmsOf   = regexp.MustCompile(`Type: AWS::CloudWatch::Alarm`)
	rateLength = map[string]time.Duration{"minute": time.Minute, "hour": time.Hour}
)

// memoryOf finds the memory of the function whose logical id takes the place of %s.
const memoryOf = `(?s)\n  %s:\n    Type: AWS::Serverless::Function.*?\n      MemorySize: (\d+)`

func parseTemplate(text string) (d deployment, err error) {
	for name, memory := range map[string]*float64{"Api": &d.apiMemory, "Finalize": &d.finalizeMemory, "Gc": &d.gcMemory} {
		found := regexp.MustCompile(fmt.Sprintf(memoryOf, name)).FindStringSubmatch(text)
		if found == nil {
			return d, fmt.Errorf("the template does not say the memory of %s", name)
		}
		mb, err := strconv.Atoi(found[1])
		if err != nil {
			return d, err
		}
		*memory = float64(mb) / 1024
	}
	rate := rateOf.FindStringSubmatch(text)
	if rate == nil {
		return d, fmt.Errorf("the template has no schedule of the form rate(1 hour)")
	}
	n, err := strconv.Atoi(rate[1])
	if err != nil || n == 0 {
		return d, fmt.Errorf("the schedule %q has no length", rate[0])
	}
	d.interval = time.Duration(n) * rateLength[rate[2]]
	d.sweeps = float64(month) / float64(d.interval)
	d.alarms = float64(len(alarmsOf.FindAllString(text, -1)))
	return d, nil
}
