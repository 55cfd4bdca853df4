// SPDX-License-Identifier: Apache-2.0

package load_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"tare/test/bench/load"
)

// scripted answers each request of one connection, in order, with the bytes of one script, and then closes the connection.
func scripted(t *testing.T, scripts ...string) *load.Conn {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		for _, script := range scripts {
			if !readRequest(conn) {
				return
			}
			// One byte at a time: no boundary of a read may matter.
			for i := range len(script) {
				if _, err := conn.Write([]byte{script[i]}); err != nil {
					return
				}
			}
		}
	}()
	return dial(t, listener.Addr().String())
}

func readRequest(conn net.Conn) bool {
	var got []byte
	for one := make([]byte, 1); !bytes.HasSuffix(got, []byte("\r\n\r\n")); {
		if _, err := conn.Read(one); err != nil {
			return false
		}
		got = append(got, one...)
	}
	return true
}

func dial(t *testing.T, addr string) *load.Conn {
	t.Helper()
	conn, err := load.Dial(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}

func TestResponses(t *testing.T) {
	const next = "HTTP/1.1 204 No Content\r\n\r\n"
	tests := []struct {
		name, method, script string
		want                 load.Response
		body                 string
	}{
		{"length", "GET", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\nX: y\r\n\r\nhello", load.Response{Status: 200, Length: 5}, "hello"},
		{"chunks", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhell\r\n1;x=y\r\no\r\n0\r\nTrailer: z\r\n\r\n", load.Response{Status: 200, Length: 5}, "hello"},
		{"head", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 16384\r\n\r\n", load.Response{Status: 200, Length: 16384}, ""},
		{"head without length", "HEAD", "HTTP/1.1 404 Not Found\r\n\r\n", load.Response{Status: 404, Length: -1}, ""},
		{"location", "POST", "HTTP/1.1 202 Accepted\r\nLocation:  /v2/a?b=c \r\nContent-Length: 0\r\n\r\n", load.Response{Status: 202, Location: "/v2/a?b=c"}, ""},
		{"interim", "PUT", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", load.Response{Status: 201}, ""},
		{"not modified", "GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", load.Response{Status: 304}, ""},
		{"error text", "GET", "HTTP/1.1 500 No\r\nContent-Length: 4\r\n\r\noops", load.Response{Status: 500, Length: 4, Text: "oops"}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn := scripted(t, test.script, next)
			var body strings.Builder
			req := load.NewRequest("host", test.method, "/", nil)
			got, err := conn.Fetch(req, test.want.Status, &body)
			if err != nil {
				t.Fatal(err)
			}
			if got != test.want || body.String() != test.body {
				t.Errorf("got %+v with body %q, want %+v with %q", got, body.String(), test.want, test.body)
			}
			// The second answer shows that the first was consumed to its end.
			if _, err := conn.Expect(load.NewRequest("host", "GET", "/", nil), 204, 0); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestMalformedResponses(t *testing.T) {
	for _, script := range []string{
		"",
		"HTTP/1.1 200 OK\r\n",
		"HTTP/1.1 2xx\r\n\r\n",
		"HTTP/2 200 OK\r\n\r\n",
		"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nz\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
	} {
		conn := scripted(t, script)
		req := load.NewRequest("host", "GET", "/", nil)
		if resp, err := conn.Do(req); err == nil {
			t.Errorf("%q was understood as %+v", script, resp)
		}
		if _, err := conn.Do(req); err == nil {
			t.Errorf("after %q the connection was used again", script)
		}
	}
}

func TestBodyUntilClose(t *testing.T) {
	conn := scripted(t, "HTTP/1.1 200 OK\r\n\r\nall of it")
	req := load.NewRequest("host", "GET", "/", nil)
	if _, err := conn.Expect(req, 200, 9); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Do(req); err == nil {
		t.Error("a closed connection was used again")
	}
}

func TestExpectRefuses(t *testing.T) {
	const script = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	conn := scripted(t, script, script, script)
	req := load.NewRequest("host", "GET", "/x", nil)
	if _, err := conn.Expect(req, 201, -1); err == nil || !strings.Contains(err.Error(), "GET /x") {
		t.Errorf("a wrong status gave %v", err)
	}
	if _, err := conn.Expect(req, 200, 4); err == nil {
		t.Error("a wrong length was taken")
	}
	if _, err := conn.Expect(req, 200, 5); err != nil {
		t.Error(err)
	}
}

// received is a request as net/http understood it.
type received struct {
	method, uri, host, kind, body string
	length                        int64
}

func TestRequests(t *testing.T) {
	requests := make(chan received, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		requests <- received{r.Method, r.RequestURI, r.Host, r.Header.Get("Content-Type"), string(body), r.ContentLength}
	}))
	defer server.Close()
	addr := server.Listener.Addr().String()
	conn := dial(t, addr)

	large := strings.Repeat("0123456789abcdef", 1<<16)
	tests := []struct {
		name string
		req  *load.Request
		want received
	}{
		{"get", load.NewRequest(addr, "GET", "/a?b=c", nil), received{method: "GET", uri: "/a?b=c"}},
		{"empty put", load.NewRequest(addr, "PUT", "/", nil, "Content-Type: x/y"), received{method: "PUT", uri: "/", kind: "x/y"}},
		{"post", load.NewRequest(addr, "POST", "/", []byte("body")), received{method: "POST", uri: "/", body: "body", length: 4}},
		{"large put", load.NewRequest(addr, "PUT", "/", []byte(large)), received{method: "PUT", uri: "/", body: large, length: 1 << 20}},
		{"stream", load.NewStream(addr, "PATCH", "/", strings.NewReader(large)), received{method: "PATCH", uri: "/", body: large, length: -1}},
		{"empty stream", load.NewStream(addr, "PATCH", "/", new(bytes.Buffer)), received{method: "PATCH", uri: "/", length: -1}},
	}
	for _, test := range tests {
		test.want.host = addr
		if _, err := conn.Expect(test.req, 200, 0); err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		if got := <-requests; got != test.want {
			t.Errorf("%s: the server saw %.200v, want %.200v", test.name, got, test.want)
		}
	}
}

func TestContextClosesConnection(t *testing.T) {
	arrived := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}))
	defer server.Close()
	ctx, cancel := context.WithCancel(t.Context())
	conn, err := load.Dial(ctx, server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go func() {
		<-arrived
		cancel()
	}()
	if resp, err := conn.Do(load.NewRequest("host", "GET", "/", nil)); err == nil {
		t.Errorf("a canceled request was answered %+v", resp)
	}
}

func BenchmarkGet(b *testing.B) {
	body := make([]byte, 1200)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.Write(body) }))
	defer server.Close()
	addr := server.Listener.Addr().String()
	conn, err := load.Dial(b.Context(), addr)
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	req := load.NewRequest(addr, "GET", "/", nil)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conn.Expect(req, 200, 1200); err != nil {
			b.Fatal(err)
		}
	}
}
