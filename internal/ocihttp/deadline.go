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
	last  bool          // the read deadline is moved no more
}

// extendRead gives the client the stall timeout from now for its next byte, or an eighth less: moving the deadline with
// every read would cost more than it is worth.
func (d *deadlines) extendRead() {
	if d.stall <= 0 || d.last {
		return
	}
	now := d.clock.Now()
	if d.read.Sub(now) > d.stall-d.stall/8 {
		return
	}
	d.read = now.Add(d.stall)
	_ = http.NewResponseController(d.w).SetReadDeadline(d.read)
}

// lastRead gives the client the stall timeout from now for all that is left of its body.
func (d *deadlines) lastRead() {
	d.read = time.Time{}
	d.extendRead()
	d.last = true
}

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
