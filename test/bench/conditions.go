// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"tare/test/bench/suite"
)

// File systems in memory, where a sync costs nothing and so says nothing: linux/magic.h.
const (
	tmpfsMagic = 0x01021994
	ramfsMagic = 0x858458f6
)

func requireDisk(dir string) error {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(dir, &fs); err != nil {
		return fmt.Errorf("%s: %w", dir, err)
	}
	if fs.Type == tmpfsMagic || fs.Type == ramfsMagic {
		return fmt.Errorf("%s is in memory, where syncing costs nothing: name a folder on a disk with -dir", dir)
	}
	return nil
}

// writeConditions tells what was measured, where, and on how quiet a machine.
func writeConditions(out io.Writer, s suite.Suite, o options) error {
	sync, err := syncTime(s.Dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "# Benchmarks, %s\n\n", time.Now().Format(time.DateOnly))
	for _, registry := range s.Registries {
		durable := "does not sync before it answers"
		if registry.Syncs {
			durable = "syncs before it answers"
		}
		fmt.Fprintf(out, "- %s %s: %s\n", registry.Name, registry.Version, durable)
	}
	_, err = fmt.Fprintf(out, `- %d processors, load %s, %s, %s/%s; write and fdatasync of 4 KiB, median: %.2f ms

Clients and registries share the machine; loopback, no TLS, no credentials. Each figure is the median of %d rounds [min–max] unless its
section has fewer; the registries take turns within a round, each on an empty folder. A ratio is the median of the ratios within rounds.
`, runtime.NumCPU(), loadAverage(), runtime.Version(), runtime.GOOS, runtime.GOARCH, sync.Seconds()*1e3, o.rounds)
	return err
}

func loadAverage() string {
	raw, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	first, _, _ := strings.Cut(string(raw), " ")
	return first
}

// syncTime is the median time that a write of 4 KiB to a growing file takes to reach the disk.
func syncTime(dir string) (time.Duration, error) {
	const samples = 100
	file, err := os.Create(filepath.Join(dir, "sync"))
	if err != nil {
		return 0, err
	}
	defer os.Remove(file.Name())
	defer file.Close()
	block := make([]byte, 4<<10)
	took := make([]time.Duration, samples)
	for i := range took {
		start := time.Now()
		if _, err := file.Write(block); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			return 0, err
		}
		took[i] = time.Since(start)
	}
	slices.Sort(took)
	return took[samples/2], nil
}
