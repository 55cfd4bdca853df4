// SPDX-License-Identifier: Apache-2.0

package ocihttp

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// response is a ResponseWriter that remembers what was sent. It passes on ReadFrom, by which the kernel sends files.
type response struct {
	http.ResponseWriter
	status int   // 0 until the header is sent
	out    int64 // bytes of the body
}

// Write sends a part of the body.
func (w *response) Write(p []byte) (int, error) {
	n, err := w.ResponseWriter.Write(p)
	w.out += int64(n)
	return n, err
}

// WriteString sends a part of the body.
func (w *response) WriteString(s string) (int, error) {
	n, err := io.WriteString(w.ResponseWriter, s)
	w.out += int64(n)
	return n, err
}

// ReadFrom sends what src holds. It calls the wrapped writer's ReadFrom where there is one.
func (w *response) ReadFrom(src io.Reader) (int64, error) {
	n, err := io.Copy(w.ResponseWriter, src)
	w.out += n
	return n, err
}

// WriteHeader sends the header, which goes before any body, and gives the client time to take it and what follows.
func (x *exchange) WriteHeader(status int) {
	x.status = status
	x.extendWrite()
	x.ResponseWriter.WriteHeader(status)
}

// writeEmpty answers without a body. The length is told because clients make room for a body of unknown length.
func (x *exchange) writeEmpty(status int) error {
	if status != http.StatusNoContent && status != http.StatusNotModified {
		x.Header()["Content-Length"] = []string{"0"}
	}
	x.WriteHeader(status)
	return nil
}

// writeJSON answers with v. An error has no body when it answers HEAD.
func (x *exchange) writeJSON(status int, contentType string, v any) error {
	if x.r.Method == http.MethodHead && status >= http.StatusBadRequest {
		return x.writeEmpty(status)
	}
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encoding an answer: %w", err)
	}
	header := x.Header()
	header["Content-Type"] = []string{contentType}
	header["Content-Length"] = []string{strconv.Itoa(len(b))}
	x.WriteHeader(status)
	if x.r.Method == http.MethodHead {
		return nil
	}
	_, err = x.Write(b)
	return err
}
