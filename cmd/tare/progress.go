// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"tare/internal/clock"
)

// progress tells on the error stream how far a long command has come: on a terminal in one line that is written over,
// elsewhere in a line now and then.
type progress struct {
	w        io.Writer
	clock    clock.Clock
	terminal bool
	last     time.Time
	width    int // of the line that stands on the terminal
}

func newProgress(c *console) *progress {
	f, ok := c.err.(*os.File)
	return &progress{w: c.err, clock: c.clock, terminal: ok && isTerminal(f), last: c.clock.Now()}
}

// show tells, unless it told a moment ago.
func (p *progress) show(format string, args ...any) {
	pause := 10 * time.Second
	if p.terminal {
		pause = 200 * time.Millisecond
	}
	now := p.clock.Now()
	if since := now.Sub(p.last); since >= 0 && since < pause {
		return
	}
	p.last = now
	text := fmt.Sprintf(format, args...)
	if !p.terminal {
		fmt.Fprintf(p.w, "%s\n", text)
		return
	}
	blank := strings.Repeat(" ", max(0, p.width-len(text)))
	fmt.Fprintf(p.w, "\r%s%s", text, blank)
	p.width = len(text)
}

// end clears the line.
func (p *progress) end() {
	if p.width > 0 {
		fmt.Fprintf(p.w, "\r%s\r", strings.Repeat(" ", p.width))
		p.width = 0
	}
}

// counter counts what is written through it and shows it.
type counter struct {
	w        io.Writer
	n        int64
	progress *progress
	verb     string
}

func (c *counter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	c.progress.show("%v %s", size(c.n), c.verb)
	return n, err
}
