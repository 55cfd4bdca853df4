// SPDX-License-Identifier: Apache-2.0

package registry_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The page of store calls says what the golden traces show.
func TestPageOfStoreCalls(t *testing.T) {
	traces, err := os.ReadFile(filepath.Join("testdata", "traces.txt"))
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join("..", "..", "docs", "store-calls.md"))
	if err != nil {
		t.Fatal(err)
	}
	const head = "| operation | calls | rows read | rows written |\n|---|---|---|---|\n"
	_, after, _ := strings.Cut(string(page), head)
	got, _, _ := strings.Cut(after, "\n\n")
	want := table(string(traces))
	if got != want {
		t.Errorf("the table of docs/store-calls.md is not that of the traces, which is\n\n%s%s", head, want)
	}
}

// table is a line for each trace: its header, and how many rows its batches of reads and its commits name.
func table(traces string) string {
	var lines []string
	for trace := range strings.SplitSeq(strings.TrimSpace(traces), "\n\n") {
		header, calls, _ := strings.Cut(trace, "\n")
		name, kinds, _ := strings.Cut(strings.TrimPrefix(header, "# "), ": ")
		rows := map[string]int{} // by the kind of call
		kind := ""
		for line := range strings.Lines(calls) {
			if strings.HasPrefix(line, "\t") {
				rows[kind]++
			} else {
				kind = strings.TrimSpace(line)
			}
		}
		lines = append(lines, fmt.Sprintf("| %s | %s | %d | %d |", name, kinds, rows["get"], rows["commit"]))
	}
	return strings.Join(lines, "\n")
}
