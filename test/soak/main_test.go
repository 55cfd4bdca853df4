// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Setenv("CI", "")
	for _, c := range []struct {
		ci   string
		args string
		want options
	}{
		{"", "-seed 7", options{kills: 300, cuts: 20, fills: 6, faults: 10}},
		{"", "-seed 7 -short", options{kills: 25, cuts: 4, fills: 2, faults: 2}},
		{"true", "-seed 7", options{kills: 25, cuts: 4, fills: 2, faults: 2, ci: true}},
		{"true", "-seed 7 -short=false -cuts 100", options{kills: 300, cuts: 100, fills: 6, faults: 10, ci: true}},
	} {
		t.Setenv("CI", c.ci)
		got, err := parse(strings.Fields(c.args))
		c.want.seed, c.want.tare, c.want.dir = 7, got.tare, got.dir
		if err != nil || got != c.want {
			t.Errorf("CI=%q %s: %+v, %v, want %+v", c.ci, c.args, got, err, c.want)
		}
	}
	if _, err := parse([]string{"stray"}); err == nil {
		t.Error("a stray argument was taken")
	}
}

// A loss fails the run, and is printed.
func TestReport(t *testing.T) {
	s := &soak{options: options{seed: 7}, dir: t.TempDir()}
	s.tare = "tare"
	r, err := s.newRig("rig", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := s.report(&out, 0); err != nil || !strings.Contains(out.String(), "losses      0\n") {
		t.Errorf("without a loss: %v: %s", err, &out)
	}
	r.ledger.Lose("it is gone")
	out.Reset()
	if err := s.report(&out, 0); err == nil || !strings.Contains(out.String(), "losses      1\n") || !strings.Contains(out.String(), "it is gone") {
		t.Errorf("with a loss: %v: %s", err, &out)
	}
}
