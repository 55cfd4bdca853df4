// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"time"

	"tare/internal/clock"
	"tare/internal/oci"
)

// drain lets uploads come to their end before the server closes. An upload is several requests, so that it is not
// enough to wait for those in flight: the PATCH that brings the bytes is followed by the PUT that finishes it, and the
// last blob by a manifest. Once the drain has begun, requests that would start an upload are refused, all others are
// served; it ends when no request has brought anything for a moment.
type drain struct {
	clock clock.Clock

	mu      sync.Mutex // guards what follows
	begun   bool
	writing int           // requests in flight that bring something
	idle    chan struct{} // closed when writing is 0
	left    time.Time     // when the last of them ended
}

const (
	drainLinger = time.Second     // how long a client has to go on with its next request
	drainRetry  = 5 * time.Second // when to come back: to the next process
)

func newDrain(c clock.Clock) *drain {
	idle := make(chan struct{})
	close(idle)
	return &drain{clock: c, idle: idle}
}

// startsUpload tells whether the request asks for a new upload.
func startsUpload(r *http.Request) bool {
	return r.Method == http.MethodPost && strings.HasSuffix(strings.TrimSuffix(r.URL.Path, "/"), "/blobs/uploads")
}

// refuse is the error of a request that comes too late, nil for others.
func (d *drain) refuse(r *http.Request) error {
	if !startsUpload(r) || !d.draining() {
		return nil
	}
	e := oci.Errorf(oci.Unavailable, "the registry is about to stop")
	e.RetryAfter = drainRetry
	return e
}

// watch counts the requests that bring something, but for those that next is going to refuse.
func (d *drain) watch(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead && d.enter(startsUpload(r)) {
			defer d.leave()
		}
		next.ServeHTTP(w, r)
	})
}

func (d *drain) enter(startsUpload bool) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.begun && startsUpload {
		return false
	}
	if d.writing == 0 {
		d.idle = make(chan struct{})
	}
	d.writing++
	return true
}

func (d *drain) leave() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.writing--
	d.left = d.clock.Now()
	if d.writing == 0 {
		close(d.idle)
	}
}

// state returns a channel that is closed when no request writes, and how long a client still has to go on.
func (d *drain) state() (idle <-chan struct{}, linger time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.writing > 0 {
		return d.idle, drainLinger
	}
	since := d.clock.Now().Sub(d.left)
	if since < 0 { // the clock was set back
		return d.idle, 0
	}
	return d.idle, drainLinger - since
}

// draining tells whether the drain has begun.
func (d *drain) draining() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.begun
}

// wait begins the drain and returns when it has ended, or with the context's error.
func (d *drain) wait(ctx context.Context) error {
	d.mu.Lock()
	d.begun = true
	d.mu.Unlock()
	for {
		idle, linger := d.state()
		if linger <= 0 {
			return nil
		}
		select {
		case <-idle:
		case <-ctx.Done():
			return ctx.Err()
		}
		if err := d.clock.Pause(ctx, linger); err != nil {
			return err
		}
	}
}
