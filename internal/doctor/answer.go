// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// answer is a response that was read.
type answer struct {
	status int
	header http.Header
	length int64 // Content-Length; -1: it has none
	body   []byte
	url    *url.URL
}

// What a request may take.
const (
	maxAnswer   = 16 << 20
	requestTime = 2 * time.Minute
)

// request is one to be sent. A path is below the registry; an absolute URL is as it is.
type request struct {
	method    string
	path      string
	raw       string // in place of a path: sent as it is
	body      []byte
	header    map[string]string
	anonymous bool
	unlengthy bool // the body comes without a Content-Length
}

// do sends a request and reads its answer. Only the registry's own host is shown the credentials. Redirects are answers.
func (p *patient) do(ctx context.Context, q request) (answer, error) {
	at, err := p.base.Parse(q.path)
	if err != nil {
		return answer{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, requestTime)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, q.method, at.String(), bytes.NewReader(q.body))
	if err != nil {
		return answer{}, err
	}
	if q.raw != "" {
		r.URL.Opaque = q.raw
	}
	switch {
	case q.unlengthy:
		r.ContentLength = -1
	case len(q.body) == 0:
		r.Body, r.ContentLength = http.NoBody, 0
	}
	for name, v := range q.header {
		if strings.EqualFold(name, "Host") {
			r.Host = v
		} else if !strings.EqualFold(name, "Content-Length") { // it is the body's
			r.Header.Set(name, v)
		}
	}
	if p.o.User != "" && !q.anonymous && at.Host == p.base.Host && at.Scheme == p.base.Scheme {
		r.SetBasicAuth(p.o.User, p.o.Password)
	}
	resp, err := p.http.Do(r)
	if err != nil {
		return answer{}, without(err, at)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return answer{}, err
	}
	return answer{resp.StatusCode, resp.Header, resp.ContentLength, body, at}, nil
}

// without takes the address out of an error: who has a signed one can use it.
func without(err error, at *url.URL) error {
	var e *url.Error
	if errors.As(err, &e) {
		return fmt.Errorf("%s: %w", at.Host, e.Err)
	}
	return err
}

// fetch is a GET or HEAD that follows redirects, as clients do. way has the hosts that answered.
func (p *patient) fetch(ctx context.Context, q request) (a answer, way []string, err error) {
	for range 6 {
		a, err = p.do(ctx, q)
		if err != nil {
			return a, way, err
		}
		way = append(way, a.url.Host)
		if a.status < 300 || a.status > 399 || a.status == http.StatusNotModified {
			return a, way, nil
		}
		next, err := a.url.Parse(a.header.Get("Location"))
		if err != nil || a.header.Get("Location") == "" {
			return a, way, fmt.Errorf("%v answers with a redirect (%d) to nowhere", way, a.status)
		}
		q.path = next.String()
	}
	return a, way, fmt.Errorf("too many redirects: %v", way)
}

// in gives a path below the doctor's own repository.
func (p *patient) in(format string, args ...any) string {
	return "/v2/" + p.repo + "/" + fmt.Sprintf(format, args...)
}

// has tells whether the answer has one of the statuses.
func (a answer) has(statuses ...int) bool {
	for _, s := range statuses {
		if a.status == s {
			return true
		}
	}
	return false
}

// String is the status with the beginning of an error. Other bodies may have signed URLs, which are secrets.
func (a answer) String() string {
	if a.status < 400 {
		return fmt.Sprintf("status %d", a.status)
	}
	text := strings.Join(strings.Fields(string(a.body[:min(len(a.body), 200)])), " ")
	if text == "" {
		return fmt.Sprintf("status %d", a.status)
	}
	return fmt.Sprintf("status %d: %s", a.status, text)
}

// code is the code of an error of the specification; "" if the answer has none.
func (a answer) code() string {
	var e struct {
		Errors []struct{ Code string }
	}
	if json.Unmarshal(a.body, &e) != nil || len(e.Errors) == 0 {
		return ""
	}
	return e.Errors[0].Code
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
