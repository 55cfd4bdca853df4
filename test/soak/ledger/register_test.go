// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"testing"
	"time"
)

func history(events ...*event) *register { return &register{events} }

func sure(start, end time.Duration, value string) *event {
	return &event{value: value, start: start, end: end, sure: true}
}

func perhaps(start, end time.Duration, value string) *event {
	return &event{value: value, start: start, end: end}
}

func removal(start, end time.Duration, from string) *event {
	return &event{from: from, start: start, end: end, sure: true}
}

func TestAllows(t *testing.T) {
	for _, c := range []struct {
		name  string
		r     *register
		value string
		want  bool
	}{ // the read is between 100 and 110
		{"nothing was written", history(), "", true},
		{"nobody wrote it", history(), "a", false},
		{"written", history(sure(1, 2, "a")), "a", true},
		{"lost", history(sure(1, 2, "a")), "", false},
		{"being written", history(sure(105, 120, "a")), "a", true},
		{"not yet written", history(sure(105, 120, "a")), "", true},
		{"read before it was written", history(sure(111, 120, "a")), "a", false},
		{"overwritten", history(sure(1, 2, "a"), sure(3, 4, "b")), "a", false},
		{"overwritten at the same time", history(sure(1, 4, "a"), sure(3, 6, "b")), "a", true},
		{"being overwritten", history(sure(1, 2, "a"), sure(90, 101, "b")), "a", true},
		{"perhaps overwritten", history(sure(1, 2, "a"), perhaps(3, 4, "b")), "a", true},
		{"perhaps overwritten, and it was", history(sure(1, 2, "a"), perhaps(3, 4, "b")), "b", true},
		{"not over yet", history(sure(1, 2, "a"), perhaps(3, open, "b")), "b", true},
		{"perhaps written, and overwritten since", history(perhaps(3, 4, "b"), sure(5, 6, "a")), "b", false},
		{"may land late", history(perhaps(3, open, "b"), sure(5, 6, "a")), "b", true},
		{"deleted", history(sure(1, 2, "a"), sure(3, 4, "")), "a", false},
		{"back from the dead", history(sure(1, 2, "a"), sure(3, 4, "")), "", true},
		{"perhaps deleted, and not", history(sure(1, 2, "a"), perhaps(3, 4, "")), "a", true},
		{"perhaps deleted, and so it was", history(sure(1, 2, "a"), perhaps(3, 4, "")), "", true},
		{"deleted with what it pointed to", history(sure(1, 2, "a"), removal(3, 4, "a")), "a", false},
		{"another was deleted", history(sure(1, 2, "a"), removal(3, 4, "b")), "a", true},
		{"deleted with what it pointed to, now absent", history(sure(1, 2, "a"), removal(3, 4, "a")), "", true},
		{"pushed again after the delete", history(sure(1, 2, "a"), removal(3, 4, "a"), sure(5, 6, "a")), "", false},
	} {
		if got := c.r.allows(c.value, 100, 110); got != c.want {
			t.Errorf("%s: %v allows %q: %v, want %v", c.name, c.r, c.value, got, c.want)
		}
	}
}

// What is pruned changes no judgement of what is read after the horizon.
func TestPrune(t *testing.T) {
	r := history(sure(1, 2, "a"), perhaps(2, 9, "d"), sure(3, 4, "b"), removal(4, 5, "b"), sure(6, 7, "c"), perhaps(8, open, "a"), sure(60, 70, "e"))
	values := []string{"", "a", "b", "c", "d", "e"}
	before := map[string]bool{}
	for _, v := range values {
		before[v] = r.allows(v, 51, 52)
	}
	r.prune(50)
	if len(r.events) != 4 {
		t.Errorf("left are %v", r)
	}
	for _, v := range values {
		if r.allows(v, 51, 52) != before[v] {
			t.Errorf("%q was allowed: %v, and is not so any more: %v", v, before[v], r)
		}
	}
}
