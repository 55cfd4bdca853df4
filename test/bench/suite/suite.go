// SPDX-License-Identifier: Apache-2.0

// Package suite holds the benchmarks. A section measures one thing on several registries in rounds, A B C A B C, so that what the
// machine does besides falls on all of them. One round of one registry is a visit: the registry starts on an empty folder, is loaded and
// measured, ends, and leaves nothing behind. Only one registry runs at a time.
package suite

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"tare/test/bench/load"
	"tare/test/bench/report"
	"tare/test/bench/server"
)

// clients is how many clients push or pull at once, as in every figure that we compare with.
const clients = 8

// visitLimit ends a visit whose registry hangs.
const visitLimit = 15 * time.Minute

// Section is one benchmark.
type Section struct {
	Name    string
	About   string // what is done, for the report
	Targets []report.Target

	maxRounds int  // fewer rounds than are asked for, where one takes minutes; 0 means no bound
	yardstick bool // whether the bare handler is measured, too
	visit     func(context.Context, *visit) error
}

// Suite is what all sections share.
type Suite struct {
	Registries []server.Registry // without the yardstick
	Yardstick  server.Registry
	Dir        string // where registries keep their data; not in memory
	Rounds     int
	Log        *slog.Logger
}

// visit is one round of one registry.
type visit struct {
	*server.Process
	role    report.Role
	round   int
	source  *load.Source // the same content for every registry of the round
	results *report.Results
}

// Run measures section. A visit that fails is noted in the results, and the other visits go on; the error joins those of the subject,
// whose failures are ours. When ctx ends, Run returns at once with what it has.
func (s Suite) Run(ctx context.Context, section Section) (*report.Results, error) {
	registries := s.Registries
	if section.yardstick {
		registries = append(registries[:len(registries):len(registries)], s.Yardstick)
	}
	columns := make([]report.Server, len(registries))
	for i, registry := range registries {
		columns[i] = report.Server{Name: registry.Name, Role: role(registry)}
	}
	results := report.New(columns...)
	rounds := s.Rounds
	if section.maxRounds > 0 {
		rounds = min(rounds, section.maxRounds)
	}
	var failures error
	for round := range rounds {
		for _, registry := range registries {
			s.Log.Info("Visit.", "section", section.Name, "round", round+1, "of", rounds, "registry", registry.Name)
			err := s.visit(ctx, section, registry, round, results)
			if ctx.Err() != nil {
				return results, errors.Join(failures, context.Cause(ctx))
			}
			if err == nil {
				continue
			}
			s.Log.Error("Visit failed.", "section", section.Name, "registry", registry.Name, "error", err)
			results.Note("%s, round %d: failed: %v.", registry.Name, round+1, err)
			if role(registry) == report.Subject {
				failures = errors.Join(failures, fmt.Errorf("%s: %w", section.Name, err))
			}
		}
	}
	return results, failures
}

func role(registry server.Registry) report.Role {
	switch registry.Name {
	case server.TareName:
		return report.Subject
	case server.BareName:
		return report.Yardstick
	default:
		return report.Rival
	}
}

func (s Suite) visit(ctx context.Context, section Section, registry server.Registry, round int, results *report.Results) (err error) {
	ctx, cancel := context.WithTimeout(ctx, visitLimit)
	defer cancel()
	process, err := registry.Start(ctx, s.Dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, process.Failure(), process.Stop()) }()
	return section.visit(ctx, &visit{
		Process: process,
		role:    role(registry),
		round:   round,
		source:  load.NewSource(uint64(round)),
		results: results,
	})
}

// record keeps a value of this visit.
func (v *visit) record(metric report.Metric, value float64) {
	v.results.Record(metric, v.Name, v.round, value)
}

// run runs plan against the registry. What others have left to write is on disk before it starts. Failed operations are noted.
func (v *visit) run(ctx context.Context, what string, plan load.Plan, op func(conn *load.Conn, i int) error) (load.Result, error) {
	syscall.Sync()
	result, err := plan.Run(ctx, v.Addr, op)
	if err != nil {
		return result, fmt.Errorf("%s: %w", what, err)
	}
	if result.Errors > 0 {
		v.results.Note("%s, round %d, %s: %d operations failed, the first: %v.", v.Name, v.round+1, what, result.Errors, result.FirstError)
	}
	if len(result.Operations) == 0 {
		return result, fmt.Errorf("%s: nothing succeeded", what)
	}
	return result, nil
}

// with runs f on a connection of its own.
func (v *visit) with(ctx context.Context, f func(conn *load.Conn) error) error {
	conn, err := load.Dial(ctx, v.Addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	return f(conn)
}

// prepare is [visit.run] for what is not measured: every operation must succeed.
func (v *visit) prepare(ctx context.Context, operations int, op func(conn *load.Conn, i int) error) error {
	result, err := load.Plan{Clients: clients, Operations: operations}.Run(ctx, v.Addr, op)
	if err != nil {
		return err
	}
	return result.FirstError
}

// ways is both ways up, in an order that alternates with the round.
func ways(round int) []load.Way {
	if round%2 == 0 {
		return []load.Way{load.PUT, load.PATCH}
	}
	return []load.Way{load.PATCH, load.PUT}
}

func milliseconds(d time.Duration) float64 {
	return float64(d) / float64(time.Millisecond)
}
