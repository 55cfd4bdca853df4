// SPDX-License-Identifier: Apache-2.0

// Package schedule plays Amazon EventBridge Scheduler: it invokes a function asynchronously at a rate. Sources: EventBridge
// Scheduler User Guide, "Schedule types" and "Getting started" ("at-least-once delivery"), read in November 2026.
package schedule

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Schedule is one that runs. Its first turn comes after one interval. User Guide, "Rate-based schedules".
type Schedule struct {
	stop context.CancelFunc
	done sync.WaitGroup
}

// Interval reads rate(value unit). Cron expressions are not played here.
func Interval(expression string) (time.Duration, error) {
	inner, ok := strings.CutPrefix(expression, "rate(")
	inner, closed := strings.CutSuffix(inner, ")")
	fields := strings.Fields(inner)
	if !ok || !closed || len(fields) != 2 {
		return 0, fmt.Errorf("the schedule %q is not rate(value unit)", expression)
	}
	value, err := strconv.Atoi(fields[0])
	unit, known := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}[strings.TrimSuffix(fields[1], "s")]
	if err != nil || value < 1 || !known {
		return 0, fmt.Errorf("the schedule %q is not rate(value unit)", expression)
	}
	return time.Duration(value) * unit, nil
}

// Start calls turn every interval, and twice with a chance of double: at least once is not once.
func Start(interval time.Duration, double float64, seed uint64, turn func()) *Schedule {
	ctx, cancel := context.WithCancel(context.Background())
	s := &Schedule{stop: cancel}
	random := rand.New(rand.NewPCG(seed, 1))
	s.done.Go(func() {
		ticks := time.NewTicker(interval)
		defer ticks.Stop()
		for {
			select {
			case <-ticks.C:
			case <-ctx.Done():
				return
			}
			turn()
			if random.Float64() < double {
				turn()
			}
		}
	})
	return s
}

// Stop ends the schedule and returns when no turn is under way.
func (s *Schedule) Stop() {
	s.stop()
	s.done.Wait()
}
