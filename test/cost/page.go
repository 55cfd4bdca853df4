// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"time"
)

// page is what docs/cost.md shows.
type page struct {
	deployment deployment
	rows       []row
	idle       price
}

// row is a scenario that was measured.
type row struct {
	scenario
	price
}

func newPage(traces map[string]trace, d deployment) (page, error) {
	p := page{deployment: d}
	for _, s := range scenarios() {
		measured, err := s.measure(traces, d)
		if err != nil {
			return p, err
		}
		p.rows = append(p.rows, row{s, measured})
	}
	look, ok := traces["Sweep where nothing is due"]
	if !ok {
		return p, fmt.Errorf("no trace of a sweep that finds nothing")
	}
	var err error
	p.idle, err = idle(look, d)
	return p, err
}

func (p page) write(out io.Writer) error {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("# What it costs\n")
	line("Written by `make cost` from [the golden traces](../internal/registry/testdata/traces.txt), [the template](../template.yaml) and the list")
	line("prices of us-east-1 of %s, without any free tier. A test holds this page to them.\n", pricesOf)
	p.writeScenarios(line)
	p.writeIdle(line)
	p.writeKept(line)
	writeAssumptions(line)
	_, err := io.WriteString(out, b.String())
	return err
}

func (p page) writeScenarios(line func(string, ...any)) {
	line("## What is done\n")
	line("The image has three layers of 4 MiB and a config of 3 KB, which is kept in the table.\n")
	line("| | requests | read units | write units | S3 PUT | S3 GET | one | a thousand |")
	line("|---|--:|--:|--:|--:|--:|--:|--:|")
	for _, r := range p.rows {
		c := r.calls
		line("| %s | %s | %s | %s | %s | %s | %s | %s |", r.name, number(c.requests), number(c.reads), number(c.writes),
			number(c.puts), number(c.gets), dollars(r.total()), dollars(1000*r.total()))
	}
	line("")
	for _, r := range p.rows {
		line("- **%s**: %s.", r.name, r.about)
	}
	line("\nWhere it goes, in millionths of a dollar:\n")
	line("| | HTTP API | Lambda | DynamoDB | S3 | EventBridge |")
	line("|---|--:|--:|--:|--:|--:|")
	for _, r := range p.rows {
		line("| %s | %s | %s | %s | %s | %s |", r.name, millionths(r.gateway), millionths(r.lambda), millionths(r.table),
			millionths(r.bucket), millionths(r.bus))
	}
	line("\nBytes that leave the Region cost %s a GB on top, whoever sends them; within the Region they cost nothing.\n", dollars(internetGB))
}

func (p page) writeIdle(line func(string, ...any)) {
	d := p.deployment
	line("## A month in which nobody comes\n")
	line("The sweep looks every %v, %s times a month: %s read units, %s invocations, %s in all. Logs and the schedule are in it.",
		brief(d.interval), number(d.sweeps), number(p.idle.calls.reads), number(p.idle.calls.invocations), dollars(p.idle.total()))
	line("What is stored comes on top. With an address for alarms, %s alarms and two metrics are %s a month; the dashboard is %s.\n",
		number(d.alarms), dollars(d.alarms*alarmMonth+2*metricMonth), dollars(dashMonth))
}

func (p page) writeKept(line func(string, ...any)) {
	line("## Beside ECR\n")
	line("A month of holding bytes, with the idle month of above. Rows are not in it: an image takes some 10 KB of table, at %s a GB.\n", dollars(tableStorage))
	line("| GB | Tare | ECR |")
	line("|--:|--:|--:|")
	for _, n := range []float64{1, 10, 100, 1000} {
		line("| %s | %s | %s |", number(n), dollars(n*bucketStorage+p.idle.total()), dollars(n*ecrStorage))
	}
	push, collect, size := p.rows[0], p.rows[len(p.rows)-1], imageBytes/gb
	perDay := size * (ecrStorage - bucketStorage) * 24 / month.Hours()
	requests := push.total() + collect.total()
	line("\nECR asks nothing for requests. An image of %.1f MB costs %s to push and collect here, and each day that it lives saves %s:",
		imageBytes/1e6, dollars(requests), dollars(perDay))
	line("the requests are paid for after %.0f days. Larger images pay sooner, in proportion to their bytes.\n", math.Ceil(requests/perDay))
}

func writeAssumptions(line func(string, ...any)) {
	line("## What this takes for granted\n")
	line("- A function waits %v ms for a batch of reads, %v ms for a transaction, %v ms for a call of S3, and takes %v ms itself.",
		readTime*1000, commitTime*1000, objectTime*1000, baseTime*1000)
	line("- functions/finalize reads and hashes %v MB a second, in GETs of %v MiB. The client's last request waits for it and is paid for.", readRate/1e6, readBlock>>20)
	line("- Rows of up to a kilobyte, but for manifests (2 KB with their edges) and configs (3 KB). A transaction is billed twice, checks included.")
	line("- Every object that is made or deleted is an event that S3 sends to EventBridge, whatever rules are there.")
	line("- Nobody is in the way: a conflict is a transaction that is billed again.\n")
	line("| price | |")
	line("|---|--:|")
	for _, q := range []struct {
		what  string
		price float64
	}{
		{"Lambda, a million requests", lambdaRequest / perMillion},
		{"Lambda, a GB-second on arm64", lambdaGBs},
		{"HTTP API, a million requests of up to 512 KB", gatewayRequest / perMillion},
		{"DynamoDB, a million write request units", tableWrite / perMillion},
		{"DynamoDB, a million read request units", tableRead / perMillion},
		{"DynamoDB, a GB-month with point-in-time recovery", tableStorage},
		{"S3, a thousand PUT, POST, LIST", bucketPut / perThousand},
		{"S3, a thousand GET, HEAD", bucketGet / perThousand},
		{"S3, a GB-month", bucketStorage},
		{"EventBridge, a million events of S3", busEvent / perMillion},
		{"EventBridge Scheduler, a million invocations", scheduleEvent / perMillion},
		{"CloudWatch, a GB of logs", logGB},
		{"ECR, a GB-month", ecrStorage},
	} {
		line("| %s | $%s |", q.what, number(q.price))
	}
}

// dollars writes an amount with two significant digits, in cents from ten cents on.
func dollars(x float64) string {
	if x <= 0 {
		return "$0"
	}
	digits := 2
	if x < 0.0995 {
		digits = 1 - int(math.Floor(math.Log10(x*1.005))) // 0.0999 is written as 0.10
	}
	return "$" + strconv.FormatFloat(x, 'f', digits, 64)
}

// brief writes a duration without its zeros.
func brief(d time.Duration) string {
	return strings.TrimSuffix(strings.TrimSuffix(d.String(), "0s"), "0m")
}

func number(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

func millionths(x float64) string { return strconv.FormatFloat(x/perMillion, 'f', 1, 64) }
