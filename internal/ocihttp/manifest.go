// SPDX-License-Identifier: Apache-2.0

package ocihttp

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"tare/internal/oci"
)

// existing parses a reference to what should be there. A tag that cannot be is one that is not there: so the
// specification's own suite has it, and a 400 to a DELETE would say that tags cannot be deleted ("Deleting tags").
func existing(ref string) (oci.Reference, error) {
	r, err := oci.ParseReference(ref)
	if oci.CodeOf(err) == oci.TagInvalid {
		return r, oci.Errorf(oci.ManifestUnknown, "%q is no tag", clip(ref))
	}
	return r, err
}

// headManifest tells of a manifest.
func (h *Handler) headManifest(x *exchange) error {
	ref, err := existing(x.target.ref)
	if err != nil {
		return err
	}
	d, err := h.reg.ResolveManifest(x.r.Context(), x.repo, ref)
	if err != nil {
		return err
	}
	if x.describe(d) {
		return x.writeEmpty(http.StatusNotModified)
	}
	x.WriteHeader(http.StatusOK)
	return nil
}

// getManifest sends a manifest. What the client accepts is not looked at: a manifest has one form, the pushed one.
func (h *Handler) getManifest(x *exchange) error {
	ref, err := existing(x.target.ref)
	if err != nil {
		return err
	}
	c, err := h.reg.Manifest(x.r.Context(), x.repo, ref)
	if err != nil {
		return err
	}
	if x.describe(c.Descriptor) {
		return x.writeEmpty(http.StatusNotModified)
	}
	x.WriteHeader(http.StatusOK)
	_, err = x.WriteString(c.Body)
	return err
}

// describe sets the headers of content and tells whether the client has it already.
func (x *exchange) describe(d oci.Descriptor) (known bool) {
	header := x.Header()
	mediaType := d.MediaType
	if mediaType == "" {
		mediaType = oci.MediaTypeBlob
	}
	values := &[...]string{string(d.Digest), `"` + string(d.Digest) + `"`, mediaType, strconv.FormatInt(d.Size, 10)}
	header["Docker-Content-Digest"] = values[0:1:1]
	header["Etag"] = values[1:2:2]
	if noneMatch(x.r.Header, d.Digest) {
		return true
	}
	header["Content-Type"] = values[2:3:3]
	header["Content-Length"] = values[3:4:4]
	return false
}

// maxTags is how many tags one push by digest may set. The specification's main branch ("Pushing Manifests") asks for at
// least as many, and has 414 for more.
const maxTags = 10

// putManifest stores a manifest.
func (h *Handler) putManifest(x *exchange) error {
	push, err := x.manifestPush()
	if err != nil {
		return err
	}
	body := held{src: &x.body, all: &h.held}
	defer body.release()
	if push.Body, err = x.readManifest(&body); err != nil {
		return err
	}
	m, err := h.reg.PushManifest(x.r.Context(), x.repo, push)
	if err != nil {
		return err
	}
	header := x.Header()
	if subject := subjectOf(push); subject != "" {
		header.Set("OCI-Subject", string(subject))
	}
	if push.Digest != "" {
		for _, t := range push.Tags {
			header.Add("OCI-Tag", string(t))
		}
	}
	if len(m.Absent) > 0 {
		header.Set("Warning", absence(m.Absent))
	}
	return x.created(target{routeManifest, string(x.repo), string(m.Digest)}, m.Digest)
}

// absence warns, for people, that a manifest was taken although something that it lists is not there. However much that is,
// the value stays far below the 4096 bytes that the specification allows ("Warnings"). %+q makes a quoted-string of ASCII.
func absence(ds []oci.Digest) string {
	text := "the manifest lists " + string(ds[0]) + ", which is not in this repository"
	if more := len(ds) - 1; more > 0 {
		text = fmt.Sprintf("the manifest lists %s and %d more, which are not in this repository", ds[0], more)
	}
	return fmt.Sprintf("299 - %+q", text)
}

// manifestPush reads what is to be pushed, but for the body.
func (x *exchange) manifestPush() (push oci.ManifestPush, err error) {
	ref, err := oci.ParseReference(x.target.ref)
	if err != nil {
		return push, err
	}
	if push.IfMatch, push.IfAbsent, err = putConditions(x.r.Header, ref); err != nil {
		return push, err
	}
	push.Digest = ref.Digest
	if ref.Tag != "" {
		push.Tags = []oci.Tag{ref.Tag}
	} else if push.Tags, err = parseTags(x.r.URL.Query()["tag"]); err != nil {
		return push, err
	}
	push.MediaType = contentType(x.r.Header)
	return push, nil
}

// contentType is the media type of a body, without parameters; "" where it is not said.
func contentType(header http.Header) string {
	mediaType, _, _ := strings.Cut(header.Get("Content-Type"), ";")
	return strings.TrimSpace(mediaType)
}

// parseTags reads the tag parameters of a push by digest.
func parseTags(values []string) ([]oci.Tag, error) {
	if len(values) > maxTags {
		return nil, oci.Errorf(oci.QueryTooLong, "%d tags in one request, more than %d", len(values), maxTags)
	}
	var tags []oci.Tag
	for _, v := range values {
		t, err := oci.ParseTag(v)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(tags, t) {
			tags = append(tags, t)
		}
	}
	return tags, nil
}

// maxManifestTime is how long the body of a manifest may take, however steadily it comes: it is held in memory. The
// largest one then needs 14 KiB a second.
const maxManifestTime = 5 * time.Minute

// readManifest reads a body that has to be a manifest. Room is made as bytes come, not as they are announced.
func (x *exchange) readManifest(body *held) ([]byte, error) {
	if n := x.r.ContentLength; n > oci.MaxManifest {
		return nil, oci.Errorf(oci.TooLarge, "the manifest has %d bytes, more than %d", n, oci.MaxManifest)
	}
	x.endRead(maxManifestTime)
	var b bytes.Buffer
	b.Grow(int(min(max(x.r.ContentLength, 0), 64<<10)) + bytes.MinRead)
	if _, err := b.ReadFrom(io.LimitReader(body, oci.MaxManifest+1)); err != nil {
		return nil, err
	}
	if b.Len() > oci.MaxManifest {
		return nil, oci.Errorf(oci.TooLarge, "the manifest has more than %d bytes", oci.MaxManifest)
	}
	return b.Bytes(), nil
}

// Of the manifests that are held in memory at one time, maxHeld bytes are counted: sixteen of the largest. The first
// freeHeld bytes of each are not, which is all of nearly every manifest: whoever pushes large ones slowly must not keep
// others from pushing theirs.
const (
	maxHeld  = 16 * oci.MaxManifest
	freeHeld = 64 << 10
)

// held is a body that is held in memory, and counted there with all others. Clients do not wait for each other: one too many
// is told to come again.
type held struct {
	src     io.Reader
	all     *atomic.Int64 // bytes counted of all
	n       int64         // bytes of this one
	counted int64         // how many of them are counted
}

func (b *held) Read(p []byte) (int, error) {
	n, err := b.src.Read(p)
	b.n += int64(n)
	more := max(b.n-freeHeld, 0) - b.counted
	b.counted += more
	if b.all.Add(more) > maxHeld && more > 0 {
		return 0, oci.Errorf(oci.Unavailable, "too many large manifests are being pushed at this moment")
	}
	return n, err
}

// release takes the body out of the count.
func (b *held) release() { b.all.Add(-b.counted) }

// subjectOf returns the subject of a manifest that has been accepted, "" where it has none. Most have none, and show it
// by not having the word.
func subjectOf(push oci.ManifestPush) oci.Digest {
	if !bytes.Contains(push.Body, []byte("subject")) && !bytes.Contains(push.Body, []byte(`\u`)) {
		return ""
	}
	m, err := oci.ParseManifest(push.Body, push.MediaType)
	if err != nil || m.Subject == nil {
		return ""
	}
	return m.Subject.Digest
}

// deleteManifest removes a tag, or a manifest with its tags.
func (h *Handler) deleteManifest(x *exchange) error {
	ref, err := existing(x.target.ref)
	if err != nil {
		return err
	}
	if ref.Tag != "" {
		err = h.reg.DeleteTag(x.r.Context(), x.repo, ref.Tag)
	} else {
		err = h.reg.DeleteManifest(x.r.Context(), x.repo, ref.Digest)
	}
	if err != nil {
		return err
	}
	return x.writeEmpty(http.StatusAccepted)
}

// created answers that something is now where the target says.
func (x *exchange) created(t target, d oci.Digest) error {
	header := x.Header()
	header["Location"] = []string{t.path()}
	header["Docker-Content-Digest"] = []string{string(d)}
	return x.writeEmpty(http.StatusCreated)
}
