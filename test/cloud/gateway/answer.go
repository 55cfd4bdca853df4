// SPDX-License-Identifier: Apache-2.0

package gateway

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// answer is what a function said. format: "Lambda function response for format 2.0".
type answer struct {
	status  int
	header  map[string]string
	cookies []string
	body    []byte
}

var errAnswer = errors.New("not an answer in payload format 2.0")

// decode reads a function's answer.
func decode(payload []byte) (*answer, error) {
	var said struct {
		StatusCode      *int              `json:"statusCode"`
		Headers         map[string]string `json:"headers"`
		Cookies         []string          `json:"cookies"`
		Body            string            `json:"body"`
		IsBase64Encoded bool              `json:"isBase64Encoded"`
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(payload, &fields) != nil || fields["statusCode"] == nil {
		// format: "If your Lambda function returns valid JSON and doesn't return a statusCode, API Gateway assumes" status 200,
		// content-type application/json, and the answer as the body.
		return &answer{status: http.StatusOK, header: map[string]string{"content-type": "application/json"}, body: payload}, nil
	}
	if err := json.Unmarshal(payload, &said); err != nil || said.StatusCode == nil {
		return nil, fmt.Errorf("%w: %w", errAnswer, err)
	}
	a := &answer{status: *said.StatusCode, header: said.Headers, cookies: said.Cookies, body: []byte(said.Body)}
	if a.status < 200 || a.status > 599 {
		return nil, fmt.Errorf("%w: status %d", errAnswer, a.status)
	}
	for name, value := range a.header {
		if !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) {
			return nil, fmt.Errorf("%w: header %q", errAnswer, name)
		}
	}
	if said.IsBase64Encoded {
		body, err := base64.StdEncoding.DecodeString(said.Body)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", errAnswer, err)
		}
		a.body = body
	}
	return a, nil
}

// write answers the client. Content-Length is that of the event's body, whatever the function's header says: so it is for
// HEAD, too, which is the pessimistic reading of what AWS does not document (aws.md §12.3).
func (a *answer) write(w http.ResponseWriter, method string) {
	h := w.Header()
	for name, value := range a.header {
		switch name = http.CanonicalHeaderKey(strings.TrimSpace(name)); {
		case hopByHop[name], name == "Content-Length", name == "Date", name == "Server":
		default:
			h.Set(name, value)
		}
	}
	for _, cookie := range a.cookies {
		h.Add("Set-Cookie", cookie) // format: "each cookie becomes a set-cookie header"
	}
	if h.Get("Content-Type") == "" && len(a.body) > 0 {
		h.Set("Content-Type", "text/plain;charset=UTF-8") // ours
	}
	bodiless := a.status == http.StatusNoContent || a.status == http.StatusNotModified
	if !bodiless {
		h.Set("Content-Length", strconv.Itoa(len(a.body)))
	}
	w.WriteHeader(a.status)
	if !bodiless && method != http.MethodHead {
		w.Write(a.body)
	}
}
