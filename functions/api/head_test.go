// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/opencontainers/go-digest"

	"tare/functions/internal/cloud"
	"tare/internal/clock"
	"tare/internal/store/memstore"
)

// How long a HEAD says that content is does not depend on the gateway: manifests, and blobs in the table, have a header and a body
// that agree; for any other blob the client is sent to where it is, and asks there.
func TestHeadTellsTheLength(t *testing.T) {
	c := clock.System{}
	s := memstore.New(c, memstore.Options{MinPart: 5 << 20})
	bucket := httptest.NewServer(s.Handler())
	t.Cleanup(bucket.Close)
	w := newWorldOn(t, c, s, cloud.Stores{Table: s, Objects: s, Parts: s, Direct: s.Direct(bucket.URL, c)}, false)
	minted := w.order(`{"tare":"credential","do":"mint","name":"ci","rights":"push"}`)
	send := func(method, path string, body []byte, want int) events.APIGatewayV2HTTPResponse {
		t.Helper()
		path, query, _ := strings.Cut(path, "?")
		a, said := w.invoke(httpEvent(method, path, as("ci", minted.Token), func(e *events.APIGatewayV2HTTPRequest) {
			e.RawQueryString = query
			e.Body = string(body)
		}))
		if a.StatusCode != want {
			t.Fatalf("%s %s: %d %s", method, path, a.StatusCode, said)
		}
		if length := a.Headers["Content-Length"]; want == 200 && method == "HEAD" && length != itoa(len(said)) {
			t.Errorf("%s %s: the header says %q, and the body has %d bytes", method, path, length, len(said))
		}
		return a
	}
	at := map[int]string{}
	for _, size := range []int{0, 1, 4096, 4097, 3 << 20} {
		content := bytes.Repeat([]byte("a"), size)
		d := digest.FromBytes(content).String()
		opened := send("POST", "/v2/a/blobs/uploads/", nil, 202).Headers["Location"]
		sep := "?"
		if strings.Contains(opened, "?") {
			sep = "&"
		}
		send("PUT", opened+sep+"digest="+d, content, 201)
		at[size] = "/v2/a/blobs/" + d
	}
	for size, path := range at {
		if size <= 4096 {
			if a := send("HEAD", path, nil, 200); a.Headers["Content-Length"] != itoa(size) {
				t.Errorf("a blob of %d bytes has %s", size, a.Headers["Content-Length"])
			}
			continue
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodHead, send("HEAD", path, nil, 307).Headers["Location"], nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.StatusCode != 200 || res.ContentLength != int64(size) {
			t.Errorf("a blob of %d bytes: %s, %d", size, res.Status, res.ContentLength)
		}
	}
	for _, size := range []int{200, 200 << 10, 3 << 20} {
		manifest, err := json.Marshal(map[string]any{
			"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": []any{}, "annotations": map[string]string{"a": strings.Repeat("a", size)},
		})
		if err != nil {
			t.Fatal(err)
		}
		send("PUT", "/v2/a/manifests/v1", manifest, 201)
		if a := send("HEAD", "/v2/a/manifests/v1", nil, 200); a.Headers["Content-Length"] != itoa(len(manifest)) {
			t.Errorf("a manifest of %d bytes has %s", len(manifest), a.Headers["Content-Length"])
		}
	}
	if a := send("HEAD", "/v2/a/manifests/none", nil, 404); a.Body != "" {
		t.Errorf("a manifest that is not there: a body %q, with Content-Length %q", a.Body, a.Headers["Content-Length"])
	}
}
