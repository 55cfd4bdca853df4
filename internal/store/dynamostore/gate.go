// SPDX-License-Identifier: Apache-2.0

package dynamostore

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"tare/internal/clock"
)

// gate stands between the SDK and the network for one request and knows whether the last byte of its body has left. A
// request of which that byte is missing cannot happen; of any other nobody but DynamoDB knows.
//
// The last byte does not leave once the moment before has come by the wall clock, however long the process was frozen
// between its decision and the wire: that is what keeps a commit's clock reading young (A4).
type gate struct {
	before time.Time // zero: none
	clock  clock.Clock
	next   dynamodb.HTTPClient
	state  atomic.Int32
}

// The states of a gate. It leaves open once.
const (
	gateOpen   = iota
	gatePassed // the last byte has left
	gateShut   // it will not leave any more
	gateLate   // it came when it was too late, and will not leave
)

var (
	errShut = errors.New("the request was given up")
	errLate = errors.New("the request was ready when it was too late to send it")
)

// through lets a request go through the gate, once.
func (g *gate) through(o *dynamodb.Options) {
	once(o)
	g.next, o.HTTPClient = o.HTTPClient, g
}

// once makes the SDK send a request a single time.
func once(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }

// whole sends a read, once, from memory. The SDK closes the body of a request as soon as it has an answer, and what it closes
// then fails a last Read with io.EOF where it may not (smithy-go 1.28, safeWriteToReadCloser): a connection that was about
// to look whether the body is at its end breaks off, and the answer with it.
func whole(o *dynamodb.Options) {
	once(o)
	o.HTTPClient = memory{o.HTTPClient}
}

// memory sends requests whose bodies nobody closes.
type memory struct{ next dynamodb.HTTPClient }

// Do implements [dynamodb.HTTPClient].
func (m memory) Do(r *http.Request) (*http.Response, error) {
	data, err := take(r)
	if err != nil {
		return nil, err
	}
	give(r, func() io.Reader { return bytes.NewReader(data) })
	return m.next.Do(r)
}

// take reads the body of a request to its end.
func take(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	data, err := io.ReadAll(r.Body)
	return data, errors.Join(err, r.Body.Close())
}

// give gives a request a body that can be given again: a connection that turns out dead before anything is written costs
// nothing then.
func give(r *http.Request, body func() io.Reader) {
	r.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(body()), nil }
	r.Body = io.NopCloser(body())
}

// shut closes the gate and tells whether it was in time: then the request has not happened and will not.
func (g *gate) shut() bool {
	return g.state.CompareAndSwap(gateOpen, gateShut) || g.state.Load() != gatePassed
}

func (g *gate) late() bool { return g.state.Load() == gateLate }

// Do implements [dynamodb.HTTPClient].
func (g *gate) Do(r *http.Request) (*http.Response, error) {
	data, err := take(r)
	if err != nil {
		return nil, err
	}
	give(r, func() io.Reader { return &gatedReader{gate: g, data: bytes.NewReader(data)} })
	return g.next.Do(r)
}

// pass tells whether the last byte may leave. The clock is asked each time: the transport may give the body again, long after
// it left once, and that it left once is what the state keeps saying then.
func (g *gate) pass() error {
	if !g.before.IsZero() && !g.clock.Now().Before(g.before) {
		g.state.CompareAndSwap(gateOpen, gateLate)
		if g.state.Load() == gateShut {
			return errShut
		}
		return errLate
	}
	g.state.CompareAndSwap(gateOpen, gatePassed)
	switch g.state.Load() {
	case gatePassed:
		return nil
	case gateLate:
		return errLate
	}
	return errShut
}

// gatedReader gives a body whose end the gate holds back.
type gatedReader struct {
	gate *gate
	data *bytes.Reader
}

func (r *gatedReader) Read(p []byte) (int, error) {
	n, err := r.data.Read(p)
	if r.data.Len() == 0 && err == nil {
		if err := r.gate.pass(); err != nil {
			return 0, err
		}
	}
	return n, err
}
