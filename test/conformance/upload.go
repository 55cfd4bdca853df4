// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"fmt"
	"net/url"

	"github.com/opencontainers/go-digest"
)

// upload is an upload session: where the last answer said that it goes on.
type upload struct {
	*client
	location string
}

// startUpload begins a session.
//
// "Pushing a blob in chunks": "the post request MUST include the following header: Content-Length: 0".
func (c *client) startUpload() *upload {
	c.Helper()
	return &upload{client: c, location: c.send("POST", c.uploads(), body(nil)).want(202).location()}
}

// chunk sends bytes that begin at an offset.
func (u *upload) chunk(offset int, b []byte) *answer {
	u.Helper()
	return u.patch(fmt.Sprintf("%d-%d", offset, offset+len(b)-1), b)
}

// patch sends bytes with a Content-Range.
func (u *upload) patch(contentRange string, b []byte) *answer {
	u.Helper()
	return u.send("PATCH", u.location, header("Content-Type", typeBytes), header("Content-Range", contentRange), body(b))
}

// accepted wants a chunk's success and goes on where the answer says.
//
// "Pushing a blob in chunks": "Each successful chunk upload MUST have a 202 Accepted response code, and MUST have the
// following headers: Location: <location>, Range: 0-<end-of-range>"; "The <end-of-range> value is the position of the
// last uploaded byte".
func (u *upload) accepted(a *answer, received int) {
	u.Helper()
	a.want(202).wantHeader("Range", rangeOf(received))
	u.location = a.location()
}

// wantStatus wants to hear how far the upload has come.
//
// "Pushing a blob in chunks": "The response to an active upload <location> MUST be a 204 No Content response code, and
// MUST have the following headers: Location, Range".
func (u *upload) wantStatus(received int) {
	u.Helper()
	a := u.send("GET", u.location).want(204).wantHeader("Range", rangeOf(received))
	u.location = a.location()
}

// rangeOf is the Range header after that many bytes. Nothing has no range; every registry says 0-0.
func rangeOf(received int) string {
	return fmt.Sprintf("0-%d", max(received-1, 0))
}

// finish closes the session with the last bytes, or none.
func (u *upload) finish(d digest.Digest, last []byte) *answer {
	u.Helper()
	return u.send("PUT", with(u.location, "digest", d), header("Content-Type", typeBytes), body(last))
}

// created wants a blob at the Location of the answer that made it.
//
// "Pushing a blob monolithically": "the response MUST have code 201 Created and MUST have the following header:
// Location: <blob-location>. With <blob-location> being a pullable blob URL." Spec main wants Docker-Content-Digest.
func (c *client) created(a *answer, b content) {
	c.Helper()
	a.want(201).wantHeader("Docker-Content-Digest", b.digest)
	c.send("GET", a.location()).want(200).wantBody(b.bytes)
	c.wantBlob(b)
}

// moved is where an upload's location would be in another repository.
func (u *upload) moved(repo string) string {
	location, err := url.Parse(u.location)
	if err != nil {
		u.Fatal(err)
	}
	id := location.Path[len(u.uploads()):]
	return u.in(repo).uploads() + id + "?" + location.RawQuery
}
