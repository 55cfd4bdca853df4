// SPDX-License-Identifier: Apache-2.0

package standin

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"time"
)

// Far is how far away a server is, and how fast one connection to it.
type Far struct {
	Rate int           // bytes a second, of each connection and each direction; 0: as many as there come
	Away time.Duration // a round trip; a new connection takes one, before its first byte leaves
}

// Line stands between clients and a server as a network would, one connection for each of theirs. It knows no protocol. What
// a line of its kind would also do (begin slowly, lose packets, be shared) it does not.
type Line struct {
	URL string // of the near end

	target   string
	far      Far
	listener net.Listener
	ctx      context.Context
	cancel   context.CancelFunc
	work     sync.WaitGroup
}

// StartLine starts a line to target, a URL without a path. [Line.Close] ends it.
func StartLine(target string, far Far) (*Line, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	l := &Line{target: to.Host, far: far}
	if l.listener, err = net.Listen("tcp", net.JoinHostPort(to.Hostname(), "0")); err != nil {
		return nil, err
	}
	l.URL = to.Scheme + "://" + l.listener.Addr().String()
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.work.Go(func() {
		for {
			near, err := l.listener.Accept()
			if err != nil {
				return
			}
			l.work.Go(func() { l.connect(near.(*net.TCPConn)) })
		}
	})
	return l, nil
}

// Close ends the line and its connections.
func (l *Line) Close() {
	l.cancel()
	_ = l.listener.Close() // nothing else can be done
	l.work.Wait()
}

// connect carries one connection until both directions have ended, or one has failed.
func (l *Line) connect(near *net.TCPConn) {
	defer near.Close()
	if !l.pause(time.Now().Add(l.far.Away)) {
		return
	}
	conn, err := (&net.Dialer{}).DialContext(l.ctx, "tcp", l.target)
	if err != nil {
		return // the near end sees that the connection has gone
	}
	defer conn.Close()
	remote := conn.(*net.TCPConn)
	cut := func() { near.Close(); remote.Close() }
	defer context.AfterFunc(l.ctx, cut)()
	var directions sync.WaitGroup
	directions.Go(func() { l.carry(remote, near, cut) })
	directions.Go(func() { l.carry(near, remote, cut) })
	directions.Wait()
}

// pause waits until a moment; false where the line is closed before.
func (l *Line) pause(until time.Time) bool {
	wait := time.Until(until)
	if wait <= 0 {
		return l.ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-l.ctx.Done():
		return false
	}
}

// packet is what was read at once, and when it comes out at the other end. One without bytes is the end.
type packet struct {
	data []byte
	due  time.Time
}

const (
	packetSize = 256 << 10
	// ahead is for how long a direction that was not read in time may be faster than its rate, and how far its reading may
	// be ahead of it: timers are not exact.
	ahead = 5 * time.Millisecond
)

var errLineClosed = errors.New("the line is closed")

// carry brings the bytes of one direction from one end to the other.
func (l *Line) carry(to, from *net.TCPConn, cut func()) {
	packets := make(chan packet, 1024)
	var free sync.Pool
	free.New = func() any { return make([]byte, packetSize) }
	var reader sync.WaitGroup
	defer reader.Wait()
	reader.Go(func() {
		defer close(packets)
		if err := l.read(from, packets, &free); !errors.Is(err, io.EOF) {
			cut()
		}
	})
	for p := range packets {
		if !l.pause(p.due) {
			cut()
			break
		}
		if p.data == nil {
			_ = to.CloseWrite() // where it has gone already, that is the end, too
			continue
		}
		if _, err := to.Write(p.data); err != nil {
			cut()
			break
		}
		free.Put(p.data[:packetSize]) //nolint:staticcheck // a slice header a packet is nothing beside the packet
	}
	for range packets { // who reads must not wait for room
	}
}

// read reads one end at the rate of the line, until it fails.
func (l *Line) read(from *net.TCPConn, packets chan<- packet, free *sync.Pool) error {
	sent := time.Now() // when all that was read has left, at that rate
	for {
		buffer := free.Get().([]byte)
		n, err := from.Read(buffer)
		now := time.Now()
		if oldest := now.Add(-ahead); sent.Before(oldest) {
			sent = oldest
		}
		if l.far.Rate > 0 {
			sent = sent.Add(time.Duration(n) * time.Second / time.Duration(l.far.Rate))
		}
		leaves := sent
		if leaves.Before(now) {
			leaves = now
		}
		if n > 0 {
			packets <- packet{buffer[:n], leaves.Add(l.far.Away / 2)}
		}
		if errors.Is(err, io.EOF) {
			packets <- packet{due: leaves.Add(l.far.Away / 2)}
		}
		if err != nil {
			return err
		}
		if !l.pause(sent.Add(-ahead)) {
			return errLineClosed
		}
	}
}
