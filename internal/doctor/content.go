// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

const manifestType = "application/vnd.oci.image.manifest.v1+json"

// start opens an upload and returns where it goes on.
func (p *patient) start(ctx context.Context) (location *url.URL, a answer, err error) {
	a, err = p.do(ctx, request{method: http.MethodPost, path: p.in("blobs/uploads/")})
	if err != nil || a.status != http.StatusAccepted {
		return nil, a, err
	}
	location, err = a.url.Parse(a.header.Get("Location"))
	if err == nil {
		p.begun(location.String())
	}
	return location, a, err
}

// put pushes a blob: POST, then one PUT with all of it.
func (p *patient) put(ctx context.Context, content []byte) (answer, error) {
	at, a, err := p.start(ctx)
	if at == nil || err != nil {
		return a, err
	}
	return p.end(ctx, at, content, request{body: content, header: octets()})
}

// end closes an upload with a PUT.
func (p *patient) end(ctx context.Context, at *url.URL, content []byte, q request) (answer, error) {
	p.blobs[digestOf(content)] = true
	q.method, q.path = http.MethodPut, withDigest(at, digestOf(content))
	a, err := p.do(ctx, q)
	if err == nil && a.status == http.StatusCreated {
		p.ended(at.String())
	}
	return a, err
}

func withDigest(at *url.URL, digest string) string {
	next := *at
	q := next.Query()
	q.Set("digest", digest)
	next.RawQuery = q.Encode()
	return next.String()
}

func octets() map[string]string { return map[string]string{"Content-Type": "application/octet-stream"} }

const seeLog = "See the registry's log under the request's id, and what stands before it."

// pushBlobs pushes one blob that a table keeps and one that only an object store does.
func (p *patient) pushBlobs(ctx context.Context) (Finding, error) {
	if !p.ready {
		return notReady()
	}
	for _, content := range [][]byte{p.config, p.layer} {
		a, err := p.put(ctx, content)
		if err != nil {
			return Finding{}, err
		}
		if a.status != http.StatusCreated {
			p.ready = false
			return failed(fmt.Sprintf("%d bytes: %v", len(content), a), "nothing can be pushed", "See whether the credential may push. "+seeLog), nil
		}
	}
	return passed("%d and %d bytes, each by POST and PUT", len(p.config), len(p.layer)), nil
}

// chunks pushes by two PATCHes and a PUT without a body, as docker, podman and crane do.
func (p *patient) chunks(ctx context.Context) (Finding, error) {
	if !p.ready {
		return notReady()
	}
	content := bytesOf(64 << 10)
	const means = "docker, podman, skopeo and crane cannot push: they bring blobs by PATCH"
	at, a, err := p.start(ctx)
	if err != nil {
		return Finding{}, err
	}
	for i := 0; at != nil && i < 2; i++ {
		half := len(content) / 2
		header := octets()
		header["Content-Range"] = fmt.Sprintf("%d-%d", i*half, (i+1)*half-1)
		if a, err = p.do(ctx, request{method: http.MethodPatch, path: at.String(), body: content[i*half : (i+1)*half], header: header}); err != nil {
			return Finding{}, err
		}
		if want := fmt.Sprintf("0-%d", (i+1)*half-1); a.status != http.StatusAccepted || a.header.Get("Range") != want {
			return failed(fmt.Sprintf("PATCH %d: Range %q; %v", i+1, a.header.Get("Range"), a), means, seeLog), nil
		}
		if at, err = p.next(at, a); err != nil {
			return Finding{}, err
		}
	}
	if at == nil {
		return failed(a.String(), means, seeLog), nil
	}
	if a, err = p.end(ctx, at, content, request{}); err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusCreated {
		return failed("the closing PUT: "+a.String(), means, seeLog), nil
	}
	return passed("two PATCHes and a PUT"), nil
}

// next is where an upload goes on after an answer.
func (p *patient) next(at *url.URL, a answer) (*url.URL, error) {
	next, err := a.url.Parse(a.header.Get("Location"))
	if err == nil {
		p.ended(at.String())
		p.begun(next.String())
	}
	return next, err
}

// unannounced pushes by a PATCH without a Content-Length, as the classic docker and clients that read a stream do.
func (p *patient) unannounced(ctx context.Context) (Finding, error) {
	if !p.ready {
		return notReady()
	}
	const means = "docker with its classic image store cannot push: it does not announce how much it brings"
	content := bytesOf(32 << 10)
	at, a, err := p.start(ctx)
	if err != nil {
		return Finding{}, err
	}
	if at == nil {
		return failed(a.String(), means, seeLog), nil
	}
	if a, err = p.do(ctx, request{method: http.MethodPatch, path: at.String(), body: content, header: octets(), unlengthy: true}); err != nil {
		return Finding{}, err
	}
	if want := fmt.Sprintf("0-%d", len(content)-1); a.status != http.StatusAccepted || a.header.Get("Range") != want {
		return failed(fmt.Sprintf("PATCH: Range %q; %v", a.header.Get("Range"), a), means, "Something on the way asks for a Content-Length, or drops bodies that have none."), nil
	}
	if at, err = p.next(at, a); err != nil {
		return Finding{}, err
	}
	if a, err = p.end(ctx, at, content, request{}); err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusCreated {
		return failed("the closing PUT: "+a.String(), means, seeLog), nil
	}
	return passed("it comes through whole"), nil
}

// empty pushes the blob of no bytes.
func (p *patient) empty(ctx context.Context) (Finding, error) {
	if !p.ready {
		return notReady()
	}
	a, err := p.put(ctx, nil)
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusCreated {
		return failed(a.String(), "images with an empty layer cannot be pushed", "Something on the way drops or refuses a PUT without a body. "+seeLog), nil
	}
	a, _, err = p.fetch(ctx, request{method: http.MethodGet, path: p.in("blobs/%s", digestOf(nil))})
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusOK || len(a.body) != 0 {
		return failed(fmt.Sprintf("GET: status %d with %d bytes", a.status, len(a.body)), "images with an empty layer cannot be pulled", seeLog), nil
	}
	return passed("pushed and pulled"), nil
}

// expect pushes after having asked whether it may, as some clients do.
func (p *patient) expect(ctx context.Context) (Finding, error) {
	if !p.ready {
		return notReady()
	}
	at, a, err := p.start(ctx)
	if err == nil && at != nil {
		header := octets()
		header["Expect"] = "100-continue"
		content := bytesOf(20 << 10)
		a, err = p.end(ctx, at, content, request{body: content, header: header})
	}
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusCreated {
		return failed(a.String(), "clients that ask first (curl, some proxies) cannot push", "Something on the way refuses Expect: 100-continue."), nil
	}
	return passed("status 201"), nil
}

// headBlob looks at lengths, on which clients depend and which gateways change.
func (p *patient) headBlob(ctx context.Context) (Finding, error) {
	if !p.ready {
		return notReady()
	}
	var how []string
	for _, content := range [][]byte{p.config, p.layer} {
		a, way, err := p.fetch(ctx, request{method: http.MethodHead, path: p.in("blobs/%s", digestOf(content))})
		if err != nil {
			return Finding{}, err
		}
		if a.status != http.StatusOK || a.length != int64(len(content)) {
			return failed(fmt.Sprintf("a blob of %d bytes: status %d, Content-Length %s by way of %v", len(content), a.status, lengthOf(a), way),
				"clients take the blob for absent or empty: they push it again, or fail to pull it",
				"Something on the way sets the length from a body that HEAD has not. The registry can answer HEAD with a redirect instead: docs/http.md."), nil
		}
		how = append(how, strings.Join(way, " → "))
	}
	return passed("lengths are right, by way of %s", strings.Join(how, " and ")), nil
}

func lengthOf(a answer) string {
	if a.length < 0 {
		return "missing"
	}
	return fmt.Sprint(a.length)
}

func (p *patient) getBlob(ctx context.Context) (Finding, error) {
	if !p.ready {
		return notReady()
	}
	var hosts []string
	for _, content := range [][]byte{p.config, p.layer} {
		a, way, err := p.fetch(ctx, request{method: http.MethodGet, path: p.in("blobs/%s", digestOf(content))})
		if err != nil {
			return Finding{}, err
		}
		if a.status != http.StatusOK || !bytes.Equal(a.body, content) {
			return failed(fmt.Sprintf("a blob of %d bytes: status %d with %d bytes by way of %v", len(content), a.status, len(a.body), way), "images cannot be pulled",
				"If the last host is the object store's: see whether it can be reached from here, and the function's permission to read objects. "+seeLog), nil
		}
		last := way[len(way)-1]
		if last != p.base.Host && strings.HasSuffix(hostname(last), "."+p.base.Hostname()) {
			return failed("the redirect goes to "+last, "clients carry credentials along to a sub-domain of the registry's host, and the store refuses two kinds of them",
				"Give the store a name that is not below the registry's."), nil
		}
		hosts = append(hosts, last)
	}
	return passed("bytes are right, from %s", strings.Join(hosts, " and ")), nil
}

func hostname(host string) string { return (&url.URL{Host: host}).Hostname() }

func (p *patient) rangeOfBlob(ctx context.Context) (Finding, error) {
	if !p.ready {
		return notReady()
	}
	a, _, err := p.fetch(ctx, request{method: http.MethodGet, path: p.in("blobs/%s", digestOf(p.layer)), header: map[string]string{"Range": "bytes=1000-1999"}})
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusPartialContent || !bytes.Equal(a.body, p.layer[1000:2000]) {
		return failed(fmt.Sprintf("bytes 1000 to 1999: status %d with %d bytes", a.status, len(a.body)), "a pull that broke off begins again",
			"Something on the way drops the Range header, or makes 206 another status."), nil
	}
	return passed("206 with the bytes that were asked for"), nil
}

func (p *patient) pushManifest(ctx context.Context) (Finding, error) {
	if !p.ready {
		return notReady()
	}
	p.image = p.manifest("first", p.layer)
	a, err := p.tag(ctx, "v1", p.image, nil)
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusCreated {
		return failed(a.String(), "no image can be pushed", seeLog), nil
	}
	p.pushed = digestOf(p.image)
	if got := a.header.Get("Docker-Content-Digest"); got != p.pushed {
		return failed(fmt.Sprintf("Docker-Content-Digest %q, pushed %s", got, p.pushed), "clients take the push for failed", "Something on the way changes headers or bodies."), nil
	}
	return passed("%s", p.pushed), nil
}

// manifest makes one of an image.
func (p *patient) manifest(note string, layer []byte) []byte {
	blob := func(kind string, content []byte) map[string]any {
		return map[string]any{"mediaType": kind, "digest": digestOf(content), "size": len(content)}
	}
	b, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType,
		"config":      blob("application/vnd.oci.image.config.v1+json", p.config),
		"layers":      []any{blob("application/vnd.oci.image.layer.v1.tar", layer)},
		"annotations": map[string]string{"note": note},
	})
	if err != nil {
		panic(err) // of maps and texts: never
	}
	return b
}

// tag pushes a manifest under a tag.
func (p *patient) tag(ctx context.Context, tag string, manifest []byte, header map[string]string) (answer, error) {
	all := map[string]string{"Content-Type": manifestType}
	for name, v := range header {
		all[name] = v
	}
	p.tags[digestOf(manifest)] = true
	return p.do(ctx, request{method: http.MethodPut, path: p.in("manifests/%s", tag), body: manifest, header: all})
}

func (p *patient) headManifest(ctx context.Context) (Finding, error) {
	if p.pushed == "" {
		return skipped("no manifest could be pushed"), nil
	}
	a, way, err := p.fetch(ctx, request{method: http.MethodHead, path: p.in("manifests/v1"), header: map[string]string{"Accept": manifestType}})
	if err != nil {
		return Finding{}, err
	}
	switch {
	case a.status != http.StatusOK || a.length != int64(len(p.image)):
		return failed(fmt.Sprintf("status %d, Content-Length %s, the manifest has %d bytes; by way of %v", a.status, lengthOf(a), len(p.image), way),
			`Docker 29 and containerd cannot pull: they take the size from here ("Target.Size must be greater than zero")`,
			"Something on the way sets the length from a body that HEAD has not. See docs/http.md, HEAD."), nil
	case a.header.Get("Docker-Content-Digest") != p.pushed || a.header.Get("Content-Type") != manifestType:
		return failed(fmt.Sprintf("Docker-Content-Digest %q, Content-Type %q", a.header.Get("Docker-Content-Digest"), a.header.Get("Content-Type")),
			"clients cannot tell what the tag points to", "Something on the way changes headers."), nil
	}
	return passed("length, digest and media type are right"), nil
}

func (p *patient) getManifest(ctx context.Context) (Finding, error) {
	if p.pushed == "" {
		return skipped("no manifest could be pushed"), nil
	}
	for _, reference := range []string{"v1", p.pushed} {
		a, _, err := p.fetch(ctx, request{method: http.MethodGet, path: p.in("manifests/%s", reference), header: map[string]string{"Accept": manifestType, "Accept-Encoding": "gzip"}})
		if err != nil {
			return Finding{}, err
		}
		if a.status != http.StatusOK || !bytes.Equal(a.body, p.image) {
			return failed(fmt.Sprintf("by %s: status %d with %d bytes of %d, Content-Encoding %q", reference, a.status, len(a.body), len(p.image), a.header.Get("Content-Encoding")),
				"the digest of what clients get is another than that of what was pushed", "Something on the way compresses or rewrites bodies."), nil
		}
	}
	return passed("the same bytes, by tag and by digest"), nil
}

// conditional tries compare-and-swap on a tag.
func (p *patient) conditional(ctx context.Context) (Finding, error) {
	if p.pushed == "" {
		return skipped("no manifest could be pushed"), nil
	}
	next := p.manifest("second", p.layer)
	for _, c := range []struct {
		name, value string
		want        int
	}{
		{"If-None-Match", "*", http.StatusPreconditionFailed},
		{"If-Match", `"` + digestOf([]byte("another")) + `"`, http.StatusPreconditionFailed},
		{"If-Match", `"` + p.pushed + `"`, http.StatusCreated},
	} {
		a, err := p.tag(ctx, "v1", next, map[string]string{c.name: c.value})
		if err != nil {
			return Finding{}, err
		}
		if a.status != c.want {
			return failed(fmt.Sprintf("%s: %s: status %d instead of %d", c.name, c.value, a.status, c.want), "two clients that move one tag cannot tell who won",
				"Something on the way drops conditional headers, or answers by itself; or this registry knows none, as others than Tare."), nil
		}
	}
	p.conditions = true
	return passed("412 where the tag is another, 201 where it is not"), nil
}
