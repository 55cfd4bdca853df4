// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// wire is a connection that says what no HTTP client would.
type wire struct {
	*client
	net.Conn
	reader *bufio.Reader
}

// dial connects to the target. The connection ends with the test, or after half a minute.
func (c *client) dial() *wire {
	c.Helper()
	port := c.base.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[c.base.Scheme]
	}
	connection, err := net.Dial("tcp", net.JoinHostPort(c.base.Hostname(), port))
	if err != nil {
		c.Fatal(err)
	}
	connection.SetDeadline(time.Now().Add(30 * time.Second))
	c.Cleanup(func() { connection.Close() })
	if c.base.Scheme == "https" {
		connection = tls.Client(connection, &tls.Config{ServerName: c.base.Hostname()})
	}
	return &wire{client: c, Conn: connection, reader: bufio.NewReader(connection)}
}

// request writes a head with these fields, and then the body as it is.
func (w *wire) request(method, ref, fields, body string) {
	w.Helper()
	u, err := url.Parse(ref)
	if err != nil {
		w.Fatal(err)
	}
	if w.target.Username != "" {
		fields += "\r\nAuthorization: Basic " + base64.StdEncoding.EncodeToString([]byte(w.target.Username+":"+w.target.Password))
	}
	_, err = fmt.Fprintf(w, "%s %s HTTP/1.1\r\nHost: %s\r\n%s\r\n\r\n%s", method, u.RequestURI(), w.base.Host, fields, body)
	if err != nil {
		w.Fatal(err)
	}
}

// hangUp ends the sending side and waits until the server ends its own. What it said on the way is the answer, nil if
// nothing.
func (w *wire) hangUp() *answer {
	w.Helper()
	half, ok := w.Conn.(interface{ CloseWrite() error })
	if !ok {
		w.Fatal("the connection has no half to close")
	}
	if err := half.CloseWrite(); err != nil {
		w.Fatal(err)
	}
	a := w.answer()
	io.Copy(io.Discard, w.reader) // a reset is an end as well
	return a
}

// answer reads one, nil if the server ends the connection without one.
func (w *wire) answer() *answer {
	w.Helper()
	response, err := http.ReadResponse(w.reader, nil)
	for err == nil && response.StatusCode == http.StatusContinue {
		response, err = http.ReadResponse(w.reader, nil)
	}
	if err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			w.Fatal("the server neither answers nor hangs up")
		}
		return nil
	}
	defer response.Body.Close()
	a := &answer{t: w.T, what: "raw request", url: w.base.JoinPath("/v2/"), status: response.StatusCode, header: response.Header, length: response.ContentLength}
	a.body, _ = io.ReadAll(response.Body) // cut short by the hang-up, perhaps
	return a
}

// reset ends the connection without a farewell.
func (w *wire) reset() {
	w.Helper()
	if tcp, ok := w.Conn.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	w.Close()
}

// chunked encodes b as one chunk, without the end of the body.
func chunked(b []byte) string { return fmt.Sprintf("%x\r\n%s\r\n", len(b), b) }

// fields joins header fields.
func fields(lines ...string) string { return strings.Join(lines, "\r\n") }
