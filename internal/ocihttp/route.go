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
	routeDiscover        // /v2/_oci/ext/discover
	routeManifest        // /v2/<name>/manifests/<reference>
	routeBlob            // /v2/<name>/blobs/<digest>
	routeUploads         // /v2/<name>/blobs/uploads/
	routeUpload          // /v2/<name>/blobs/uploads/<id>
	routeTags            // /v2/<name>/tags/list
	routeReferrers       // /v2/<name>/referrers/<digest>

	// Extensions; those of direct.go are below /v2/<name>/_tare/v1/
	routeDiscoverIn     // /v2/<name>/_oci/ext/discover
	routeHave           // have
	routeDirects        // uploads
	routeDirect         // uploads/<id>
	routeDirectURLs     // uploads/<id>/urls
	routeDirectParts    // uploads/<id>/parts
	routeDirectComplete // uploads/<id>/complete
)

func (rt route) String() string {
	return [...]string{"unknown", "base", "catalog", "discover", "manifest", "blob", "uploads", "upload", "tags", "referrers", "discover in",
		"have", "direct uploads", "direct upload", "direct urls", "direct parts", "direct complete"}[rt]
}

// named tells whether the paths of the route hold the name of a repository.
func (rt route) named() bool { return rt >= routeManifest }

// secret tells whether the reference in the paths of the route is an upload's id, which is as good as a key to it.
func (rt route) secret() bool { return rt == routeUpload || rt >= routeDirect }

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
		switch rt {
		case routeUploads:
			return auth.Push, (*Handler).startUpload
		case routeHave:
			return auth.Pull, (*Handler).haveBlobs
		case routeDirects:
			return auth.Push, (*Handler).openDirect
		case routeDirectURLs:
			return auth.Push, (*Handler).signDirect
		case routeDirectComplete:
			return auth.Push, (*Handler).completeDirect
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
		case routeDirect:
			return auth.Push, (*Handler).cancelDirect
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
	case routeDiscover:
		return 0, (*Handler).discover
	case routeDiscoverIn:
		return auth.Pull, (*Handler).discover
	case routeDirect:
		return auth.Push, (*Handler).directStatus
	case routeDirectParts:
		return auth.Push, (*Handler).directParts
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
	case discoverPath:
		return target{route: routeDiscover}
	}
	if name, ok := strings.CutSuffix(p, "/"+discoverPath); ok {
		return target{routeDiscoverIn, name, ""}
	}
	if name, rest, ok := strings.Cut(p, directInfix); ok {
		return parseDirect(name, rest)
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

// The paths of extensions: no part of a repository's name begins with "_".
const (
	discoverPath = "_oci/ext/discover"
	directInfix  = "/_tare/v1/"
)

// parseDirect reads what follows the name of a repository in the paths of direct uploads. Ids need no escapes.
func parseDirect(name, rest string) target {
	switch rest {
	case "have":
		return target{routeHave, name, ""}
	case "uploads":
		return target{routeDirects, name, ""}
	}
	id, ok := strings.CutPrefix(rest, "uploads/")
	if !ok {
		return target{}
	}
	id, verb, more := strings.Cut(id, "/")
	switch {
	case id == "":
	case !more:
		return target{routeDirect, name, id}
	case verb == "urls":
		return target{routeDirectURLs, name, id}
	case verb == "parts":
		return target{routeDirectParts, name, id}
	case verb == "complete":
		return target{routeDirectComplete, name, id}
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
	case routeDiscover:
		return "/v2/" + discoverPath
	case routeDiscoverIn:
		return "/v2/" + t.name + "/" + discoverPath
	case routeHave:
		return "/v2/" + t.name + directInfix + "have"
	case routeDirects:
		return "/v2/" + t.name + directInfix + "uploads"
	case routeDirect:
		return "/v2/" + t.name + directInfix + "uploads/" + t.ref
	case routeDirectURLs:
		return "/v2/" + t.name + directInfix + "uploads/" + t.ref + "/urls"
	case routeDirectParts:
		return "/v2/" + t.name + directInfix + "uploads/" + t.ref + "/parts"
	case routeDirectComplete:
		return "/v2/" + t.name + directInfix + "uploads/" + t.ref + "/complete"
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
