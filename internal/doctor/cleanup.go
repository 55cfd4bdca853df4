// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
)

// cleanup takes away what was brought: manifests with their tags, and blobs. The repository goes with them; bytes go when
// the registry's own time for them is over.
func (p *patient) cleanup(ctx context.Context) (Finding, error) {
	if len(p.blobs)+len(p.tags) == 0 {
		return skipped("nothing was brought"), nil
	}
	left, first := 0, ""
	gone := func(path string) {
		a, err := p.do(ctx, request{method: http.MethodDelete, path: path})
		if err == nil && a.has(http.StatusAccepted, http.StatusNotFound) {
			return
		}
		left++
		if first == "" {
			first = fmt.Sprintf("DELETE %s: %v", path, a)
			if err != nil {
				first = err.Error()
			}
		}
	}
	for _, digest := range slices.Sorted(maps.Keys(p.tags)) {
		gone(p.in("manifests/%s", digest))
	}
	for _, digest := range slices.Sorted(maps.Keys(p.blobs)) {
		gone(p.in("blobs/%s", digest))
	}
	if left > 0 {
		return failed(fmt.Sprintf("%d of %d are left in %s; %s", left, len(p.tags)+len(p.blobs), p.repo, first), "what the doctor brought stays, and costs",
			"Use a credential that may delete, or delete the repository "+p.repo+" with one that may."), nil
	}
	return passed("%d manifests and %d blobs of %s", len(p.tags), len(p.blobs), p.repo), nil
}
