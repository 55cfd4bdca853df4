// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"

	"tare/test/bench/load"
	"tare/test/bench/report"
	"tare/test/bench/server"
)

const (
	mebibyte = 1 << 20
	// layerReads is how often a visit pulls the layer: the median of three is recorded.
	layerReads = 3
	// memoryTarget is what eight large pushes at once may keep resident.
	memoryTarget = 128
)

func megabytes(what string) report.Metric {
	return report.Metric{Name: what, Unit: "MB/s"}
}

func layerSection(size Size) Section {
	var targets []report.Target
	for _, way := range ways(0) {
		targets = append(targets,
			report.Target{Text: fmt.Sprintf("one large layer, %s: faster than every rival", way), Judge: report.BeatsRivals(megabytes(string(way)))},
			report.Target{Text: fmt.Sprintf("one large layer, %s: at least 0.9 of the bare handler", way), Judge: report.TimesYardstick(megabytes(string(way)), 0.9)})
	}
	return Section{
		Name: "layer",
		About: fmt.Sprintf("One layer of %s, one client, from memory, not compressible. From the POST to the last 201; then GET, warm. 1 MB is 10^6 bytes. The yardstick only reads, hashes, writes and syncs.",
			bytesOf(int64(size.LayerBytes))),
		Targets:   targets,
		yardstick: true,
		visit: func(ctx context.Context, v *visit) error {
			content := v.source.Bytes(size.LayerBytes)
			var blob load.Blob
			for i, way := range ways(v.round) {
				// A stamp makes it another blob, without the cost of new random bytes.
				binary.LittleEndian.PutUint64(content, uint64(i))
				blob = load.NewBlob(content)
				if err := v.pushLayer(ctx, blob, way); err != nil {
					return err
				}
			}
			return v.pullLayer(ctx, blob)
		},
	}
}

const layerRepository = "layer/one"

func (v *visit) pushLayer(ctx context.Context, blob load.Blob, way load.Way) error {
	plan := load.Plan{Clients: 1, Operations: 1}
	result, err := v.run(ctx, string(way), plan, func(conn *load.Conn, _ int) error {
		return conn.PushBlob(layerRepository, blob, way)
	})
	if err != nil {
		return err
	}
	v.record(megabytes(string(way)), float64(len(blob.Bytes))/1e6/result.Quantile(0.5).Seconds())
	return nil
}

func (v *visit) pullLayer(ctx context.Context, blob load.Blob) error {
	err := v.with(ctx, func(conn *load.Conn) error { return conn.CheckBlob(layerRepository, blob) })
	if err != nil {
		return err
	}
	req := load.BlobRequest(v.Addr, "GET", layerRepository, blob)
	plan := load.Plan{Clients: 1, Operations: layerReads}
	result, err := v.run(ctx, "GET", plan, func(conn *load.Conn, _ int) error {
		_, err := conn.Expect(req, 200, int64(len(blob.Bytes)))
		return err
	})
	if err != nil {
		return err
	}
	v.record(megabytes("GET"), float64(len(blob.Bytes))/1e6/result.Quantile(0.5).Seconds())
	return nil
}

func memorySection(size Size) Section {
	peak := report.Metric{Name: "peak resident memory (VmHWM)", Unit: "MiB", Less: true}
	return Section{
		Name: "memory",
		About: fmt.Sprintf("%d pushes of %s at once, each with one chunked PATCH. The peak is the kernel's, and counts pages of mapped files; heap and stacks (RssAnon) and file pages (RssFile) are the highest of fifty readings a second.",
			size.Streams, bytesOf(size.StreamBytes)),
		Targets: []report.Target{{
			Text:  fmt.Sprintf("%d pushes of %s at once: resident memory under %d MiB", size.Streams, bytesOf(size.StreamBytes), memoryTarget),
			Judge: report.AtMost(peak, memoryTarget),
		}},
		maxRounds: 1,
		visit: func(ctx context.Context, v *visit) error {
			watch, stop := context.WithCancel(ctx)
			defer stop()
			var memory server.Memory
			var watchErr error
			var watcher sync.WaitGroup
			watcher.Go(func() { memory, watchErr = v.Watch(watch) })
			err := v.streams(ctx, size)
			stop()
			watcher.Wait()
			if err := errors.Join(err, watchErr); err != nil {
				return err
			}
			v.record(peak, float64(memory.Peak)/mebibyte)
			v.record(report.Metric{Name: "heap and stacks (RssAnon)", Unit: "MiB", Less: true}, float64(memory.Anonymous)/mebibyte)
			v.record(report.Metric{Name: "file pages (RssFile)", Unit: "MiB", Less: true}, float64(memory.Files)/mebibyte)
			return nil
		},
	}
}

func (v *visit) streams(ctx context.Context, size Size) error {
	streams := make([]*load.Stream, size.Streams)
	for i := range streams {
		streams[i] = v.source.Stream(size.StreamBytes)
	}
	syscall.Sync()
	start := time.Now()
	plan := load.Plan{Clients: size.Streams, Operations: size.Streams}
	result, err := plan.Run(ctx, v.Addr, func(conn *load.Conn, i int) error {
		return conn.PushStream(fmt.Sprintf("memory/r%d", i), streams[i])
	})
	if err := errors.Join(err, result.FirstError); err != nil {
		return err
	}
	v.record(megabytes("all pushes together"), float64(size.StreamBytes)*float64(size.Streams)/1e6/time.Since(start).Seconds())
	return nil
}
