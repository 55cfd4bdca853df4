// SPDX-License-Identifier: Apache-2.0

package ocihttp

import (
	"net/http"
	"strings"

	"tare/internal/oci"
)

// The entity tag of everything that has a digest is the digest in quotes (RFC 9110, "ETag").

// noneMatch tells whether If-None-Match says that the client has the content already. It compares weakly.
func noneMatch(header http.Header, d oci.Digest) bool {
	for _, line := range header["If-None-Match"] {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || unquote(strings.TrimPrefix(tag, "W/")) == string(d) {
				return true
			}
		}
	}
	return false
}

// unquote takes the quotes off an entity tag; "" where it has none.
func unquote(tag string) string {
	if len(tag) < 2 || tag[0] != '"' || tag[len(tag)-1] != '"' {
		return ""
	}
	return tag[1 : len(tag)-1]
}

// putConditions reads the conditions on a write of a tag: If-Match with one digest, or If-None-Match with an asterisk. A
// condition of another form, which nobody could promise to keep, counts as one that failed.
func putConditions(header http.Header, ref oci.Reference) (match oci.Digest, absent bool, err error) {
	ifMatch, ifNoneMatch := header["If-Match"], header["If-None-Match"]
	switch {
	case len(ifMatch)+len(ifNoneMatch) == 0:
		return "", false, nil
	case len(ifMatch)+len(ifNoneMatch) > 1 || ref.Tag == "":
		return "", false, oci.Errorf(oci.PreconditionFailed, "only a push by tag can have a condition, and only one")
	case len(ifNoneMatch) == 1:
		if strings.TrimSpace(ifNoneMatch[0]) != "*" {
			return "", false, oci.Errorf(oci.PreconditionFailed, "If-None-Match of a push must be *")
		}
		return "", true, nil
	}
	match, err = oci.ParseDigest(unquote(strings.TrimSpace(ifMatch[0])))
	if err != nil {
		return "", false, oci.Errorf(oci.PreconditionFailed, "If-Match of a push must be one digest in quotes")
	}
	return match, false, nil
}
