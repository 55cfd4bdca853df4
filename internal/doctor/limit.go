// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
)

// errors asks for what is not there.
func (p *patient) errors(ctx context.Context) (Finding, error) {
	if !p.ready {
		return notReady()
	}
	absent := digestOf([]byte(p.repo))
	for _, c := range []struct{ method, path, code string }{
		{http.MethodGet, p.in("manifests/absent"), "MANIFEST_UNKNOWN"},
		{http.MethodGet, p.in("blobs/%s", absent), "BLOB_UNKNOWN"},
		{http.MethodHead, p.in("blobs/%s", absent), ""},
	} {
		a, _, err := p.fetch(ctx, request{method: c.method, path: c.path})
		if err != nil {
			return Finding{}, err
		}
		if a.status != http.StatusNotFound || a.code() != c.code {
			return failed(fmt.Sprintf("%s %s: %v", c.method, c.path, a), "clients take what is absent for a failure, and give up instead of pushing it",
				"Something on the way answers by itself, or the function may not list the bucket: S3 then says 403 of what is not there."), nil
		}
	}
	return passed("404, with the specification's codes"), nil
}

// oddPaths asks for what no client of ours asks, and everybody can: it must be the client's fault.
func (p *patient) oddPaths(ctx context.Context) (Finding, error) {
	for _, path := range []string{"manifests/%25", "manifests/a%2Fb", "manifests/%E0%A4%A", "manifests/a%3Fb=c", "manifests/%20", "blobs/uploads/%25%32%35"} {
		a, err := p.do(ctx, request{method: http.MethodGet, raw: p.in("%s", path)})
		if err != nil {
			return Finding{}, err
		}
		if a.status < 400 || a.status > 499 {
			return failed(fmt.Sprintf("GET …/%s: %v", path, a), "anybody can make the registry fail, and raise its alarms", seeLog), nil
		}
	}
	return passed("each is refused with 4xx"), nil
}

// The sizes of two bodies: a function takes the first, and not the second (6 MB an event, of which base64 takes a quarter;
// Lambda quotas, 2026-11).
const (
	within = 4 << 20
	beyond = 7 << 20
)

func (p *patient) bodyWithin(ctx context.Context) (Finding, error) {
	if !p.ready {
		return notReady()
	}
	a, err := p.put(ctx, bytesOf(within))
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusCreated {
		return failed(a.String(), "blobs of 4 MiB and less cannot be pushed in one request", "Something on the way takes less than a function does: see its limit for bodies."), nil
	}
	return passed("status 201"), nil
}

func (p *patient) bodyBeyond(ctx context.Context) (Finding, error) {
	if !p.ready {
		return notReady()
	}
	a, err := p.put(ctx, bytesOf(beyond))
	if err != nil {
		return Finding{}, err
	}
	switch a.status {
	case http.StatusCreated:
		return passed("status 201: blobs can be pushed whole"), nil
	case http.StatusRequestEntityTooLarge:
		how := "with an error that clients can read"
		if a.code() == "" {
			how = "in words of the gateway's own"
		}
		return passed("status 413, %s: larger blobs go by direct uploads, or in chunks", how), nil
	default:
		return failed(a.String(), "clients do not learn that the body was too large: many try again, for minutes",
			"The gateway should say 413 here. An answer 500 or 502 comes from a function that was given too much."), nil
	}
}

// headers sends one that is long. A token of many rights makes such.
func (p *patient) headers(ctx context.Context) (Finding, error) {
	var said []string
	for _, n := range []int{8 << 10, 12 << 10} {
		a, err := p.do(ctx, request{method: http.MethodGet, path: "/v2/", header: map[string]string{"X-Tare-Doctor": strings.Repeat("x", n)}})
		if err != nil {
			return Finding{}, err
		}
		said = append(said, fmt.Sprintf("%d KiB: status %d", n>>10, a.status))
		if n == 8<<10 && a.status >= 400 && a.status != http.StatusUnauthorized || a.status >= 500 {
			return failed(strings.Join(said, ", "), "requests with long tokens or addresses fail", "Something on the way takes less than 10 KB of headers."), nil
		}
	}
	return passed("%s", strings.Join(said, ", ")), nil
}

// largest is how large a manifest may be (distribution-spec, "Pushing Manifests": at least 4 megabytes), with room for what is
// around its note.
const largest = 4_000_000

// largeManifest pushes and pulls one full of what JSON may write in six bytes: a gateway that puts bodies into events as text
// makes more of it than an event may have.
func (p *patient) largeManifest(ctx context.Context) (Finding, error) {
	if p.pushed == "" {
		return skipped("no manifest could be pushed"), nil
	}
	manifest := bytes.Replace(p.manifest("large @", p.layer), []byte("@"), bytes.Repeat([]byte("<"), largest-4096), 1)
	const means = "indexes and manifests with many or large annotations are refused"
	a, err := p.tag(ctx, "large", manifest, nil)
	if err != nil {
		return Finding{}, err
	}
	switch a.status {
	case http.StatusCreated:
	case http.StatusRequestEntityTooLarge:
		return passed("status 413: manifests of %d bytes are too large here", len(manifest)), nil
	default:
		return failed("push: "+a.String(), means, "Something on the way takes less than the specification asks for. "+seeLog), nil
	}
	a, _, err = p.fetch(ctx, request{method: http.MethodGet, path: p.in("manifests/%s", digestOf(manifest)), header: map[string]string{"Accept": manifestType}})
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusOK || !bytes.Equal(a.body, manifest) {
		return failed(fmt.Sprintf("pull: status %d with %d bytes of %d", a.status, len(a.body), len(manifest)), "what was pushed cannot be pulled",
			"The answer is too large for the gateway: see its limit for answers, and the function's log."), nil
	}
	return passed("%d bytes, pushed and pulled", len(manifest)), nil
}
