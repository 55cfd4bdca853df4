// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// step is an operation of the golden traces, how often it happens and what comes with it each time.
type step struct {
	operation string    // "" for a request that calls no store
	n         float64   // how often
	silent    bool      // the sweep does it: it is no request
	bodies    []float64 // bytes that each request of it brings through the gateway; nil: one request without
	fetch     bool      // the answer sends the client to the bucket
	puts      float64   // what the client brings to the bucket itself
	objects   float64   // how many objects of it, each of them an event
	waits     float64   // how many bytes functions/finalize reads while the last request waits
	told      float64   // of how many objects functions/finalize is told that are not for it to verify
	settles   float64   // functions/finalize does it, for an object of as many bytes
}

// scenario is what a person or a job does.
type scenario struct {
	name  string
	about string
	rows  map[string]float64 // kilobytes of rows by kind, where they are more than one
	steps []step
}

const (
	mib = 1 << 20
	gb  = 1e9
)

// image is what is pushed, pulled and collected: three layers of 4 MiB and a config of 3 KB, which is kept in the table. A
// manifest of it and its edges fill two kilobytes.
var (
	imageRows  = map[string]float64{"y": 2, "c": 3}
	imageBytes = 3.0 * 4 * mib
)

func scenarios() []scenario {
	return []scenario{
		{
			name:  "Push a new image",
			about: "GET /v2/, then for each of three layers of 4 MiB HEAD, POST, PUT; the same for the config; HEAD and PUT of the manifest",
			rows:  imageRows,
			steps: []step{
				{n: 1},
				{operation: "HEAD a blob", n: 4},
				{operation: "POST an upload", n: 4},
				{operation: "PUT a large new blob whole, on parts", n: 3, bodies: []float64{4 * mib}},
				{operation: "PUT a small new blob whole", n: 1, bodies: []float64{3 << 10}},
				{operation: "HEAD a manifest by tag", n: 1},
				{operation: "PUT a new manifest by tag", n: 1, bodies: []float64{1 << 10}},
			},
		},
		{
			name:  "Push it by direct uploads",
			about: "one request asks which blobs are there; each layer is opened, put into the bucket and completed; the config, HEAD and PUT as above",
			rows:  imageRows,
			steps: []step{
				{n: 1},
				{operation: "Which of four blobs are here", n: 1, bodies: []float64{400}},
				{operation: "Direct upload in one PUT", n: 3, bodies: []float64{200, 0}, puts: 1, objects: 1},
				{operation: "POST a small new blob", n: 1, bodies: []float64{3 << 10}},
				{operation: "HEAD a manifest by tag", n: 1},
				{operation: "PUT a new manifest by tag", n: 1, bodies: []float64{1 << 10}},
			},
		},
		{
			name:  "Push a layer of 1 GiB in parts",
			about: "a direct upload in 64 parts, whose URLs are asked for at once; functions/finalize reads it, and the last request waits for that",
			steps: []step{
				{operation: "Direct upload in ten parts, to be settled", n: 1, bodies: []float64{200, 10 << 10, 0}, puts: 64, waits: 1 << 30},
				{operation: "Settle a direct upload in parts", n: 1, settles: 1 << 30},
			},
		},
		{
			name:  "Push a layer of 10 MiB in chunks",
			about: "HEAD, POST, four PATCHes of 2.5 MiB through the function, of which two make a part, and PUT; functions/finalize is told of the object, and finds that it is not for it",
			steps: []step{
				{operation: "HEAD a blob", n: 1},
				{operation: "POST an upload", n: 1},
				{operation: "PATCH four chunks that make two parts, and PUT", n: 1, bodies: []float64{2.5 * mib, 2.5 * mib, 2.5 * mib, 2.5 * mib, 0}, told: 1},
			},
		},
		{
			name:  "Push it again with one new layer",
			about: "as the first, two layers are there; the tag moves",
			rows:  imageRows,
			steps: []step{
				{n: 1},
				{operation: "HEAD a blob", n: 4},
				{operation: "POST an upload", n: 2},
				{operation: "PUT a large new blob whole, on parts", n: 1, bodies: []float64{4 * mib}},
				{operation: "PUT a small new blob whole", n: 1, bodies: []float64{3 << 10}},
				{operation: "HEAD a manifest by tag", n: 1},
				{operation: "PUT a new manifest that takes a tag from another", n: 1, bodies: []float64{1 << 10}},
			},
		},
		{
			name:  "Push it again unchanged",
			about: "everything is there, and nothing is written",
			rows:  imageRows,
			steps: []step{
				{n: 1},
				{operation: "HEAD a blob", n: 4},
				{operation: "HEAD a manifest by tag", n: 1},
				{operation: "PUT a manifest that is there, by its tag", n: 1, bodies: []float64{1 << 10}},
			},
		},
		{
			name:  "Pull it",
			about: "GET /v2/, HEAD and GET of the manifest, GET of the config and of three layers, which the bucket sends",
			rows:  imageRows,
			steps: []step{
				{n: 1},
				{operation: "HEAD a manifest by tag", n: 1},
				{operation: "GET a manifest by digest", n: 1},
				{operation: "GET a small blob", n: 1},
				{operation: "HEAD a blob", n: 3, fetch: true}, // a GET of a large blob reads the same row, and signs
			},
		},
		{
			name:  "Delete and collect it",
			about: "the DELETE, and all that the sweep does for the manifest, its blobs, its objects and its repository",
			rows:  imageRows,
			steps: []step{{operation: collected, n: 1, silent: true}},
		},
	}
}

// collected is the operation that removes an image of two blobs, one of them in the table, and a repository with one blob more.
const collected = "DELETE the only image, and sweep all of its repository away"

// measure prices a scenario.
func (s scenario) measure(traces map[string]trace, d deployment) (sum price, err error) {
	for _, step := range s.steps {
		t, ok := traces[step.operation]
		if !ok && step.operation != "" {
			return sum, fmt.Errorf("%s: no trace of %q", s.name, step.operation)
		}
		p, err := step.measure(t, s.rows, d)
		if err != nil {
			return sum, fmt.Errorf("%s: %s: %w", s.name, step.operation, err)
		}
		sum = sum.plus(p.times(step.n))
	}
	return sum, nil
}

// measure prices a step once.
func (s step) measure(t trace, rows map[string]float64, d deployment) (p price, err error) {
	m := meter{memory: d.apiMemory, rowUnits: rows}
	switch {
	case s.silent:
		return m.measure(without(t, "due")) // the schedule pays for looking
	case s.settles > 0:
		return s.settle(t, m, d)
	}
	if p, err = m.measure(t); err != nil {
		return p, err
	}
	bodies := s.bodies
	if bodies == nil {
		bodies = []float64{0}
	}
	for _, body := range bodies {
		p.calls.requests++
		p.calls.invocations++
		p.gateway += gatewayRequest * max(ceil(body, gatewayPiece), 1)
		p.lambda += lambdaRequest + baseTime*m.memory*lambdaGBs
	}
	seconds := s.waits / readRate
	p.calls.reads += ceil(seconds, 1) // it looks every second
	p.lambda += seconds * m.memory * lambdaGBs
	p.calls.puts += s.puts
	if s.fetch {
		p.calls.gets++
	}
	p.bus += s.objects * busEvent
	p.bill()
	return p.plus(tell(d).times(s.told)), nil
}

// tell prices that the bucket's event of an object put together from parts comes to functions/finalize, and there is nothing to do.
func tell(d deployment) (p price) {
	p.calls.invocations, p.calls.reads = 1, 1
	p.lambda = lambdaRequest + (baseTime+readTime)*d.finalizeMemory*lambdaGBs
	p.bill()
	return p
}

// settle prices how functions/finalize verifies an object, and finds nothing left to do when the bucket's event comes, too.
func (s step) settle(t trace, m meter, d deployment) (p price, err error) {
	m.memory = d.finalizeMemory
	if p, err = m.measure(t); err != nil {
		return p, err
	}
	seconds := s.settles / readRate
	p.calls.gets += ceil(s.settles, readBlock) - 1 // one of them is in the trace
	p.calls.writes += float64(int(seconds/saveTime)) * m.commit([]rowCall{{op: "update", key: "p#o p", hint: "due"}}, nil)
	p.calls.invocations = 1
	p.lambda += lambdaRequest + (baseTime+seconds)*m.memory*lambdaGBs
	p.bill()
	return p.plus(tell(d)), nil
}

func without(t trace, kind string) (rest trace) {
	for _, c := range t {
		if c.kind != kind {
			rest = append(rest, c)
		}
	}
	return rest
}

// idle prices a month in which nobody asks for anything: the sweep looks, and that is all.
func idle(t trace, deployment deployment) (price, error) {
	sweep, err := meter{memory: deployment.gcMemory}.measure(t)
	if err != nil {
		return price{}, err
	}
	sweep.calls.invocations = 1
	sweep.lambda += lambdaRequest + baseTime*deployment.gcMemory*lambdaGBs
	sweep.bus = scheduleEvent + logBytes*logGB/gb
	return sweep.times(deployment.sweeps), nil
}

// logBytes is the line that a sweep logs.
const logBytes = 600
