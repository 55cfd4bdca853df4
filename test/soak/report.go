// SPDX-License-Identifier: Apache-2.0

package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"tare/test/soak/ledger"
	"tare/test/soak/server"
)

// report prints what happened, in a few lines and one for each loss, and fails if there is any.
func (s *soak) report(out io.Writer, took time.Duration) error {
	var told ledger.Counts
	var collected server.Collected
	told.Statuses = make(map[string]int)
	operations := make(map[string][2]int)
	for _, r := range s.rigs {
		told = plus(told, r.ledger.Counts())
		logged, err := r.ReadLog()
		if err != nil {
			return err
		}
		collected = collected.Plus(logged.Collected)
		for name, n := range r.load.Operations() {
			sum := operations[name]
			operations[name] = [2]int{sum[0] + n[0], sum[1] + n[1]}
		}
	}
	sum := 0
	var kinds []string
	for _, name := range slices.Sorted(maps.Keys(operations)) {
		n := operations[name]
		sum += n[0] + n[1]
		kinds = append(kinds, fmt.Sprintf("%s %d/%d", name, n[0], n[0]+n[1]))
	}
	var statuses []string
	for _, status := range slices.Sorted(maps.Keys(told.Statuses)) {
		statuses = append(statuses, fmt.Sprintf("%s: %d", status, told.Statuses[status]))
	}
	fmt.Fprintf(out, "seed        %d, %v\n", s.seed, took.Round(time.Second))
	fmt.Fprintf(out, "operations  %d (succeeded/tried): %s\n", sum, strings.Join(kinds, ", "))
	fmt.Fprintf(out, "happened    %d kills, %d power cuts, %d full disks, %d failed disks\n", s.sums.kills, s.sums.cuts, s.sums.fills, s.sums.faults)
	fmt.Fprintf(out, "writes      %d acknowledged, %d refused, %d unknown\n", told.Acknowledged, told.Refused, told.Unknown)
	fmt.Fprintf(out, "faults      %s\n", strings.Join(statuses, ", "))
	fmt.Fprintf(out, "read whole  %d manifests, %d blobs, %d MiB\n", told.Manifests, told.Blobs, told.Bytes>>20)
	fmt.Fprintf(out, "collected   %d links, %d blobs, %d manifests, %d uploads, %d objects, %d repositories, %d MiB\n",
		collected.Links, collected.Blobs, collected.Manifests, collected.Uploads, collected.Objects, collected.Repositories, collected.Bytes>>20)
	fmt.Fprintf(out, "losses      %d\n", told.Losses)
	for _, r := range s.rigs {
		for _, loss := range r.ledger.Losses() {
			fmt.Fprintf(out, "  %s\n", loss)
		}
	}
	s.reportRivals(out)
	if told.Losses > 0 {
		return errors.New("there are losses")
	}
	return nil
}

func plus(a, b ledger.Counts) ledger.Counts {
	for status, n := range b.Statuses {
		a.Statuses[status] += n
	}
	return ledger.Counts{
		Acknowledged: a.Acknowledged + b.Acknowledged,
		Refused:      a.Refused + b.Refused,
		Unknown:      a.Unknown + b.Unknown,
		Manifests:    a.Manifests + b.Manifests,
		Blobs:        a.Blobs + b.Blobs,
		Bytes:        a.Bytes + b.Bytes,
		Statuses:     a.Statuses,
		Losses:       a.Losses + b.Losses,
	}
}
