// SPDX-License-Identifier: Apache-2.0

package report

import "fmt"

// Target is one sentence that the subject is to make true.
type Target struct {
	Text  string
	Judge func(*Results) Verdict
}

// Verdict is what the measurements say about a target.
type Verdict struct {
	Measured bool // false where the subject, or what it is compared with, was not measured
	Met      bool
	Detail   string
}

// BeatsRivals is met when the subject has at least factor times the best rival's value, or, where less is better, at most factor times.
func BeatsRivals(metric Metric, factor float64) func(*Results) Verdict {
	return func(r *Results) Verdict {
		rival, ok := r.BestRival(metric)
		if !ok {
			return Verdict{}
		}
		return against(r, metric, rival, factor)
	}
}

// BeatsYardstick is [BeatsRivals] with the yardstick instead of the rivals.
func BeatsYardstick(metric Metric, factor float64) func(*Results) Verdict {
	return func(r *Results) Verdict {
		yardstick, ok := r.named(Yardstick)
		if !ok {
			return Verdict{}
		}
		return against(r, metric, yardstick, factor)
	}
}

func against(r *Results, metric Metric, other string, factor float64) Verdict {
	subject, ok := r.named(Subject)
	if !ok {
		return Verdict{}
	}
	ratio, ok := r.Ratio(metric, subject, other)
	if !ok {
		return Verdict{}
	}
	met := ratio.Median >= factor
	if metric.Less {
		met = ratio.Median <= factor
	}
	return Verdict{Measured: true, Met: met, Detail: fmt.Sprintf("%s %s", formatRatio(ratio), other)}
}

// AtLeast is met when the subject's median is at least value.
func AtLeast(metric Metric, value float64) func(*Results) Verdict {
	return median(metric, func(m float64) bool { return m >= value })
}

// AtMost is met when the subject's median is at most value.
func AtMost(metric Metric, value float64) func(*Results) Verdict {
	return median(metric, func(m float64) bool { return m <= value })
}

func median(metric Metric, met func(float64) bool) func(*Results) Verdict {
	return func(r *Results) Verdict {
		subject, _ := r.named(Subject)
		s, ok := r.Spread(metric, subject)
		if !ok {
			return Verdict{}
		}
		return Verdict{Measured: true, Met: met(s.Median), Detail: formatSpread(s) + " " + metric.Unit}
	}
}

// Holds is met when the subject's metric is, round by round, at least factor times its other metric, or, where less is better, at
// most factor times.
func Holds(metric, by Metric, factor float64) func(*Results) Verdict {
	return func(r *Results) Verdict {
		subject, _ := r.named(Subject)
		ratio, ok := r.Within(subject, metric, by)
		if !ok {
			return Verdict{}
		}
		met := ratio.Median >= factor
		if metric.Less {
			met = ratio.Median <= factor
		}
		return Verdict{Measured: true, Met: met, Detail: formatRatio(ratio)}
	}
}
