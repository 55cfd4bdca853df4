// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"sync"
)

// begun remembers an upload that is to be ended, and ended that it is.
func (p *patient) begun(at string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.open[at] = true
}

func (p *patient) ended(at string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, at)
}

// cleaners is how many requests take away at once: a load brings hundreds.
const cleaners = 8

// cleanup takes away what was brought: uploads that did not end, manifests with their tags, and blobs. The repository goes
// with them; bytes go when the registry's own time for them is over.
func (p *patient) cleanup(ctx context.Context) (Finding, error) {
	if len(p.blobs)+len(p.tags)+len(p.open) == 0 {
		return skipped("nothing was brought"), nil
	}
	var manifests, blobs []string
	for _, digest := range slices.Sorted(maps.Keys(p.tags)) {
		manifests = append(manifests, p.in("manifests/%s", digest))
	}
	for _, digest := range slices.Sorted(maps.Keys(p.blobs)) {
		blobs = append(blobs, p.in("blobs/%s", digest))
	}
	uploads := slices.Sorted(maps.Keys(p.open))
	left := 0
	var first string
	for _, paths := range [][]string{uploads, manifests, blobs} { // a blob is deleted after what lists it
		n, why := p.takeAway(ctx, paths)
		if left += n; first == "" {
			first = why
		}
	}
	if left > 0 {
		return failed(fmt.Sprintf("%d of %d are left in %s; %s", left, len(uploads)+len(manifests)+len(blobs), p.repo, first), "what the doctor brought stays, and costs",
			"Use a credential that may delete, or delete the repository "+p.repo+" with one that may."), nil
	}
	return passed("%d uploads, %d manifests and %d blobs of %s", len(uploads), len(manifests), len(blobs), p.repo), nil
}

// takeAway deletes, several at a time, and tells how many could not be, and why the first.
func (p *patient) takeAway(ctx context.Context, paths []string) (left int, first string) {
	var mu sync.Mutex
	var all sync.WaitGroup
	next := make(chan string, len(paths))
	for _, path := range paths {
		next <- path
	}
	close(next)
	for range min(cleaners, len(paths)) {
		all.Go(func() {
			for path := range next {
				a, err := p.do(ctx, request{method: http.MethodDelete, path: path})
				if err == nil && a.has(http.StatusAccepted, http.StatusNoContent, http.StatusNotFound) {
					continue
				}
				why := fmt.Sprintf("a DELETE: %v", a)
				if err != nil {
					why = err.Error()
				}
				mu.Lock()
				if left++; first == "" {
					first = why
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return left, first
}
