// SPDX-License-Identifier: Apache-2.0

package main

import (
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"tare/internal/store/faultstore"
)

var (
	pattern = regexp.MustCompile(`(?m)^\s+FilterPattern: '\{ (.*) \}'$`)
	equal   = regexp.MustCompile(`^\$\.(\w+) = "(.*)"$`)
	atLeast = regexp.MustCompile(`^\$\.(\w+) >= 0$`)
	figure  = regexp.MustCompile(`(?m)^\s+MetricValue: \$\.(\w+)$`)
)

// The metrics of the template are made of what the door says at the end of a sweep, by filters on its log: each field that one
// reads is there and of the type that it wants, in every sweep, and only in that line.
func TestMetricsReadTheLog(t *testing.T) {
	text, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	filters, figures := pattern.FindAllStringSubmatch(string(text), -1), figure.FindAllStringSubmatch(string(text), -1)
	if n := strings.Count(string(text), "Type: AWS::Logs::MetricFilter"); n == 0 || len(filters) != n || len(figures) != n {
		t.Fatalf("%d filters, of which %d have a pattern and %d a value", n, len(filters), len(figures))
	}
	for _, n := range []int{0, 3, 300} {
		var w *world
		w = newWorld(t, func(c faultstore.Call) faultstore.Action {
			if w != nil && c.Kind == faultstore.Commit {
				w.clock.Advance(time.Second)
			}
			return faultstore.Pass
		})
		w.leave(n)
		if err := w.call(time.Minute); err != nil {
			t.Fatal(err)
		}
		line := w.said()
		if line["left"] != (n == 300) {
			t.Errorf("of %d rows some are left: %v", n, line["left"])
		}
		for _, f := range filters {
			for _, term := range strings.Split(f[1], " && ") {
				if m := equal.FindStringSubmatch(term); m != nil {
					if line[m[1]] != m[2] || strings.Count(w.log.String(), m[2]) != 1 {
						t.Errorf("%s: the door says %q", term, w.log)
					}
					continue
				}
				m := atLeast.FindStringSubmatch(term)
				if m == nil {
					t.Fatalf("what is %s", term)
				}
				if n, number := line[m[1]].(float64); !number || n < 0 {
					t.Errorf("%s: the door says %q", term, w.log)
				}
			}
		}
		for _, f := range figures {
			if _, number := line[f[1]].(float64); !number {
				t.Errorf("$.%s is %v", f[1], line[f[1]])
			}
		}
	}
}
