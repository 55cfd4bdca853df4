// SPDX-License-Identifier: Apache-2.0

package main

// The list prices of us-east-1 in US dollars, without any free tier, as published in November 2026. Who deploys elsewhere
// multiplies: Regions differ by up to a half.
const pricesOf = "2026-11-21"

const (
	perMillion  = 1e-6
	perThousand = 1e-3

	lambdaRequest = 0.20 * perMillion // AWS Lambda pricing, requests
	lambdaGBs     = 0.0000133334      // the same, duration on arm64, by the GB-second

	gatewayRequest = 1.00 * perMillion // Amazon API Gateway pricing, HTTP APIs, by pieces of 512 KB
	gatewayPiece   = 512 << 10

	tableWrite   = 0.625 * perMillion // Amazon DynamoDB pricing, on-demand, a write request unit
	tableRead    = 0.125 * perMillion // the same, a read request unit
	tableStorage = 0.25 + 0.20        // the same, a GB-month, with point-in-time recovery

	bucketPut     = 0.005 * perThousand  // Amazon S3 pricing, Standard: PUT, POST, LIST
	bucketGet     = 0.0004 * perThousand // the same: GET, HEAD
	bucketStorage = 0.023                // the same, a GB-month

	busEvent      = 1.00 * perMillion // Amazon EventBridge pricing, opt-in events of AWS services
	scheduleEvent = 1.00 * perMillion // the same, Scheduler invocations
	logGB         = 0.50              // Amazon CloudWatch pricing, logs taken in
	alarmMonth    = 0.10              // the same, an alarm
	metricMonth   = 0.30              // the same, a metric of one's own
	dashMonth     = 3.00              // the same, a dashboard

	internetGB = 0.09 // Amazon EC2 pricing, data transfer out to the internet; within a Region nothing

	ecrStorage = 0.10 // Amazon ECR pricing, a GB-month; requests nothing
)

// price is what something costs, by what is billed.
type price struct {
	calls                               calls
	gateway, lambda, table, bucket, bus float64 // dollars
}

func (p price) total() float64 {
	return p.gateway + p.lambda + p.table + p.bucket + p.bus
}

func (p price) plus(o price) price {
	return price{
		p.calls.plus(o.calls), p.gateway + o.gateway, p.lambda + o.lambda, p.table + o.table, p.bucket + o.bucket, p.bus + o.bus,
	}
}

func (p price) times(n float64) price {
	return price{p.calls.times(n), p.gateway * n, p.lambda * n, p.table * n, p.bucket * n, p.bus * n}
}

// calls counts what is billed by number.
type calls struct {
	requests    float64 // of clients to the registry
	invocations float64 // of functions
	reads       float64 // read request units
	writes      float64 // write request units
	puts, gets  float64 // of the bucket
}

func (c calls) plus(o calls) calls {
	return calls{c.requests + o.requests, c.invocations + o.invocations, c.reads + o.reads, c.writes + o.writes, c.puts + o.puts, c.gets + o.gets}
}

func (c calls) times(n float64) calls {
	return calls{c.requests * n, c.invocations * n, c.reads * n, c.writes * n, c.puts * n, c.gets * n}
}
