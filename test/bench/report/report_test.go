// SPDX-License-Identifier: Apache-2.0

package report_test

import (
	"math"
	"strings"
	"testing"

	"tare/test/bench/report"
)

var (
	rate    = report.Metric{Name: "pushes", Unit: "images/s"}
	latency = report.Metric{Name: "p99", Unit: "ms", Less: true}
	even    = report.Metric{Name: "pulls", Unit: "images/s"}
	late    = report.Metric{Name: "late pushes", Unit: "images/s"}
)

func columns() []report.Server {
	return []report.Server{
		{Name: "tare", Role: report.Subject},
		{Name: "slow", Role: report.Rival},
		{Name: "fast", Role: report.Rival},
		{Name: "bare", Role: report.Yardstick},
	}
}

// measured is three rounds, of which the machine was half as fast in the second.
func measured() *report.Results {
	r := report.New(columns()...)
	for round, speed := range []float64{1, 0.5, 1.2} {
		r.Record(rate, "tare", round, 300*speed)
		r.Record(rate, "slow", round, 60*speed)
		r.Record(rate, "fast", round, 150*speed)
		r.Record(rate, "bare", round, 400*speed)
		r.Record(late, "tare", round, 270*speed)
		r.Record(even, "tare", round, 100*speed)
		r.Record(even, "fast", round, 100*speed)
		r.Record(latency, "tare", round, 2/speed)
		r.Record(latency, "slow", round, 9/speed)
		r.Record(latency, "fast", round, 4/speed)
	}
	return r
}

func TestSpreadAndRatio(t *testing.T) {
	r := measured()
	if s, ok := r.Spread(rate, "tare"); !ok || s != (report.Spread{Median: 300, Min: 150, Max: 360, Rounds: 3}) {
		t.Errorf("spread %+v, %t", s, ok)
	}
	// The slow second round cancels out, because ratios are taken within a round.
	if s, ok := r.Ratio(rate, "tare", "fast"); !ok || s.Min != 2 || s.Max != 2 || s.Rounds != 3 {
		t.Errorf("ratio %+v, %t", s, ok)
	}
	if s, ok := r.Within("tare", late, rate); !ok || math.Abs(s.Median-0.9) > 1e-9 {
		t.Errorf("within %+v, %t", s, ok)
	}
	if s, ok := r.Spread(rate, "absent"); ok {
		t.Errorf("a server that was not measured has %+v", s)
	}
}

func TestMedianOfEvenRounds(t *testing.T) {
	r := report.New(columns()...)
	for round, value := range []float64{4, 1, 3, 100} {
		r.Record(rate, "tare", round, value)
	}
	if s, _ := r.Spread(rate, "tare"); s.Median != 3.5 {
		t.Errorf("median %g", s.Median)
	}
}

func TestRatioSkipsRoundsThatLackOne(t *testing.T) {
	r := report.New(columns()...)
	r.Record(rate, "tare", 0, 10)
	r.Record(rate, "tare", 1, 10)
	r.Record(rate, "fast", 1, 5)
	r.Record(rate, "tare", 2, 10)
	r.Record(rate, "fast", 2, 0)
	if s, ok := r.Ratio(rate, "tare", "fast"); !ok || s.Rounds != 1 || s.Median != 2 {
		t.Errorf("ratio %+v, %t", s, ok)
	}
}

func TestBestRival(t *testing.T) {
	r := measured()
	for _, metric := range []report.Metric{rate, latency} {
		if name, ok := r.BestRival(metric); name != "fast" || !ok {
			t.Errorf("best rival of %s is %q", metric.Name, name)
		}
	}
	if name, ok := r.BestRival(late); ok {
		t.Errorf("best rival of what no rival did is %q", name)
	}
}

func TestTargets(t *testing.T) {
	r := measured()
	tests := []struct {
		name  string
		judge func(*report.Results) report.Verdict
		want  report.Verdict
	}{
		{"beats", report.BeatsRivals(rate), report.Verdict{Measured: true, Met: true, Detail: "2.00× [2.00–2.00] fast"}},
		{"less beats", report.BeatsRivals(latency), report.Verdict{Measured: true, Met: true, Detail: "0.50× [0.50–0.50] fast"}},
		{"as good does not beat", report.BeatsRivals(even), report.Verdict{Measured: true, Detail: "1.00× [1.00–1.00] fast"}},
		{"no rival", report.BeatsRivals(late), report.Verdict{}},
		{"times", report.TimesRivals(rate, 2), report.Verdict{Measured: true, Met: true, Detail: "2.00× [2.00–2.00] fast"}},
		{"not as many times", report.TimesRivals(rate, 2.1), report.Verdict{Measured: true, Detail: "2.00× [2.00–2.00] fast"}},
		{"less, times", report.TimesRivals(latency, 0.5), report.Verdict{Measured: true, Met: true, Detail: "0.50× [0.50–0.50] fast"}},
		{"less, not as many times", report.TimesRivals(latency, 0.4), report.Verdict{Measured: true, Detail: "0.50× [0.50–0.50] fast"}},
		{"yardstick", report.TimesYardstick(rate, 0.7), report.Verdict{Measured: true, Met: true, Detail: "0.75× [0.75–0.75] bare"}},
		{"below yardstick", report.TimesYardstick(rate, 0.9), report.Verdict{Measured: true, Detail: "0.75× [0.75–0.75] bare"}},
		{"no yardstick", report.TimesYardstick(latency, 1), report.Verdict{}},
		{"at least", report.AtLeast(rate, 300), report.Verdict{Measured: true, Met: true, Detail: "300 [150–360] images/s"}},
		{"not at least", report.AtLeast(rate, 301), report.Verdict{Measured: true, Detail: "300 [150–360] images/s"}},
		{"at most", report.AtMost(latency, 2), report.Verdict{Measured: true, Met: true, Detail: "2 [1.67–4] ms"}},
		{"holds", report.Holds(late, rate, 0.85), report.Verdict{Measured: true, Met: true, Detail: "0.90× [0.90–0.90]"}},
		{"does not hold", report.Holds(late, rate, 0.95), report.Verdict{Measured: true, Detail: "0.90× [0.90–0.90]"}},
	}
	for _, test := range tests {
		if got := test.judge(r); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
	for _, test := range tests {
		if got := test.judge(report.New(columns()[1:3]...)); got != (report.Verdict{}) {
			t.Errorf("%s, with nothing measured: %+v", test.name, got)
		}
	}
}

func TestWriteTable(t *testing.T) {
	r := report.New(columns()...)
	r.Record(rate, "tare", 0, 1234.5)
	r.Record(rate, "fast", 0, 600)
	r.Record(latency, "fast", 0, 0.01234)
	r.Record(latency, "fast", 1, 12.34)
	r.Note("%s did not end.", "slow")
	r.Note("%s did not end.", "slow")
	const want = `| | tare | slow | fast | bare | tare ÷ best rival |
|---|---|---|---|---|---|
| pushes, images/s | 1234 | – | 600 | – | 2.06× fast |
| p99, ms (less is better) | – | – | 6.18 [0.0123–12.3] | – | – |

- slow did not end.
`
	var got strings.Builder
	if err := r.WriteTable(&got); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}

func TestWriteVerdicts(t *testing.T) {
	const want = `| section | target | verdict | measured |
|---|---|---|---|
| images | faster | **met** | 2× |
| images | much faster | **not met** | 2× |
| memory | small | **not measured** |  |
`
	var got strings.Builder
	err := report.WriteVerdicts(&got, []report.Judged{
		{"images", "faster", report.Verdict{Measured: true, Met: true, Detail: "2×"}},
		{"images", "much faster", report.Verdict{Measured: true, Detail: "2×"}},
		{"memory", "small", report.Verdict{}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}
