// SPDX-License-Identifier: Apache-2.0

package schedule

import (
	"sync/atomic"
	"testing"
	"time"
)

func TestInterval(t *testing.T) {
	for expression, want := range map[string]time.Duration{
		"rate(1 hour)": time.Hour, "rate(5 minutes)": 5 * time.Minute, "rate(2 days)": 48 * time.Hour,
		"rate(0 hours)": 0, "rate(1 second)": 0, "rate(1)": 0, "cron(0 * * * ? *)": 0, "rate(1 hour": 0, "": 0,
	} {
		got, err := Interval(expression)
		if got != want || (err == nil) != (want != 0) {
			t.Errorf("%s: %v, %v", expression, got, err)
		}
	}
}

func TestStart(t *testing.T) {
	var turns atomic.Int32
	s := Start(time.Millisecond, 1, 1, func() { turns.Add(1) })
	for end := time.Now().Add(10 * time.Second); turns.Load() < 4 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	s.Stop()
	n := turns.Load()
	if n < 4 || n%2 != 0 {
		t.Errorf("%d turns, each twice", n)
	}
	for range 20 {
		time.Sleep(time.Millisecond)
	}
	if turns.Load() != n {
		t.Error("a turn after the end")
	}
}
