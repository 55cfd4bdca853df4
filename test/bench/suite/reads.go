// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"context"
	"fmt"

	"tare/test/bench/load"
	"tare/test/bench/report"
)

const (
	getBase      = "GET /v2/"
	getManifest  = "GET manifest by tag"
	headManifest = "HEAD manifest by tag"
	getBlob      = "GET blob of 16 KiB"
	headBlob     = "HEAD blob of 16 KiB"
)

func readsSection(size Size) Section {
	var targets []report.Target
	for _, what := range []string{getManifest, headManifest} {
		targets = append(targets,
			report.Target{Text: what + ": at least 1.5 times the best rival", Judge: report.TimesRivals(throughput(what, "requests"), 1.5)},
			report.Target{Text: what + ": lower p99 than every rival", Judge: report.BeatsRivals(latency(what, "p99"))})
	}
	targets = append(targets, report.Target{Text: getBlob + ": more a second than every rival", Judge: report.BeatsRivals(throughput(getBlob, "requests"))})
	return Section{
		Name: "reads",
		About: fmt.Sprintf("%d images in one repository, read round and round by %d clients for %s each. %s reads nothing: beside the yardstick's it shows what client and HTTP leave room for. The yardstick serves files by path.",
			size.ReadImages, clients, size.ReadTime, getBase),
		Targets:   targets,
		yardstick: true,
		visit: func(ctx context.Context, v *visit) error {
			return v.reads(ctx, size)
		},
	}
}

// read is a request that has one right answer, by status 200 and length; a negative length allows every length.
type read struct {
	request *load.Request
	length  int64
}

func (v *visit) reads(ctx context.Context, size Size) error {
	const repository = "reads/one"
	images := make([]load.Image, size.ReadImages)
	for i := range images {
		images[i] = v.source.Image(smallLayers, smallLayer)
	}
	err := v.prepare(ctx, len(images), func(conn *load.Conn, i int) error {
		return conn.PushImage(repository, tagName(i), images[i], load.PUT)
	})
	if err != nil {
		return err
	}
	err = v.with(ctx, func(conn *load.Conn) error { return conn.CheckImage(repository, tagName(0), images[0]) })
	if err != nil {
		return err
	}
	kinds := map[string][]read{getBase: {{load.NewRequest(v.Addr, "GET", "/v2/", nil), -1}}}
	for i, image := range images {
		length := int64(len(image.Manifest.Bytes))
		kinds[getManifest] = append(kinds[getManifest], read{load.ManifestRequest(v.Addr, "GET", repository, tagName(i)), length})
		kinds[headManifest] = append(kinds[headManifest], read{load.ManifestRequest(v.Addr, "HEAD", repository, tagName(i)), length})
		for _, layer := range image.Layers {
			kinds[getBlob] = append(kinds[getBlob], read{load.BlobRequest(v.Addr, "GET", repository, layer), smallLayer})
			kinds[headBlob] = append(kinds[headBlob], read{load.BlobRequest(v.Addr, "HEAD", repository, layer), smallLayer})
		}
	}
	for _, what := range []string{getBase, getManifest, headManifest, getBlob, headBlob} {
		if err := v.readAll(ctx, what, kinds[what], size); err != nil {
			return err
		}
	}
	return nil
}

func (v *visit) readAll(ctx context.Context, what string, reads []read, size Size) error {
	plan := load.Plan{Clients: clients, Limit: size.ReadTime}
	result, err := v.run(ctx, what, plan, func(conn *load.Conn, i int) error {
		r := reads[i%len(reads)]
		_, err := conn.Expect(r.request, 200, r.length)
		return err
	})
	if err != nil {
		return err
	}
	v.record(throughput(what, "requests"), result.Rate())
	v.record(latency(what, "p50"), milliseconds(result.Quantile(0.5)))
	v.record(latency(what, "p99"), milliseconds(result.Quantile(0.99)))
	return nil
}
