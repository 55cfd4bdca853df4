// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestSizes(t *testing.T) {
	for text, want := range map[string]size{
		"0": 0, "512": 512, "7B": 7, "64KiB": 64 << 10, "10MB": 10e6, "1GiB": 1 << 30, "2 TiB": 2 << 40, "1GB": 1e9, "3KB": 3000, "1TB": 1e12,
		"9223372036854775807": 1<<63 - 1,
	} {
		var got size
		if err := got.UnmarshalText([]byte(text)); err != nil || got != want {
			t.Errorf("%q: got %d, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "x", "-1", "1.5GiB", "1PiB", "GiB", "9223372036854775808", "8388608TiB", "1e3", "0x10"} {
		var got size
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %d", text, got)
		}
	}
	for n, want := range map[size]string{0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 5 << 20: "5.0 MiB", 3 << 30: "3.0 GiB", 2 << 40: "2.0 TiB", 5 << 50: "5120.0 TiB"} {
		if got := n.String(); got != want {
			t.Errorf("%d: got %q, want %q", n, got, want)
		}
	}
}

func TestDurations(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{"0": 0, "90s": 90 * time.Second, "12h": 12 * time.Hour, "1h30m": 90 * time.Minute, "14d": 14 * day, "0d": 0} {
		var got duration
		if err := got.UnmarshalText([]byte(text)); err != nil || time.Duration(got) != want {
			t.Errorf("%q: got %v, %v", text, time.Duration(got), err)
		}
	}
	for _, text := range []string{"", "d", "soon", "-1h", "-1d", "1", "1.5d", "200000d", "1d12h"} {
		var got duration
		if err := got.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q: got %v", text, time.Duration(got))
		}
	}
	for d, want := range map[time.Duration]string{-time.Hour: "now", 0: "now", 59*time.Second + 900*time.Millisecond: "59s", 61 * time.Second: "1m", 12*time.Hour + 30*time.Second: "12h0m", 3*day + 5*time.Hour + time.Minute: "3d5h"} {
		if got := wait(d); got != want {
			t.Errorf("%v: got %q, want %q", d, got, want)
		}
	}
}

// A size is as many bytes as it says, with or without a unit, and is never negative.
func FuzzSize(f *testing.F) {
	for _, text := range []string{"", "0", "512", "7B", "64KiB", "10 MB", "1GiB", "+1", "-1", "1e3", "9223372036854775807", "9223372036854775808", "8388608TiB", "1_000", " 1 "} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got, same size
		if got.UnmarshalText([]byte(text)) != nil {
			return
		}
		if err := same.UnmarshalText(fmt.Appendf(nil, "%d", got)); err != nil || same != got || got < 0 {
			t.Fatalf("%q: %d; in bytes %d, %v", text, int64(got), int64(same), err)
		}
		if shown := got.String(); shown == "" || strings.Contains(shown, "-") {
			t.Fatalf("%q: shown as %q", text, shown)
		}
	})
}

// A duration is one of Go's, or whole days, and is never negative.
func FuzzDuration(f *testing.F) {
	for _, text := range []string{"", "0", "90s", "12h", "1h30m", "14d", "0d", "+1d", "-1d", "1.5d", "106751d", "106752d", "1d12h", "2540400h10m10s", "1ns"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var got, same duration
		if got.UnmarshalText([]byte(text)) != nil {
			return
		}
		d := time.Duration(got)
		if err := same.UnmarshalText([]byte(d.String())); err != nil || same != got || got < 0 {
			t.Fatalf("%q: %v; written by Go %v, %v", text, d, time.Duration(same), err)
		}
		if days, ok := strings.CutSuffix(text, "d"); ok {
			if n, err := strconv.Atoi(days); err != nil || d != time.Duration(n)*24*time.Hour {
				t.Fatalf("%q: %v", text, d)
			}
		} else if want, err := time.ParseDuration(text); err != nil || d != want {
			t.Fatalf("%q: %v, want %v, %v", text, d, want, err)
		}
		if shown := wait(d); shown == "" || strings.Contains(shown, "-") {
			t.Fatalf("%q: shown as %q", text, shown)
		}
	})
}
