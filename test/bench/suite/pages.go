// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"syscall"

	"tare/test/bench/load"
	"tare/test/bench/report"
)

const pageSize = 100

// samePage is how much slower a page counts as equally fast, given that two measurements of one thing differ.
const samePage = 1.15

func pagesSection(size Size) Section {
	few := report.Metric{Name: fmt.Sprintf("page of %d out of %d tags, median", pageSize, size.FewTags), Unit: "ms", Less: true}
	many := report.Metric{Name: fmt.Sprintf("page of %d out of %d tags, median", pageSize, size.ManyTags), Unit: "ms", Less: true}
	return Section{
		Name: "pages",
		About: fmt.Sprintf("One client lists %d tags after a tag somewhere in the middle, %d times in each of two repositories, in %d alternating blocks on one start of the registry. [min–max] is over the blocks.",
			pageSize, size.PageRequests, size.PageBlocks),
		Targets: []report.Target{{
			Text:  fmt.Sprintf("a tag page of %d out of %d as fast as out of %d (at most %.2f times its time)", pageSize, size.ManyTags, size.FewTags, samePage),
			Judge: report.Holds(many, few, samePage),
		}},
		maxRounds: 1,
		visit: func(ctx context.Context, v *visit) error {
			repositories := []listing{{"pages/few", size.FewTags, few}}
			if v.role == report.Subject {
				repositories = append(repositories, listing{"pages/many", size.ManyTags, many})
			} else {
				v.results.Note("Rivals have only the repository of %d tags: at their rate of tags it would take them minutes, or hours, to fill the other.", size.FewTags)
			}
			for _, l := range repositories {
				if err := v.fill(ctx, l); err != nil {
					return err
				}
			}
			return v.with(ctx, func(conn *load.Conn) error { return v.list(ctx, conn, repositories, size) })
		},
	}
}

// listing is a repository whose tags are listed.
type listing struct {
	repository string
	tags       int
	metric     report.Metric
}

func (v *visit) fill(ctx context.Context, l listing) error {
	image := load.Smallest()
	err := v.with(ctx, func(conn *load.Conn) error { return conn.PushImage(l.repository, tagName(0), image, load.PUT) })
	if err != nil {
		return err
	}
	return v.prepare(ctx, l.tags-1, func(conn *load.Conn, i int) error {
		return conn.PushManifest(l.repository, tagName(i+1), image.Manifest)
	})
}

func (v *visit) list(ctx context.Context, conn *load.Conn, listings []listing, size Size) error {
	syscall.Sync()
	for _, l := range listings {
		if err := v.checkPage(conn, l); err != nil {
			return err
		}
	}
	for block := range size.PageBlocks {
		for _, l := range listings {
			requests := v.pages(l, size.PageRequests)
			result, err := load.Plan{Clients: 1, Operations: len(requests)}.Run(ctx, v.Addr, func(conn *load.Conn, i int) error {
				_, err := conn.Expect(requests[i], 200, -1)
				return err
			})
			if err != nil {
				return err
			}
			if result.FirstError != nil {
				return result.FirstError
			}
			v.results.Record(l.metric, v.Name, block, milliseconds(result.Quantile(0.5)))
		}
	}
	return nil
}

// pages lays out requests for full pages all over the repository.
func (v *visit) pages(l listing, count int) []*load.Request {
	requests := make([]*load.Request, count)
	for i := range requests {
		requests[i] = v.page(l, i*(l.tags-pageSize)/count)
	}
	return requests
}

// page lays out the request for the page after tag i.
func (v *visit) page(l listing, i int) *load.Request {
	target := fmt.Sprintf("/v2/%s/tags/list?n=%d&last=%s", l.repository, pageSize, tagName(i))
	return load.NewRequest(v.Addr, "GET", target, nil)
}

// checkPage compares one page, name by name.
func (v *visit) checkPage(conn *load.Conn, l listing) error {
	middle := (l.tags - pageSize) / 2
	var body bytes.Buffer
	if _, err := conn.Fetch(v.page(l, middle), 200, &body); err != nil {
		return err
	}
	var got struct{ Tags []string }
	if err := json.Unmarshal(body.Bytes(), &got); err != nil {
		return fmt.Errorf("tags of %s: %w", l.repository, err)
	}
	want := make([]string, pageSize)
	for i := range want {
		want[i] = tagName(middle + 1 + i)
	}
	if !slices.Equal(got.Tags, want) {
		return fmt.Errorf("tags of %s after %s: %d names, which are not the %d that follow", l.repository, tagName(middle), len(got.Tags), pageSize)
	}
	return nil
}
