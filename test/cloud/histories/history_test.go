// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
)

type verb string

const (
	upload verb = "upload"
	mount  verb = "mount"
	head   verb = "head"
	fetch  verb = "fetch"
	push   verb = "push"
	get    verb = "get"
	list   verb = "list"
	untag  verb = "untag"
	erase  verb = "erase"
	remove verb = "remove" // of a blob
)

type outcome uint8

const (
	done outcome = iota
	refused
	unknown
)

// event is a request of a client and what it was told.
type event struct {
	client string
	verb   verb
	repo   int
	from   int // mount
	blob   int
	// of a push, an erase and a get by digest; of a get by tag, what it found
	manifest int
	tag      int
	ifMatch  int
	ifAbsent bool

	outcome outcome
	status  int
	missing int    // a refused push: the blob that it names
	mounted bool   //
	listed  []bool // tags

	shared bool // an erase of the same manifest was under way
	staged bool // a push may hold what was not to be taken away, although its manifest is not there

	call, end       int64 // order
	asked, answered int64 // time, as the table's rows have it: milliseconds
	settled         bool  // asked when everything was over and every margin had passed
}

func (e *event) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%10d %10d %s %s %s", e.call/1e3, min(e.end/1e3, 1e10), e.client, e.verb, repos[e.repo])
	if e.verb == mount {
		fmt.Fprintf(&s, " from %s mounted=%t", repos[e.from], e.mounted)
	}
	for name, place := range map[string]int{"b": e.blob, "m": e.manifest, "tag": e.tag, "if-match m": e.ifMatch} {
		if place != none {
			fmt.Fprintf(&s, " %s%d", name, place)
		}
	}
	if e.ifAbsent {
		s.WriteString(" if-absent")
	}
	fmt.Fprintf(&s, " → %s %d", [...]string{"done", "refused", "unknown"}[e.outcome], e.status)
	if e.missing != none {
		fmt.Fprintf(&s, " for want of b%d", e.missing)
	}
	if e.verb == list {
		fmt.Fprintf(&s, " %v", e.listed)
	}
	return s.String()
}

// meets tells whether two requests were under way at once.
func (e *event) meets(f *event) bool { return e.call < f.end && f.call < e.end }

// history is what all clients did.
type history struct {
	began time.Time
	aged  time.Duration // how much older the table's rows were made

	mu     sync.Mutex
	events []*event
}

func (h *history) order() int64 { return int64(time.Since(h.began)) }

func (h *history) clock() int64 { return time.Now().Add(h.aged).UnixMilli() }

// ask notes that a request begins.
func (h *history) ask(e event) *event {
	e.missing, e.call, e.asked = none, h.order(), h.clock()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, &e)
	return &e
}

// tell notes its answer.
func (h *history) tell(e *event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	e.end, e.answered = h.order(), h.clock()
	if e.outcome == unknown {
		e.end, e.answered = math.MaxInt64, math.MaxInt64
	}
}

// over notes that nothing is under way any more: whatever was unknown has been done by now, or never will be.
func (h *history) over() {
	for _, e := range h.events {
		if e.end == math.MaxInt64 {
			e.end, e.answered = h.order(), h.clock()
		}
	}
}

// lately is what was done to a blob, and to what lists it, in the last seconds.
func (h *history) lately(repo, b int) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var lines strings.Builder
	for _, e := range h.events {
		if h.order()-e.call > int64(10*time.Second) || e.repo != repo || e.verb == head || e.verb == list || e.verb == get || e.verb == untag {
			continue
		}
		if e.blob == b || e.manifest != none && slices.Contains(manifests[e.manifest].lists, b) {
			lines.WriteString("\n" + e.String())
		}
	}
	return lines.String()
}
