// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// coldBound is how long functions/api may take from exec to its first answered HEAD of a manifest.
const coldBound = 25 * time.Millisecond

// start measures HEAD of a manifest by tag: by a process that has to be started for it, and by one that waits.
func start(ctx context.Context, b *bench) error {
	rounds, warm := 40, 1000
	if b.short {
		rounds, warm = 5, 50
	}
	if err := b.client.push(ctx, "start/app", "v1", newImage(noise(10<<10))); err != nil {
		return err
	}
	head := func() error {
		_, err := b.client.do(ctx, http.MethodHead, "/v2/start/app/manifests/v1", nil, "", http.StatusOK)
		return err
	}
	var cold, init []time.Duration
	for range rounds {
		if err := b.Lambda.Retire(b.api); err != nil {
			return err
		}
		b.results.take()
		if err := head(); err != nil {
			return err
		}
		for _, r := range b.results.take() {
			if r.Init > 0 {
				cold, init = append(cold, r.Init+r.Took), append(init, r.Init)
			}
		}
	}
	if len(cold) != rounds {
		return fmt.Errorf("%d of %d processes were cold", len(cold), rounds)
	}
	b.client.taken()
	b.results.take()
	for range warm {
		if err := head(); err != nil {
			return err
		}
	}
	var took []time.Duration
	for _, r := range b.results.take() {
		took = append(took, r.Took)
	}
	fmt.Fprintf(b.out, "| HEAD of a manifest by tag, ms | n | median | p99 | most |\n|---|---|---|---|---|\n")
	for _, row := range []struct {
		name  string
		times []time.Duration
	}{
		{"cold: exec to the first question for an event", init},
		{"cold: exec to the answer", cold},
		{"warm: event to answer", took},
		{"warm: the client's request, through the HTTP API", b.client.taken()},
	} {
		fmt.Fprintf(b.out, "| %s | %d | %s | %s | %s |\n", row.name, len(row.times),
			ms(quantile(row.times, 0.5)), ms(quantile(row.times, 0.99)), ms(quantile(row.times, 1)))
	}
	if median := quantile(cold, 0.5); median > coldBound {
		return fmt.Errorf("a cold start takes %v, more than %v", median, coldBound)
	}
	return nil
}
