// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// eventTime is how long an event of the store may be on its way. S3's come within seconds, and can take a minute or longer
// (S3 User Guide, "Amazon S3 Event Notifications", 2026-11).
const eventTime = 3 * time.Minute

// event completes an upload so that nobody is asked to verify it: the store's own event has to see to that, as it must where
// the function ended before it could ask. It measures how long that takes.
func (p *patient) event(ctx context.Context) (Finding, error) {
	if !p.direct {
		return notDirect()
	}
	content := bytesOf(100 << 10)
	a, s, err := p.openDirect(ctx, content, true)
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusCreated || s.Parts != 1 {
		return failed("opening: "+a.String(), storeMeans, seeLog), nil
	}
	a, urls, err := p.urls(ctx, s, content, 1)
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusOK {
		return failed("signing: "+a.String(), storeMeans, seeLog), nil
	}
	if a, err = p.give(ctx, urls[0], content); err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusOK {
		return failed("the part: "+a.String(), storeMeans, seeLog), nil
	}
	begin := p.o.Clock.Now()
	a, now, err := p.ask(ctx, http.MethodPost, "/"+s.ID+"/complete?wait=event", map[string]any{})
	if err == nil && a.status == http.StatusCreated && now.State == "done" {
		return skipped("the registry verified the blob itself, in the request that completed it"), nil
	}
	if err == nil && a.status == http.StatusBadRequest {
		return skipped("the registry knows no wait=event: it is older than this program"), nil
	}
	for err == nil && a.has(http.StatusOK, http.StatusAccepted) && now.State == "verifying" {
		if p.o.Clock.Now().Sub(begin) > eventTime {
			return p.withoutEvent(ctx, s)
		}
		if err = p.o.Clock.Pause(ctx, 200*time.Millisecond); err != nil {
			break
		}
		a, now, err = p.ask(ctx, http.MethodGet, "/"+s.ID+"?wait=event", map[string]any{})
	}
	if err != nil {
		return Finding{}, err
	}
	if !a.has(http.StatusOK, http.StatusCreated) || now.State != "done" {
		return failed("complete: "+a.String(), storeMeans, seeLog), nil
	}
	return p.there(ctx, content, fmt.Sprintf("the blob was there %v after its parts were put together", p.o.Clock.Now().Sub(begin).Round(100*time.Millisecond)))
}

// withoutEvent has an upload verified in the ordinary way, so that it ends, and tells whether that works.
func (p *patient) withoutEvent(ctx context.Context, s state) (Finding, error) {
	a, now, err := p.ask(ctx, http.MethodPost, "/"+s.ID+"/complete?wait=20", map[string]any{})
	if err != nil {
		return Finding{}, err
	}
	saw := fmt.Sprintf("no event after %v; asked directly, the function verified the blob", eventTime)
	if a.status != http.StatusCreated || now.State != "done" {
		saw = fmt.Sprintf("no event after %v; asked directly, the function did not verify the blob within 20 s either", eventTime)
	}
	return failed(saw, "an upload whose completion breaks off stays unverified until its client comes back, or is forgotten",
		"See whether the bucket sends its events to EventBridge (it takes some 5 minutes after it was turned on), the rule, its queue, and the log of functions/finalize."), nil
}
