// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A load is bounded: so many pushes of each client, and so long in all.
const (
	pushesEach = 5
	loadTime   = 2 * time.Minute
	maxTries   = 8
)

// load lets clients push images that share their blobs, to one tag and to tags of their own, all at once.
func (p *patient) load(ctx context.Context) (Finding, error) {
	clients := min(p.o.Load, MaxLoad)
	if clients == 0 {
		return skipped("it was not asked for (--load)"), nil
	}
	if p.pushed == "" {
		return skipped("no manifest could be pushed"), nil
	}
	ctx, cancel := context.WithTimeout(ctx, loadTime)
	defer cancel()
	images := make([][]byte, clients*pushesEach)
	for i := range images {
		images[i] = p.manifest(fmt.Sprintf("load %d", i), p.layer)
		p.tags[digestOf(images[i])] = true
	}
	var mu sync.Mutex
	var took []time.Duration
	var tries busy
	var first string // failure
	failures := 0
	var all sync.WaitGroup
	for c := range clients {
		all.Go(func() {
			for n := range pushesEach {
				begin := p.o.Clock.Now()
				again, why := p.pushUnderLoad(ctx, []string{"load", fmt.Sprintf("load-%d", c)}, images[c*pushesEach+n])
				mu.Lock()
				took, tries = append(took, p.o.Clock.Now().Sub(begin)), tries.and(again)
				if why != "" {
					failures++
					if first == "" {
						first = why
					}
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	slices.Sort(took)
	saw := fmt.Sprintf("%d clients, %d pushes of two tags: %v; half within %v, 99 of 100 within %v", clients, len(took), tries,
		took[len(took)/2].Round(time.Millisecond), took[len(took)*99/100].Round(time.Millisecond))
	if failures > 0 {
		return failed(fmt.Sprintf("%s; %d failed, the first: %s", saw, failures, first), "pushes fail when many come at once",
			"See the alarms for throttles and conflicts, and the account's limit for functions that run at once."), nil
	}
	return p.kept(ctx, images, clients, saw)
}

// kept sees that each client's own tag points to what it pushed last, and the common one to what somebody did.
func (p *patient) kept(ctx context.Context, images [][]byte, clients int, saw string) (Finding, error) {
	for c := -1; c < clients; c++ {
		tag, wanted := "load", images
		if c >= 0 {
			tag, wanted = fmt.Sprintf("load-%d", c), images[(c+1)*pushesEach-1:(c+1)*pushesEach]
		}
		a, _, err := p.fetch(ctx, request{method: http.MethodGet, path: p.in("manifests/%s", tag), header: map[string]string{"Accept": manifestType}})
		if err != nil {
			return Finding{}, err
		}
		if a.status != http.StatusOK || !slices.ContainsFunc(wanted, func(b []byte) bool { return bytes.Equal(b, a.body) }) {
			return failed(fmt.Sprintf("%s; the tag %s: status %d, and not the image that was pushed last", saw, tag, a.status),
				"pushes that succeeded are lost", "Report it. If the answer comes from a cache on the way, turn that off."), nil
		}
	}
	return passed("%s", saw), nil
}

// busy counts answers that asked to come again.
type busy struct{ throttled, unavailable, unhinted int } // 429, 503, and those of both without Retry-After

func (b busy) and(other busy) busy {
	return busy{b.throttled + other.throttled, b.unavailable + other.unavailable, b.unhinted + other.unhinted}
}

func (b busy) String() string {
	if b == (busy{}) {
		return "nobody was asked to come again"
	}
	return fmt.Sprintf("%d times 429 and %d times 503, %d of them without Retry-After, were tried again", b.throttled, b.unavailable, b.unhinted)
}

// pushUnderLoad pushes one image to tags, and tries again where it is told to.
func (p *patient) pushUnderLoad(ctx context.Context, tags []string, image []byte) (again busy, why string) {
	for _, tag := range tags {
		for try := 1; ; try++ {
			a, err := p.do(ctx, request{method: http.MethodPut, path: p.in("manifests/%s", tag), body: image, header: map[string]string{"Content-Type": manifestType}})
			if err == nil && a.status == http.StatusCreated {
				break
			}
			if err != nil {
				return again, err.Error()
			}
			if !a.has(http.StatusServiceUnavailable, http.StatusTooManyRequests) || try == maxTries {
				return again, a.String()
			}
			if a.status == http.StatusTooManyRequests {
				again.throttled++
			} else {
				again.unavailable++
			}
			seconds, err := strconv.Atoi(a.header.Get("Retry-After"))
			if err != nil || seconds < 0 {
				again.unhinted++
				seconds = 1 // a gateway's own 503 has none
			}
			if err := p.o.Clock.Pause(ctx, time.Duration(min(seconds, 10))*time.Second); err != nil {
				return again, err.Error()
			}
		}
	}
	return again, ""
}
