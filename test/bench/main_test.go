// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"
)

func TestList(t *testing.T) {
	var out strings.Builder
	if err := run(t.Context(), []string{"-list", "-run", "^tags"}, &out); err != nil {
		t.Fatal(err)
	}
	if want := "tags\ntags-distinct\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestRefusals(t *testing.T) {
	t.Setenv("TARE_BENCH_TARE", "")
	t.Setenv("TARE_BENCH_DISTRIBUTION", "")
	t.Setenv("TARE_BENCH_OLAREG", "")
	t.Setenv("TARE_BENCH_ZOT", "")
	for _, test := range []struct {
		args string
		want string
	}{
		{"", "no registry"},
		{"extra", "unexpected argument"},
		{"-run (", "missing closing )"},
		{"-run nothing-of-this-name", "no section"},
		{"-tare /nonexistent/tare", "no such file"},
		{"-tare /bin/true -dir /dev/shm", "in memory"},
		{"-rounds x", "invalid value"},
	} {
		err := run(t.Context(), strings.Fields(test.args), new(strings.Builder))
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, which does not say %q", test.args, err, test.want)
		}
	}
}

func TestRounds(t *testing.T) {
	for args, want := range map[string]int{"": 5, "-short": 2, "-short -rounds 7": 7} {
		if o, err := parse(strings.Fields(args)); err != nil || o.rounds != want {
			t.Errorf("%q: %d rounds, %v, want %d", args, o.rounds, err, want)
		}
	}
}

func TestConditionsNeedAFolder(t *testing.T) {
	if _, err := syncTime("/nonexistent"); err == nil {
		t.Error("a folder that does not exist was measured")
	}
	if took, err := syncTime(t.TempDir()); err != nil || took <= 0 {
		t.Errorf("a sync took %s, %v", took, err)
	}
}
