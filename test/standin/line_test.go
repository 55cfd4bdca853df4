// SPDX-License-Identifier: Apache-2.0

package standin_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"tare/test/standin"
)

// echo answers with what it is sent.
func echo(t *testing.T) *httptest.Server {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			_, _ = w.Write(body)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

// far starts a line to a server, and a client that has as many connections as it wants.
func far(t *testing.T, target string, f standin.Far) (*standin.Line, *http.Client) {
	line, err := standin.StartLine(target, f)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(line.Close)
	transport := &http.Transport{MaxIdleConnsPerHost: 16}
	t.Cleanup(transport.CloseIdleConnections)
	return line, &http.Client{Transport: transport}
}

// exchange sends a body, wants it back, and tells how long that took.
func exchange(t *testing.T, c *http.Client, url string, size int) time.Duration {
	sent := make([]byte, size)
	_, _ = rand.Read(sent)
	begin := time.Now()
	answer, err := c.Post(url, "", bytes.NewReader(sent))
	if err != nil {
		t.Error(err)
		return 0
	}
	got, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("of %d bytes %d came back, error %v", size, len(got), err)
	}
	return time.Since(begin)
}

// Each connection takes its time, whoever else is there. How much longer it took, a busy machine decides.
func TestLine(t *testing.T) {
	const rate, away = 4 << 20, 40 * time.Millisecond
	line, client := far(t, echo(t).URL, standin.Far{Rate: rate, Away: away})
	if took := exchange(t, client, line.URL, 10); took < 2*away {
		t.Errorf("the first request took %v, less than a connection and a round trip", took)
	}
	if took := exchange(t, client, line.URL, 10); took < away {
		t.Errorf("a request took %v, less than a round trip", took)
	}
	begin := time.Now()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			// The last bytes come out when all have left; what a pause lets pass at once is little.
			if took := exchange(t, client, line.URL, rate/8); took < 2*time.Second/8-20*time.Millisecond {
				t.Errorf("an eighth of a second of bytes, there and back, took %v", took)
			}
		})
	}
	all.Wait()
	t.Logf("eight connections took %v", time.Since(begin))
}

// A line that has no limits changes nothing.
func TestLineWithoutLimits(t *testing.T) {
	line, client := far(t, echo(t).URL, standin.Far{})
	exchange(t, client, line.URL, 3<<20)
	line.Close()
	if answer, err := client.Get(line.URL); err == nil {
		t.Error("the line is closed, and somebody answers")
		answer.Body.Close()
	}
}

// What ends at one end ends at the other, and only in its direction.
func TestLineEnds(t *testing.T) {
	server, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	line, err := standin.StartLine("http://"+server.Addr().String(), standin.Far{Away: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(line.Close)
	near, err := net.Dial("tcp", strings.TrimPrefix(line.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	remote, err := server.Accept()
	if err != nil {
		t.Fatal(err)
	}
	write := func(to net.Conn, text string) {
		if _, err := to.Write([]byte(text)); err != nil {
			t.Error(err)
		}
		if err := to.(*net.TCPConn).CloseWrite(); err != nil {
			t.Error(err)
		}
	}
	read := func(from net.Conn, want string) {
		if got, err := io.ReadAll(from); err != nil || string(got) != want {
			t.Errorf("%q came, error %v", got, err)
		}
	}
	write(near, "question")
	read(remote, "question")
	write(remote, "answer")
	read(near, "answer")
}
