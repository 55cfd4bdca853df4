// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"tare/internal/ocihttp"
	"tare/internal/refcount"
	"tare/internal/store/diskstore"
)

// metrics counts what the server does.
type metrics struct {
	registry *prometheus.Registry

	requests  *prometheus.CounterVec   // route, method, status
	durations *prometheus.HistogramVec // route, method
	received  *prometheus.CounterVec   // route
	sent      *prometheus.CounterVec   // route

	calls         *prometheus.CounterVec   // store, call, outcome
	callDurations *prometheus.HistogramVec // store, call

	sweeps        *prometheus.CounterVec // outcome
	swept         *prometheus.CounterVec // kind
	freed         prometheus.Counter
	sweepFailures prometheus.Counter
	sweepLeft     prometheus.Gauge
	sweepSeconds  prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tare_http_requests_total", Help: "Requests of registry clients. Status 499: the client went away.",
		}, []string{"route", "method", "status"}),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tare_http_request_duration_seconds", Help: "From the headers of a request to the end of its answer.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10, 60, 600},
		}, []string{"route", "method"}),
		received: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tare_http_received_bytes_total", Help: "Bytes of request bodies.",
		}, []string{"route"}),
		sent: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tare_http_sent_bytes_total", Help: "Bytes of response bodies.",
		}, []string{"route"}),
		calls: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tare_store_calls_total", Help: "Calls of the store by their outcome; conflict: a condition of a transaction did not hold, which is no fault.",
		}, []string{"store", "call", "outcome"}),
		callDurations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "tare_store_call_duration_seconds", Help: "Calls of the store; those that take bytes from a client last as long as it sends.",
			Buckets: []float64{.00001, .0001, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1, 10, 60},
		}, []string{"store", "call"}),
		sweeps: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tare_sweeps_total", Help: "Sweeps by how they ended: done, left (there was more than one sweep does), error.",
		}, []string{"outcome"}),
		swept: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "tare_sweep_removed_total", Help: "What sweeps removed.",
		}, []string{"kind"}),
		freed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tare_sweep_freed_bytes_total", Help: "Bytes of the objects that sweeps deleted.",
		}),
		sweepFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tare_sweep_failures_total", Help: "Rows that a sweep could not handle.",
		}),
		sweepLeft: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "tare_sweep_left", Help: "1 when the last sweep left due rows behind.",
		}),
		sweepSeconds: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "tare_sweep_seconds_total", Help: "Time spent in sweeps.",
		}),
	}
	m.registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		m.requests, m.durations, m.received, m.sent,
		m.calls, m.callDurations,
		m.sweeps, m.swept, m.freed, m.sweepFailures, m.sweepLeft, m.sweepSeconds,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "tare_build_info", Help: "Always 1.", ConstLabels: prometheus.Labels{"version": buildVersion()},
		}, func() float64 { return 1 }),
	)
	return m
}

// watch reports the figures of a store at each scrape.
func (m *metrics) watch(s *diskstore.Store) { m.registry.MustRegister(&storeCollector{s}) }

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// request records a request.
func (m *metrics) request(o ocihttp.Observation) {
	m.requests.WithLabelValues(o.Route, o.Method, strconv.Itoa(o.Status)).Inc()
	m.durations.WithLabelValues(o.Route, o.Method).Observe(o.Duration.Seconds())
	m.received.WithLabelValues(o.Route).Add(float64(o.In))
	m.sent.WithLabelValues(o.Route).Add(float64(o.Out))
}

// sweep records a sweep.
func (m *metrics) sweep(r refcount.Report, took time.Duration, err error) {
	outcome, left := "done", 0.0
	if r.Left {
		outcome, left = "left", 1
	}
	if err != nil {
		outcome = "error"
	}
	m.sweeps.WithLabelValues(outcome).Inc()
	m.sweepLeft.Set(left)
	m.sweepSeconds.Add(max(0, took.Seconds()))
	m.sweepFailures.Add(float64(r.Failed))
	m.freed.Add(float64(r.Bytes))
	for kind, n := range map[string]int{
		"link": r.Links, "blob": r.Blobs, "object": r.Objects, "upload": r.Sessions, "manifest": r.Manifests, "tag": r.Tags, "repository": r.Repositories,
	} {
		m.swept.WithLabelValues(kind).Add(float64(n))
	}
}

// storeCollector asks a store for its figures.
type storeCollector struct{ store *diskstore.Store }

var (
	diskFree     = prometheus.NewDesc("tare_disk_free_bytes", "What the file system of the data folder has left.", nil, nil)
	tableSize    = prometheus.NewDesc("tare_table_bytes", "Length of the table's file.", nil, nil)
	tableFree    = prometheus.NewDesc("tare_table_free_bytes", "Of it, what holds nothing; tare compact gives it back.", nil, nil)
	tableCommits = prometheus.NewDesc("tare_table_commits_total", "Transactions.", nil, nil)
	tableGroups  = prometheus.NewDesc("tare_table_groups_total", "Syncs of the log, each for all transactions that waited.", nil, nil)
	syncs        = prometheus.NewDesc("tare_syncs_total", "Calls that made something durable.", nil, nil)
	uploads      = prometheus.NewDesc("tare_unfinished_uploads", "Uploads whose bytes lie in files and are no blob yet.", nil, nil)
)

// Describe implements prometheus.Collector.
func (c *storeCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{diskFree, tableSize, tableFree, tableCommits, tableGroups, syncs, uploads} {
		ch <- d
	}
}

// Collect implements prometheus.Collector. Figures that cannot be had are left out.
func (c *storeCollector) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
	counter := func(d *prometheus.Desc, v int64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	if free, err := c.store.Free(); err == nil {
		gauge(diskFree, free)
	}
	if s, err := c.store.Stats(); err == nil {
		gauge(tableSize, s.TableBytes)
		gauge(tableFree, s.FreeBytes)
		counter(tableCommits, s.Commits)
		counter(tableGroups, s.Groups)
		counter(syncs, s.Syncs)
	}
	if pending, err := c.store.Pending(context.Background(), ""); err == nil {
		gauge(uploads, int64(len(pending)))
	}
}
