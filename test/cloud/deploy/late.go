// SPDX-License-Identifier: Apache-2.0

package deploy

import (
	"net/http"
	"sync/atomic"
)

// late is a handler that is told later what to do.
type late struct{ handler atomic.Pointer[http.Handler] }

func (l *late) set(h http.Handler) { l.handler.Store(&h) }

func (l *late) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := l.handler.Load(); h != nil {
		(*h).ServeHTTP(w, r)
		return
	}
	http.Error(w, "not yet", http.StatusServiceUnavailable)
}
