// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"tare/internal/clock"
	"tare/internal/refcount"
	"tare/internal/store"
)

// measure wraps the doors to durable state so that their calls are counted.
func (m *metrics) measure(c clock.Clock) func(refcount.Stores) refcount.Stores {
	return func(s refcount.Stores) refcount.Stores { return m.measured(s, c) }
}

func (m *metrics) measured(s refcount.Stores, c clock.Clock) refcount.Stores {
	call := func(role, name string) measured {
		calls := m.calls.MustCurryWith(prometheus.Labels{"store": role, "call": name})
		return measured{clock: c, ok: calls.WithLabelValues(outcome(nil)), calls: calls, duration: m.callDurations.WithLabelValues(role, name)}
	}
	return refcount.Stores{
		Table: &measuredTable{
			Table: s.Table,
			get:   call("table", "get"), query: call("table", "query"), due: call("table", "due"), commit: call("table", "commit"),
		},
		Objects: &measuredObjects{
			Objects: s.Objects,
			put:     call("objects", "put"), open: call("objects", "open"), stat: call("objects", "stat"), remove: call("objects", "delete"), list: call("objects", "list"),
		},
		Parts: &measuredParts{
			Multipart: s.Parts,
			begin:     call("parts", "begin"), part: call("parts", "part"), complete: call("parts", "complete"), abort: call("parts", "abort"), pending: call("parts", "pending"),
		},
	}
}

// measured is one method of a store.
type measured struct {
	clock    clock.Clock
	ok       prometheus.Counter     // the one of calls that nearly every call counts in
	calls    *prometheus.CounterVec // outcome
	duration prometheus.Observer
}

// done records a call that began then.
func (m *measured) done(then time.Time, err error) {
	m.duration.Observe(max(0, m.clock.Now().Sub(then).Seconds()))
	if err == nil {
		m.ok.Inc()
		return
	}
	m.calls.WithLabelValues(outcome(err)).Inc()
}

// outcome names what became of a call, by the contract of package store.
func outcome(err error) string {
	if err == nil {
		return "ok"
	}
	for _, o := range []struct {
		err  error
		name string
	}{
		{store.ErrNotFound, "not_found"},
		{store.ErrConflict, "conflict"},
		{store.ErrContended, "contended"},
		{store.ErrFull, "full"},
		{store.ErrExpired, "expired"},
		{store.ErrUnavailable, "unavailable"},
		{store.ErrUnknownOutcome, "unknown"},
		{store.ErrCorrupt, "corrupt"},
		{store.ErrInvalid, "invalid"},
		{context.Canceled, "canceled"},
		{context.DeadlineExceeded, "canceled"},
	} {
		if errors.Is(err, o.err) {
			return o.name
		}
	}
	return "other"
}

type measuredTable struct {
	store.Table
	get, query, due, commit measured
}

func (t *measuredTable) Get(ctx context.Context, keys ...store.Key) ([]store.Row, error) {
	then := t.get.clock.Now()
	rows, err := t.Table.Get(ctx, keys...)
	t.get.done(then, err)
	return rows, err
}

func (t *measuredTable) Query(ctx context.Context, q store.Query) (store.Page, error) {
	then := t.query.clock.Now()
	page, err := t.Table.Query(ctx, q)
	t.query.done(then, err)
	return page, err
}

func (t *measuredTable) Due(ctx context.Context, shard int, until int64, after store.DueKey, limit int) ([]store.DueKey, error) {
	then := t.due.clock.Now()
	keys, err := t.Table.Due(ctx, shard, until, after, limit)
	t.due.done(then, err)
	return keys, err
}

func (t *measuredTable) Commit(ctx context.Context, tx store.Tx) error {
	then := t.commit.clock.Now()
	err := t.Table.Commit(ctx, tx)
	t.commit.done(then, err)
	return err
}

type measuredObjects struct {
	store.Objects
	put, open, stat, remove, list measured
}

func (o *measuredObjects) Put(ctx context.Context, key string, r io.Reader, size int64) error {
	then := o.put.clock.Now()
	err := o.Objects.Put(ctx, key, r, size)
	o.put.done(then, err)
	return err
}

func (o *measuredObjects) Open(ctx context.Context, key string, offset, length int64) (io.ReadCloser, error) {
	then := o.open.clock.Now()
	r, err := o.Objects.Open(ctx, key, offset, length)
	o.open.done(then, err)
	return r, err
}

func (o *measuredObjects) Stat(ctx context.Context, key string) (store.ObjectInfo, error) {
	then := o.stat.clock.Now()
	info, err := o.Objects.Stat(ctx, key)
	o.stat.done(then, err)
	return info, err
}

func (o *measuredObjects) Delete(ctx context.Context, key string) error {
	then := o.remove.clock.Now()
	err := o.Objects.Delete(ctx, key)
	o.remove.done(then, err)
	return err
}

func (o *measuredObjects) List(ctx context.Context, prefix, after string, limit int) ([]store.ObjectInfo, error) {
	then := o.list.clock.Now()
	page, err := o.Objects.List(ctx, prefix, after, limit)
	o.list.done(then, err)
	return page, err
}

type measuredParts struct {
	store.Multipart
	begin, part, complete, abort, pending measured
}

func (p *measuredParts) Begin(ctx context.Context, key string) (string, error) {
	then := p.begin.clock.Now()
	id, err := p.Multipart.Begin(ctx, key)
	p.begin.done(then, err)
	return id, err
}

func (p *measuredParts) Part(ctx context.Context, key, id string, turn int64, number int, offset int64, r io.Reader, size int64) (store.Part, error) {
	then := p.part.clock.Now()
	part, err := p.Multipart.Part(ctx, key, id, turn, number, offset, r, size)
	p.part.done(then, err)
	return part, err
}

func (p *measuredParts) Complete(ctx context.Context, key, id string, parts []store.Part) error {
	then := p.complete.clock.Now()
	err := p.Multipart.Complete(ctx, key, id, parts)
	p.complete.done(then, err)
	return err
}

func (p *measuredParts) Abort(ctx context.Context, key, id string) error {
	then := p.abort.clock.Now()
	err := p.Multipart.Abort(ctx, key, id)
	p.abort.done(then, err)
	return err
}

func (p *measuredParts) Pending(ctx context.Context, prefix string) ([]store.PendingUpload, error) {
	then := p.pending.clock.Now()
	uploads, err := p.Multipart.Pending(ctx, prefix)
	p.pending.done(then, err)
	return uploads, err
}
