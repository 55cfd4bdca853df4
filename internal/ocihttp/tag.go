// SPDX-License-Identifier: Apache-2.0

package ocihttp

import (
	"net/http"

	"tare/internal/oci"
)

// listTags answers a page of a repository's tags.
func (h *Handler) listTags(x *exchange) error {
	q := x.r.URL.Query()
	n, err := pageSize(q)
	if err != nil {
		return err
	}
	last := q.Get("last")
	if last != "" {
		if _, err := oci.ParseTag(last); err != nil {
			return oci.Errorf(oci.PaginationInvalid, "last is %q, no tag", clip(last))
		}
	}
	tags, more, err := h.reg.Tags(x.r.Context(), x.repo, last, n)
	if err != nil {
		return err
	}
	if more && len(tags) > 0 {
		x.Header().Set("Link", nextNames(x.target, n, tags[len(tags)-1]))
	}
	return x.writeJSON(http.StatusOK, "application/json", struct {
		Name string   `json:"name"`
		Tags []string `json:"tags"`
	}{string(x.repo), notNil(tags)})
}

// notNil returns an empty list for none at all: in JSON, that would be a null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
