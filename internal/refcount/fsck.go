// SPDX-License-Identifier: Apache-2.0

package refcount

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// Severity says how bad a finding is.
type Severity string

// The severities.
const (
	Must   Severity = "must"   // content is lost, or may get lost
	Should Severity = "should" // nothing is lost; it takes room, or is not shown
)

// Finding is a broken invariant.
type Finding struct {
	Kind      string // a word for programs, that does not change: docs/operations.md has all of them
	Invariant string // C1 … C12, or the assumption A1, as docs/consistency.md states them
	Severity  Severity
	Subject   string // the row or object that it was found at, by its key
	Where     string // the same in words
	Text      string // what is wrong
	Advice    string // what to do
	Repaired  string // what was done about it; "" for nothing
}

func (f Finding) String() string { return f.Invariant + " " + f.Subject + ": " + f.Text }

// FsckOptions says what an audit looks at, and what it may do.
type FsckOptions struct {
	// Hash is the number of blobs and manifests, chosen at random, whose bytes are read and compared with their digests;
	// HashAll for all of them.
	Hash int
	// Repair mends what can be mended without a decision: counts, dues, reverse rows of tags, repositories' rows, and what
	// nobody owns. Each repair is one transaction on the condition that all it was taken from is as it was read, so that
	// it may run beside traffic. As long as anything is found that only a person can mend, it mends nothing: what looks
	// like garbage, or like a reference too many, may be all that is left of what such a row has lost.
	Repair bool
	// Found is told of each finding when it is sure, and after its repair. Its error ends the audit.
	Found func(Finding) error
	// Progress is told now and then how far the audit has come; nil: nobody is.
	Progress func(FsckProgress)
}

// HashAll asks for the bytes of all blobs and manifests.
const HashAll = -1

// FsckProgress is how far an audit has come. Total is 0 where it is not known.
type FsckProgress struct {
	Phase       string
	Done, Total int64
	Unit        string // "bytes", or what else is counted
}

// FsckReport is what an audit looked at and found.
type FsckReport struct {
	Rows         int
	Repositories int
	Objects      int
	Bytes        int64 // of objects
	Hashed       int   // blobs and manifests whose bytes were read
	HashedBytes  int64
	Must, Should int  // findings
	Repaired     int  // of them
	Unjudged     int  // what looked wrong and changed every time it was looked at again: no findings
	Withheld     bool // a repair was asked for, and nothing was mended, because of what only a person can mend
}

// fsck is one Fsck under way.
type fsck struct {
	l      *Ledger
	scan   store.Scanner
	opts   FsckOptions
	report FsckReport

	places     map[string]place // of all objects and content rows
	pending    map[string]bool  // objects with unfinished uploads
	links      map[oci.Digest]linkCount
	repos      map[oci.Repository]bool
	suspects   map[store.Key]bool // rows to look at again
	examined   map[store.Key]bool
	unreadable map[store.Key]error // rows that this program cannot know the content of, and why
	unread     map[string]bool     // their kinds
	rowless    map[string]bool     // repositories without a row that were told
	sample     sample
}

// Fsck audits a registry: it counts every reference anew, matches objects with owners both ways, and compares rows with
// the rows that they name (C1, C2, C3, C6, C7, C11).
//
// It may run beside all traffic, and reports nothing that is not so. What it gathers by walking rows and objects is of
// many moments, and makes it suspicious only. Each suspicion is looked at again by strong reads, and is a finding when one
// transaction, which changes nothing, finds all that it was taken from at one moment. A count is taken again under a mark
// on its row that every change of the count takes away: where the mark is still there afterwards, nothing came between.
// Beside such marks, Fsck writes nothing unless it repairs. An object without an owner was listed before any row was read;
// who owns an object passes it on at most twice (session, blob, tombstone), so two walks over the rows and a strong look
// for a tombstone find its owner wherever it went.
//
// It reads every row two or three times, and as often again before it repairs. In memory it holds about 300 bytes for each blob of the registry, and the rows of
// one repository at a time without the bytes of manifests, which is about 5 KiB for each of these. The error is the context's or the store's; rows
// that cannot be read are findings, and what they may have held is not held against others.
func (l *Ledger) Fsck(ctx context.Context, scan store.Scanner, opts FsckOptions) (FsckReport, error) {
	if !opts.Repair {
		return l.fsck(ctx, scan, opts)
	}
	look := FsckOptions{Progress: opts.Progress, Found: func(x Finding) error {
		opts.Repair = opts.Repair && x.Advice == adviceRepair
		return nil
	}}
	if report, err := l.fsck(ctx, scan, look); err != nil {
		return report, err
	}
	report, err := l.fsck(ctx, scan, opts)
	report.Withheld = !opts.Repair
	return report, err
}

// fsck goes over the registry once.
func (l *Ledger) fsck(ctx context.Context, scan store.Scanner, opts FsckOptions) (FsckReport, error) {
	f := &fsck{
		l: l, scan: scan, opts: opts,
		places: map[string]place{}, pending: map[string]bool{}, links: map[oci.Digest]linkCount{},
		repos: map[oci.Repository]bool{}, suspects: map[store.Key]bool{}, examined: map[store.Key]bool{},
		unreadable: map[store.Key]error{}, unread: map[string]bool{}, rowless: map[string]bool{}, sample: sample{most: opts.Hash},
	}
	// Objects come before rows: an owner's row is there before its bytes are (rule 6).
	for _, phase := range []func(context.Context) error{f.listObjects, f.readRows, f.judgeShared, f.judgeRepositories, f.examineAll, f.hash, f.tellUnreadable} {
		if err := phase(ctx); err != nil {
			return f.report, err
		}
	}
	return f.report, nil
}

// Audit is Fsck without bytes and repairs. It returns all findings, in order.
func (l *Ledger) Audit(ctx context.Context, scan store.Scanner) ([]Finding, error) {
	var findings []Finding
	_, err := l.Fsck(ctx, scan, FsckOptions{Found: func(f Finding) error { findings = append(findings, f); return nil }})
	slices.SortFunc(findings, func(x, y Finding) int { return strings.Compare(x.String(), y.String()) })
	return findings, err
}

func (f *fsck) progress(phase string, done, total int64, unit string) {
	if f.opts.Progress != nil {
		f.opts.Progress(FsckProgress{phase, done, total, unit})
	}
}

// fault is something that looks wrong.
type fault struct {
	Finding
	rows []store.Key // all that it was taken from
	// fix makes the operations that mend it, on some of rows; nil where a person has to decide.
	fix  func(now time.Time) []store.Op
	done string // what fix does
}

// view is rows that were read, at one moment each; nil for an absent one.
type view map[store.Key]store.Row

// maxLooks is how often what looks wrong is looked at again when it changed meanwhile.
const maxLooks = 8

// examineAll looks at the suspicious rows again.
func (f *fsck) examineAll(ctx context.Context) error {
	for _, k := range slices.SortedFunc(maps.Keys(f.suspects), store.Key.Compare) {
		if err := f.examine(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

// examine looks at one row by strong reads, and reports what is wrong with it.
func (f *fsck) examine(ctx context.Context, k store.Key) error {
	if f.examined[k] {
		return nil
	}
	f.examined[k] = true
	told := map[string]bool{}
	for range maxLooks {
		now := f.l.clock.Now()
		v, err := f.look(ctx, k)
		if err != nil {
			return err
		}
		faults, err := f.strongFaults(ctx, k, v)
		if err != nil {
			return err
		}
		again := false
		for _, ft := range faults {
			if told[ft.Text] {
				continue
			}
			switch err := f.confirm(ctx, now, ft, v); {
			case err == nil:
				told[ft.Text] = true
			case errors.Is(err, errAgain):
				again = true
			default:
				return err
			}
		}
		if !again {
			return nil
		}
	}
	f.report.Unjudged++
	return nil
}

// look reads a row and all that it is compared with.
func (f *fsck) look(ctx context.Context, k store.Key) (view, error) {
	v := view{}
	for next := []store.Key{k}; len(next) > 0; {
		if err := f.get(ctx, v, next); err != nil {
			return nil, err
		}
		next = slices.DeleteFunc(related(k, v), func(r store.Key) bool { _, ok := v[r]; return ok })
	}
	return v, nil
}

// confirm makes a finding of a fault if all that it was taken from is, at one moment, as it was read, and mends it in the
// same transaction where that is wanted. Else it answers errAgain.
func (f *fsck) confirm(ctx context.Context, now time.Time, ft fault, v view) error {
	var t txn
	if f.opts.Repair && ft.fix != nil {
		t.ops = ft.fix(now)
		ft.Repaired = ft.done
	}
	fixes := len(t.ops)
	for _, k := range ft.rows {
		i := slices.IndexFunc(t.ops[:fixes], func(op store.Op) bool { return op.Key == k })
		if i < 0 {
			i = t.check(k)
		}
		t.ops[i].If = append(t.ops[i].If, asFound(v[k])...)
	}
	if err := f.l.apply(ctx, now, &t); err != nil {
		return err
	}
	return f.found(ft.Finding)
}

// found reports a finding. What each manifest of a repository could tell is told once.
func (f *fsck) found(x Finding) error {
	if x.Kind == foundRepository {
		if f.rowless[x.Subject] {
			return nil
		}
		f.rowless[x.Subject] = true
	}
	if x.Severity == Must {
		f.report.Must++
	} else {
		f.report.Should++
	}
	if x.Repaired != "" {
		f.report.Repaired++
	}
	return f.opts.Found(x)
}

// asFound is the condition that a row says what it said when it was read, but for counts and dues.
func asFound(r store.Row) []store.Cond {
	if r == nil {
		return []store.Cond{absent()}
	}
	conds := []store.Cond{exists()}
	for _, name := range []string{attrState, attrVersion, attrHeld, attrCursor, attrDigest, attrObject, attrSize, attrGone} {
		switch v := r.Get(name); {
		case v.Kind() != 0:
			conds = append(conds, store.Cond{Attr: name, Is: store.Equal, Value: v})
		default:
			conds = append(conds, without(name))
		}
	}
	return conds
}

// get reads rows strongly into v. One that cannot be read, or is of a newer format, is noted as such.
func (f *fsck) get(ctx context.Context, v view, keys []store.Key) error {
	for batch := range slices.Chunk(keys, store.MaxGet) {
		rows, err := f.l.table.Get(ctx, batch...)
		switch {
		case err == nil:
			for i, k := range batch {
				f.see(v, k, rows[i])
			}
		case !errors.Is(err, store.ErrCorrupt):
			return err
		case len(batch) == 1:
			f.cannotRead(batch[0], err)
			v[batch[0]] = nil
		default:
			for _, k := range batch {
				if err := f.get(ctx, v, []store.Key{k}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// see puts a row into a view, unless this program cannot know what it says.
func (f *fsck) see(v view, k store.Key, r store.Row) {
	if err := checkFormat(k, r); err != nil {
		f.cannotRead(k, err)
		r = nil
	}
	v[k] = r
}

func (f *fsck) cannotRead(k store.Key, err error) {
	kind, _ := kindOf(k)
	f.unreadable[k], f.unread[kind] = err, true
}

// tellUnreadable reports the rows that could not be read.
func (f *fsck) tellUnreadable(context.Context) error {
	for _, k := range slices.SortedFunc(maps.Keys(f.unreadable), store.Key.Compare) {
		x := Finding{Kind: foundUnreadable, Invariant: "A1", Severity: Must, Subject: k.String(), Where: where(k), Text: f.unreadable[k].Error(), Advice: adviceLeave}
		if errors.Is(f.unreadable[k], errNewer) {
			x.Kind, x.Advice = foundNewer, "use the program that wrote it, or a newer one"
		}
		if err := f.found(x); err != nil {
			return err
		}
	}
	return nil
}

// walk visits the pages of a walk over rows, and steps over rows that cannot be read.
func (f *fsck) walk(next func(after store.Key) (store.Page, error), visit func([]store.Item) error) error {
	var after store.Key
	for {
		page, err := next(after)
		var damaged *store.DamagedRow
		switch {
		case errors.As(err, &damaged):
			f.cannotRead(damaged.Key, err)
			after = damaged.Key
			continue
		case err != nil:
			return err
		}
		if len(page.Items) > 0 {
			after = page.Items[len(page.Items)-1].Key
			if err := visit(page.Items); err != nil {
				return err
			}
		}
		if !page.More {
			return nil
		}
	}
}

// walkTable visits all rows of the table.
func (f *fsck) walkTable(ctx context.Context, phase string, visit func(store.Key, store.Row)) error {
	n := 0
	return f.walk(func(after store.Key) (store.Page, error) { return f.scan.Scan(ctx, after, pageSize) },
		func(items []store.Item) error {
			for _, it := range items {
				if err := checkFormat(it.Key, it.Row); err != nil {
					f.cannotRead(it.Key, err)
					continue
				}
				visit(it.Key, it.Row)
			}
			n += len(items)
			f.progress(phase, int64(n), int64(f.report.Rows), "rows")
			return nil
		})
}
