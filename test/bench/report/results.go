// SPDX-License-Identifier: Apache-2.0

// Package report turns what was measured in rounds into tables and verdicts. Rounds are interleaved over the servers, so a ratio of two
// servers is taken round by round, from measurements that lie seconds apart, and the median of those ratios is what is judged.
package report

import (
	"fmt"
	"slices"
)

// Role says what a server is measured for.
type Role int

const (
	Subject   Role = iota // the one that is judged
	Rival                 // the subject is compared with the best of these
	Yardstick             // shown, and never the best rival
)

// Server is one column.
type Server struct {
	Name string
	Role Role
}

// Metric is one row. Metrics are the same when they are equal.
type Metric struct {
	Name string
	Unit string
	Less bool // whether less is better
}

// Results holds what was measured in one section, by metric, server and round.
type Results struct {
	servers []Server
	metrics []Metric
	values  map[cell]map[int]float64
	notes   []string
}

type cell struct {
	metric Metric
	server string
}

// New makes empty results of servers, which are columns in this order.
func New(servers ...Server) *Results {
	return &Results{servers: servers, values: map[cell]map[int]float64{}}
}

// Record keeps a value. Rows come in the order in which metrics are first recorded; a second value of one round replaces the first.
func (r *Results) Record(metric Metric, server string, round int, value float64) {
	if !slices.Contains(r.metrics, metric) {
		r.metrics = append(r.metrics, metric)
	}
	at := cell{metric, server}
	if r.values[at] == nil {
		r.values[at] = map[int]float64{}
	}
	r.values[at][round] = value
}

// Note keeps a sentence to print below the table. One that is there already is not repeated.
func (r *Results) Note(format string, args ...any) {
	note := fmt.Sprintf(format, args...)
	if !slices.Contains(r.notes, note) {
		r.notes = append(r.notes, note)
	}
}

// Spread sums up the values of several rounds.
type Spread struct {
	Median, Min, Max float64
	Rounds           int
}

func spread(values []float64) (Spread, bool) {
	if len(values) == 0 {
		return Spread{}, false
	}
	slices.Sort(values)
	middle := len(values) / 2
	median := values[middle]
	if len(values)%2 == 0 {
		median = (values[middle-1] + values[middle]) / 2
	}
	return Spread{Median: median, Min: values[0], Max: values[len(values)-1], Rounds: len(values)}, true
}

// Spread sums up metric of server; false where nothing was recorded.
func (r *Results) Spread(metric Metric, server string) (Spread, bool) {
	var values []float64
	for _, value := range r.values[cell{metric, server}] {
		values = append(values, value)
	}
	return spread(values)
}

// Ratio sums up metric of server divided by that of other, over the rounds that have both.
func (r *Results) Ratio(metric Metric, server, other string) (Spread, bool) {
	return r.ratio(cell{metric, server}, cell{metric, other})
}

// Within sums up one metric of server divided by another of the same server, over the rounds that have both.
func (r *Results) Within(server string, metric, by Metric) (Spread, bool) {
	return r.ratio(cell{metric, server}, cell{by, server})
}

func (r *Results) ratio(a, b cell) (Spread, bool) {
	var values []float64
	for round, value := range r.values[a] {
		if by := r.values[b][round]; by > 0 {
			values = append(values, value/by)
		}
	}
	return spread(values)
}

// BestRival is the rival with the best median of metric; false where no rival has any.
func (r *Results) BestRival(metric Metric) (string, bool) {
	best, name := 0.0, ""
	for _, server := range r.servers {
		s, ok := r.Spread(metric, server.Name)
		if !ok || server.Role != Rival {
			continue
		}
		if better := s.Median > best != metric.Less; name == "" || better && s.Median != best {
			best, name = s.Median, server.Name
		}
	}
	return name, name != ""
}

// named is the name of the first server of a role; false where there is none.
func (r *Results) named(role Role) (string, bool) {
	for _, server := range r.servers {
		if server.Role == role {
			return server.Name, true
		}
	}
	return "", false
}
