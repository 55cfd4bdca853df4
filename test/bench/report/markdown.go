// SPDX-License-Identifier: Apache-2.0

package report

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"strconv"
)

// Judged is a target with its verdict.
type Judged struct {
	Section string
	Text    string
	Verdict Verdict
}

// WriteTable writes one row for each metric and one column for each server, a last column with the subject's ratio to the best rival,
// and the notes.
func (r *Results) WriteTable(w io.Writer) error {
	subject, compared := r.named(Subject)
	var out bytes.Buffer
	out.WriteString("| |")
	for _, server := range r.servers {
		fmt.Fprintf(&out, " %s |", server.Name)
	}
	if compared {
		fmt.Fprintf(&out, " %s ÷ best rival |", subject)
	}
	out.WriteString("\n|---|")
	for range r.servers {
		out.WriteString("---|")
	}
	if compared {
		out.WriteString("---|")
	}
	out.WriteString("\n")
	for _, metric := range r.metrics {
		fmt.Fprintf(&out, "| %s |", metric.label())
		for _, server := range r.servers {
			fmt.Fprintf(&out, " %s |", r.formatCell(metric, server.Name))
		}
		if compared {
			fmt.Fprintf(&out, " %s |", r.formatBest(metric, subject))
		}
		out.WriteString("\n")
	}
	for _, note := range r.notes {
		fmt.Fprintf(&out, "\n- %s", note)
	}
	if len(r.notes) > 0 {
		out.WriteString("\n")
	}
	_, err := out.WriteTo(w)
	return err
}

// WriteVerdicts writes one row for each target.
func WriteVerdicts(w io.Writer, judged []Judged) error {
	var out bytes.Buffer
	out.WriteString("| section | target | verdict | measured |\n|---|---|---|---|\n")
	for _, j := range judged {
		word := "not met"
		switch {
		case !j.Verdict.Measured:
			word = "not measured"
		case j.Verdict.Met:
			word = "met"
		}
		fmt.Fprintf(&out, "| %s | %s | **%s** | %s |\n", j.Section, j.Text, word, j.Verdict.Detail)
	}
	_, err := out.WriteTo(w)
	return err
}

func (m Metric) label() string {
	label := m.Name + ", " + m.Unit
	if m.Less {
		label += " (less is better)"
	}
	return label
}

func (r *Results) formatCell(metric Metric, server string) string {
	s, ok := r.Spread(metric, server)
	if !ok {
		return "–"
	}
	return formatSpread(s)
}

func (r *Results) formatBest(metric Metric, subject string) string {
	rival, ok := r.BestRival(metric)
	if !ok {
		return "–"
	}
	ratio, ok := r.Ratio(metric, subject, rival)
	if !ok {
		return "–"
	}
	return formatRatio(ratio) + " " + rival
}

func formatSpread(s Spread) string {
	if s.Rounds == 1 {
		return formatNumber(s.Median)
	}
	return fmt.Sprintf("%s [%s–%s]", formatNumber(s.Median), formatNumber(s.Min), formatNumber(s.Max))
}

func formatRatio(s Spread) string {
	if s.Rounds == 1 {
		return fmt.Sprintf("%.2f×", s.Median)
	}
	return fmt.Sprintf("%.2f× [%.2f–%.2f]", s.Median, s.Min, s.Max)
}

// formatNumber keeps three digits, and whole numbers whole.
func formatNumber(v float64) string {
	switch {
	case v == math.Trunc(v) || v >= 100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case v >= 1:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		return strconv.FormatFloat(v, 'g', 3, 64)
	}
}
