// SPDX-License-Identifier: Apache-2.0

package direct

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"tare/internal/oci"
)

// The JSON of docs/http.md, as far as it is needed.
type (
	request struct {
		Number  int               `json:"number"`
		Method  string            `json:"method"`
		URL     string            `json:"url"`
		Headers map[string]string `json:"headers"`
	}
	state struct {
		State    oci.DirectState `json:"state"`
		Size     int64           `json:"size"`
		ID       string          `json:"id"`
		Put      *request        `json:"put"`
		PartSize int64           `json:"partSize"`
		Parts    int             `json:"parts"`
	}
	part struct {
		Number int        `json:"number"`
		Size   int64      `json:"size"`
		Digest oci.Digest `json:"digest,omitempty"`
	}
)

func path(repo oci.Repository, rest string) string {
	return "/v2/" + string(repo) + "/_tare/v1/" + rest
}

// Support is what a registry offers of the extension.
type Support struct {
	Have    bool // [Client.Have]
	Uploads bool // [Client.Push]
}

// Discover tells what the registry offers. One that does not know the extension offers nothing, which is no error.
func (c *Client) Discover(ctx context.Context) (Support, error) {
	var answer struct {
		Extensions []struct {
			Name      string   `json:"name"`
			Endpoints []string `json:"endpoints"`
		} `json:"extensions"`
	}
	err := c.call(ctx, http.MethodGet, "/v2/_oci/ext/discover", nil, &answer)
	switch oci.CodeOf(err) {
	case oci.NameUnknown, oci.NameInvalid, oci.Unsupported, oci.ManifestUnknown:
		return Support{}, nil
	}
	var s Support
	for _, e := range answer.Extensions {
		if e.Name == "_tare" {
			s.Have = slices.Contains(e.Endpoints, "_tare/v1/have")
			s.Uploads = slices.Contains(e.Endpoints, "_tare/v1/uploads")
		}
	}
	return s, err
}

// Have tells which of the digests the repository has, with their sizes, in as many requests as that takes. Those that it tells
// of stay long enough to push a manifest.
func (c *Client) Have(ctx context.Context, repo oci.Repository, digests []oci.Digest) (map[oci.Digest]int64, error) {
	have := make(map[oci.Digest]int64)
	for batch := range slices.Chunk(digests, oci.MaxHave) {
		var answer struct {
			Have []struct {
				Digest oci.Digest `json:"digest"`
				Size   int64      `json:"size"`
			} `json:"have"`
		}
		ask := map[string]any{"digests": batch}
		if err := c.call(ctx, http.MethodPost, path(repo, "have"), ask, &answer); err != nil {
			return nil, err
		}
		for _, b := range answer.Have {
			have[b.Digest] = b.Size
		}
	}
	return have, nil
}

// Cancel gives an upload up. One that is done, or not known, is BLOB_UPLOAD_UNKNOWN.
func (c *Client) Cancel(ctx context.Context, repo oci.Repository, id string) error {
	return c.call(ctx, http.MethodDelete, path(repo, "uploads/"+id), nil, nil)
}

// stored lists the parts of an upload that are in the store already, as the registry wants them.
func (c *Client) stored(ctx context.Context, repo oci.Repository, up state) (map[int]bool, error) {
	there := make(map[int]bool)
	for after := "0"; ; {
		var answer struct {
			Parts []part `json:"parts"`
			More  bool   `json:"more"`
		}
		if err := c.call(ctx, http.MethodGet, path(repo, "uploads/"+up.ID+"/parts?after="+after), nil, &answer); err != nil {
			return nil, err
		}
		for _, p := range answer.Parts {
			if p.Size == up.sizeOf(p.Number) {
				there[p.Number] = true
			}
		}
		if !answer.More || len(answer.Parts) == 0 {
			return there, nil
		}
		after = decimal(answer.Parts[len(answer.Parts)-1].Number)
	}
}

// sign asks for the requests of parts, or for the one of an upload without.
func (c *Client) sign(ctx context.Context, repo oci.Repository, id string, parts []part) ([]request, error) {
	var answer struct {
		URLs []request `json:"urls"`
	}
	ask := map[string]any{}
	if len(parts) > 0 {
		ask["parts"] = parts
	}
	if err := c.call(ctx, http.MethodPost, path(repo, "uploads/"+id+"/urls"), ask, &answer); err != nil {
		return nil, err
	}
	if len(answer.URLs) != max(len(parts), 1) || slices.ContainsFunc(answer.URLs, func(r request) bool { return !strings.HasPrefix(r.URL, "http") }) {
		return nil, &oci.Error{Code: oci.Unavailable, Message: "the registry signed other requests than it was asked for"}
	}
	return answer.URLs, nil
}

func (s state) sizeOf(number int) int64 {
	return min(s.PartSize, s.Size-int64(number-1)*s.PartSize)
}
