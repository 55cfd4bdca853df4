// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// pushes pushes images by so many clients at once and returns how long each push took, and all that failed.
func (b *bench) pushes(ctx context.Context, clients, images int, next func(i int) (repository, tag string, img image)) ([]time.Duration, error) {
	var mu sync.Mutex
	var times []time.Duration
	var errs []error
	work := make(chan int)
	var group sync.WaitGroup
	for range clients {
		group.Go(func() {
			for i := range work {
				repository, tag, img := next(i)
				begin := time.Now()
				err := b.client.push(ctx, repository, tag, img)
				mu.Lock()
				times = append(times, time.Since(begin))
				if err != nil {
					errs = append(errs, err)
				}
				mu.Unlock()
			}
		})
	}
	for i := range images {
		work <- i
	}
	close(work)
	group.Wait()
	if len(errs) > 5 {
		errs = append(errs[:5], fmt.Errorf("and %d more", len(errs)-5))
	}
	return times, errors.Join(errs...)
}

// small pushes many small images by few clients.
func small(ctx context.Context, b *bench) error {
	const clients = 8
	images := 200
	if b.short {
		images = 20
	}
	b.Meter.Reset()
	begin := time.Now()
	times, err := b.pushes(ctx, clients, images, func(i int) (string, string, image) {
		return fmt.Sprintf("small/app%02d", i%20), fmt.Sprintf("v%d", i), newImage(noise(10 << 10))
	})
	took := time.Since(begin)
	_, started := b.Lambda.Processes(b.api)
	fmt.Fprintf(b.out, "%d images (a layer of 10 KiB) by %d clients: %.1f s, %.0f images/s; %d processes\n\n",
		images, clients, took.Seconds(), float64(images)/took.Seconds(), started)
	c := b.Meter.Counts()
	fmt.Fprintf(b.out, "Calls of the table for each image:")
	for _, operation := range slices.Sorted(maps.Keys(c.Calls)) {
		fmt.Fprintf(b.out, " %s %.2f", operation, float64(c.Calls[operation])/float64(images))
	}
	fmt.Fprint(b.out, "\n\n")
	b.table(times)
	return err
}

// crowd is how many clients push at once.
func (b *bench) crowd() int {
	if b.short {
		return 8
	}
	return 50
}

// base are the ten layers that all images share, and image is one of them with a layer of its own.
func base() func() image {
	var layers []blob
	for range 10 {
		layers = append(layers, noise(200<<10))
	}
	return func() image { return newImage(append(slices.Clone(layers), noise(20<<10))...) }
}

// oneRepository has all clients push into one repository, which is new.
func oneRepository(ctx context.Context, b *bench) error {
	return b.contend(ctx, func(int) string { return "crowd/app" })
}

// newRepositories has each client push into a repository of its own, as builds of pull requests do. The base image is in
// another one already.
func newRepositories(ctx context.Context, b *bench) error {
	return b.contend(ctx, func(i int) string { return fmt.Sprintf("crowd/pr%03d", i) })
}

func (b *bench) contend(ctx context.Context, repository func(i int) string) error {
	clients, next := b.crowd(), base()
	if err := b.client.push(ctx, "crowd/base", "latest", next()); err != nil {
		return err
	}
	b.client.taken()
	b.Meter.Reset()
	begin := time.Now()
	times, err := b.pushes(ctx, clients, clients, func(i int) (string, string, image) {
		return repository(i), fmt.Sprintf("v%d", i), next()
	})
	took := time.Since(begin)
	c := b.Meter.Counts()
	fmt.Fprintf(b.out, "%d clients, an image each of ten shared layers and one of its own: %.1f s\n\n", clients, took.Seconds())
	fmt.Fprintf(b.out, "| transactions | sent again | canceled by a conflict | refused by a condition | answers of the gateway's own |\n|---|---|---|---|---|\n")
	g := b.Gateway.Counts()
	fmt.Fprintf(b.out, "| %d | %d | %d | %d | %d |\n\n", c.Transactions, c.Repeated, c.Conflicts, c.Refused, g.Throttled+g.Failed+g.Late+g.TooLarge)
	b.table(times)
	return err
}

// table prints how long pushes and their requests took.
func (b *bench) table(pushes []time.Duration) {
	fmt.Fprintf(b.out, "| ms | n | median | p99 | most |\n|---|---|---|---|---|\n")
	for _, row := range []struct {
		name  string
		times []time.Duration
	}{{"push of an image", pushes}, {"request", b.client.taken()}} {
		fmt.Fprintf(b.out, "| %s | %d | %s | %s | %s |\n", row.name, len(row.times),
			ms(quantile(row.times, 0.5)), ms(quantile(row.times, 0.99)), ms(quantile(row.times, 1)))
	}
}

// quantile is the time that a part p of the times does not exceed.
func quantile(times []time.Duration, p float64) time.Duration {
	if len(times) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(times))
	return sorted[min(len(sorted)-1, int(p*float64(len(sorted))))]
}

func ms(d time.Duration) string { return fmt.Sprintf("%.1f", float64(d)/float64(time.Millisecond)) }
