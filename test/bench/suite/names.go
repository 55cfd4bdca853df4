// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"fmt"

	"tare/test/bench/load"
	"tare/test/bench/report"
)

var (
	tagRate      = throughput("tags", "tags")
	firstTagRate = throughput("the first tenth", "tags")
	lastTagRate  = throughput("the last tenth", "tags")
	tagsMade     = report.Metric{Name: "tags made within the limit", Unit: "tags"}
)

// asFast is what counts as equally fast, given that two measurements of one thing differ.
const asFast = 0.9

func tagsSection(size Size) Section {
	return Section{
		Name: "tags",
		About: fmt.Sprintf("%d tags on one manifest in one repository, %d clients, cut off after %s. One tag is one manifest PUT.",
			size.Tags, clients, size.TagLimit),
		Targets: []report.Target{
			{Text: "at least 2,000 tags a second", Judge: report.AtLeast(tagRate, 2000)},
			{Text: fmt.Sprintf("the last tenth as fast as the first (at least %.1f of it)", asFast), Judge: report.Holds(lastTagRate, firstTagRate, asFast)},
		},
		maxRounds: 3,
		visit: func(ctx context.Context, v *visit) error {
			image := v.source.Image(1, smallLayer)
			return v.tags(ctx, size, image, func(int) load.Blob { return image.Manifest })
		},
	}
}

func distinctTagsSection(size Size) Section {
	return Section{
		Name: "tags-distinct",
		About: fmt.Sprintf("As tags, but each tag gets a manifest of its own, which shares its blobs with the others: %d tags, %d clients, cut off after %s.",
			size.Tags, clients, size.TagLimit),
		maxRounds: 1,
		visit: func(ctx context.Context, v *visit) error {
			image := v.source.Image(1, smallLayer)
			manifests := make([]load.Blob, size.Tags)
			for i := range manifests {
				manifests[i] = image.Annotated(tagName(i)).Manifest
			}
			return v.tags(ctx, size, image, func(i int) load.Blob { return manifests[i] })
		},
	}
}

func tagName(i int) string { return fmt.Sprintf("build-%06d", i) }

// tags pushes image, and then manifest(i) under tag i.
func (v *visit) tags(ctx context.Context, size Size, image load.Image, manifest func(i int) load.Blob) error {
	const repository = "tags/one"
	err := v.with(ctx, func(conn *load.Conn) error { return conn.PushImage(repository, "first", image, load.PUT) })
	if err != nil {
		return err
	}
	plan := load.Plan{Clients: clients, Operations: size.Tags, Limit: size.TagLimit}
	result, err := v.run(ctx, "tags", plan, func(conn *load.Conn, i int) error {
		return conn.PushManifest(repository, tagName(i), manifest(i))
	})
	if err != nil {
		return err
	}
	v.record(tagsMade, float64(len(result.Operations)))
	v.record(tagRate, result.Rate())
	v.record(firstTagRate, result.First(size.Tags/10))
	v.record(lastTagRate, result.Last(size.Tags/10))
	v.record(latency("tag", "p50"), milliseconds(result.Quantile(0.5)))
	v.record(latency("tag", "p99"), milliseconds(result.Quantile(0.99)))
	if result.Errors > 0 {
		return nil
	}
	// What was begun is done and without error, so these tags are there.
	return v.with(ctx, func(conn *load.Conn) error {
		for i := 0; i < len(result.Operations); i += max(1, len(result.Operations)/clients) {
			req := load.ManifestRequest(v.Addr, "HEAD", repository, tagName(i))
			if _, err := conn.Expect(req, 200, int64(len(manifest(i).Bytes))); err != nil {
				return err
			}
		}
		return nil
	})
}

func repositoriesSection(size Size) Section {
	rate := throughput("repositories", "repositories")
	return Section{
		Name: "repositories",
		About: fmt.Sprintf("%d repositories, %d clients, the smallest push into each: POST and PUT of a blob of two bytes, the same everywhere, and a manifest that names it.",
			size.Repositories, clients),
		Targets: []report.Target{{Text: "more repositories a second than every rival", Judge: report.BeatsRivals(rate)}},
		visit: func(ctx context.Context, v *visit) error {
			image := load.Smallest()
			plan := load.Plan{Clients: clients, Operations: size.Repositories}
			result, err := v.run(ctx, "repositories", plan, func(conn *load.Conn, i int) error {
				repository := fmt.Sprintf("repositories/r%05d", i)
				if err := conn.PushBlob(repository, image.Config, load.PUT); err != nil {
					return err
				}
				return conn.PushManifest(repository, "latest", image.Manifest)
			})
			if err != nil {
				return err
			}
			v.record(rate, result.Rate())
			v.record(latency("push", "p50"), milliseconds(result.Quantile(0.5)))
			v.record(latency("push", "p99"), milliseconds(result.Quantile(0.99)))
			return v.with(ctx, func(conn *load.Conn) error {
				return conn.CheckImage("repositories/r00000", "latest", image)
			})
		},
	}
}
