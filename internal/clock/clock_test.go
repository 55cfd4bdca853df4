// SPDX-License-Identifier: Apache-2.0

package clock_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"tare/internal/clock"
)

// The monotonic clock stands still in a process that is frozen. A reading that has it would be compared by it.
func TestReadingsHaveNoMonotonicPart(t *testing.T) {
	for name, c := range map[string]clock.Clock{"system": clock.System{}, "manual": clock.NewManual(time.Now())} {
		now := c.Now()
		if strings.Contains(now.String(), "m=") || now != now.Round(0) || now.Location() != time.UTC {
			t.Errorf("%s: %v", name, now)
		}
		if later := now.Add(time.Second); strings.Contains(later.String(), "m=") {
			t.Errorf("%s: %v", name, later)
		}
	}
}

func TestPauseEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]clock.Clock{"system": clock.System{}, "manual": clock.NewManual(time.Unix(0, 0))} {
		if err := c.Pause(ctx, time.Hour); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
