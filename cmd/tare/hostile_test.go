// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"tare/internal/clock"
)

// pipes listens for connections in memory. Their deadlines are those of the bubble's time.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

func (*pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// enclosed is a server, as the command makes it, in a bubble: an hour of it takes no time.
type enclosed struct {
	t     *testing.T
	pipes *pipes
}

// enclose runs f beside a server. It fails where the server leaves anything running.
func enclose(t *testing.T, f func(e *enclosed), args ...string) {
	synctest.Test(t, func(t *testing.T) {
		c := &console{clock: clock.System{}, log: discardLog(), out: io.Discard, err: io.Discard}
		cli, err := parse(t, append([]string{"serve", "--data", shortFolder(t), "--listen", "127.0.0.1:0"}, args...)...)
		if err != nil {
			t.Fatal(err)
		}
		cmd := &cli.Serve
		access, err := cmd.access()
		if err != nil {
			t.Fatal(err)
		}
		e := &enclosed{t, &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}}
		d := &doors{access: access, public: e.pipes}
		if cmd.TLSCert != "" {
			if d.certificate, err = loadCertificate(cmd.TLSCert, cmd.TLSKey, c.clock, c.log); err != nil {
				t.Fatal(err)
			}
			d.public = tls.NewListener(e.pipes, d.certificate.config())
		}
		folder, err := openFolder(cmd.Data, cmd.margins(), c.clock, nil)
		if err != nil {
			t.Fatal(err)
		}
		s, err := cmd.server(c, d, folder, newMetrics())
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- s.public.http.Serve(s.public.listener) }()
		f(e)
		if err := s.public.http.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
		if err := folder.Close(); err != nil {
			t.Error(err)
		}
	})
}

// client is a connection. What comes is taken as it comes.
type client struct {
	net.Conn
	begun time.Time
	sent  int
	ended chan struct{} // closed when the server has closed the connection
	took  time.Duration
	got   bytes.Buffer // to be read when it has ended
}

func (e *enclosed) dial() *client {
	ours, theirs := net.Pipe()
	c := &client{Conn: ours, begun: time.Now(), ended: make(chan struct{})}
	e.pipes.conns <- theirs
	go func() {
		defer close(c.ended)
		_, _ = io.Copy(&c.got, ours) // until the server closes it
		c.took = time.Since(c.begun)
		ours.Close()
	}()
	return c
}

// send sends until the server takes no more, and tells whether it took all.
func (c *client) send(s string) bool {
	n, err := io.WriteString(c, s)
	c.sent += n
	return err == nil
}

// trickle sends some bytes a second for as long as the server takes them, at most for a day.
func (c *client) trickle(each string) {
	for time.Since(c.begun) < 24*time.Hour && c.send(each) {
		time.Sleep(time.Second)
	}
	c.Close()
}

// flood sends without end, as fast as the server takes it, at most 64 MiB.
func (c *client) flood(each string) {
	each = strings.Repeat(each, 1+4096/len(each))
	for c.sent < 64<<20 && c.send(each) {
	}
	c.Close()
}

// answers are the status lines of what came.
func (c *client) answers() []string {
	<-c.ended
	var lines []string
	for line := range strings.Lines(c.got.String()) {
		if _, status, ok := strings.Cut(strings.TrimSpace(line), "HTTP/1.1 "); ok {
			lines = append(lines, status[:3])
		}
	}
	return lines
}

// open starts an upload and returns its path.
func (e *enclosed) open() string {
	e.t.Helper()
	c := e.dial()
	c.send("POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
	<-c.ended
	for line := range strings.Lines(c.got.String()) {
		if path, ok := strings.CutPrefix(line, "Location: "); ok {
			return strings.TrimSpace(path)
		}
	}
	e.t.Fatalf("no upload: %s", &c.got)
	return ""
}

const (
	chunked = "HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
	sized   = "HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n"
	small   = "HTTP/1.1\r\nHost: x\r\nContent-Length: 30000\r\n\r\n"
	pushTo  = "PUT /v2/app/manifests/v1 "
)

// Whatever a client does slowly has an end. The time that it has is what docs/http.md says.
func TestSlowClients(t *testing.T) {
	const stall, header, idle, manifest, put = time.Minute, 30 * time.Second, 3 * time.Minute, 5 * time.Minute, 6 * time.Hour
	whatever := []string{"whatever"} // the answer may come too late, or not at all
	cases := []struct {
		name    string
		do      func(*enclosed, *client)
		answers []string
		within  time.Duration
	}{
		{"nothing", func(*enclosed, *client) {}, nil, header},
		{"half a request line", func(_ *enclosed, c *client) { c.send("GET /v2/ HT") }, []string{"400"}, header},
		{"a request line by and by", func(_ *enclosed, c *client) { c.send("GET /"); c.trickle("x") }, []string{"400"}, header},
		{"a header by and by", func(_ *enclosed, c *client) { c.send("GET /v2/ HTTP/1.1\r\nX: "); c.trickle("x") }, nil, header},
		{"headers by and by", func(_ *enclosed, c *client) { c.send("GET /v2/ HTTP/1.1\r\n"); c.trickle("X: y\r\n") }, nil, header},
		{"nothing more", func(_ *enclosed, c *client) { c.send("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n") }, []string{"200"}, idle},
		{"a second request by and by", func(_ *enclosed, c *client) {
			c.send("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\nGET /")
			c.trickle("x")
		}, []string{"200", "400"}, header},

		{"a manifest that stands still", func(_ *enclosed, c *client) { c.send(pushTo + sized + "{") }, []string{"400"}, stall},
		{"a manifest by and by", func(_ *enclosed, c *client) { c.send(pushTo + sized + "{"); c.trickle(" ") }, []string{"400"}, manifest},
		{"a manifest in chunks by and by", func(_ *enclosed, c *client) { c.send(pushTo + chunked + "1\r\n{\r\n"); c.trickle("1\r\n \r\n") }, []string{"400"}, manifest},
		{"a manifest that nobody wants, by and by", func(_ *enclosed, c *client) {
			c.send("PUT /v2/app/manifests/- " + sized)
			c.trickle("x")
		}, []string{"400"}, stall},
		{"a manifest that is asked for", func(_ *enclosed, c *client) {
			c.send(strings.Replace(pushTo+sized, "\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n", 1))
		}, []string{"100", "400"}, stall},
		{"the length of a chunk by and by", func(_ *enclosed, c *client) { c.send(pushTo + chunked); c.trickle("0") }, []string{"400"}, stall},
		{"the extension of a chunk by and by", func(_ *enclosed, c *client) { c.send(pushTo + chunked + "1;"); c.trickle("x") }, []string{"400"}, stall},
		{"trailers by and by", func(_ *enclosed, c *client) { c.send(pushTo + chunked + "2\r\n{}\r\n0\r\n"); c.trickle("X: y\r\n") }, []string{"400"}, stall},

		{"a small blob by and by", func(e *enclosed, c *client) { c.send("PATCH " + e.open() + " " + chunked); c.trickle("1\r\nx\r\n") }, []string{"400"}, put + stall},
		{"a small blob of known size by and by", func(e *enclosed, c *client) {
			c.send("PATCH " + e.open() + " " + small)
			c.trickle("x")
		}, []string{"400"}, put + stall},
		{"a large blob by and by", func(e *enclosed, c *client) {
			c.send("PATCH " + e.open() + " " + chunked + "10000\r\n" + strings.Repeat("x", 1<<16) + "\r\n")
			c.trickle("1\r\nx\r\n")
		}, []string{"400"}, put + stall},
		{"a blob that stands still", func(e *enclosed, c *client) { c.send("PATCH " + e.open() + " " + sized + "x") }, []string{"400"}, stall},
		{"the body of a POST by and by", func(_ *enclosed, c *client) { c.send("POST /v2/app/blobs/uploads/ " + small); c.trickle("x") }, whatever, stall},
		{"the body of a GET by and by", func(_ *enclosed, c *client) { c.send("GET /v2/ " + chunked); c.trickle("1\r\nx\r\n") }, whatever, stall},
		{"the body of a DELETE by and by", func(_ *enclosed, c *client) { c.send("DELETE /v2/app/manifests/v1 " + sized); c.trickle("x") }, []string{"404"}, stall},
		{"the body of a health check by and by", func(_ *enclosed, c *client) { c.send("GET /healthz " + small); c.trickle("x") }, whatever, briefTimeout},
	}
	enclose(t, func(e *enclosed) {
		for _, c := range cases {
			conn := e.dial()
			c.do(e, conn)
			if got := conn.answers(); !slices.Equal(got, c.answers) && !slices.Equal(c.answers, whatever) {
				e.t.Errorf("%s: answered %v, want %v: %s", c.name, got, c.answers, &conn.got)
			}
			if slack := c.within + 2*time.Second; conn.took > slack || conn.took < c.within-stall/8-2*time.Second {
				e.t.Errorf("%s: ended after %v, want %v", c.name, conn.took, c.within)
			}
		}
	})
}

// Whatever a client sends without end is taken up to a limit, and no further.
func TestEndlessClients(t *testing.T) {
	// What net/http reads beside what it hands on: of headers, and of a body that nobody has read. And what is read of a
	// manifest, and of the body of a request that is refused.
	const headers, unread, manifest, drained = maxHeaderBytes + 8<<10, 2*256<<10 + 64<<10, 4 << 20, 8 << 20
	cases := []struct {
		name   string
		begin  string
		each   string
		answer string
		most   int // bytes
	}{
		{"path", "GET /", "x", "431", headers},
		{"header", "GET /v2/ HTTP/1.1\r\nX: ", "x", "431", headers},
		{"headers", "GET /v2/ HTTP/1.1\r\n", "X: y\r\n", "431", headers},
		{"empty headers", "GET /v2/ HTTP/1.1\r\n", ":\r\n", "400", headers},
		{"nothing but line ends", "", "\r\n", "400", headers},
		{"nothing at all", "", "\x00", "431", headers},
		{"manifest", pushTo + chunked, "1000\r\n" + strings.Repeat("x", 0x1000) + "\r\n", "413", manifest + drained + unread},
		{"manifest of a known size", pushTo + "HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n", "x", "413", unread},
		{"manifest that nobody wants", "PUT /v2/app/manifests/- " + chunked, "1000\r\n" + strings.Repeat("x", 0x1000) + "\r\n", "400", drained + unread},
		{"chunks of nothing much", pushTo + chunked, "1;" + strings.Repeat("x", 100) + "\r\nx\r\n", "400", unread},
		{"extension of a chunk", pushTo + chunked + "1;", "x", "400", unread},
		{"length of a chunk", pushTo + chunked, "0", "400", unread},
		{"trailers", pushTo + chunked + "2\r\n{}\r\n0\r\n", "X: y\r\n", "400", unread},
		{"body of a GET", "GET /v2/ " + chunked, "1000\r\n" + strings.Repeat("x", 0x1000) + "\r\n", "200", unread},
		{"body of a POST", "POST /v2/app/blobs/uploads/ " + chunked, "1000\r\n" + strings.Repeat("x", 0x1000) + "\r\n", "202", unread},
		{"body of a PUT to an upload that is not there", "PUT /v2/app/blobs/uploads/x?digest=" + digestOf("") + " " + chunked,
			"1000\r\n" + strings.Repeat("x", 0x1000) + "\r\n", "404", drained + unread},
	}
	enclose(t, func(e *enclosed) {
		for _, c := range cases {
			conn := e.dial()
			conn.send(c.begin)
			conn.flood(c.each)
			if got := conn.answers(); !slices.Equal(got, []string{c.answer}) {
				e.t.Errorf("%s: answered %v, want %s: %s", c.name, got, c.answer, &conn.got)
			}
			if conn.sent > c.most {
				e.t.Errorf("%s: %d bytes were taken, more than %d", c.name, conn.sent, c.most)
			}
			if conn.took > time.Minute {
				e.t.Errorf("%s: it took %v", c.name, conn.took)
			}
		}
	})
}

// A client that takes no answer holds a connection for a stall timeout, however many requests it sends.
func TestClientThatTakesNothing(t *testing.T) {
	enclose(t, func(e *enclosed) {
		ours, theirs := net.Pipe()
		e.pipes.conns <- theirs
		begun, n := time.Now(), 0
		for {
			if _, err := io.WriteString(ours, "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				break
			}
			n++
		}
		if took := time.Since(begun); took > time.Minute || n > 1000 {
			t.Errorf("%d requests were taken in %v", n, took)
		}
		ours.Close()
	})
}

// What two readers could cut into requests in two ways is refused, or cut as RFC 9112 has it.
func TestSmuggling(t *testing.T) {
	const inner = "GET /v2/inner/tags/list HTTP/1.1\r\nHost: x\r\n\r\n"
	post := func(headers, body string) string {
		return "POST /v2/app/blobs/uploads/ HTTP/1.1\r\nHost: x\r\n" + headers + "\r\n\r\n" + body
	}
	cases := map[string]struct{ request, answers string }{
		// RFC 9112 section 6.3: Transfer-Encoding overrides Content-Length. Section 5.2: a line that begins with a space goes
		// on with the header before it.
		"two lengths by two rules, the short one right": {post("Content-Length: 4\r\nTransfer-Encoding: chunked", fmt.Sprintf("%x\r\n", len(inner))+inner+"\r\n0\r\n\r\n"), "202"},
		"two lengths by two rules, the long one wrong":  {post("Content-Length: 60\r\nTransfer-Encoding: chunked", "0\r\n\r\n"+inner), "202 404"},

		"two lengths":                         {post("Content-Length: 0\r\nContent-Length: 44", inner), "400"},
		"a list of lengths":                   {post("Content-Length: 0, 44", inner), "400"},
		"a length with a sign":                {post("Content-Length: +44", inner), "400"},
		"a negative length":                   {post("Content-Length: -1", inner), "400"},
		"a length in hexadecimal":             {post("Content-Length: 0x2c", inner), "400"},
		"a length beyond all numbers":         {post("Content-Length: 99999999999999999999", inner), "400"},
		"no length":                           {post("Content-Length:", inner), "400"},
		"a space before the colon":            {post("Content-Length : 44", inner), "400"},
		"a coding after a space":              {post("Transfer-Encoding : chunked", "0\r\n\r\n"+inner), "400"},
		"a header on two lines":               {post("X: y\r\n Content-Length: 44", inner), "202 404"},
		"another coding":                      {post("Transfer-Encoding: xchunked", "0\r\n\r\n"+inner), "501"},
		"a list of codings":                   {post("Transfer-Encoding: identity, chunked", "0\r\n\r\n"+inner), "501"},
		"two codings":                         {post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n"+inner), "501"},
		"a coding with a tab":                 {post("Transfer-Encoding:\vchunked", "0\r\n\r\n"+inner), "400"},
		"a carriage return in a header":       {post("X: y\rContent-Length: 44", inner), "400"},
		"a zero byte in a header":             {post("X: \x00", inner), "400"},
		"a header without a name":             {post(": x", inner), "400"},
		"no host":                             {"GET /v2/ HTTP/1.1\r\n\r\n" + inner, "400"},
		"two hosts":                           {"GET /v2/ HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n" + inner, "400"},
		"another protocol":                    {"GET /v2/ HTTP/3.0\r\nHost: x\r\n\r\n" + inner, "505"},
		"the beginning of HTTP/2":             {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + inner, "404"},
		"two spaces in the request line":      {"GET  /v2/ HTTP/1.1\r\nHost: x\r\n\r\n" + inner, "400"},
		"the length of a chunk with a sign":   {post("Transfer-Encoding: chunked", "+0\r\n\r\n"+inner), "202"},
		"the length of a chunk with a prefix": {post("Transfer-Encoding: chunked", "0x0\r\n\r\n"+inner), "202"},
		"a chunk that is longer than it says": {post("Transfer-Encoding: chunked", "1\r\nxx\r\n0\r\n\r\n"+inner), "202"},
		"a chunk of more than all":            {post("Transfer-Encoding: chunked", "fffffffffffffffff\r\n"+inner), "202"},
		"a chunk without a carriage return":   {post("Transfer-Encoding: chunked", "1\nx\r\n0\r\n\r\n"+inner), "202"},
	}
	enclose(t, func(e *enclosed) {
		for name, c := range cases {
			conn := e.dial()
			conn.send(c.request)
			if got := fmt.Sprint(conn.answers()); got != "["+c.answers+"]" {
				e.t.Errorf("%s: answered %s, want %s: %s", name, got, c.answers, &conn.got)
			}
		}
	})
}

// A client that does not come to the end of a handshake is not waited for.
func TestSlowHandshake(t *testing.T) {
	certificate, key := writeCertificate(t, t.TempDir(), "registry")
	for name, each := range map[string]string{"nothing": "", "a record by and by": "\x00"} {
		t.Run(name, func(t *testing.T) {
			enclose(t, func(e *enclosed) {
				c := e.dial()
				if each != "" {
					c.send("\x16\x03\x01\x40\x00\x01\x00\x3f\xfc") // a ClientHello of 16 KiB
					c.trickle(each)
				}
				if <-c.ended; c.took != readHeaderTimeout {
					t.Errorf("ended after %v", c.took)
				}
			}, "--tls-cert", certificate, "--tls-key", key)
		})
	}
}

// HTTP/2 has no connection to set deadlines on: its streams have them.
func TestSlowStreams(t *testing.T) {
	certificate, key := writeCertificate(t, t.TempDir(), "registry")
	enclose(t, func(e *enclosed) {
		transport := &http.Transport{
			ForceAttemptHTTP2: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
			DialContext: func(context.Context, string, string) (net.Conn, error) {
				ours, theirs := net.Pipe()
				e.pipes.conns <- theirs
				return ours, nil
			},
		}
		defer transport.CloseIdleConnections()
		for name, c := range map[string]struct {
			each   string
			within time.Duration
		}{"stands still": {"", time.Minute}, "by and by": {" ", 5 * time.Minute}} {
			body, w := io.Pipe()
			r, err := http.NewRequestWithContext(e.t.Context(), "PUT", "https://x/v2/app/manifests/v1", body)
			if err != nil {
				e.t.Fatal(err)
			}
			begun := time.Now()
			var sending sync.WaitGroup
			sending.Go(func() {
				_, err := io.WriteString(w, "{")
				for err == nil && c.each != "" {
					time.Sleep(time.Second)
					_, err = io.WriteString(w, c.each)
				}
			})
			resp, err := transport.RoundTrip(r)
			if err != nil {
				e.t.Fatalf("%s: %v", name, err)
			}
			resp.Body.Close()
			took := time.Since(begun)
			body.Close()
			sending.Wait()
			if resp.ProtoMajor != 2 || resp.StatusCode != http.StatusBadRequest || took > c.within+time.Second || took < c.within-time.Minute/8 {
				e.t.Errorf("%s: %s %d after %v", name, resp.Proto, resp.StatusCode, took)
			}
		}
	}, "--tls-cert", certificate, "--tls-key", key)
}
