// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strings"
)

// trace is the store calls of an operation, as the golden file shows them.
type trace []call

// call is a line of a trace and the rows below it.
type call struct {
	kind string
	rows []rowCall
}

// rowCall is a row of a batch of reads or of a commit.
type rowCall struct {
	op   string // "" in a batch of reads
	key  string
	hint string // "due", "undue" or ""
}

// parseTraces reads the golden file: traces by the names of their operations.
func parseTraces(text string) (map[string]trace, error) {
	traces := make(map[string]trace)
	for block := range strings.SplitSeq(strings.TrimSpace(text), "\n\n") {
		head, body, _ := strings.Cut(block, "\n")
		name, _, ok := strings.Cut(strings.TrimPrefix(head, "# "), ": ")
		if !ok {
			return nil, fmt.Errorf("%q is not the head of a trace", head)
		}
		var t trace
		for line := range strings.Lines(body) {
			line = strings.TrimRight(line, "\n")
			if !strings.HasPrefix(line, "\t") {
				kind, _, _ := strings.Cut(line, " ")
				t = append(t, call{kind: kind})
				continue
			}
			if len(t) == 0 {
				return nil, fmt.Errorf("%s: %q belongs to no call", name, line)
			}
			last := &t[len(t)-1]
			r, err := parseRow(last.kind, strings.TrimSpace(line))
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			last.rows = append(last.rows, r)
		}
		traces[name] = t
	}
	return traces, nil
}

func parseRow(kind, line string) (r rowCall, err error) {
	for _, hint := range []string{"due", "undue"} {
		if rest, ok := strings.CutSuffix(line, " "+hint); ok && kind == "commit" {
			r.hint, line = hint, rest
			break
		}
	}
	r.key = line
	if kind == "commit" {
		r.op, r.key, _ = strings.Cut(line, " ")
		switch r.op {
		case "put", "update", "delete", "check":
		default:
			return r, fmt.Errorf("%q is no operation on a row", line)
		}
	}
	return r, nil
}

// rowKind is the kind of a row by its key: what stands before the first "#" or space (docs/layout.md).
func (r rowCall) rowKind() string {
	if i := strings.IndexAny(r.key, "# "); i > 0 {
		return r.key[:i]
	}
	return r.key
}
