// SPDX-License-Identifier: Apache-2.0

package ocihttp

import (
	"net/url"
	"strconv"

	"tare/internal/oci"
)

const (
	// maxPage is the most names that one page of tags or repositories has, and how many it has when the client does not
	// say. Clients that do not follow links see that many.
	maxPage = 10_000

	// maxQuery is the most bytes of a query.
	maxQuery = 8 << 10
)

// pageSize reads the parameter n. The error is PAGINATION_INVALID.
func pageSize(q url.Values) (int, error) {
	if !q.Has("n") {
		return maxPage, nil
	}
	n, ok := parseInt(q.Get("n"))
	if !ok {
		return 0, oci.Errorf(oci.PaginationInvalid, "n is %q, not a number", clip(q.Get("n")))
	}
	return int(min(n, maxPage)), nil
}

// linkNext is the Link header that points to the next page (RFC 8288): t with the query q, relative as all locations.
func linkNext(t target, q url.Values) string {
	return "<" + t.path() + "?" + q.Encode() + `>; rel="next"`
}

// nextNames is linkNext for a list of names of which last was the last one.
func nextNames(t target, n int, last string) string {
	return linkNext(t, url.Values{"n": {strconv.Itoa(n)}, "last": {last}})
}
