// SPDX-License-Identifier: Apache-2.0

package faultstore

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"tare/internal/store"
)

// Kind is the method that is called.
type Kind uint8

// The kinds, by role: table and scanner, objects, multipart, signed requests. MinPart and signing are no calls: they ask nobody.
const (
	Get Kind = 1 + iota
	Query
	Due
	Scan
	Commit

	Open
	Stat
	List
	Put
	Delete

	Pending
	Begin
	Part
	Complete
	Abort

	Parts
	Sum
)

var kindNames = [...]string{
	Get: "get", Query: "query", Due: "due", Scan: "scan", Commit: "commit",
	Open: "open", Stat: "stat", List: "list", Put: "put", Delete: "delete",
	Pending: "pending", Begin: "begin", Part: "part", Complete: "complete", Abort: "abort", Parts: "parts", Sum: "sum",
}

func (k Kind) String() string { return kindNames[k] }

// Writes tells whether a call of this kind changes anything.
func (k Kind) Writes() bool {
	switch k {
	case Commit, Put, Delete, Begin, Part, Complete, Abort:
		return true
	}
	return false
}

// Call is a call of a store.
type Call struct {
	N    int // counted from 1 over all roles of the process, in the order in which they came
	Kind Kind

	Keys   []store.Key // Get and Commit: the rows, in order. Query: the partition and the prefix. Scan: the position
	Tx     store.Tx    // Commit
	Shard  int         // Due
	Object string      // objects and multipart: the key; List and Pending: the prefix
}

// fail makes the error of a call that the store did not answer.
func (c Call) fail(outcome error) error {
	k := c.Object
	if len(c.Keys) > 0 {
		k = c.Keys[0].String()
	}
	return &store.Error{Op: c.Kind.String(), Key: k, Outcome: outcome}
}

func opName(k store.OpKind) string {
	switch k {
	case store.OpPut:
		return "put"
	case store.OpUpdate:
		return "update"
	case store.OpDelete:
		return "delete"
	case store.OpCheck:
		return "check"
	}
	return "unknown"
}

// hint says what an operation does to the index of due rows, as far as the operation tells: " due" where it writes a due
// time, " undue" where it takes one away.
func hint(op *store.Op) string {
	due := func(a store.Attr) bool { return a.Name == store.AttrDue }
	switch {
	case slices.ContainsFunc(op.Row, due), slices.ContainsFunc(op.Set, due):
		return " due"
	case slices.Contains(op.Remove, store.AttrDue):
		return " undue"
	}
	return ""
}

// Format describes the call: its kind and what it is at, and on a line for each row the operation, the row and the change
// of the index of a Commit, or the row of a Get. name gives the names under which the keys of rows and objects appear.
func (c Call) Format(name func(string) string) string {
	var b strings.Builder
	b.WriteString(c.Kind.String())
	switch c.Kind {
	case Get:
		for _, k := range c.Keys {
			b.WriteString("\n\t" + printable(name(k.String())))
		}
	case Commit:
		for i := range c.Tx.Ops {
			op := &c.Tx.Ops[i]
			b.WriteString("\n\t" + opName(op.Kind) + " " + printable(name(op.Key.String())) + hint(op))
		}
	case Due:
		b.WriteString(" " + strconv.Itoa(c.Shard))
	case Scan:
	case Query:
		b.WriteString(" " + printable(name(c.Keys[0].String())))
	default:
		b.WriteString(" " + printable(name(c.Object)))
	}
	return b.String()
}

// printable quotes a name that would spoil a trace.
func printable(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) || r == unicode.ReplacementChar }) {
		return strconv.Quote(s)
	}
	return s
}

// Step is a call that was let in, what the plan did with it, and the error that the process got. A call that has not
// come back has none.
type Step struct {
	Call
	Action Action
	Err    error
}

// Trace is the calls of a process in the order in which they were let in.
type Trace []Step

// Format describes the trace, call by call as [Call.Format] does. An action other than Pass follows the call in
// brackets, and the outcome of one that failed follows in words.
func (t Trace) Format(name func(string) string) string {
	var b strings.Builder
	for _, s := range t {
		head, rows, _ := strings.Cut(s.Format(name), "\n")
		b.WriteString(head)
		if s.Action != Pass {
			b.WriteString(" [" + s.Action.String() + "]")
		}
		if s.Err != nil {
			b.WriteString(": " + outcome(s.Err))
		}
		b.WriteByte('\n')
		if rows != "" {
			b.WriteString(rows + "\n")
		}
	}
	return b.String()
}

// outcome says in words what an error means, without the keys, which may be random.
func outcome(err error) string {
	if conflict, ok := errors.AsType[*store.Conflict](err); ok {
		ops := make([]int, len(conflict.Failed))
		for i, f := range conflict.Failed {
			ops[i] = f.Op
		}
		return fmt.Sprint("conflict ", ops)
	}
	if e, ok := errors.AsType[*store.Error](err); ok {
		return e.Outcome.Error()
	}
	return err.Error()
}

// String describes the trace with all keys as they are.
func (t Trace) String() string { return t.Format(func(key string) string { return key }) }

// Count tells how many of the calls are of these kinds, or how many there are when no kinds are given.
func (t Trace) Count(kinds ...Kind) int {
	n := 0
	for _, s := range t {
		if len(kinds) == 0 || slices.Contains(kinds, s.Kind) {
			n++
		}
	}
	return n
}
