// SPDX-License-Identifier: Apache-2.0

package ocihttp

import (
	"net/http"

	"tare/internal/oci"
)

// listRepositories answers a page of the repositories that the caller may read. It is no part of the specification; it
// is what Docker's registry does.
func (h *Handler) listRepositories(x *exchange) error {
	q := x.r.URL.Query()
	n, err := pageSize(q)
	if err != nil {
		return err
	}
	last := q.Get("last")
	if last != "" {
		if _, err := oci.ParseRepository(last); err != nil {
			return err
		}
	}
	var keep func(oci.Repository) bool
	if h.access != nil {
		keep = func(repo oci.Repository) bool { return h.mayPull(x, repo) }
	}
	names, more, err := h.reg.Repositories(x.r.Context(), last, n, keep)
	if err != nil {
		return err
	}
	if more && len(names) > 0 {
		x.Header().Set("Link", nextNames(x.target, n, names[len(names)-1]))
	}
	return x.writeJSON(http.StatusOK, "application/json", struct {
		Repositories []string `json:"repositories"`
	}{notNil(names)})
}
