// SPDX-License-Identifier: Apache-2.0

// Package ledger keeps what a registry told its clients, request by request, and judges by it what it tells them next. It
// sits in the clients' transport, so that whatever a client library does is seen as the registry saw it.
//
// Each tag, manifest and blob is a register. A request that writes may take effect at any moment between its beginning and
// its answer; one without an answer at any moment until the process that served it is dead, or never. What is read must
// be what some order of these moments explains, and counts from then on as if it had been written, since what a client
// was shown may not be taken back.
package ledger

import (
	"fmt"
	"strings"
	"sync"
	"time"
)

// Ledger is what clients were told. Its methods may be called concurrently.
type Ledger struct {
	lease time.Duration
	begun time.Time

	mu       sync.Mutex // guards what follows
	repos    map[string]*repository
	inFlight map[*op]bool
	unknown  []*event // of requests that had no answer, and whose server may be alive
	frozen   bool
	losses   []string
	counts   Counts
}

// Counts are sums over all requests that write, and over what was read.
type Counts struct {
	Acknowledged int            // 201 and 202
	Refused      int            // 4xx and 507: nothing happened
	Unknown      int            // no answer, or 5xx
	Manifests    int            // read whole
	Blobs        int            // read whole
	Bytes        int64          // of what was read whole
	Statuses     map[string]int // answers of 500 and above, by method and status
	Losses       int
}

// Full is how many requests were refused because the disk is full.
func (c Counts) Full() int {
	n := 0
	for status, m := range c.Statuses {
		if strings.HasSuffix(status, " 507") {
			n += m
		}
	}
	return n
}

// repository is what is known of one.
type repository struct {
	tags      map[string]*tag
	manifests map[string]*manifest
	order     []string // digests of manifests, as they were first pushed
	blobs     map[string]*blob
}

type tag struct {
	register
	held map[string]bool // every digest that it was ever to have
}

type manifest struct {
	register
	Content
	cascades []*cascade
}

type blob struct {
	register
	users map[string]bool // digests of the manifests that list it
}

// cascade is what the delete of a subject may do to a manifest that refers to it, at any later time.
type cascade struct {
	event   *event
	decided time.Duration // when the delete was answered
}

// New returns an empty ledger. A blob that a client was told of has to stay for lease.
func New(lease time.Duration) *Ledger {
	return &Ledger{
		lease:    lease,
		begun:    time.Now(),
		repos:    make(map[string]*repository),
		inFlight: make(map[*op]bool),
		counts:   Counts{Statuses: make(map[string]int)},
	}
}

func (l *Ledger) now() time.Duration { return time.Since(l.begun) }

// Freeze stops believing: an answer from now on is none.
func (l *Ledger) Freeze() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.frozen = true
}

// Dead says that no process serves any more, and that every client has given up: what has not happened by now, does not.
func (l *Ledger) Dead() {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	for _, e := range l.unknown {
		e.end = now
	}
	l.unknown = nil
	l.frozen = false
}

// Counts returns the sums so far.
func (l *Ledger) Counts() Counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	counts := l.counts
	counts.Statuses = make(map[string]int)
	for status, n := range l.counts.Statuses {
		counts.Statuses[status] = n
	}
	return counts
}

// Losses returns what the registry told that it must not have told. It keeps the first hundred.
func (l *Ledger) Losses() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.losses...)
}

// Lose records something that must not be, and that somebody else found out.
func (l *Ledger) Lose(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lose(format, args...)
}

func (l *Ledger) lose(format string, args ...any) {
	l.counts.Losses++
	if len(l.losses) < 100 {
		l.losses = append(l.losses, fmt.Sprintf("%.3f: ", l.now().Seconds())+fmt.Sprintf(format, args...))
	}
}

func (l *Ledger) repo(name string) *repository {
	r, ok := l.repos[name]
	if !ok {
		r = &repository{tags: make(map[string]*tag), manifests: make(map[string]*manifest), blobs: make(map[string]*blob)}
		l.repos[name] = r
	}
	return r
}

func (r *repository) tag(name string) *tag {
	t, ok := r.tags[name]
	if !ok {
		t = &tag{held: make(map[string]bool)}
		r.tags[name] = t
	}
	return t
}

func (r *repository) manifest(digest string) *manifest {
	m, ok := r.manifests[digest]
	if !ok {
		m = &manifest{}
		r.manifests[digest] = m
		r.order = append(r.order, digest)
	}
	return m
}

func (r *repository) blob(digest string) *blob {
	b, ok := r.blobs[digest]
	if !ok {
		b = &blob{users: make(map[string]bool)}
		r.blobs[digest] = b
	}
	return b
}
