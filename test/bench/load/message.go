// SPDX-License-Identifier: Apache-2.0

package load

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
)

// Request is a request whose bytes are laid out. It may be sent any number of times, on any connection to the same address.
type Request struct {
	head     []byte
	body     []byte
	stream   io.WriterTo
	headOnly bool
}

// NewRequest lays out a request to the server at addr. Each header is a whole line, "Name: value", without its end. POST, PUT and
// PATCH carry a Content-Length, also without a body.
func NewRequest(addr, method, target string, body []byte, header ...string) *Request {
	raw := layOut(addr, method, target, header)
	switch method {
	case "POST", "PUT", "PATCH":
		raw = append(raw, "Content-Length: "...)
		raw = strconv.AppendInt(raw, int64(len(body)), 10)
		raw = append(raw, "\r\n"...)
	}
	return &Request{head: append(raw, "\r\n"...), body: body, headOnly: method == "HEAD"}
}

// NewStream lays out a request whose body is chunked and made while it is sent: each write of stream is one chunk.
func NewStream(addr, method, target string, stream io.WriterTo, header ...string) *Request {
	raw := layOut(addr, method, target, header)
	return &Request{head: append(raw, "Transfer-Encoding: chunked\r\n\r\n"...), stream: stream}
}

func layOut(addr, method, target string, header []string) []byte {
	raw := make([]byte, 0, 512)
	raw = append(raw, method...)
	raw = append(raw, ' ')
	raw = append(raw, target...)
	raw = append(raw, " HTTP/1.1\r\nHost: "...)
	raw = append(raw, addr...)
	raw = append(raw, "\r\n"...)
	for _, line := range header {
		raw = append(raw, line...)
		raw = append(raw, "\r\n"...)
	}
	return raw
}

// String is the method and the target.
func (r *Request) String() string {
	line, _, _ := bytes.Cut(r.head, []byte(" HTTP/1.1\r\n"))
	return string(line)
}

// head is what of a response's head the client acts on.
type head struct {
	status   int
	length   int64 // -1 where Content-Length is absent
	chunked  bool
	close    bool
	location string
}

func parseHead(raw []byte) (head, error) {
	const prefix = "HTTP/1.1 "
	h := head{length: -1}
	line, rest, _ := bytes.Cut(raw, []byte("\r\n"))
	if len(line) < len(prefix)+3 || string(line[:len(prefix)]) != prefix {
		return h, fmt.Errorf("malformed status line %q", line)
	}
	status, err := strconv.Atoi(string(line[len(prefix) : len(prefix)+3]))
	if err != nil || status < 100 {
		return h, fmt.Errorf("malformed status line %q", line)
	}
	h.status = status
	for len(rest) > 2 {
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		if err := h.field(line); err != nil {
			return h, err
		}
	}
	return h, nil
}

// field reads one header line. Lengths are compared before letters: most lines are none of these four.
func (h *head) field(line []byte) error {
	colon := bytes.IndexByte(line, ':')
	if colon <= 0 {
		return fmt.Errorf("malformed header line %q", line)
	}
	name := line[:colon]
	switch {
	case colon == len("Content-Length") && bytes.EqualFold(name, []byte("Content-Length")):
		length, err := strconv.ParseInt(string(value(line, colon)), 10, 64)
		if err != nil || length < 0 {
			return fmt.Errorf("malformed header line %q", line)
		}
		h.length = length
	case colon == len("Transfer-Encoding") && bytes.EqualFold(name, []byte("Transfer-Encoding")):
		h.chunked = bytes.EqualFold(value(line, colon), []byte("chunked"))
	case colon == len("Connection") && bytes.EqualFold(name, []byte("Connection")):
		h.close = bytes.EqualFold(value(line, colon), []byte("close"))
	case colon == len("Location") && bytes.EqualFold(name, []byte("Location")):
		h.location = string(value(line, colon))
	}
	return nil
}

func value(line []byte, colon int) []byte {
	return bytes.TrimSpace(line[colon+1:])
}
