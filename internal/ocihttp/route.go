// SPDX-License-Identifier: Apache-2.0

package ocihttp

import (
	"net/url"
	"strings"

	"tare/internal/auth"
)

// route is an endpoint of the specification ("Endpoints"), without its method.
type route uint8

const (
	routeUnknown   route = iota
	routeBase            // /v2/
	routeCatalog         // /v2/_catalog
	routeManifest        // /v2/<name>/manifests/<reference>
	routeBlob            // /v2/<name>/blobs/<digest>
	routeUploads         // /v2/<name>/blobs/uploads/
	routeUpload          // /v2/<name>/blobs/uploads/<id>
	routeTags            // /v2/<name>/tags/list
	routeReferrers       // /v2/<name>/referrers/<digest>
)

func (rt route) String() string {
	return [...]string{"unknown", "base", "catalog", "manifest", "blob", "uploads", "upload", "tags", "referrers"}[rt]
}

// named tells whether the paths of the route hold the name of a repository.
func (rt route) named() bool { return rt >= routeManifest }

// handleFunc does what one endpoint does. It writes an answer, or returns an error, which is answered elsewhere.
type handleFunc func(*Handler, *exchange) error

// method tells what a request to the route does and needs; the function is nil where it has no such method. An action
// of 0 is one that everybody known may do.
func (rt route) method(method string) (auth.Action, handleFunc) {
	switch method {
	case "GET", "HEAD":
		return rt.read(method == "HEAD")
	case "PUT":
		switch rt {
		case routeManifest:
			return auth.Push, (*Handler).putManifest
		case routeUpload:
			return auth.Push, (*Handler).finishUpload
		}
	case "POST":
		if rt == routeUploads {
			return auth.Push, (*Handler).startUpload
		}
	case "PATCH":
		if rt == routeUpload {
			return auth.Push, (*Handler).writeUpload
		}
	case "DELETE":
		switch rt {
		case routeManifest:
			return auth.Delete, (*Handler).deleteManifest
		case routeBlob:
			return auth.Delete, (*Handler).deleteBlob
		case routeUpload:
			return auth.Push, (*Handler).cancelUpload
		}
	}
	return 0, nil
}

func (rt route) read(head bool) (auth.Action, handleFunc) {
	switch rt {
	case routeBase:
		return 0, (*Handler).base
	case routeCatalog:
		return auth.Pull, (*Handler).listRepositories
	case routeManifest:
		if head {
			return auth.Pull, (*Handler).headManifest
		}
		return auth.Pull, (*Handler).getManifest
	case routeBlob:
		if head {
			return auth.Pull, (*Handler).headBlob
		}
		return auth.Pull, (*Handler).getBlob
	case routeUpload:
		return auth.Push, (*Handler).uploadStatus
	case routeTags:
		return auth.Pull, (*Handler).listTags
	case routeReferrers:
		return auth.Pull, (*Handler).listReferrers
	}
	return 0, nil
}

// allow is the Allow header of the answer to a method that the route does not have, or not now.
func (rt route) allow(refused string) string {
	var methods []string
	for _, m := range []string{"GET", "HEAD", "PUT", "POST", "PATCH", "DELETE"} {
		if _, handle := rt.method(m); handle != nil && m != refused {
			methods = append(methods, m)
		}
	}
	return strings.Join(methods, ", ")
}

// target is what a path names. Neither name nor ref has been checked.
type target struct {
	route route
	name  string // of the repository, or ""
	ref   string // tag, digest or upload id, or ""
}

// parsePath cuts a path from its end: a repository's name has slashes, and its parts can be words such as "blobs". It works
// on the path as the client wrote it. A name needs no escapes and keeps those that it has, which makes it invalid, so
// that an escaped slash is never taken for one; in a reference they are resolved, since some clients escape the colon.
func parsePath(u *url.URL) target {
	p, escaped := u.Path, false
	if u.RawPath != "" {
		p, escaped = u.RawPath, true
	}
	p, ok := strings.CutPrefix(p, "/v2/")
	if !ok {
		return target{}
	}
	switch p {
	case "":
		return target{route: routeBase}
	case "_catalog":
		return target{route: routeCatalog}
	}
	rest, ref, ok := cutLast(p)
	if !ok {
		return target{}
	}
	name, noun, ok := cutLast(rest)
	if !ok {
		return target{}
	}
	if escaped {
		resolved, err := url.PathUnescape(ref)
		if err != nil {
			return target{}
		}
		ref = resolved
	}
	switch {
	case noun == "manifests":
		return target{routeManifest, name, ref}
	case noun == "blobs" && ref == "uploads":
		return target{routeUploads, name, ""}
	case noun == "blobs":
		return target{routeBlob, name, ref}
	case noun == "tags" && ref == "list":
		return target{routeTags, name, ""}
	case noun == "referrers":
		return target{routeReferrers, name, ref}
	case noun == "uploads":
		name, ok := strings.CutSuffix(name, "/blobs")
		switch {
		case !ok:
			return target{}
		case ref == "":
			return target{routeUploads, name, ""}
		}
		return target{routeUpload, name, ref}
	}
	return target{}
}

func cutLast(s string) (before, after string, ok bool) {
	i := strings.LastIndexByte(s, '/')
	if i < 0 {
		return "", "", false
	}
	return s[:i], s[i+1:], true
}

// path is the inverse of parsePath for valid names and references; "" for an unknown route.
func (t target) path() string {
	switch t.route {
	case routeBase:
		return "/v2/"
	case routeCatalog:
		return "/v2/_catalog"
	case routeManifest:
		return "/v2/" + t.name + "/manifests/" + t.ref
	case routeBlob:
		return "/v2/" + t.name + "/blobs/" + t.ref
	case routeUploads:
		return "/v2/" + t.name + "/blobs/uploads/"
	case routeUpload:
		return "/v2/" + t.name + "/blobs/uploads/" + t.ref
	case routeTags:
		return "/v2/" + t.name + "/tags/list"
	case routeReferrers:
		return "/v2/" + t.name + "/referrers/" + t.ref
	}
	return ""
}
