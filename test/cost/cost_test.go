// SPDX-License-Identifier: Apache-2.0

package main

import (
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const root = "../.."

// docs/cost.md is what the command writes.
func TestPage(t *testing.T) {
	var b strings.Builder
	if err := run(root, &b); err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(root, "docs", "cost.md"))
	if err != nil {
		t.Fatal(err)
	}
	if b.String() != string(page) {
		t.Error("docs/cost.md is not what the traces, the template and the prices make of it: run make cost, and look at the difference")
	}
}

// What calls cost is what the pages of prices say of each.
func TestMeter(t *testing.T) {
	for name, c := range map[string]struct {
		text                      string
		reads, writes, puts, gets float64
		events                    float64
	}{
		"a row that is there or not":      {"get\n\tl#a x", 1, 0, 0, 0, 0},
		"rows of 3 and of 9 KB":           {"get\n\tc#i c\n\ty#a x", 4, 0, 0, 0, 0},
		"a query":                         {"query t#a", 1, 0, 0, 0, 0},
		"a slice of the index":            {"due 3", 0.5, 0, 0, 0, 0},
		"a transaction of one row":        {"commit\n\tupdate m#a x", 0, 2, 0, 0, 0},
		"two rows, one checked":           {"commit\n\tupdate m#a x\n\tcheck l#a x", 0, 4, 0, 0, 0},
		"by kilobytes":                    {"commit\n\tput y#a x\n\tput c#i c", 0, 24, 0, 0, 0},
		"an entry of the index":           {"commit\n\tput l#a x due", 0, 3, 0, 0, 0},
		"an entry that moves":             {"commit\n\tupdate l#a x due", 0, 4, 0, 0, 0},
		"an entry that goes":              {"commit\n\tupdate l#a x undue", 0, 3, 0, 0, 0},
		"a row that goes with its due":    {"commit\n\tdelete s#u s", 0, 3, 0, 0, 0},
		"a row that is put again":         {"commit\n\tput p#u p due\ncommit\n\tput p#u p due", 0, 7, 0, 0, 0},
		"a direct upload that ends":       {"commit\n\tdelete p#u p", 0, 3, 0, 0, 0},
		"what clients brought":            {"parts o1\nsum o1", 0, 0, 1, 1, 0},
		"a row that goes without":         {"commit\n\tdelete t#a v1", 0, 2, 0, 0, 0},
		"an object":                       {"put o1", 0, 0, 1, 0, 1},
		"an object of two parts":          {"begin o1\npart o1\npart o1\ncomplete o1", 0, 0, 4, 0, 1},
		"a look at an object":             {"stat o1\nopen o1", 0, 0, 0, 2, 0},
		"an object's end, which S3 tells": {"abort o1\ndelete o1", 0, 0, 0, 0, 1},
	} {
		traces, err := parseTraces("# x: y\n" + c.text)
		if err != nil {
			t.Fatal(err)
		}
		p, err := meter{memory: 1, rowUnits: map[string]float64{"y": 9, "c": 3}}.measure(traces["x"])
		if err != nil {
			t.Fatal(err)
		}
		if got := (calls{reads: c.reads, writes: c.writes, puts: c.puts, gets: c.gets}); p.calls != got {
			t.Errorf("%s: %+v, want %+v", name, p.calls, got)
		}
		if p.bus != c.events*busEvent {
			t.Errorf("%s: events for %g, want %g", name, p.bus, c.events*busEvent)
		}
	}
}

// A trace, a scenario or a template that cannot be understood is no page with a hole.
func TestWhatIsRefused(t *testing.T) {
	for _, text := range []string{"no head", "# x: y\n\tget without a call", "# x: y\ncommit\n\tl#a x"} {
		if _, err := parseTraces(text); err == nil {
			t.Errorf("%q was taken for a trace", text)
		}
	}
	if _, err := (meter{}).measure(trace{{kind: "teleport"}}); err == nil {
		t.Error("an unknown call has a price")
	}
	if _, err := (scenario{steps: []step{{operation: "nothing of this name", n: 1}}}).measure(nil, deployment{}); err == nil {
		t.Error("a scenario without its trace has a price")
	}
	const good = "\n  Api:\n    Type: AWS::Serverless::Function\n    Properties:\n      MemorySize: 512\n" +
		"\n  Finalize:\n    Type: AWS::Serverless::Function\n    Properties:\n      MemorySize: 2048\n" +
		"\n  Gc:\n    Type: AWS::Serverless::Function\n    Properties:\n      MemorySize: 1024\n      ScheduleExpression: rate(15 minutes)\n"
	d, err := parseTemplate(good)
	if err != nil || d.apiMemory != 0.5 || d.finalizeMemory != 2 || d.gcMemory != 1 || d.interval != 15*time.Minute || d.sweeps != 2920 {
		t.Errorf("%+v, %v", d, err)
	}
	for _, word := range []string{"  Api:", "  Finalize:", "  Gc:", "rate("} {
		if _, err := parseTemplate(strings.Replace(good, word, "?", 1)); err == nil {
			t.Errorf("a template without %q was understood", word)
		}
	}
}

// What comes beside the store calls is billed as well.
func TestSteps(t *testing.T) {
	traces, err := parseTraces("# x: y\nget\n\tl#a x")
	if err != nil {
		t.Fatal(err)
	}
	d := deployment{apiMemory: 1, finalizeMemory: 2}
	const bytes = 100 * readBlock
	for name, c := range map[string]struct {
		step    step
		want    calls
		gateway float64 // pieces
		seconds float64 // of a gigabyte, beside what its calls take
		events  float64
	}{
		"two requests":                       {step{bodies: []float64{0, gatewayPiece + 1}}, calls{requests: 2, invocations: 2, reads: 1}, 3, 2 * baseTime, 0},
		"a redirect":                         {step{fetch: true}, calls{requests: 1, invocations: 1, reads: 1, gets: 1}, 1, baseTime, 0},
		"an object that the client brings":   {step{puts: 1, objects: 1}, calls{requests: 1, invocations: 1, reads: 1, puts: 1}, 1, baseTime, 1},
		"a request that waits for a reading": {step{waits: bytes}, calls{requests: 1, invocations: 1, reads: 13}, 1, baseTime + bytes/readRate, 0},
		"an object that functions/finalize is told of": {step{told: 1}, calls{requests: 1, invocations: 2, reads: 2}, 1,
			baseTime + 2*(baseTime+readTime), 0},
		"the reading": {step{settles: bytes}, calls{invocations: 2, reads: 2, writes: 4, gets: 99}, 0,
			2 * (2*baseTime + readTime + bytes/readRate), 0},
	} {
		c.step.operation, c.step.n = "x", 1
		p, err := scenario{steps: []step{c.step}}.measure(traces, d)
		if err != nil {
			t.Fatal(err)
		}
		memory := 1.0
		if c.step.settles > 0 {
			memory = 2
		}
		lambda := c.want.invocations*lambdaRequest + (c.seconds+readTime*memory)*lambdaGBs
		if p.calls != c.want || math.Abs(p.gateway-c.gateway*gatewayRequest) > 1e-12 || math.Abs(p.lambda-lambda) > 1e-12 || p.bus != c.events*busEvent {
			t.Errorf("%s: %+v, want %+v", name, p, c)
		}
	}
}

func TestDollars(t *testing.T) {
	for x, want := range map[float64]string{0: "$0", 0.0000999: "$0.00010", 0.000123: "$0.00012", 0.0994: "$0.099", 0.234: "$0.23", 23: "$23.00"} {
		if got := dollars(x); got != want {
			t.Errorf("%g is written %s, want %s", x, got, want)
		}
	}
}
