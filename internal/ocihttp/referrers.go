// SPDX-License-Identifier: Apache-2.0

package ocihttp

import (
	"net/http"
	"net/url"

	"tare/internal/oci"
)

// listReferrers answers a page of the manifests that name a subject, as an image index. A subject that is not there has
// none: it is no error.
func (h *Handler) listReferrers(x *exchange) error {
	d, err := oci.ParseDigest(x.target.ref)
	if err != nil {
		return err
	}
	q := x.r.URL.Query()
	artifactType := q.Get("artifactType")
	referrers, next, err := h.reg.Referrers(x.r.Context(), x.repo, d, artifactType, q.Get("last"))
	if err != nil {
		return err
	}
	more := url.Values{}
	if artifactType != "" {
		x.Header().Set("OCI-Filters-Applied", "artifactType")
		more.Set("artifactType", artifactType)
	}
	if next != "" {
		more.Set("last", next)
		x.Header().Set("Link", linkNext(x.target, more))
	}
	return x.writeJSON(http.StatusOK, oci.MediaTypeIndex, struct {
		SchemaVersion int              `json:"schemaVersion"`
		MediaType     string           `json:"mediaType"`
		Manifests     []oci.Descriptor `json:"manifests"`
	}{2, oci.MediaTypeIndex, notNil(referrers)})
}
