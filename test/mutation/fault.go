// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// fault is a deliberate mistake: a text of a file, which is there once, and what stands in its place.
type fault struct {
	name string
	// invariant is what breaks: the id of docs/consistency.md, of an assumption where the store breaks it.
	invariant string
	file      string
	from, to  string
	why       string // it is a fault: what can happen
}

// faults are all of them.
func faults() []fault {
	var all []fault
	for _, group := range [][]fault{blobFaults(), sessionFaults(), manifestFaults(), tagFaults(), sweepFaults(), uploadFaults(), directFaults(), logFaults()} {
		all = append(all, group...)
	}
	return all
}

// mutate returns the file with the fault in it. An error says that the table of faults is out of date.
func (f fault) mutate(root string) ([]byte, error) {
	b, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(f.file)))
	if err != nil {
		return nil, fmt.Errorf("%s: the table of faults is out of date: %w", f.name, err)
	}
	source := string(b)
	if n := strings.Count(source, f.from); n != 1 {
		return nil, fmt.Errorf("%s: the table of faults is out of date: its text is in %s %d times:\n%s", f.name, f.file, n, f.from)
	}
	return []byte(strings.Replace(source, f.from, f.to, 1)), nil
}
