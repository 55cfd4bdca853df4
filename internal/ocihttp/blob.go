// SPDX-License-Identifier: Apache-2.0

package ocihttp

import (
	"io"
	"net/http"
	"os"
	"strconv"

	"tare/internal/oci"
)

// headBlob tells of a blob.
func (h *Handler) headBlob(x *exchange) error {
	d, err := oci.ParseDigest(x.target.ref)
	if err != nil {
		return err
	}
	blob, err := h.reg.ResolveBlob(x.r.Context(), x.repo, d)
	if err != nil {
		return err
	}
	switch {
	case x.describe(blob.Descriptor):
		return x.writeEmpty(http.StatusNotModified)
	case blob.Location != "":
		return x.redirect(blob.Location)
	}
	x.Header()["Accept-Ranges"] = []string{"bytes"}
	x.WriteHeader(http.StatusOK)
	return nil
}

// getBlob sends a blob or a part of it, or says where it is.
func (h *Handler) getBlob(x *exchange) error {
	d, err := oci.ParseDigest(x.target.ref)
	if err != nil {
		return err
	}
	blob, err := h.reg.Blob(x.r.Context(), x.repo, d)
	if err != nil {
		return err
	}
	known := x.describe(blob.Descriptor)
	header := x.Header()
	switch {
	case known:
		return x.writeEmpty(http.StatusNotModified)
	case blob.Location != "":
		return x.redirect(blob.Location)
	}
	header["Accept-Ranges"] = []string{"bytes"}
	s, part := span{0, blob.Size}, false
	if want := x.r.Header.Get("Range"); want != "" && ifRange(x.r.Header, d) {
		if s, part, err = parseRange(want, blob.Size); err != nil {
			header["Content-Range"] = []string{"bytes */" + strconv.FormatInt(blob.Size, 10)}
			return err
		}
	}
	return h.sendBlob(x, blob, s, part)
}

// redirect sends the client to where the blob is. The digest stays said here, where the client trusts it; the place is good for
// minutes, and for whoever is told of it.
func (x *exchange) redirect(location string) error {
	header := x.Header()
	header.Del("Content-Type")
	header["Location"] = []string{location}
	header["Cache-Control"] = []string{"no-store"}
	return x.writeEmpty(http.StatusTemporaryRedirect)
}

// ifRange tells whether the range still means what the client thinks (RFC 9110, "If-Range"). Content of a digest never
// changes, but a client can hold another one.
func ifRange(header http.Header, d oci.Digest) bool {
	tag := header.Get("If-Range")
	return tag == "" || unquote(tag) == string(d)
}

// sendBlob opens the content before it promises anything.
func (h *Handler) sendBlob(x *exchange, blob oci.Blob, s span, part bool) error {
	length := s.length
	if s.offset+length == blob.Size {
		length = -1
	}
	content, err := blob.Open(x.r.Context(), s.offset, length)
	if err != nil {
		return err
	}
	defer content.Close() // it was only read: an error would change nothing
	status := http.StatusOK
	if part {
		status = http.StatusPartialContent
		x.Header()["Content-Range"] = []string{s.contentRange(blob.Size)}
		x.Header()["Content-Length"] = []string{strconv.FormatInt(s.length, 10)}
	}
	x.WriteHeader(status)
	if _, file := content.(*os.File); file {
		return x.send(content, s.length, x.ReadFrom)
	}
	buffer := h.buffers.Get().(*[64 << 10]byte)
	defer h.buffers.Put(buffer)
	return x.send(content, s.length, func(r io.Reader) (int64, error) {
		return io.CopyBuffer(struct{ io.Writer }{x}, r, buffer[:])
	})
}

// sendSlice is how much is sent at a time: with each slice that it takes, a client shows that it is still there.
const sendSlice = 1 << 20

// send copies n bytes of src, slice by slice; the header has just given the client time for the first one. A file arrives
// at the connection's own ReadFrom as an *os.File inside an *io.LimitedReader, which is what the kernel can send.
func (x *exchange) send(src io.Reader, n int64, copy func(io.Reader) (int64, error)) error {
	slice := &io.LimitedReader{R: src}
	for n > 0 {
		slice.N = min(n, sendSlice)
		m, err := copy(slice)
		if err != nil {
			return err
		}
		if m == 0 {
			return io.ErrUnexpectedEOF
		}
		if n -= m; n > 0 {
			x.extendWrite()
		}
	}
	return nil
}

// deleteBlob takes a blob out of the repository.
func (h *Handler) deleteBlob(x *exchange) error {
	d, err := oci.ParseDigest(x.target.ref)
	if err != nil {
		return err
	}
	if err := h.reg.DeleteBlob(x.r.Context(), x.repo, d); err != nil {
		return err
	}
	return x.writeEmpty(http.StatusAccepted)
}
