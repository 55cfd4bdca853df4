// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
)

// S3's limits of a multipart upload (User Guide, "multipart upload limits", 2026-11).
const (
	maxParts  = 10_000
	leastPart = 5 << 20
)

// manyParts opens an upload of as many parts as there can be, brings the last, and opens one that would have more.
func (p *patient) manyParts(ctx context.Context) (Finding, error) {
	if !p.direct {
		return notDirect()
	}
	last := bytesOf(1000)
	size := int64(maxParts-1)*leastPart + int64(len(last))
	a, s, err := p.wide(ctx, size)
	if err != nil {
		return Finding{}, err
	}
	if a.status == http.StatusRequestEntityTooLarge || a.status == http.StatusInsufficientStorage {
		return skipped("blobs of %d GiB are too large here: status %d", size>>30, a.status), nil
	}
	if a.status != http.StatusCreated || s.Parts != maxParts || s.PartSize != leastPart {
		return failed(fmt.Sprintf("opening: %d parts of %d bytes; %v", s.Parts, s.PartSize, a), storeMeans, seeLog), nil
	}
	if f, err := p.lastPart(ctx, s, last); err != nil || f.Result == Failed {
		return f, err
	}
	a, more, err := p.wide(ctx, int64(maxParts+1)*leastPart)
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusCreated || more.Parts > maxParts || more.PartSize <= leastPart {
		return failed(fmt.Sprintf("opening %d parts of 5 MiB: %d of %d bytes; %v", maxParts+1, more.Parts, more.PartSize, a),
			"the largest blobs cannot be pushed: the store takes 10,000 parts", seeLog), nil
	}
	for _, id := range []string{s.ID, more.ID} {
		if a, _, err = p.ask(ctx, http.MethodDelete, "/"+id, map[string]any{}); err != nil {
			return Finding{}, err
		}
	}
	return passed("the store takes part %d; one more makes larger parts", maxParts), nil
}

// wide opens an upload of parts as small as they can be, for content that never comes.
func (p *patient) wide(ctx context.Context, size int64) (answer, state, error) {
	return p.ask(ctx, http.MethodPost, "", map[string]any{"digest": digestOf(bytesOf(32)), "size": size, "parts": true, "partSize": leastPart})
}

// lastPart brings the part with the highest number that there can be, and asks for one that there cannot.
func (p *patient) lastPart(ctx context.Context, s state, last []byte) (Finding, error) {
	for _, number := range []int{maxParts + 1, maxParts} {
		body, err := json.Marshal(map[string]any{"parts": []map[string]any{{"number": number, "size": len(last), "digest": digestOf(last)}}})
		if err != nil {
			return Finding{}, err
		}
		a, err := p.do(ctx, request{method: http.MethodPost, path: p.in("_tare/v1/uploads/%s/urls", s.ID), body: body, header: map[string]string{"Content-Type": "application/json"}})
		if err != nil {
			return Finding{}, err
		}
		if number > maxParts {
			if a.status != http.StatusBadRequest {
				return failed(fmt.Sprintf("a URL for part %d: %v", number, a), "what the store will refuse is asked for", seeLog), nil
			}
			continue
		}
		var got struct{ URLs []signed }
		if a.status != http.StatusOK || json.Unmarshal(a.body, &got) != nil || len(got.URLs) != 1 {
			return failed(fmt.Sprintf("a URL for part %d: status %d", number, a.status), storeMeans, seeLog), nil
		}
		if a, err = p.give(ctx, got.URLs[0], last); err != nil {
			return Finding{}, err
		}
		if a.status != http.StatusOK {
			return failed(fmt.Sprintf("part %d: %v", number, a), "the largest blobs cannot be pushed: the store takes fewer parts than S3", seeLog), nil
		}
	}
	return Finding{Result: Passed}, nil
}
