// SPDX-License-Identifier: Apache-2.0

package ocihttp

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"time"

	"tare/internal/oci"
)

// discover names the extensions (distribution-spec, extensions/_oci.md).
func (h *Handler) discover(x *exchange) error {
	type extension struct {
		Name        string   `json:"name"`
		URL         string   `json:"url"`
		Description string   `json:"description"`
		Endpoints   []string `json:"endpoints"`
	}
	tare := extension{"_tare", "docs/http.md#direct-uploads", "Which blobs are here; uploads that go to the store directly.", []string{"_tare/v1/have"}}
	if h.reg.TakesDirect() {
		tare.Endpoints = append(tare.Endpoints, "_tare/v1/uploads")
	}
	return x.writeJSON(http.StatusOK, "application/json", struct {
		Extensions []extension `json:"extensions"`
	}{[]extension{tare}})
}

// The JSON of direct uploads, as docs/http.md has it.
type (
	jsonBlob struct {
		Digest oci.Digest `json:"digest"`
		Size   int64      `json:"size"`
	}
	jsonPart struct {
		Number int        `json:"number"`
		Size   int64      `json:"size"`
		Digest oci.Digest `json:"digest,omitempty"`
	}
	jsonRequest struct {
		Number  int               `json:"number,omitempty"`
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
		Ends    time.Time         `json:"ends"`
	}
	jsonDirect struct {
		State    oci.DirectState `json:"state"`
		Digest   oci.Digest      `json:"digest"`
		Size     int64           `json:"size"`
		ID       string          `json:"id,omitempty"`
		Ends     time.Time       `json:"ends,omitzero"`
		Put      *jsonRequest    `json:"put,omitempty"`
		PartSize int64           `json:"partSize,omitempty"`
		Parts    int             `json:"parts,omitempty"`
		Verified int64           `json:"verified,omitempty"`
	}
)

// maxDirectBody is the most bytes of a request's JSON: a thousand parts have 150 KB.
const maxDirectBody = 256 << 10

// maxDirectTime is how long it may take to come.
const maxDirectTime = 30 * time.Second

// readJSON reads a request's body into v.
func (x *exchange) readJSON(v any) error {
	if x.r.ContentLength > maxDirectBody {
		return oci.Errorf(oci.TooLarge, "the request has %d bytes, more than %d", x.r.ContentLength, maxDirectBody)
	}
	x.endRead(maxDirectTime)
	b, err := io.ReadAll(io.LimitReader(&x.body, maxDirectBody+1))
	switch {
	case err != nil:
		return err
	case len(b) > maxDirectBody:
		return oci.Errorf(oci.TooLarge, "the request has more than %d bytes", maxDirectBody)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return &oci.Error{Code: oci.BlobUploadInvalid, Message: "the request is not the JSON that this endpoint takes", Cause: err}
	}
	return nil
}

// writeDirect answers with secrets.
func (x *exchange) writeDirect(status int, v any) error {
	x.Header()["Cache-Control"] = []string{"no-store"}
	return x.writeJSON(status, "application/json", v)
}

// parseDigests checks digests that came in JSON.
func parseDigests(digests []string) ([]oci.Digest, error) {
	out := make([]oci.Digest, len(digests))
	for i, s := range digests {
		d, err := oci.ParseDigest(s)
		if err != nil {
			return nil, err
		}
		out[i] = d
	}
	return out, nil
}

// haveBlobs tells which blobs the repository has.
func (h *Handler) haveBlobs(x *exchange) error {
	var ask struct {
		Digests []string `json:"digests"`
	}
	if err := x.readJSON(&ask); err != nil {
		return err
	}
	if len(ask.Digests) > oci.MaxHave {
		return oci.Errorf(oci.TooLarge, "%d digests at once, more than %d", len(ask.Digests), oci.MaxHave)
	}
	digests, err := parseDigests(ask.Digests)
	if err != nil {
		return err
	}
	have, err := h.reg.HaveBlobs(x.r.Context(), x.repo, digests)
	if err != nil {
		return err
	}
	answer := make([]jsonBlob, len(have))
	for i, desc := range have {
		answer[i] = jsonBlob{desc.Digest, desc.Size}
	}
	return x.writeDirect(http.StatusOK, map[string]any{"have": answer})
}

// openDirect opens an upload.
func (h *Handler) openDirect(x *exchange) error {
	var ask struct {
		Digest   string `json:"digest"`
		Size     int64  `json:"size"`
		Parts    bool   `json:"parts"`
		PartSize int64  `json:"partSize"`
	}
	if err := x.readJSON(&ask); err != nil {
		return err
	}
	d, err := oci.ParseDigest(ask.Digest)
	if err != nil {
		return err
	}
	up, err := h.reg.OpenDirect(x.r.Context(), x.repo, oci.DirectOpen{Digest: d, Size: ask.Size, Parts: ask.Parts, PartSize: ask.PartSize})
	if err != nil {
		return err
	}
	return x.directState(up, http.StatusOK, http.StatusCreated)
}

// directState answers with the state of an upload: by the one status where it is done, by the other where it is not.
func (x *exchange) directState(up oci.DirectUpload, done, under int) error {
	answer := jsonDirect{State: up.State, Digest: up.Digest, Size: up.Size, ID: up.ID, Ends: up.Ends,
		PartSize: up.PartSize, Parts: up.Parts, Verified: up.Verified}
	if up.Put != nil {
		put := jsonSigned(*up.Put)
		answer.Put = &put
	}
	header := x.Header()
	if up.State == oci.DirectDone {
		header["Location"] = []string{target{routeBlob, string(x.repo), string(up.Digest)}.path()}
		header["Docker-Content-Digest"] = []string{string(up.Digest)}
		return x.writeDirect(done, answer)
	}
	header["Location"] = []string{target{routeDirect, string(x.repo), up.ID}.path()}
	if up.State == oci.DirectVerifying {
		header["Retry-After"] = []string{"1"}
	}
	return x.writeDirect(under, answer)
}

func jsonSigned(r oci.SignedRequest) jsonRequest {
	headers := r.Header
	if headers == nil {
		headers = map[string]string{}
	}
	return jsonRequest{Method: r.Method, URL: r.URL, Headers: headers, Ends: r.Ends}
}

// signDirect gives out URLs.
func (h *Handler) signDirect(x *exchange) error {
	var ask struct {
		Parts []struct {
			Number int    `json:"number"`
			Size   int64  `json:"size"`
			Digest string `json:"digest"`
		} `json:"parts"`
	}
	if err := x.readJSON(&ask); err != nil {
		return err
	}
	if len(ask.Parts) > oci.MaxDirectParts {
		return oci.Errorf(oci.TooLarge, "%d parts at once, more than %d", len(ask.Parts), oci.MaxDirectParts)
	}
	parts := make([]oci.DirectPart, len(ask.Parts))
	for i, p := range ask.Parts {
		d, err := oci.ParseDigest(p.Digest)
		if err != nil {
			return err
		}
		parts[i] = oci.DirectPart{Number: p.Number, Size: p.Size, Digest: d}
	}
	signed, err := h.reg.SignDirect(x.r.Context(), x.repo, x.target.ref, parts)
	if err != nil {
		return err
	}
	urls := make([]jsonRequest, len(signed))
	for i, r := range signed {
		urls[i] = jsonSigned(r)
		if i < len(parts) {
			urls[i].Number = parts[i].Number
		}
	}
	return x.writeDirect(http.StatusOK, map[string]any{"urls": urls})
}

// directParts lists what came of an upload in parts.
func (h *Handler) directParts(x *exchange) error {
	q := x.r.URL.Query()
	limit, err := pageSize(q)
	if err != nil {
		return err
	}
	after, ok := int64(0), true
	if q.Has("after") {
		after, ok = parseInt(q.Get("after"))
	}
	if !ok || limit == 0 {
		return oci.Errorf(oci.PaginationInvalid, "after is the number of a part, and n at least 1")
	}
	list, more, err := h.reg.DirectParts(x.r.Context(), x.repo, x.target.ref, int(min(after, 1<<31-1)), min(limit, oci.MaxDirectParts))
	if err != nil {
		return err
	}
	parts := make([]jsonPart, len(list))
	for i, p := range list {
		parts[i] = jsonPart{Number: p.Number, Size: p.Size}
	}
	return x.writeDirect(http.StatusOK, struct {
		Parts []jsonPart `json:"parts"`
		More  bool       `json:"more"`
	}{parts, more})
}

// completeDirect ends an upload.
func (h *Handler) completeDirect(x *exchange) error {
	wait, err := x.wait()
	if err != nil {
		return err
	}
	up, err := h.reg.CompleteDirect(x.r.Context(), x.repo, x.target.ref, wait)
	if err != nil {
		return err
	}
	return x.directState(up, http.StatusCreated, http.StatusAccepted)
}

// directStatus tells how far an upload is.
func (h *Handler) directStatus(x *exchange) error {
	wait, err := x.wait()
	if err != nil {
		return err
	}
	up, err := h.reg.DirectStatus(x.r.Context(), x.repo, x.target.ref, wait)
	if err != nil {
		return err
	}
	return x.directState(up, http.StatusOK, http.StatusOK)
}

// maxWait is the longest that an answer is waited for: a gateway gives up after 30 seconds (API Gateway quotas for HTTP APIs,
// read 2026-11).
const maxWait = 20

// wait reads how long the client will wait, in seconds, or "event". More than maxWait is taken for maxWait.
func (x *exchange) wait() (time.Duration, error) {
	values := x.r.URL.Query()["wait"]
	if len(values) == 0 {
		return 0, nil
	}
	if len(values) == 1 && values[0] == "event" {
		return oci.LeaveToEvent, nil
	}
	n, err := strconv.ParseUint(values[0], 10, 64)
	if len(values) > 1 || err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, oci.Errorf(oci.PaginationInvalid, "wait is %q, neither a number of seconds nor event", clip(values[0]))
	}
	return time.Duration(min(n, maxWait)) * time.Second, nil
}

// cancelDirect gives an upload up.
func (h *Handler) cancelDirect(x *exchange) error {
	if err := h.reg.CancelDirect(x.r.Context(), x.repo, x.target.ref); err != nil {
		return err
	}
	return x.writeEmpty(http.StatusNoContent)
}
