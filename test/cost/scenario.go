// SPDX-License-Identifier: Apache-2.0

package main

import "fmt"

// step is an operation of the golden traces, how often it happens and what comes with it each time.
type step struct {
	operation string  // "" for a request that calls no store
	n         float64 // how often
	silent    bool    // the sweep does it: it is no request
	upload    float64 // bytes that the request brings through the gateway
	fetch     bool    // the answer sends the client to the bucket
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
				{operation: "PUT a large new blob whole, on parts", n: 3, upload: 4 * mib},
				{operation: "PUT a small new blob whole", n: 1, upload: 3 << 10},
				{operation: "HEAD a manifest by tag", n: 1},
				{operation: "PUT a new manifest by tag", n: 1, upload: 1 << 10},
			},
		},
		{
			name:  "Push it again with one new layer",
			about: "as above, two layers are there; the tag moves",
			rows:  imageRows,
			steps: []step{
				{n: 1},
				{operation: "HEAD a blob", n: 4},
				{operation: "POST an upload", n: 2},
				{operation: "PUT a large new blob whole, on parts", n: 1, upload: 4 * mib},
				{operation: "PUT a small new blob whole", n: 1, upload: 3 << 10},
				{operation: "HEAD a manifest by tag", n: 1},
				{operation: "PUT a new manifest that takes a tag from another", n: 1, upload: 1 << 10},
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
				{operation: "PUT a manifest that is there, by its tag", n: 1, upload: 1 << 10},
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
func (s scenario) measure(traces map[string]trace, memory float64) (sum price, err error) {
	m := meter{memory: memory, rowUnits: s.rows}
	for _, step := range s.steps {
		t, ok := traces[step.operation]
		if !ok && step.operation != "" {
			return sum, fmt.Errorf("%s: no trace of %q", s.name, step.operation)
		}
		if step.silent {
			t = without(t, "due") // the schedule pays for looking
		}
		p, err := m.measure(t)
		if err != nil {
			return sum, fmt.Errorf("%s: %s: %w", s.name, step.operation, err)
		}
		if !step.silent {
			p.calls.requests++
			p.calls.invocations++
			p.gateway = gatewayRequest * max(ceil(step.upload, gatewayPiece), 1)
			p.lambda += lambdaRequest + baseTime*memory*lambdaGBs
		}
		if step.fetch {
			p.calls.gets++
			p.bucket += bucketGet
		}
		sum = sum.plus(p.times(step.n))
	}
	return sum, nil
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
