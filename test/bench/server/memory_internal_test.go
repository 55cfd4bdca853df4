// SPDX-License-Identifier: Apache-2.0

package server

import "testing"

func TestParseMemory(t *testing.T) {
	const status = "Name:\tregistry\nVmPeak:\t 1260000 kB\nVmHWM:\t  128 kB\nVmRSS:\t  100 kB\nRssAnon:\t   64 kB\nRssFile:\t   32 kB\nThreads:\t8\n"
	got, err := parseMemory(status)
	want := Memory{Peak: 128 << 10, Anonymous: 64 << 10, Files: 32 << 10}
	if got != want || err != nil {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
	for _, bad := range []string{"", "VmHWM:\t1 kB\nRssAnon:\t1 kB\n", "VmHWM:\tx kB\nRssAnon:\t1 kB\nRssFile:\t1 kB\n"} {
		if got, err := parseMemory(bad); err == nil {
			t.Errorf("%q was understood as %+v", bad, got)
		}
	}
}
