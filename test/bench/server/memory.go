// SPDX-License-Identifier: Apache-2.0

package server

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const memoryPoll = 20 * time.Millisecond

// Memory is what a process had in memory, in bytes.
type Memory struct {
	Peak      int64 // the highest resident size, as the kernel kept it; pages of mapped files count
	Anonymous int64 // resident pages that belong to no file: heap and stacks
	Files     int64 // resident pages of mapped files
}

// Memory reads the memory of the process now.
func (p *Process) Memory() (Memory, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return Memory{}, err
	}
	return parseMemory(string(raw))
}

func parseMemory(status string) (Memory, error) {
	var m Memory
	wanted := map[string]*int64{"VmHWM": &m.Peak, "RssAnon": &m.Anonymous, "RssFile": &m.Files}
	for line := range strings.Lines(status) {
		name, rest, _ := strings.Cut(line, ":")
		field, ok := wanted[name]
		if !ok {
			continue
		}
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
		if err != nil {
			return Memory{}, fmt.Errorf("memory of a process: %w", err)
		}
		*field = kilobytes << 10
		delete(wanted, name)
	}
	if len(wanted) > 0 {
		return Memory{}, fmt.Errorf("memory of a process: lines are missing, of %q", status)
	}
	return m, nil
}

// Watch reads the memory of the process fifty times a second until ctx ends, and returns the highest of each. Only Peak is exact:
// the kernel keeps no highest value of the other two.
func (p *Process) Watch(ctx context.Context) (Memory, error) {
	poll := time.NewTicker(memoryPoll)
	defer poll.Stop()
	var most Memory
	for {
		now, err := p.Memory()
		if err != nil {
			return most, err
		}
		most.Peak = max(most.Peak, now.Peak)
		most.Anonymous = max(most.Anonymous, now.Anonymous)
		most.Files = max(most.Files, now.Files)
		select {
		case <-ctx.Done():
			return most, nil
		case <-poll.C:
		}
	}
}
