// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"fmt"

	"tare/test/bench/load"
	"tare/test/bench/report"
)

const (
	smallLayers = 3
	smallLayer  = 16 << 10
)

func imagesSection(size Size) Section {
	var targets []report.Target
	for _, way := range ways(0) {
		targets = append(targets, report.Target{
			Text:  fmt.Sprintf("small images, %s way: more a second than every rival", way),
			Judge: report.BeatsRivals(throughput(string(way), "images")),
		})
	}
	return Section{
		Name: "images",
		About: fmt.Sprintf("%d images of one config and %d layers of 16 KiB, all content unique, %d clients, %d repositories. For each blob HEAD, POST and PUT, or HEAD, POST, PATCH and PUT; then the manifest.",
			size.Images, smallLayers, clients, clients),
		Targets: targets,
		visit: func(ctx context.Context, v *visit) error {
			for _, way := range ways(v.round) {
				if err := v.images(ctx, way, size.Images); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// images pushes one image a client to warm up, and then count images.
func (v *visit) images(ctx context.Context, way load.Way, count int) error {
	images := make([]load.Image, clients+count)
	for i := range images {
		images[i] = v.source.Image(smallLayers, smallLayer)
	}
	push := func(conn *load.Conn, i int) error {
		return conn.PushImage(imageRepository(way, i), fmt.Sprintf("build-%d", i), images[i], way)
	}
	if err := v.prepare(ctx, clients, push); err != nil {
		return err
	}
	result, err := v.run(ctx, string(way), load.Plan{Clients: clients, Operations: count}, func(conn *load.Conn, i int) error {
		return push(conn, clients+i)
	})
	if err != nil {
		return err
	}
	v.record(throughput(string(way), "images"), result.Rate())
	v.record(latency(string(way), "p50"), milliseconds(result.Quantile(0.5)))
	v.record(latency(string(way), "p99"), milliseconds(result.Quantile(0.99)))
	if result.Errors > 0 {
		return nil
	}
	return v.with(ctx, func(conn *load.Conn) error {
		for i := 0; i < len(images); i += max(1, len(images)/clients) {
			if err := conn.CheckImage(imageRepository(way, i), fmt.Sprintf("build-%d", i), images[i]); err != nil {
				return err
			}
		}
		return nil
	})
}

func imageRepository(way load.Way, i int) string {
	suffix := "put"
	if way == load.PATCH {
		suffix = "patch"
	}
	return fmt.Sprintf("images/%s-%d", suffix, i%clients)
}
