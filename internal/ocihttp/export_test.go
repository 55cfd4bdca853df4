// SPDX-License-Identifier: Apache-2.0

package ocihttp

import "net/url"

// What the fuzz targets of parsers need.

const MaxPage = maxPage

// ParsePath returns what a path names: the route's word, the name and the reference.
func ParsePath(u *url.URL) (route, name, ref string) {
	t := parsePath(u)
	return t.route.String(), t.name, t.ref
}

// FormatPath is the inverse of ParsePath.
func FormatPath(route, name, ref string) string {
	for rt := routeUnknown; rt <= routeDirectComplete; rt++ {
		if rt.String() == route {
			return target{rt, name, ref}.path()
		}
	}
	return ""
}

func ParseRange(header string, size int64) (offset, length int64, part bool, err error) {
	s, part, err := parseRange(header, size)
	return s.offset, s.length, part, err
}

func FormatContentRange(offset, length, size int64) string {
	return span{offset, length}.contentRange(size)
}

func ParseContentRange(header string) (offset, length int64, ok bool) {
	s, ok := parseContentRange(header)
	return s.offset, s.length, ok
}

var (
	PageSize      = pageSize
	UploadRange   = uploadRange
	NoneMatch     = noneMatch
	IfRange       = ifRange
	PutConditions = putConditions
	ContentType   = contentType
)

// LinkNext is the Link header of a page of the tags of a repository.
func LinkNext(name string, n int, last string) string {
	return nextNames(target{routeTags, name, ""}, n, last)
}
