// SPDX-License-Identifier: Apache-2.0

// Package load is the client of the benchmarks. It speaks just enough HTTP/1.1 to push to a registry and to pull from it, over
// kept-alive connections and with requests that are laid out in advance, because on a machine that client and server share each
// cycle of the client is missing from the server. It checks status and length of every answer.
//
// It assumes one registry on a loopback address, without TLS and without credentials. It follows no redirects.
package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// bufferSize holds the longest head that a server may answer with, and is what one read of a large body asks for.
const bufferSize = 256 << 10

// errSpent is the answer to a request on a connection that an earlier failure or the server's Connection: close has ended.
var errSpent = errors.New("the connection has ended")

// Conn is one kept-alive connection. It is for one goroutine at a time.
type Conn struct {
	addr   string
	conn   net.Conn
	detach func() bool
	spent  bool

	buf  []byte
	r, w int // buf[r:w] has been read from the connection and not yet been used

	vector [3][]byte
	out    net.Buffers
}

// Response is what a server answered.
type Response struct {
	Status   int
	Length   int64  // bytes of the body; for HEAD those that Content-Length announces, -1 without it
	Location string // as sent
	Text     string // the beginning of the body, where Status is 400 or more
}

// Dial connects to addr, host and port. When ctx ends the connection is closed, and a request under way on it fails.
func Dial(ctx context.Context, addr string) (*Conn, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &Conn{addr: addr, conn: conn, buf: make([]byte, bufferSize)}
	c.detach = context.AfterFunc(ctx, func() { conn.Close() })
	return c, nil
}

// Close ends the connection. A second Close does nothing.
func (c *Conn) Close() {
	c.spent = true
	c.detach()
	c.conn.Close()
}

// Do sends req and reads the whole answer, whatever its status. After an error the connection is of no more use.
func (c *Conn) Do(req *Request) (Response, error) {
	return c.do(req, nil)
}

// Expect is [Conn.Do] for a request that has one right answer: another status, and a body (for HEAD an announced length) of
// other than length bytes, are errors. A negative length allows every length.
func (c *Conn) Expect(req *Request, status int, length int64) (Response, error) {
	resp, err := c.do(req, nil)
	if err != nil {
		return resp, err
	}
	return resp, check(req, resp, status, length)
}

// Fetch is [Conn.Expect] for a caller who wants the body: it goes to sink, when the status is the right one.
func (c *Conn) Fetch(req *Request, status int, sink io.Writer) (Response, error) {
	resp, err := c.do(req, sink)
	if err != nil {
		return resp, err
	}
	return resp, check(req, resp, status, -1)
}

func check(req *Request, resp Response, status int, length int64) error {
	switch {
	case resp.Status != status:
		return fmt.Errorf("%s: answered %d, not %d: %s", req, resp.Status, status, resp.Text)
	case length >= 0 && resp.Length != length:
		return fmt.Errorf("%s: answered %d bytes, not %d", req, resp.Length, length)
	}
	return nil
}

func (c *Conn) do(req *Request, sink io.Writer) (Response, error) {
	if c.spent {
		return Response{}, fmt.Errorf("%s: %w", req, errSpent)
	}
	sendErr := c.send(req)
	// A server may refuse a body before it has read all of it; then its answer says more than the failed write.
	resp, err := c.receive(req.headOnly, sink)
	switch {
	case sendErr != nil && err == nil:
		err = fmt.Errorf("answered %d %s: %w", resp.Status, resp.Text, sendErr)
	case sendErr != nil:
		err = sendErr
	}
	if err != nil {
		c.spent = true
		return resp, fmt.Errorf("%s: %w", req, err)
	}
	return resp, nil
}

func (c *Conn) send(req *Request) error {
	switch {
	case req.stream != nil:
		if _, err := c.conn.Write(req.head); err != nil {
			return err
		}
		if _, err := req.stream.WriteTo(chunkWriter{c}); err != nil {
			return err
		}
		_, err := c.conn.Write([]byte("0\r\n\r\n"))
		return err
	case len(req.body) > 0:
		return c.write(req.head, req.body, nil)
	default:
		_, err := c.conn.Write(req.head)
		return err
	}
}

// write sends the parts in one system call.
func (c *Conn) write(first, second, third []byte) error {
	c.vector = [3][]byte{first, second, third}
	c.out = c.vector[:]
	_, err := c.out.WriteTo(c.conn)
	return err
}

// chunkWriter sends each write as one chunk of a chunked body.
type chunkWriter struct{ c *Conn }

func (w chunkWriter) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	line := append(strconv.AppendInt(make([]byte, 0, 18), int64(len(p)), 16), "\r\n"...)
	if err := w.c.write(line, p, []byte("\r\n")); err != nil {
		return 0, err
	}
	return len(p), nil
}

func (c *Conn) receive(headOnly bool, sink io.Writer) (Response, error) {
	var h head
	for {
		raw, err := c.readHead()
		if err != nil {
			return Response{}, err
		}
		if h, err = parseHead(raw); err != nil {
			return Response{}, err
		}
		if h.status >= 200 {
			break
		}
	}
	resp := Response{Status: h.status, Location: h.location}
	c.spent = h.close
	var text *bytes.Buffer
	if resp.Status >= 400 {
		text = new(bytes.Buffer)
		sink = text
	}
	var err error
	switch {
	case headOnly:
		resp.Length = h.length
	case h.status == 204 || h.status == 304:
	case h.chunked:
		resp.Length, err = c.readChunks(sink)
	case h.length >= 0:
		resp.Length, err = h.length, c.consume(h.length, sink)
	default:
		c.spent = true
		resp.Length, err = c.readToEnd(sink)
	}
	if text != nil {
		resp.Text = string(text.Next(200))
	}
	return resp, err
}

// readHead returns the next head of a response with the empty line that ends it. It lies in buf, and is good until the next read.
func (c *Conn) readHead() ([]byte, error) {
	for scanned := 0; ; {
		if i := bytes.Index(c.buf[c.r+scanned:c.w], []byte("\r\n\r\n")); i >= 0 {
			raw := c.buf[c.r : c.r+scanned+i+4]
			c.r += len(raw)
			return raw, nil
		}
		scanned = max(0, c.w-c.r-3)
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

func (c *Conn) readLine() ([]byte, error) {
	for {
		if i := bytes.IndexByte(c.buf[c.r:c.w], '\n'); i >= 0 {
			line := c.buf[c.r : c.r+i]
			c.r += i + 1
			return bytes.TrimSuffix(line, []byte("\r")), nil
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

func (c *Conn) readChunks(sink io.Writer) (int64, error) {
	var total int64
	for {
		line, err := c.readLine()
		if err != nil {
			return total, err
		}
		digits, _, _ := bytes.Cut(line, []byte(";"))
		size, err := strconv.ParseInt(string(bytes.TrimSpace(digits)), 16, 64)
		if err != nil || size < 0 {
			return total, fmt.Errorf("malformed chunk size %q", line)
		}
		if size == 0 {
			return total, c.readTrailers()
		}
		if err := c.consume(size, sink); err != nil {
			return total, err
		}
		total += size
		if line, err = c.readLine(); err != nil {
			return total, err
		}
		if len(line) > 0 {
			return total, fmt.Errorf("%q after a chunk", line)
		}
	}
}

func (c *Conn) readTrailers() error {
	for {
		line, err := c.readLine()
		if err != nil || len(line) == 0 {
			return err
		}
	}
}

func (c *Conn) readToEnd(sink io.Writer) (int64, error) {
	var total int64
	for {
		n := int64(c.w - c.r)
		if err := c.consume(n, sink); err != nil {
			return total, err
		}
		total += n
		if err := c.fill(); err == io.ErrUnexpectedEOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
	}
}

// consume passes the next n bytes of the body to sink, or drops them where sink is nil.
func (c *Conn) consume(n int64, sink io.Writer) error {
	for n > 0 {
		if c.r == c.w {
			if err := c.fill(); err != nil {
				return err
			}
		}
		k := int(min(n, int64(c.w-c.r)))
		if sink != nil {
			if _, err := sink.Write(c.buf[c.r : c.r+k]); err != nil {
				return err
			}
		}
		c.r += k
		n -= int64(k)
	}
	return nil
}

// fill reads at least one more byte into buf. The end of the connection is [io.ErrUnexpectedEOF].
func (c *Conn) fill() error {
	switch {
	case c.r == c.w:
		c.r, c.w = 0, 0
	case c.w == len(c.buf) && c.r > 0:
		c.w = copy(c.buf, c.buf[c.r:c.w])
		c.r = 0
	case c.w == len(c.buf):
		return fmt.Errorf("a head or a line of more than %d bytes", len(c.buf))
	}
	n, err := c.conn.Read(c.buf[c.w:])
	c.w += n
	if n > 0 {
		return nil
	}
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
