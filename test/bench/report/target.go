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

// BeatsRivals is met when the subject has more than the best rival's value, or, where less is better, less.
func BeatsRivals(metric Metric) func(*Results) Verdict {
	return func(r *Results) Verdict {
		return againstRivals(r, metric, func(ratio float64) bool { return ratio != 1 && reaches(metric, ratio, 1) })
	}
}

// TimesRivals is met when the subject has at least factor times the best rival's value, or, where less is better, at most factor times.
func TimesRivals(metric Metric, factor float64) func(*Results) Verdict {
	return func(r *Results) Verdict {
		return againstRivals(r, metric, func(ratio float64) bool { return reaches(metric, ratio, factor) })
	}
}

// TimesYardstick is [TimesRivals] with the yardstick instead of the rivals.
func TimesYardstick(metric Metric, factor float64) func(*Results) Verdict {
	return func(r *Results) Verdict {
		yardstick, ok := r.named(Yardstick)
		if !ok {
			return Verdict{}
		}
		return against(r, metric, yardstick, func(ratio float64) bool { return reaches(metric, ratio, factor) })
	}
}

// reaches tells whether a ratio is at least factor, or, where less is better, at most that.
func reaches(metric Metric, ratio, factor float64) bool {
	if metric.Less {
		return ratio <= factor
	}
	return ratio >= factor
}

func againstRivals(r *Results, metric Metric, met func(ratio float64) bool) Verdict {
	rival, ok := r.BestRival(metric)
	if !ok {
		return Verdict{}
	}
	return against(r, metric, rival, met)
}

func against(r *Results, metric Metric, other string, met func(ratio float64) bool) Verdict {
	subject, ok := r.named(Subject)
	if !ok {
		return Verdict{}
	}
	ratio, ok := r.Ratio(metric, subject, other)
	if !ok {
		return Verdict{}
	}
	return Verdict{Measured: true, Met: met(ratio.Median), Detail: fmt.Sprintf("%s %s", formatRatio(ratio), other)}
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
		return Verdict{Measured: true, Met: reaches(metric, ratio.Median, factor), Detail: formatRatio(ratio)}
	}
}
