// SPDX-License-Identifier: Apache-2.0

package ocihttp

import (
	"net/http"
	"time"

	"tare/internal/clock"
)

// deadlines ends a connection on which nothing moves. Where a connection has no deadlines, as a test's may have none,
// setting them fails, and nothing is lost by it.
type deadlines struct {
	w     http.ResponseWriter
	clock clock.Clock
	stall time.Duration // 0: never
	read  time.Time     // the read deadline that is set; the zero time where none is
	end   time.Time     // by when all of the body must have come; the zero time: whenever
}

// extendRead gives the client the stall timeout from now for its next byte, or an eighth less: moving the deadline with
// every read would cost more than it is worth. No deadline lies beyond the end.
func (d *deadlines) extendRead() {
	if d.stall <= 0 && d.end.IsZero() || d.read.Equal(d.end) && !d.end.IsZero() {
		return
	}
	now := d.clock.Now()
	if d.read.Sub(now) > d.stall-d.stall/8 {
		return
	}
	d.read = now.Add(d.stall)
	if d.stall <= 0 || !d.end.IsZero() && d.end.Before(d.read) {
		d.read = d.end
	}
	_ = http.NewResponseController(d.w).SetReadDeadline(d.read)
}

// endRead gives the client so long from now for all that is left of its body, and no longer than it had before; 0: for
// ever.
func (d *deadlines) endRead(within time.Duration) {
	if within <= 0 {
		return
	}
	if end := d.clock.Now().Add(within); d.end.IsZero() || end.Before(d.end) {
		d.end = end
	}
	if d.end.Before(d.read) {
		d.read = time.Time{}
	}
	d.extendRead()
}

// ended tells whether the time for all of the body is over.
func (d *deadlines) ended() bool { return !d.end.IsZero() && !d.clock.Now().Before(d.end) }

// releaseRead takes the deadline off, at the end of a body: the server reads on, to learn whether the client goes away, and
// would take an expired deadline for that. Before the end it stays, since the server reads some of what a handler left.
func (d *deadlines) releaseRead() {
	if !d.read.IsZero() {
		d.read = time.Time{}
		_ = http.NewResponseController(d.w).SetReadDeadline(d.read)
	}
}

// extendWrite gives the client the stall timeout from now to take what is written next. The server takes the deadline
// off at the end of the request.
func (d *deadlines) extendWrite() {
	if d.stall > 0 {
		_ = http.NewResponseController(d.w).SetWriteDeadline(d.clock.Now().Add(d.stall))
	}
}
