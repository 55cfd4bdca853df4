// SPDX-License-Identifier: Apache-2.0

package ocihttp

import (
	"crypto/rand"
	"strconv"
	"sync/atomic"
)

// requestIDs makes ids that differ from each other and, very likely, from those of other processes.
type requestIDs struct {
	prefix string
	last   *atomic.Uint64
}

func newRequestIDs() requestIDs {
	return requestIDs{prefix: rand.Text()[:10] + "-", last: new(atomic.Uint64)}
}

func (g requestIDs) next() string {
	b := append(make([]byte, 0, 32), g.prefix...)
	return string(strconv.AppendUint(b, g.last.Add(1), 36))
}

// validRequestID tells whether an id that came with a request can be taken over: it goes into headers and logs.
func validRequestID(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || 'z' < c) && (c < 'A' || 'Z' < c) && (c < '0' || '9' < c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return 0 < len(s) && len(s) <= 64
}
