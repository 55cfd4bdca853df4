// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"sync"
	"time"

	"tare/test/cloud/deploy"
)

// client pushes as containerd does: HEAD, and where the blob is not there POST and one PUT; then the manifest. It repeats
// nothing: what is refused has failed.
type client struct {
	base       string
	credential deploy.Credential
	http       *http.Client

	mu    sync.Mutex
	times []time.Duration // of requests
}

func newClient(base string, c deploy.Credential) *client {
	return &client{base: base, credential: c, http: &http.Client{
		Timeout:       time.Minute,
		Transport:     &http.Transport{MaxIdleConnsPerHost: 256},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// blob is some bytes with their digest.
type blob struct {
	bytes  []byte
	digest string
}

func newBlob(b []byte) blob {
	sum := sha256.Sum256(b)
	return blob{b, "sha256:" + hex.EncodeToString(sum[:])}
}

func noise(n int) blob {
	b := make([]byte, n)
	rand.Read(b)
	return newBlob(b)
}

// image is a config, layers, and the manifest that lists them.
type image struct {
	config   blob
	layers   []blob
	manifest blob
}

const manifestType = "application/vnd.oci.image.manifest.v1+json"

func newImage(layers ...blob) image {
	config := newBlob(fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":[]},"config":{"Labels":{"n":"%s"}}}`, noise(8).digest))
	describe := func(b blob, kind string) map[string]any {
		return map[string]any{"mediaType": kind, "digest": b.digest, "size": len(b.bytes)}
	}
	list := []any{}
	for _, l := range layers {
		list = append(list, describe(l, "application/vnd.oci.image.layer.v1.tar+gzip"))
	}
	m, err := json.Marshal(map[string]any{
		"schemaVersion": 2, "mediaType": manifestType, "config": describe(config, "application/vnd.oci.image.config.v1+json"), "layers": list,
	})
	if err != nil {
		panic(err) // text and numbers
	}
	return image{config, layers, newBlob(m)}
}

// do sends a request and wants one of the statuses.
func (c *client) do(ctx context.Context, method, path string, body []byte, kind string, want ...int) (*http.Response, error) {
	to, err := url.Parse(c.base)
	if err != nil {
		return nil, err
	}
	if to, err = to.Parse(path); err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, method, to.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.SetBasicAuth(c.credential.Name, c.credential.Token)
	if kind != "" {
		r.Header.Set("Content-Type", kind)
	}
	begin := time.Now()
	response, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.times = append(c.times, time.Since(begin))
	c.mu.Unlock()
	for _, status := range want {
		if response.StatusCode == status {
			return response, nil
		}
	}
	return nil, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
}

// push pushes an image under a tag.
func (c *client) push(ctx context.Context, repository, tag string, img image) error {
	for _, b := range append(append([]blob{}, img.layers...), img.config) {
		if err := c.pushBlob(ctx, repository, b); err != nil {
			return err
		}
	}
	_, err := c.do(ctx, http.MethodPut, "/v2/"+repository+"/manifests/"+tag, img.manifest.bytes, manifestType, http.StatusCreated)
	return err
}

func (c *client) pushBlob(ctx context.Context, repository string, b blob) error {
	there, err := c.do(ctx, http.MethodHead, "/v2/"+repository+"/blobs/"+b.digest, nil, "", http.StatusOK, http.StatusTemporaryRedirect, http.StatusNotFound)
	if err != nil || there.StatusCode != http.StatusNotFound {
		return err
	}
	opened, err := c.do(ctx, http.MethodPost, "/v2/"+repository+"/blobs/uploads/", nil, "", http.StatusAccepted)
	if err != nil {
		return err
	}
	location, err := url.Parse(opened.Header.Get("Location"))
	if err != nil {
		return err
	}
	query := location.Query()
	query.Set("digest", b.digest)
	location.RawQuery = query.Encode()
	_, err = c.do(ctx, http.MethodPut, location.String(), b.bytes, "application/octet-stream", http.StatusCreated)
	return err
}

// taken returns the times of the requests since the last time.
func (c *client) taken() []time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	times := c.times
	c.times = nil
	return times
}
