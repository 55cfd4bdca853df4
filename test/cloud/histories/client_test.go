// SPDX-License-Identifier: Apache-2.0

package histories

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"tare/internal/direct"
	"tare/internal/oci"
	"tare/test/cloud/deploy"
)

// client is one of those who use the registry at once. It repeats nothing by itself.
type client struct {
	*rand.Rand
	t          *testing.T
	name       string
	h          *history
	base       string
	credential deploy.Credential
	http       *http.Client
	direct     *direct.Client
	settled    bool
}

func newClient(t *testing.T, d *deploy.Deployment, c deploy.Credential, h *history, name string, seed uint64) *client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 4}
	t.Cleanup(transport.CloseIdleConnections)
	plain := &http.Client{Timeout: time.Minute, Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	uploads, err := direct.New(d.URL, direct.Options{Registry: plain, Store: plain, PartsFrom: 6 << 20, PartSize: 5 << 20, Tries: 10,
		Authorize: func(r *http.Request) error { r.SetBasicAuth(c.Name, c.Token); return nil }})
	if err != nil {
		t.Fatal(err)
	}
	return &client{Rand: rand.New(rand.NewPCG(seed, 7)), t: t, name: name, h: h, base: d.URL, credential: c, http: plain, direct: uploads}
}

// answer is what a request was told.
type answer struct {
	status   int
	header   http.Header
	body     []byte
	location string // absolute
}

// send sends one request to the registry.
func (c *client) send(method, to string, body []byte, header ...string) (answer, error) {
	at, err := url.Parse(c.base)
	if err != nil {
		return answer{}, err
	}
	if at, err = at.Parse(to); err != nil {
		return answer{}, err
	}
	r, err := http.NewRequestWithContext(c.t.Context(), method, at.String(), bytes.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	if at.Host == strings.TrimPrefix(c.base, "http://") {
		r.SetBasicAuth(c.credential.Name, c.credential.Token)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, said, response.Header.Get("Location")}, err
}

// do sends a request as all or the last of an event. What is neither done nor among the refusals that it may meet is unknown,
// and is a fault unless the registry said that it cannot do it now.
func (c *client) do(e *event, method, to string, body []byte, refusals []int, header ...string) answer {
	a, err := c.send(method, to, body, header...)
	e.status = a.status
	switch {
	case err != nil:
		c.t.Errorf("%s: %s %s: %v", c.name, method, to, err)
		e.outcome = unknown
	case a.status < 400:
		e.outcome = done
	case slices.Contains(refusals, a.status):
		e.outcome = refused
	case a.status == http.StatusServiceUnavailable:
		e.outcome = unknown
	default:
		c.t.Errorf("%s: %s %s: %d %s", c.name, method, to, a.status, a.body)
		e.outcome = unknown
	}
	return a
}

func (c *client) ask(e event) *event {
	e.client, e.settled = c.name, c.settled
	return c.h.ask(e)
}

func about(v verb, repo int) event {
	return event{verb: v, repo: repo, blob: none, manifest: none, tag: none, ifMatch: none}
}

func blobPath(repo, b int) string { return "/v2/" + repos[repo] + "/blobs/" + blobs[b].digest }

func manifestPath(repo int, reference string) string {
	return "/v2/" + repos[repo] + "/manifests/" + reference
}

// upload brings a blob, in one of the ways that clients have.
func (c *client) upload(repo, b int) outcome {
	e := about(upload, repo)
	e.blob = b
	began := c.ask(e)
	defer c.h.tell(began)
	way := c.IntN(4)
	switch {
	case b >= 3 && way == 3 || b == huge && way > 1:
		c.uploadDirect(began, repo, b)
	case b != huge && way == 0:
		c.do(began, "POST", "/v2/"+repos[repo]+"/blobs/uploads/?digest="+blobs[b].digest, blobs[b].content, nil)
	default:
		c.uploadInSteps(began, repo, b, way)
	}
	return began.outcome
}

func (c *client) uploadDirect(e *event, repo, b int) {
	err := c.direct.Push(c.t.Context(), oci.Repository(repos[repo]), direct.Blob{
		Digest: digest.Digest(blobs[b].digest), Size: int64(len(blobs[b].content)), Content: bytes.NewReader(blobs[b].content)})
	if err != nil {
		c.t.Logf("%s: direct upload of b%d: %v; lately%s", c.name, b, err, c.h.lately(repo, b))
		e.outcome = unknown
	}
}

// uploadInSteps opens a session, sends chunks, and closes it with the last bytes or with none.
func (c *client) uploadInSteps(e *event, repo, b, way int) {
	a := c.do(e, "POST", "/v2/"+repos[repo]+"/blobs/uploads/", nil, nil)
	if e.outcome != done {
		return
	}
	content := blobs[b].content
	if b == huge || way == 1 {
		chunk := len(content)
		if b == huge {
			chunk = 4 << 20
		}
		for part := range slices.Chunk(content, chunk) {
			if a = c.do(e, "PATCH", a.location, part, nil, "Content-Type", "application/octet-stream"); e.outcome != done {
				return
			}
		}
		content = nil
	}
	to, err := url.Parse(a.location)
	if err != nil {
		c.t.Error(err)
		e.outcome = unknown
		return
	}
	query := to.Query()
	query.Set("digest", blobs[b].digest)
	to.RawQuery = query.Encode()
	c.do(e, "PUT", to.String(), content, nil, "Content-Type", "application/octet-stream")
}

func (c *client) mount(repo, from, b int) {
	e := about(mount, repo)
	e.from, e.blob = from, b
	began := c.ask(e)
	defer c.h.tell(began)
	a := c.do(began, "POST", "/v2/"+repos[repo]+"/blobs/uploads/?mount="+blobs[b].digest+"&from="+url.QueryEscape(repos[from]), nil, nil)
	began.mounted = a.status == http.StatusCreated
	if a.status == http.StatusAccepted && c.IntN(2) == 0 {
		if a, err := c.send("DELETE", a.location, nil); err != nil || a.status != http.StatusNoContent && a.status != http.StatusServiceUnavailable {
			c.t.Errorf("%s: cancel: %v %d %s", c.name, err, a.status, a.body)
		}
	}
}

// head tells whether the blob is there.
func (c *client) head(repo, b int) bool {
	e := about(head, repo)
	e.blob = b
	began := c.ask(e)
	defer c.h.tell(began)
	c.do(began, "HEAD", blobPath(repo, b), nil, []int{404})
	return began.outcome == done
}

// fetch reads a blob to its end, wherever it is led.
func (c *client) fetch(repo, b int) {
	e := about(fetch, repo)
	e.blob = b
	began := c.ask(e)
	defer c.h.tell(began)
	a := c.do(began, "GET", blobPath(repo, b), nil, []int{404})
	if began.outcome != done {
		return
	}
	for try := 0; a.status == http.StatusTemporaryRedirect; try++ {
		led, err := c.send("GET", a.location, nil)
		if (err != nil || led.status >= 500) && try < 5 {
			continue // S3 is slow, or a connection broke
		}
		if err != nil || led.status != http.StatusOK {
			// C9: a URL that was given is good to its end.
			c.t.Errorf("%s: b%d of %s: S3 said %d %v: %.200s", c.name, b, repos[repo], led.status, err, led.body)
			return
		}
		a = led
	}
	if !bytes.Equal(a.body, blobs[b].content) {
		c.t.Errorf("%s: b%d of %s: %d bytes that are not its", c.name, b, repos[repo], len(a.body))
	}
}

func (c *client) push(repo, m, tag int, condition ...string) outcome {
	e := about(push, repo)
	e.manifest, e.tag = m, tag
	reference := manifests[m].digest
	if tag != none {
		reference = tags[tag]
	}
	refusals := []int{404}
	if len(condition) > 0 {
		refusals = append(refusals, 412)
		if e.ifAbsent = condition[0] == "If-None-Match"; !e.ifAbsent {
			e.ifMatch = slices.IndexFunc(manifests[:], func(m manifest) bool { return condition[1] == `"`+m.digest+`"` })
		}
	}
	began := c.ask(e)
	defer c.h.tell(began)
	a := c.do(began, "PUT", manifestPath(repo, reference), manifests[m].body, refusals, append(condition, "Content-Type", manifestType)...)
	if a.status == http.StatusNotFound {
		if began.missing = missingIn(a.body); began.missing == none {
			c.t.Errorf("%s: push of m%d: %s", c.name, m, a.body)
		}
	}
	return began.outcome
}

// missingIn is the blob that a refused push names.
func missingIn(body []byte) int {
	var said struct {
		Errors []struct {
			Code   string
			Detail struct{ Digest string }
		}
	}
	if json.Unmarshal(body, &said) != nil || len(said.Errors) == 0 || said.Errors[0].Code != "MANIFEST_BLOB_UNKNOWN" {
		return none
	}
	return blobAt(said.Errors[0].Detail.Digest)
}

// get reads a manifest by tag, or by digest where tag is none, and returns what it found; none: nothing.
func (c *client) get(repo, tag, m int) int {
	e := about(get, repo)
	e.tag = tag
	reference := ""
	if tag != none {
		reference = tags[tag]
	} else {
		e.manifest, reference = m, manifests[m].digest
	}
	began := c.ask(e)
	defer c.h.tell(began)
	a := c.do(began, "GET", manifestPath(repo, reference), nil, []int{404}, "Accept", manifestType)
	if began.outcome != done {
		return none
	}
	began.manifest = manifestOf(a.body)
	if began.manifest == none || tag == none && began.manifest != m {
		c.t.Errorf("%s: %s in %s: what came is no manifest of ours, or another", c.name, reference, repos[repo])
		began.outcome = unknown
	}
	return began.manifest
}

func (c *client) list(repo int) {
	began := c.ask(about(list, repo))
	defer c.h.tell(began)
	a := c.do(began, "GET", "/v2/"+repos[repo]+"/tags/list", nil, []int{404})
	var said struct{ Tags []string }
	if began.outcome == done {
		if err := json.Unmarshal(a.body, &said); err != nil {
			c.t.Errorf("%s: tags: %v", c.name, err)
		}
	}
	for _, tag := range tags {
		began.listed = append(began.listed, slices.Contains(said.Tags, tag))
	}
}

func (c *client) untag(repo, tag int) {
	e := about(untag, repo)
	e.tag = tag
	began := c.ask(e)
	defer c.h.tell(began)
	c.do(began, "DELETE", manifestPath(repo, tags[tag]), nil, []int{404})
}

func (c *client) erase(repo, m int) {
	e := about(erase, repo)
	e.manifest = m
	began := c.ask(e)
	defer c.h.tell(began)
	c.do(began, "DELETE", manifestPath(repo, manifests[m].digest), nil, []int{404, 405})
}

func (c *client) remove(repo, b int) {
	e := about(remove, repo)
	e.blob = b
	began := c.ask(e)
	defer c.h.tell(began)
	c.do(began, "DELETE", blobPath(repo, b), nil, []int{404, 405})
}

// pushImage pushes as clients do: what is not there, then the manifest, under a tag or none.
func (c *client) pushImage(repo, m, tag int) {
	for _, b := range manifests[m].lists {
		if !c.head(repo, b) && c.upload(repo, b) != done {
			return
		}
	}
	switch c.IntN(4) {
	case 0:
		c.push(repo, m, none)
	case 1:
		if tag != none {
			c.push(repo, m, tag, c.condition()...)
		}
	default:
		c.push(repo, m, tag)
	}
}

func (c *client) condition() []string {
	if c.IntN(2) == 0 {
		return []string{"If-None-Match", "*"}
	}
	return []string{"If-Match", fmt.Sprintf("%q", manifests[c.IntN(len(manifests))].digest)}
}

// pull reads an image with all that it lists: who was given a manifest can fetch it all, and says so to the register of each blob.
func (c *client) pull(repo, tag, m int) {
	if m = c.get(repo, tag, m); m == none {
		return
	}
	for _, b := range manifests[m].lists {
		c.fetch(repo, b)
	}
}

// aBlob and the others choose; the huge blob is rare.
func (c *client) aBlob() int {
	if b := c.IntN(len(blobs)); b != huge || c.IntN(3) == 0 {
		return b
	}
	return 1
}

func (c *client) aManifest() int {
	if m := c.IntN(len(manifests)); !slices.Contains(manifests[m].lists, huge) || c.IntN(3) == 0 {
		return m
	}
	return 0
}

// work does n things.
func (c *client) work(ctx context.Context, n int) {
	for range n {
		if ctx.Err() != nil {
			return
		}
		repo, m, tag := c.IntN(len(repos)), c.aManifest(), c.IntN(len(tags))
		switch p := c.IntN(100); {
		case p < 30:
			c.pushImage(repo, m, tag)
		case p < 52:
			c.pull(repo, tag, none)
		case p < 58:
			c.pull(repo, none, m)
		case p < 63:
			c.mount(repo, 1-repo, c.aBlob())
		case p < 69:
			c.push(repo, m, tag, c.condition()...)
		case p < 74:
			c.push(repo, m, tag)
		case p < 79:
			c.list(repo)
		case p < 85:
			c.untag(repo, tag)
		case p < 93:
			c.erase(repo, m)
		case p < 97:
			c.remove(repo, c.aBlob())
		default:
			c.upload(repo, c.aBlob())
		}
	}
}
