// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"fmt"
	"time"

	"tare/test/bench/report"
)

// Size is how much work the sections do.
type Size struct {
	Images       int
	Tags         int
	TagLimit     time.Duration // a registry that is not done by then is cut off
	Repositories int
	ReadImages   int
	ReadTime     time.Duration // for each kind of read
	LayerBytes   int
	FewTags      int
	ManyTags     int
	PageRequests int // of each repository, in a block
	PageBlocks   int
	Streams      int
	StreamBytes  int64
}

// Full is the size that the targets speak of.
func Full() Size {
	return Size{
		Images:       400,
		Tags:         10_000,
		TagLimit:     90 * time.Second,
		Repositories: 2_000,
		ReadImages:   64,
		ReadTime:     3 * time.Second,
		LayerBytes:   256 << 20,
		FewTags:      1_000,
		ManyTags:     100_000,
		PageRequests: 200,
		PageBlocks:   7,
		Streams:      8,
		StreamBytes:  1 << 30,
	}
}

// Short is a size for a look, or for a machine that only shows that everything still runs.
func Short() Size {
	return Size{
		Images:       64,
		Tags:         1_000,
		TagLimit:     10 * time.Second,
		Repositories: 200,
		ReadImages:   16,
		ReadTime:     300 * time.Millisecond,
		LayerBytes:   32 << 20,
		FewTags:      200,
		ManyTags:     2_000,
		PageRequests: 50,
		PageBlocks:   3,
		Streams:      8,
		StreamBytes:  32 << 20,
	}
}

// Sections is every section, in the order in which they run.
func Sections(size Size) []Section {
	return []Section{
		imagesSection(size),
		tagsSection(size),
		distinctTagsSection(size),
		repositoriesSection(size),
		readsSection(size),
		layerSection(size),
		pagesSection(size),
		memorySection(size),
	}
}

// throughput and latency are the metrics of most sections.
func throughput(what, unit string) report.Metric {
	return report.Metric{Name: what, Unit: unit + "/s"}
}

func latency(what, quantile string) report.Metric {
	return report.Metric{Name: what + " " + quantile, Unit: "ms", Less: true}
}

func bytesOf(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}
