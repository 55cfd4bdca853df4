// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"tare/internal/refcount"
)

// fsckCmd audits a registry.
type fsckCmd struct {
	folderFlags

	Content string `help:"Read bytes and compare them with their digests: none, a sample of them, or all." enum:"none,sample,all" default:"none" env:"-"`
	Sample  int    `help:"With --content sample: how many blobs and manifests, chosen at random." default:"1000" env:"-"`
	Repair  bool   `help:"Mend counts, dues, lists of tags, and what nobody owns, unless there is something that only a person can mend." env:"-"`
	JSON    bool   `name:"json" help:"Print one JSON object." env:"-"`
}

// fsckRequest asks for an audit.
type fsckRequest struct {
	Hash   int  `json:"hash"` // how many blobs and manifests; -1: all
	Repair bool `json:"repair"`
}

// fsckLine is news of an audit: one of the fields is set.
type fsckLine struct {
	Progress *refcount.FsckProgress `json:"progress,omitempty"`
	Finding  *finding               `json:"finding,omitempty"`
	Report   *refcount.FsckReport   `json:"report,omitempty"`
}

// finding is a broken invariant.
type finding struct {
	Kind      string            `json:"kind"`
	Invariant string            `json:"invariant"`
	Severity  refcount.Severity `json:"severity"`
	Subject   string            `json:"subject"` // the key of the row or object
	Where     string            `json:"where"`   // the same in words
	Text      string            `json:"text"`
	Advice    string            `json:"advice"`
	Repaired  string            `json:"repaired,omitempty"` // what was done
}

// findingsOf is what --json prints. Its fields stay as they are; there may come more.
type findingsOf struct {
	Format       int       `json:"format"` // 1
	Started      time.Time `json:"started"`
	Finished     time.Time `json:"finished"`
	Content      string    `json:"content"` // none, sample or all
	Rows         int       `json:"rows"`
	Repositories int       `json:"repositories"`
	Objects      int       `json:"objects"`
	Bytes        int64     `json:"bytes"`        // of objects
	Hashed       int       `json:"hashed"`       // blobs and manifests
	HashedBytes  int64     `json:"hashed_bytes"` // of them
	Must         int       `json:"must"`         // findings, repaired or not
	Should       int       `json:"should"`
	Repaired     int       `json:"repaired"` // of them
	Unjudged     int       `json:"unjudged"` // what changed each time it was looked at; no findings
	Withheld     bool      `json:"withheld"` // nothing was repaired, because of what only a person can mend
	Exit         int       `json:"exit"`
	Findings     []finding `json:"findings"`
	Omitted      int       `json:"omitted"` // findings beyond the first 10,000
}

// maxFindings bounds what --json holds in memory.
const maxFindings = 10_000

// Run audits, prints what it finds, and exits by the worst of what is left.
func (cmd *fsckCmd) Run(ctx context.Context, c *console) (err error) {
	if cmd.Sample < 1 {
		return usagef("--sample %d: one at least", cmd.Sample)
	}
	admin, err := openAdministration(ctx, c, cmd.folderFlags)
	if err != nil {
		return err
	}
	defer func() {
		if closed := admin.Close(); closed != nil {
			err = closed // a verdict tells nothing of it
		}
	}()
	out := findingsOf{Format: 1, Started: c.clock.Now(), Content: cmd.Content, Findings: []finding{}}
	var report refcount.FsckReport
	p := newProgress(c)
	err = admin.fsck(ctx, fsckRequest{cmd.hash(), cmd.Repair}, func(line fsckLine) error {
		switch {
		case line.Progress != nil:
			p.show("%s", describeProgress(*line.Progress))
		case line.Report != nil:
			report = *line.Report
		case line.Finding != nil:
			out.add(*line.Finding)
			if !cmd.JSON {
				p.end()
				printFinding(c.out, *line.Finding)
			}
		}
		return nil
	})
	p.end()
	if err != nil {
		return err
	}
	out.complete(report, c.clock.Now())
	if cmd.JSON {
		lines := json.NewEncoder(c.out)
		lines.SetIndent("", "  ")
		err = lines.Encode(out)
	} else {
		printVerdict(c.out, out)
	}
	if err == nil && out.Exit != exitOK {
		err = verdict(out.Exit)
	}
	return err
}

func (cmd *fsckCmd) hash() int {
	switch cmd.Content {
	case "all":
		return refcount.HashAll
	case "sample":
		return cmd.Sample
	}
	return 0
}

// add takes a finding in, and remembers how bad it is if it is left.
func (o *findingsOf) add(x finding) {
	switch {
	case x.Repaired != "":
	case x.Severity == refcount.Must:
		o.Exit = exitMust
	case o.Exit == exitOK:
		o.Exit = exitShould
	}
	if len(o.Findings) < maxFindings {
		o.Findings = append(o.Findings, x)
	} else {
		o.Omitted++
	}
}

func (o *findingsOf) complete(r refcount.FsckReport, now time.Time) {
	o.Finished = now
	o.Rows, o.Repositories, o.Objects, o.Bytes = r.Rows, r.Repositories, r.Objects, r.Bytes
	o.Hashed, o.HashedBytes = r.Hashed, r.HashedBytes
	o.Must, o.Should, o.Repaired, o.Unjudged, o.Withheld = r.Must, r.Should, r.Repaired, r.Unjudged, r.Withheld
}

func describeProgress(p refcount.FsckProgress) string {
	done, total := fmt.Sprint(p.Done), fmt.Sprint(p.Total)
	unit := " " + p.Unit
	if p.Unit == "bytes" {
		done, total, unit = size(p.Done).String(), size(p.Total).String(), ""
	}
	if p.Total > 0 {
		return fmt.Sprintf("%s %s: %s of %s%s", bar(p.Done, p.Total), p.Phase, done, total, unit)
	}
	return fmt.Sprintf("%s: %s%s", p.Phase, done, unit)
}

// bar shows a part of a whole. What came while it was counted does not make it longer.
func bar(done, total int64) string {
	const length = 20
	n := int(float64(length) * min(1, float64(done)/float64(total)))
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", length-n) + "]"
}

func printFinding(w io.Writer, x finding) {
	then := x.Advice
	if x.Repaired != "" {
		then = "repaired: " + x.Repaired
	}
	fmt.Fprintf(w, "%s %s %s\n    %s\n    %s\n", x.Invariant, x.Severity, x.Where, x.Text, then)
}

func printVerdict(w io.Writer, o findingsOf) {
	fmt.Fprintf(w, "Looked at rows: %d, repositories: %d, objects: %d (%v)", o.Rows, o.Repositories, o.Objects, size(o.Bytes))
	if o.Content != "none" {
		fmt.Fprintf(w, "; blobs and manifests hashed: %d (%v)", o.Hashed, size(o.HashedBytes))
	}
	fmt.Fprint(w, ".\n")
	if o.Unjudged > 0 {
		fmt.Fprintf(w, "Changed each time they were looked at: %d; the next fsck will know more.\n", o.Unjudged)
	}
	switch found := o.Must + o.Should; {
	case found == 0:
		fmt.Fprintln(w, "Nothing is wrong.")
	case o.Exit == exitOK:
		fmt.Fprintf(w, "Faults: %d, all of them repaired.\n", found)
	default:
		fmt.Fprintf(w, "Faults by which content is lost or may get lost: %d; others: %d; repaired: %d.\n", o.Must, o.Should, o.Repaired)
	}
	if o.Withheld {
		fmt.Fprintln(w, "Nothing was repaired: some of it only a person can mend, and until then what looks like garbage may belong to it.")
	}
}

// progressPause is how often the command is told how far an audit has come.
const progressPause = 100 * time.Millisecond

// fsck audits by the ledger, without keeping anybody from anything.
func (o *operator) fsck(ctx context.Context, r fsckRequest, line func(fsckLine) error) error {
	var failed error
	var told time.Time
	report, err := o.ledger.Fsck(ctx, o.store, refcount.FsckOptions{
		Hash:   r.Hash,
		Repair: r.Repair,
		Found: func(x refcount.Finding) error {
			return line(fsckLine{Finding: &finding{x.Kind, x.Invariant, x.Severity, x.Subject, x.Where, x.Text, x.Advice, x.Repaired}})
		},
		Progress: func(p refcount.FsckProgress) {
			if now := o.clock.Now(); failed == nil && now.Sub(told) >= progressPause {
				told = now
				failed = line(fsckLine{Progress: &p})
			}
		},
	})
	if err := errors.Join(err, failed); err != nil {
		return err
	}
	o.log.Info("The registry was checked.", "rows", report.Rows, "objects", report.Objects, "must", report.Must,
		"should", report.Should, "repaired", report.Repaired)
	return line(fsckLine{Report: &report})
}
