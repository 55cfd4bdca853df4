// SPDX-License-Identifier: Apache-2.0

package conformance

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// directState is what the registry says of a direct upload (docs/http.md, "Direct uploads").
type directState struct {
	State    string        `json:"state"`
	Digest   digest.Digest `json:"digest"`
	Size     int64         `json:"size"`
	ID       string        `json:"id"`
	Ends     time.Time     `json:"ends"`
	Put      *signed       `json:"put"`
	PartSize int64         `json:"partSize"`
	Parts    int           `json:"parts"`
	Verified int64         `json:"verified"`
}

// signed is a request that the registry signed for the store.
type signed struct {
	Number  int               `json:"number"`
	Method  string            `json:"method"`
	URL     string            `json:"url"`
	Headers map[string]string `json:"headers"`
	Ends    time.Time         `json:"ends"`
}

// direct is a direct upload as its client knows it.
type direct struct {
	*client
	blob content
	directState
}

func (c *client) tare(path string) string { return "/v2/" + c.repo + "/_tare/v1/" + path }

// at is an endpoint of the upload: "", "/urls", "/parts" or "/complete".
func (d *direct) at(endpoint string) string { return d.tare("uploads/" + d.ID + endpoint) }

func object(v any) option {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // of the test's own values
	}
	return func(r *http.Request) {
		r.Header.Set("Content-Type", "application/json")
		body(b)(r)
	}
}

func (c *client) askDirect(b content, parts bool, partSize int64) *answer {
	c.Helper()
	return c.send("POST", c.tare("uploads"), object(map[string]any{"digest": b.digest, "size": len(b.bytes), "parts": parts, "partSize": partSize}))
}

// openDirect opens an upload of b: in one PUT, or in parts of partSize.
func (c *client) openDirect(b content, partSize int64) *direct {
	c.Helper()
	a := c.askDirect(b, partSize > 0, partSize).want(201).wantHeader("Cache-Control", "no-store")
	d := &direct{client: c, blob: b}
	a.decode(&d.directState)
	if d.State != "open" || d.Digest != b.digest || d.Size != int64(len(b.bytes)) || d.ID == "" || time.Until(d.Ends) < time.Minute {
		c.Fatalf("a new upload is %s", clip(a.body))
	}
	if want := c.target.BaseURL + d.at(""); a.location() != want {
		c.Errorf("Location is %s, want %s", a.location(), want)
	}
	if (d.Put != nil) != (partSize == 0) || partSize > 0 && (d.PartSize != partSize || d.Parts != (len(b.bytes)+int(partSize)-1)/int(partSize)) {
		c.Fatalf("an upload in parts of %d is %s", partSize, clip(a.body))
	}
	return d
}

// leastPart asks the registry for the smallest part that it takes.
func (c *client) leastPart() int64 {
	c.Helper()
	var s directState
	c.askDirect(newBlob(1), true, 1).want(201).decode(&s)
	c.send("DELETE", c.tare("uploads/"+s.ID)).want(204)
	if s.PartSize < 1 || s.PartSize > 5<<20 {
		c.Fatalf("the least size of a part is %d", s.PartSize)
	}
	return s.PartSize
}

// bring sends a signed request to the store, without any credentials of the registry, and returns the status.
func (c *client) bring(r signed, b []byte) (int, error) {
	if r.Method == "" || time.Until(r.Ends) > 15*time.Minute+time.Minute {
		return 0, fmt.Errorf("a signed request that is good until %v", r.Ends)
	}
	request, err := http.NewRequest(r.Method, r.URL, bytes.NewReader(b))
	if err != nil {
		return 0, errors.New("a signed request that cannot be sent")
	}
	for name, value := range r.Headers {
		request.Header.Set(name, value)
	}
	response, err := c.http.Do(request)
	if err != nil {
		return 0, fmt.Errorf("a signed request: %w", errors.Unwrap(err))
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// brought sends what the store must take.
func (c *client) brought(r signed, b []byte) {
	c.Helper()
	if status, err := c.bring(r, b); err != nil || status != 200 {
		c.Fatalf("the store answers %d, %v", status, err)
	}
}

// refused sends what the store must refuse. One that does so before it has read a body may close the connection on it.
func (c *client) refused(r signed, b []byte) {
	c.Helper()
	if status, err := c.bring(r, b); err == nil && (status < 400 || status >= 500) {
		c.Errorf("the store answers %d, want a refusal", status)
	}
}

// part is the bytes of a part.
func (d *direct) part(number int) []byte {
	return slices.Collect(slices.Chunk(d.blob.bytes, int(d.PartSize)))[number-1]
}

// sign asks for URLs of parts with these bytes.
func (d *direct) sign(parts map[int][]byte) []signed {
	d.Helper()
	type part struct {
		Number int           `json:"number"`
		Size   int           `json:"size"`
		Digest digest.Digest `json:"digest"`
	}
	var ask []part
	for number, b := range parts {
		ask = append(ask, part{number, len(b), digest.FromBytes(b)})
	}
	var answer struct{ URLs []signed }
	d.send("POST", d.at("/urls"), object(map[string]any{"parts": ask})).want(200).wantHeader("Cache-Control", "no-store").decode(&answer)
	if len(answer.URLs) != len(ask) {
		d.Fatalf("%d URLs for %d parts", len(answer.URLs), len(ask))
	}
	for i, r := range answer.URLs {
		if r.Number != ask[i].Number {
			d.Fatalf("URL %d is for part %d, want %d", i, r.Number, ask[i].Number)
		}
	}
	return answer.URLs
}

// bringParts signs and sends parts of the blob.
func (d *direct) bringParts(numbers ...int) {
	d.Helper()
	bodies := make(map[int][]byte)
	for _, number := range numbers {
		bodies[number] = d.part(number)
	}
	for _, r := range d.sign(bodies) {
		d.brought(r, bodies[r.Number])
	}
}

// tryComplete ends the upload and waits until it is verified. It is for goroutines.
func (d *direct) tryComplete() (*answer, error) {
	a, err := d.try("POST", d.at("/complete?wait=20"))
	for range 20 {
		if err != nil || a.status != 202 {
			break
		}
		if a.header.Get("Retry-After") == "" || a.header.Get("Location") == "" {
			return a, fmt.Errorf("%s: 202 without Retry-After or Location", a.what)
		}
		var s directState
		if err := json.Unmarshal(a.body, &s); err != nil || s.State != "verifying" {
			return a, fmt.Errorf("%s: 202 with %s", a.what, clip(a.body))
		}
		a, err = d.try("POST", d.at("/complete?wait=20"))
	}
	return a, err
}

func (d *direct) complete() *answer {
	d.Helper()
	a, err := d.tryComplete()
	if err != nil {
		d.Fatal(err)
	}
	return a
}

// done ends the upload, and wants the blob; a second time, too.
func (d *direct) done() {
	d.Helper()
	for range 2 {
		a := d.complete()
		d.created(a, d.blob)
		var s directState
		a.decode(&s)
		if s.State != "done" || s.Digest != d.blob.digest || s.Size != int64(len(d.blob.bytes)) {
			d.Errorf("a completed upload is %s", clip(a.body))
		}
	}
}

// ended wants the upload to be unknown to every endpoint.
func (d *direct) ended() {
	d.Helper()
	d.send("GET", d.at("")).wantError(404, "BLOB_UPLOAD_UNKNOWN")
	d.send("POST", d.at("/urls"), object(map[string]any{})).wantError(404, "BLOB_UPLOAD_UNKNOWN")
	d.send("GET", d.at("/parts")).wantError(404, "BLOB_UPLOAD_UNKNOWN")
	d.send("POST", d.at("/complete")).wantError(404, "BLOB_UPLOAD_UNKNOWN")
	d.send("DELETE", d.at("")).wantError(404, "BLOB_UPLOAD_UNKNOWN")
}

// finished wants nothing of an upload that became a blob to be changed.
func (d *direct) finished() {
	d.Helper()
	d.send("POST", d.at("/urls"), object(map[string]any{})).wantError(404, "BLOB_UPLOAD_UNKNOWN")
	d.send("GET", d.at("/parts")).wantError(404, "BLOB_UPLOAD_UNKNOWN")
	d.send("DELETE", d.at("")).wantError(404, "BLOB_UPLOAD_UNKNOWN")
	d.wantBlob(d.blob)
}
