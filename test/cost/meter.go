// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// What a function is billed for beside its calls. The times are assumptions, longer than a quick Region shows and
// shorter than a slow one: they are the smallest part of all that this page shows.
const (
	baseTime   = 0.002 // seconds of a request that asks nothing of a store
	readTime   = 0.005 // of a batch of reads or a query
	commitTime = 0.015 // of a transaction
	objectTime = 0.030 // of a call of the bucket

	readRate  = 75e6 // bytes a second that functions/finalize reads and hashes: what a function's network is known to bring
	readBlock = 8 << 20
	saveTime  = 10 // seconds after which it records how far it is
)

// meter prices the calls of traces.
type meter struct {
	memory   float64            // of the function, in GB
	rowUnits map[string]float64 // kilobytes, rounded up, of rows by their kind; 1 where it is not named
}

// units are how many kilobytes a row is billed as.
func (m meter) units(r rowCall) float64 {
	if n := m.rowUnits[r.rowKind()]; n > 0 {
		return n
	}
	return 1
}

// measure prices the store calls of a trace, and the time that a function waits for them.
func (m meter) measure(t trace) (p price, err error) {
	seconds, made := 0.0, make(map[string]bool)
	for _, c := range t {
		switch c.kind {
		case "get":
			for _, r := range c.rows {
				p.calls.reads += ceil(m.units(r), 4)
			}
			seconds += readTime
		case "query":
			p.calls.reads++
			seconds += readTime
		case "due":
			p.calls.reads += 0.5 // read as the index has it
			seconds += readTime
		case "commit":
			p.calls.writes += m.commit(c.rows, made)
			seconds += commitTime
		case "put", "begin", "part", "complete", "list", "parts":
			p.calls.puts++
			seconds += objectTime
		case "open", "stat", "sum":
			p.calls.gets++
			seconds += objectTime
		case "delete", "abort":
			seconds += objectTime
		default:
			return p, fmt.Errorf("nobody knows what %q costs", c.kind)
		}
		switch c.kind {
		case "put", "complete", "delete":
			p.bus += busEvent // S3 tells EventBridge of every object, whatever rules there are
		}
	}
	p.lambda = seconds * m.memory * lambdaGBs
	p.bill()
	return p, nil
}

// bill prices what was counted of table and bucket.
func (p *price) bill() {
	p.table = p.calls.reads*tableRead + p.calls.writes*tableWrite
	p.bucket = p.calls.puts*bucketPut + p.calls.gets*bucketGet
}

// commit is the write request units of a commit, which is a transaction also where it has one row (docs/decisions/0024):
// twice the size of each row, checks included; and what changes in the index of due rows, where a moved entry is a delete
// and a put. made has the rows that were put before, with a due time.
func (m meter) commit(rows []rowCall, made map[string]bool) (units float64) {
	for _, r := range rows {
		units += 2 * m.units(r)
		switch {
		case r.hint == "due" && (r.op == "update" || made[r.key]):
			units += 2
		case r.op == "put" && r.hint == "due", r.hint == "undue":
			units++
		case r.op == "delete" && strings.Contains("s p x", r.rowKind()): // their rows always have a due time (C6)
			units++
		}
		if r.op == "put" {
			made[r.key] = r.hint == "due"
		}
	}
	return units
}

func ceil(n, step float64) float64 {
	whole := float64(int(n / step))
	if whole*step < n {
		whole++
	}
	return whole
}
