// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// signed is a request that the registry signed, and state one of a direct upload (docs/http.md, "Direct uploads").
type signed struct {
	Method  string
	URL     string
	Headers map[string]string
	Ends    time.Time
}

type state struct {
	State    string
	ID       string
	Put      *signed
	PartSize int
	Parts    int
}

// begin is when a request was signed, if it says so.
func (s signed) begin() (at time.Time, told bool) {
	u, err := url.Parse(s.URL)
	if err != nil {
		return at, false
	}
	at, err = time.Parse("20060102T150405Z", u.Query().Get("X-Amz-Date"))
	return at, err == nil
}

// discover asks which extensions there are.
func (p *patient) discover(ctx context.Context) (Finding, error) {
	if !p.ready {
		return notReady()
	}
	a, err := p.do(ctx, request{method: http.MethodGet, path: "/v2/_oci/ext/discover"})
	if err != nil {
		return Finding{}, err
	}
	var known struct {
		Extensions []struct {
			Name      string
			Endpoints []string
		}
	}
	if a.status == http.StatusNotFound {
		return skipped("the registry has no extensions: it takes all bytes itself"), nil
	}
	if a.status != http.StatusOK || json.Unmarshal(a.body, &known) != nil {
		return failed(a.String(), "clients cannot tell whether the store takes direct uploads", seeLog), nil
	}
	for _, e := range known.Extensions {
		if e.Name == "_tare" && slices.Contains(e.Endpoints, "_tare/v1/uploads") {
			p.direct = true
			return passed("the store takes direct uploads"), nil
		}
	}
	return skipped("the store takes no direct uploads: the registry takes all bytes itself, as `tare serve` does"), nil
}

func notDirect() (Finding, error) { return skipped("there are no direct uploads here"), nil }

// ask sends JSON to the extension and reads its state.
func (p *patient) ask(ctx context.Context, method, path string, in any) (answer, state, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return answer{}, state{}, err
	}
	a, err := p.do(ctx, request{method: method, path: p.in("_tare/v1/uploads%s", path), body: body, header: map[string]string{"Content-Type": "application/json"}})
	var s state
	if err == nil && a.status < 300 && a.status != http.StatusNoContent {
		err = json.Unmarshal(a.body, &s)
	}
	switch {
	case err != nil:
	case s.State == "done" || method == http.MethodDelete && a.status == http.StatusNoContent:
		p.ended(p.in("_tare/v1/uploads/%s", cmp.Or(s.ID, strings.TrimPrefix(path, "/"))))
	case s.ID != "":
		p.begun(p.in("_tare/v1/uploads/%s", s.ID))
	}
	return a, s, err
}

// openDirect opens a direct upload for content.
func (p *patient) openDirect(ctx context.Context, content []byte, parts bool) (answer, state, error) {
	p.blobs[digestOf(content)] = true
	return p.ask(ctx, http.MethodPost, "", map[string]any{"digest": digestOf(content), "size": len(content), "parts": parts})
}

// give sends a signed request to the store.
func (p *patient) give(ctx context.Context, s signed, body []byte) (answer, error) {
	return p.do(ctx, request{method: s.Method, path: s.URL, body: body, header: s.Headers, anonymous: true})
}

const (
	storeMeans   = "large blobs cannot be pushed by direct uploads"
	trustsMeans  = "the store believes clients: what they send need not be what they announced"
	trustsChange = "The store must enforce the signed checksum, length and query. Do not use this store: see docs/operations.md, tare doctor."
)

// directPut brings a blob by one PUT whose checksum the store enforces.
func (p *patient) directPut(ctx context.Context) (Finding, error) {
	if !p.direct {
		return notDirect()
	}
	content := bytesOf(300 << 10)
	a, s, err := p.openDirect(ctx, content, false)
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusCreated || s.Put == nil {
		return failed("opening: "+a.String(), storeMeans, seeLog), nil
	}
	begin := p.o.Clock.Now()
	if a, err = p.give(ctx, *s.Put, content); err != nil {
		return Finding{}, err
	}
	p.readClocks(*s.Put, a, begin)
	if a.status != http.StatusOK {
		return failed("the store: "+a.String(), storeMeans, "See the function's permission to put objects, the bucket's policy, and the clock."), nil
	}
	if a, _, err = p.ask(ctx, http.MethodPost, "/"+s.ID+"/complete?wait=20", map[string]any{}); err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusCreated {
		return failed("complete: "+a.String(), storeMeans, seeLog), nil
	}
	return p.there(ctx, content, "the checksum was taken")
}

// there sees that a blob can be pulled now.
func (p *patient) there(ctx context.Context, content []byte, saw string) (Finding, error) {
	a, _, err := p.fetch(ctx, request{method: http.MethodHead, path: p.in("blobs/%s", digestOf(content))})
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusOK || a.length != int64(len(content)) {
		return failed(fmt.Sprintf("the blob: status %d, Content-Length %s", a.status, lengthOf(a)), "what was pushed is not there", seeLog), nil
	}
	return passed("%s", saw), nil
}

// directWrong sends to the store what was not announced. All of it must be refused, and nothing may become a blob.
func (p *patient) directWrong(ctx context.Context) (Finding, error) {
	if !p.direct {
		return notDirect()
	}
	content, other := bytesOf(50<<10), bytesOf(50<<10)
	a, s, err := p.openDirect(ctx, content, false)
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusCreated || s.Put == nil {
		return failed("opening: "+a.String(), storeMeans, seeLog), nil
	}
	bare, forged, more := *s.Put, *s.Put, *s.Put
	bare.Headers, forged.Headers = map[string]string{}, map[string]string{}
	sum := sha256.Sum256(other)
	for name, v := range s.Put.Headers {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-checksum-") {
			forged.Headers[name] = base64.StdEncoding.EncodeToString(sum[:])
			continue
		}
		bare.Headers[name], forged.Headers[name] = v, v
	}
	more.URL += "&digest=" + digestOf(content)
	for _, c := range []struct {
		name string
		put  signed
		body []byte
	}{
		{"another body", *s.Put, other}, {"a shorter body", *s.Put, content[1:]}, {"a longer body", *s.Put, append(slices.Clone(content), 0)},
		{"another body without the checksum", bare, other}, {"another body with its own checksum", forged, other}, {"a query that was not signed", more, content},
	} {
		if a, err = p.give(ctx, c.put, c.body); err != nil {
			return Finding{}, err
		}
		if a.status < 400 || a.status > 499 {
			return failed(c.name+": "+a.String(), trustsMeans, trustsChange), nil
		}
	}
	if a, _, err = p.ask(ctx, http.MethodPost, "/"+s.ID+"/complete", map[string]any{}); err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusBadRequest {
		return failed("complete, after nothing came: "+a.String(), trustsMeans, trustsChange), nil
	}
	if a, _, err = p.ask(ctx, http.MethodDelete, "/"+s.ID, map[string]any{}); err != nil {
		return Finding{}, err
	}
	return passed("the store refuses another body, length, checksum and query"), nil
}

// patience is how long a check waits for a URL to end.
const patience = 30 * time.Second

// overdue uses a URL after its end, if that is near enough to wait for.
func (p *patient) overdue(ctx context.Context) (Finding, error) {
	if !p.direct {
		return notDirect()
	}
	content := bytesOf(1000)
	a, s, err := p.openDirect(ctx, content, false)
	if err != nil {
		return Finding{}, err
	}
	if s.Put == nil {
		return failed("opening: "+a.String(), storeMeans, seeLog), nil
	}
	begin, told := s.Put.begin() // by the clock that signs, which may be another than this machine's
	if !told {
		begin = p.o.Clock.Now()
	}
	life := s.Put.Ends.Sub(begin)
	finding := skipped("URLs live %v, too long to wait for", life.Round(time.Second))
	switch {
	case s.Put.Ends.IsZero() || life > 16*time.Minute:
		finding = failed(fmt.Sprintf("URLs live %v", life.Round(time.Second)), "who finds a URL can use it for long", "Report it: 15 minutes is the most.")
	case life <= patience:
		if err := p.o.Clock.Pause(ctx, life+2*time.Second); err != nil {
			return Finding{}, err
		}
		if a, err = p.give(ctx, *s.Put, content); err != nil {
			return Finding{}, err
		}
		finding = passed("status %d after the end", a.status)
		if a.status != http.StatusForbidden {
			finding = failed("after its end: "+a.String(), "who finds a URL can use it for ever", "See the store's clock. Do not use a store that ignores the end of URLs.")
		}
	}
	_, _, err = p.ask(ctx, http.MethodDelete, "/"+s.ID, map[string]any{})
	return finding, err
}
