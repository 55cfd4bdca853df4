// SPDX-License-Identifier: Apache-2.0

package ocihttp

import (
	"errors"
	"io"
	"net/http"
	"os"

	"tare/internal/oci"
)

// body is a request's body. It gives up on a client that sends nothing for the stall timeout, counts, and remembers how
// reading ended: whoever was given it may wrap the error, and the client must be told that the fault was its own.
type body struct {
	src       io.Reader
	deadlines *deadlines
	want      int64 // bytes that a Content-Range promised where there was no Content-Length; 0: nothing was promised
	n         int64 // bytes read
	err       error
}

// Read reads on. A body of another length than was promised ends with an error, and never with all that was promised:
// whoever wants no more than that may not look at an error that comes with the last byte.
func (b *body) Read(p []byte) (n int, err error) {
	if b.err != nil {
		return 0, b.err
	}
	b.deadlines.extendRead()
	if b.want > 0 {
		n, err = b.readPromised(p)
	} else {
		n, err = b.src.Read(p)
	}
	b.n += int64(n)
	b.err = err
	if err == io.EOF {
		b.deadlines.releaseRead()
	}
	return n, err
}

func (b *body) readPromised(p []byte) (int, error) {
	left := b.want - b.n
	n, err := b.src.Read(p[:min(int64(len(p)), left)])
	more := 0
	if err == nil && int64(n) == left {
		more, err = io.ReadFull(b.src, make([]byte, 1))
	}
	if more > 0 || err == io.EOF && int64(n) < left {
		return n - more, oci.Errorf(oci.SizeInvalid, "the body and its Content-Range differ in length")
	}
	return n, err
}

// failure is what the client is told where its body broke off; nil where it did not.
func (b *body) failure() *oci.Error {
	var e *oci.Error
	switch {
	case b.err == nil || b.err == io.EOF:
		return nil
	case errors.As(b.err, &e):
		return e
	case errors.Is(b.err, os.ErrDeadlineExceeded) && b.deadlines.ended():
		e = oci.Errorf(oci.SizeInvalid, "the body took too long: %d bytes of it came in time", b.n)
	case errors.Is(b.err, os.ErrDeadlineExceeded):
		e = oci.Errorf(oci.SizeInvalid, "no byte of the body came for %v, after %d", b.deadlines.stall, b.n)
	default:
		e = oci.Errorf(oci.SizeInvalid, "the body broke off after %d bytes", b.n)
	}
	e.Cause = b.err
	return e
}

// maxDrain is how much of a body is read that nobody wants.
const maxDrain = 8 << 20

// drain reads what is left of a body before an error is answered: many clients do not look for an answer while they
// send, some fail when the connection closes under them, and one of them (regclient) then sends corrupt data. A body
// that is too long for that is left, as is one that the client has not begun to send, and what does not come within the
// stall timeout: who is refused must not hold a connection by a byte now and then.
func (b *body) drain(r *http.Request) {
	if b.err != nil || r.ContentLength-b.n > maxDrain || b.n == 0 && r.Header.Get("Expect") != "" {
		return
	}
	b.deadlines.endRead(b.deadlines.stall)
	// The answer is the same whether this succeeds or not.
	_, _ = io.CopyN(io.Discard, b, maxDrain)
}
