// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"time"

	"tare/internal/direct"
	"tare/internal/oci"
)

// part gives the bytes of one.
func (s state) part(content []byte, number int) []byte {
	return content[(number-1)*s.PartSize : min(number*s.PartSize, len(content))]
}

// urls has parts signed.
func (p *patient) urls(ctx context.Context, s state, content []byte, numbers ...int) (answer, []signed, error) {
	type wanted struct {
		Number int    `json:"number"`
		Size   int    `json:"size"`
		Digest string `json:"digest"`
	}
	var ask struct {
		Parts []wanted `json:"parts"`
	}
	for _, n := range numbers {
		b := s.part(content, n)
		ask.Parts = append(ask.Parts, wanted{n, len(b), digestOf(b)})
	}
	body, err := json.Marshal(ask)
	if err != nil {
		return answer{}, nil, err
	}
	a, err := p.do(ctx, request{method: http.MethodPost, path: p.in("_tare/v1/uploads/%s/urls", s.ID), body: body, header: map[string]string{"Content-Type": "application/json"}})
	var got struct{ URLs []signed }
	if err == nil && a.status == http.StatusOK {
		err = json.Unmarshal(a.body, &got)
	}
	if err == nil && a.status == http.StatusOK && len(got.URLs) != len(numbers) {
		err = fmt.Errorf("%d URLs for %d parts", len(got.URLs), len(numbers))
	}
	return a, got.URLs, err
}

// twoParts opens an upload of two parts: the least that S3 takes is 5 MiB for the first.
func (p *patient) twoParts(ctx context.Context) (content []byte, s state, a answer, err error) {
	content = bytesOf(5<<20 + 100<<10)
	p.blobs[digestOf(content)] = true
	a, s, err = p.ask(ctx, http.MethodPost, "", map[string]any{"digest": digestOf(content), "size": len(content), "parts": true, "partSize": 5 << 20})
	return content, s, a, err
}

// settleTime is how long a verification may take before it is a failure.
const settleTime = 5 * time.Minute

// directParts brings parts, the last first and one wrong, and measures how long it takes until the blob is there.
func (p *patient) directParts(ctx context.Context) (Finding, error) {
	if !p.direct {
		return notDirect()
	}
	content, s, a, err := p.twoParts(ctx)
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusCreated || s.Parts != 2 || s.PartSize < 5<<20 {
		return failed("opening: "+a.String(), storeMeans, seeLog), nil
	}
	a, urls, err := p.urls(ctx, s, content, 2, 1)
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusOK {
		return failed("signing: "+a.String(), storeMeans, seeLog), nil
	}
	if a, err = p.give(ctx, urls[0], s.part(content, 2)); err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusOK {
		return failed("part 2, before part 1: "+a.String(), storeMeans, "See the function's permission to put objects."), nil
	}
	if a, _, err = p.ask(ctx, http.MethodPost, "/"+s.ID+"/complete", map[string]any{}); err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusBadRequest {
		return failed("complete without part 1: "+a.String(), "an upload that is not whole is taken for one that is", seeLog), nil
	}
	other, bare := bytesOf(s.PartSize), urls[1]
	bare.Headers = maps.Clone(bare.Headers)
	maps.DeleteFunc(bare.Headers, func(name, _ string) bool { return strings.HasPrefix(strings.ToLower(name), "x-amz-checksum-") })
	for name, put := range map[string]signed{"another body": urls[1], "another body without the checksum": bare} {
		if a, err = p.give(ctx, put, other); err != nil {
			return Finding{}, err
		}
		if a.status < 400 || a.status > 499 {
			return failed("part 1 with "+name+": "+a.String(), trustsMeans, trustsChange), nil
		}
	}
	if a, err = p.give(ctx, urls[1], s.part(content, 1)); err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusOK {
		return failed("part 1: "+a.String(), storeMeans, seeLog), nil
	}
	return p.settle(ctx, s, content)
}

// settle completes an upload and waits until the blob is verified.
func (p *patient) settle(ctx context.Context, s state, content []byte) (Finding, error) {
	begin := p.o.Clock.Now()
	a, now, err := p.ask(ctx, http.MethodPost, "/"+s.ID+"/complete", map[string]any{})
	for err == nil && a.has(http.StatusOK, http.StatusAccepted) && now.State == "verifying" {
		if p.o.Clock.Now().Sub(begin) > settleTime {
			return failed(fmt.Sprintf("not verified after %v", settleTime), "large blobs are not there after a push",
				"See the log of functions/finalize, its failure queue, the function's permission to invoke it, and the bucket's events."), nil
		}
		if err = p.o.Clock.Pause(ctx, 200*time.Millisecond); err != nil {
			break
		}
		a, now, err = p.ask(ctx, http.MethodGet, "/"+s.ID, map[string]any{})
	}
	if err != nil {
		return Finding{}, err
	}
	if !a.has(http.StatusOK, http.StatusCreated) || now.State != "done" {
		return failed("complete: "+a.String(), storeMeans, seeLog), nil
	}
	took := p.o.Clock.Now().Sub(begin).Round(time.Millisecond)
	return p.there(ctx, content, fmt.Sprintf("parts in any order; a wrong one is refused; verified %v after complete", took))
}

// directAbort gives an upload up, and uses it afterwards.
func (p *patient) directAbort(ctx context.Context) (Finding, error) {
	if !p.direct {
		return notDirect()
	}
	content, s, a, err := p.twoParts(ctx)
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusCreated {
		return failed("opening: "+a.String(), storeMeans, seeLog), nil
	}
	if a, _, err = p.ask(ctx, http.MethodDelete, "/"+s.ID, map[string]any{}); err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusNoContent {
		return failed("giving up: "+a.String(), "parts of uploads that were given up stay until the sweep", seeLog), nil
	}
	if a, _, err = p.urls(ctx, s, content, 1); err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusNotFound {
		return failed("URLs afterwards: "+a.String(), "an upload that was given up goes on", seeLog), nil
	}
	if a, _, err = p.ask(ctx, http.MethodPost, "/"+s.ID+"/complete", map[string]any{}); err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusNotFound {
		return failed("complete afterwards: "+a.String(), "an upload that was given up goes on", seeLog), nil
	}
	return passed("given up, and nothing goes on"), nil
}

// directClient pushes as Tare's own clients do: by the package direct, parts side by side, in chunks that it chooses.
func (p *patient) directClient(ctx context.Context) (Finding, error) {
	if !p.direct {
		return notDirect()
	}
	content := bytesOf(6 << 20)
	p.blobs[digestOf(content)] = true
	client, err := direct.New(p.base.String(), direct.Options{
		Registry: p.http, Store: p.http, Clock: p.o.Clock, PartsFrom: 1, PartSize: 5 << 20, Tries: 3,
		Authorize: func(r *http.Request) error {
			if p.o.User != "" {
				r.SetBasicAuth(p.o.User, p.o.Password)
			}
			return nil
		},
	})
	if err != nil {
		return Finding{}, err
	}
	begin := p.o.Clock.Now()
	blob := direct.Blob{Digest: oci.Digest(digestOf(content)), Size: int64(len(content)), Content: bytes.NewReader(content)}
	if err := client.Push(ctx, oci.Repository(p.repo), blob); err != nil {
		return failed(err.Error(), storeMeans, seeLog), nil
	}
	return p.there(ctx, content, fmt.Sprintf("6 MiB in %v", p.o.Clock.Now().Sub(begin).Round(time.Millisecond)))
}
