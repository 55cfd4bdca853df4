// SPDX-License-Identifier: Apache-2.0

// Package direct is a client of a registry's direct uploads (docs/http.md, "Direct uploads"): it asks which blobs a repository
// has, and brings the others to the registry's store, many parts at once, by the requests that the registry signs.
//
// What it holds in memory does not depend on the size of a blob. Errors that the registry tells are *[oci.Error]. No error and no
// log line names a URL of the store: whoever has one can use it.
package direct

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"tare/internal/clock"
	"tare/internal/oci"
)

// Options are how a [Client] behaves. The zero value is good.
type Options struct {
	// Registry sends requests to the registry, Store those that it signed to the store. Nil: clients of their own, on transports
	// that wait for an answer for a minute, and keep the connections of Parallel parts. Neither is to follow redirects on its own.
	Registry, Store *http.Client

	// Authorize adds credentials to a request to the registry, to each anew: a large push outlives a token. Its error ends the
	// call. The store gets no credentials. Nil: there are none.
	Authorize func(*http.Request) error

	Clock clock.Clock // nil: the system's

	// Parallel is how many parts of a push are on their way at once, each on a connection of its own; 0: 8. As many more are
	// hashed meanwhile. Pushes at the same time do not share it. A store gives one connection 40 to 90 MB/s, so it is the
	// client's line or its processors that decide how many are worth it; memory does not, at 64 KiB each.
	Parallel int
	// PartsFrom is from how many bytes on a blob comes in parts, PartSize how large these shall be; 0: 64 MiB, and what the
	// registry likes. In parts a blob comes faster, and is read once more by the registry. A part that fails is sent again
	// from its beginning, and one that was on its way when a push ended is not there when it is resumed.
	PartsFrom, PartSize int64
	// Whole is up to how many bytes a blob goes to the registry itself, in one request; 0: 32 KiB. Empty ones always do.
	Whole int64

	// Tries is how often a request is sent that fails for no fault of its own; 0: 6. The pauses between them are random, of
	// 125 to 250 ms after the first and twice as long after each other one, up to 8 s, or what the registry asks for and as
	// much more. A request that is slower than 64 KiB/s and a minute has failed.
	Tries int
}

const (
	defaultParallel  = 8
	defaultPartsFrom = 64 << 20
	defaultWhole     = 32 << 10
	defaultTries     = 6
)

// Client speaks to one registry. It is safe for concurrent use.
type Client struct {
	base string
	opts Options
}

// New returns a client of the registry at base: scheme and host.
func New(base string, o Options) (*Client, error) {
	u, err := url.Parse(base)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" {
		return nil, fmt.Errorf("direct: %q is not the address of a registry", base)
	}
	o.Parallel = orElse(o.Parallel, defaultParallel)
	if o.Registry == nil {
		o.Registry = &http.Client{CheckRedirect: stay, Transport: transport(o.Parallel)}
	}
	if o.Store == nil {
		o.Store = &http.Client{CheckRedirect: stay, Transport: transport(o.Parallel)}
	}
	if o.Clock == nil {
		o.Clock = clock.System{}
	}
	o.Tries = orElse(o.Tries, defaultTries)
	o.PartsFrom = orElse(o.PartsFrom, defaultPartsFrom)
	o.Whole = orElse(o.Whole, defaultWhole)
	return &Client{base: u.Scheme + "://" + u.Host, opts: o}, nil
}

// answerWithin is how long the default transports wait for an answer when all is sent. The registry takes up to 30 s.
const answerWithin = time.Minute

// transport is the default one, which keeps more connections, and waits for no answer for ever.
func transport(connections int) http.RoundTripper {
	t, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return http.DefaultTransport // the program's own
	}
	t = t.Clone()
	t.MaxIdleConnsPerHost = connections
	t.ResponseHeaderTimeout = answerWithin
	return t
}

func orElse[T int | int64](n, other T) T {
	if n > 0 {
		return n
	}
	return other
}

func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// maxAnswer is the most bytes of an answer of the registry: a thousand signed requests have up to 3 MB.
const maxAnswer = 8 << 20

// call sends a request with a JSON body, or none, and reads the JSON of its answer into out, unless that is nil. It repeats what
// the registry cannot do now; every request of the extension may be repeated.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	return c.patiently(ctx, func() (again bool, after time.Duration, err error) {
		answer, again, err := c.ask(ctx, method, path, bytes.NewReader(body), int64(len(body)), "application/json")
		if err != nil {
			return again, 0, err
		}
		return c.read(answer, out)
	})
}

// ask sends one request to the registry. again tells that another one could succeed.
func (c *Client) ask(ctx context.Context, method, path string, body io.Reader, size int64, mediaType string) (resp *http.Response, again bool, err error) {
	r, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, false, err
	}
	r.ContentLength = size
	if size > 0 {
		r.Header.Set("Content-Type", mediaType)
	} else {
		r.Body = http.NoBody
	}
	if c.opts.Authorize != nil {
		if err := c.opts.Authorize(r); err != nil {
			return nil, false, err
		}
	}
	resp, err = c.opts.Registry.Do(r)
	return resp, true, withoutURL("the registry", err)
}

// read takes an answer apart.
func (c *Client) read(resp *http.Response, out any) (again bool, after time.Duration, err error) {
	defer resp.Body.Close() // it was only read
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return true, 0, withoutURL("the registry", err)
	case resp.StatusCode >= 200 && resp.StatusCode < 300:
		if out == nil {
			return false, 0, nil
		}
		if err := json.Unmarshal(b, out); err != nil {
			return false, 0, fmt.Errorf("direct: the registry's answer: %w", err)
		}
		return false, 0, nil
	}
	seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After")) // 0 where it does not say
	again = resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= 500 && resp.StatusCode != http.StatusInsufficientStorage
	return again, time.Duration(min(seconds, 60)) * time.Second, registryError(resp.StatusCode, b)
}

// registryError is what the registry told, or what its status tells.
func registryError(status int, body []byte) error {
	var told struct {
		Errors []struct {
			Code    oci.Code       `json:"code"`
			Message string         `json:"message"`
			Detail  map[string]any `json:"detail"`
		} `json:"errors"`
	}
	if json.Unmarshal(body, &told) == nil && len(told.Errors) > 0 && told.Errors[0].Code != "" {
		e := &oci.Error{Code: told.Errors[0].Code, Message: told.Errors[0].Message, Cause: fmt.Errorf("status %d", status)}
		if told.Errors[0].Detail != nil {
			e.Detail = told.Errors[0].Detail
		}
		return e
	}
	code := oci.Unsupported
	if status >= 500 || status == http.StatusTooManyRequests {
		code = oci.Unavailable
	}
	return &oci.Error{Code: code, Message: fmt.Sprintf("the registry answers %d, in no form that it should", status)}
}

// withoutURL takes the URL out of an error of an HTTP client.
func withoutURL(who string, err error) error {
	var e *url.Error
	if errors.As(err, &e) {
		err = e.Err
	}
	if err == nil {
		return nil
	}
	return fmt.Errorf("direct: %s: %w", who, err)
}

// The least and the most of what a pause between attempts is drawn from.
const (
	firstPause = 250 * time.Millisecond
	mostPause  = 8 * time.Second
)

// patiently repeats an attempt, later each time, while it says that another could succeed. Clients that failed together do not
// come back together.
func (c *Client) patiently(ctx context.Context, attempt func() (again bool, after time.Duration, err error)) error {
	wait := firstPause
	for try := 1; ; try++ {
		again, after, err := attempt()
		if err == nil || !again || try >= c.opts.Tries || ctx.Err() != nil {
			return err
		}
		pause := wait/2 + rand.N(wait/2)
		if after > 0 {
			pause += after
		}
		if err := c.opts.Clock.Pause(ctx, pause); err != nil {
			return err
		}
		wait = min(2*wait, mostPause)
	}
}
