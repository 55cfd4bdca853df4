// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"tare/internal/clock"
)

// size is a number of bytes, written as 512, 64KiB, 10MB or 1GiB.
type size int64

var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"B", 1},
}

// UnmarshalText reads a size.
func (s *size) UnmarshalText(text []byte) error {
	number, unit := strings.TrimSpace(string(text)), int64(1)
	for _, u := range sizeUnits {
		if rest, ok := strings.CutSuffix(number, u.name); ok {
			number, unit = strings.TrimSpace(rest), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > (1<<63-1)/unit {
		return fmt.Errorf("%q is no size, such as 512, 64KiB or 10GB", text)
	}
	*s = size(n * unit)
	return nil
}

// String writes a size with one decimal in the largest binary unit that fits.
func (s size) String() string {
	if s < 1<<10 {
		return fmt.Sprintf("%d B", int64(s))
	}
	unit := sizeUnits[0]
	for _, u := range sizeUnits[1:4] {
		if int64(s) >= u.bytes {
			unit = u
		}
	}
	return fmt.Sprintf("%.1f %s", float64(s)/float64(unit.bytes), unit.name)
}

// duration is a time.Duration that is also read from whole days: 14d.
type duration time.Duration

// UnmarshalText reads a duration, which must not be negative.
func (d *duration) UnmarshalText(text []byte) error {
	v, err := clock.ParseDuration(string(text))
	*d = duration(v)
	return err
}

// wait writes how long something still takes, to the larger units.
func wait(d time.Duration) string {
	switch {
	case d <= 0:
		return "now"
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Truncate(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}
