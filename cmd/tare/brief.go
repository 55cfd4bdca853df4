// SPDX-License-Identifier: Apache-2.0

package main

import (
	"net/http"
	"time"

	"tare/internal/clock"
)

// briefTimeout is how long an exchange may take that moves no content: the rest of its body, if it has one, and its answer.
const briefTimeout = 30 * time.Second

// brief ends exchanges whose client neither sends what it announced nor takes its answer. What ocihttp answers it watches
// itself.
func brief(h http.Handler, c clock.Clock) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control, end := http.NewResponseController(w), c.Now().Add(briefTimeout)
		// Where a connection has no deadlines, as a test's may have none, nothing is lost by it. Without a body, the server
		// itself reads on to learn whether the client goes away, and would take an expired deadline for that.
		if r.ContentLength != 0 {
			_ = control.SetReadDeadline(end)
		}
		_ = control.SetWriteDeadline(end)
		h.ServeHTTP(w, r)
	})
}
