// SPDX-License-Identifier: Apache-2.0

// Package ocihttp is the HTTP of the OCI distribution specification 1.1.1 over an [oci.Registry]. It owns paths, headers,
// ranges, conditions, limits of requests, and the one table from error codes to statuses. It knows no storage, and
// assumes that the Registry keeps its contract.
//
// Locations are relative, so that the registry works behind any proxy. Every answer below /v2/ that has a body is JSON or
// the content that was asked for. Bodies are streamed; only manifests are held in memory.
//
// Timeouts of headers, of idle connections and the size of headers are the server's. A server's ReadTimeout and
// WriteTimeout should be 0: they would end long transfers. [Options.StallTimeout] ends those that stand still.
package ocihttp

import (
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"tare/internal/auth"
	"tare/internal/clock"
	"tare/internal/oci"
)

// Access says who may do what. [auth.Guard] is one.
type Access interface {
	// Authorize tells who sent the request and whether they may do all that it needs. Nothing is needed for /v2/ itself,
	// and a pull from no repository in particular for the catalog. Errors: Unauthorized, Denied, TooManyRequests.
	Authorize(r *http.Request, needs ...auth.Need) (auth.Caller, error)

	// Challenge is the WWW-Authenticate header of an answer to r that is Unauthorized.
	Challenge(r *http.Request) string
}

// Options configures [New].
type Options struct {
	Access Access      // nil: everybody may do everything
	Clock  clock.Clock // nil: the system's
	Log    *slog.Logger

	// AccessLog logs every request at Info, and not at Debug. Requests that fail by the registry's fault are logged at
	// Warn or Error in either case.
	AccessLog bool

	// Refuse, if not nil, is asked before a request is served; where it has an error, that is the answer.
	Refuse func(*http.Request) error

	// Observe, if not nil, is called at the end of every request.
	Observe func(Observation)

	// StallTimeout is for how long a request body may bring no byte, and for how long the client may take no mebibyte of
	// a response. 0: for ever.
	StallTimeout time.Duration
}

// Observation is what one request was.
type Observation struct {
	Method   string // "other" where it is none that a registry knows
	Route    string // one of a few words, such as "manifest"
	Status   int    // 499 where the client went away before it was answered
	In, Out  int64  // bytes of bodies
	Duration time.Duration
}

// Handler answers the requests of registry clients. It is safe for concurrent use.
type Handler struct {
	reg     oci.Registry
	access  Access
	clock   clock.Clock
	log     *slog.Logger
	level   slog.Level // of requests that went well
	refuse  func(*http.Request) error
	observe func(Observation)
	stall   time.Duration
	ids     requestIDs
	buffers sync.Pool
	held    atomic.Int64 // bytes of the manifests that are being pushed

	version, nosniff, sandbox []string // values of headers that every answer has
}

// New returns a handler for all paths; those outside /v2/ are answered 404.
func New(reg oci.Registry, o Options) *Handler {
	h := &Handler{reg: reg, access: o.Access, clock: o.Clock, log: o.Log, level: slog.LevelDebug, refuse: o.Refuse, observe: o.Observe, stall: o.StallTimeout,
		ids: newRequestIDs(), version: []string{"registry/2.0"}, nosniff: []string{"nosniff"}, sandbox: []string{"default-src 'none'; sandbox"}}
	if h.clock == nil {
		h.clock = clock.System{}
	}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if o.AccessLog {
		h.level = slog.LevelInfo
	}
	h.buffers.New = func() any { return new([64 << 10]byte) }
	return h
}

// exchange is one request and its answer.
type exchange struct {
	response
	deadlines
	r      *http.Request
	target target
	repo   oci.Repository
	caller auth.Caller
	body   body
	id     string // of the request
	cut    bool   // the answer was under way when it failed: the client must not take what it has for the whole
}

// ServeHTTP answers a request.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := h.clock.Now()
	x := &exchange{
		response:  response{ResponseWriter: w},
		deadlines: deadlines{w: w, clock: h.clock, stall: h.stall},
		r:         r,
		target:    parsePath(r.URL),
	}
	x.body = body{src: r.Body, deadlines: &x.deadlines}
	if r.ContentLength != 0 {
		x.extendRead()
	}
	if x.id = r.Header.Get("X-Request-Id"); !validRequestID(x.id) {
		x.id = h.ids.next()
	}
	header := w.Header()
	header["Docker-Distribution-Api-Version"] = h.version
	header["X-Request-Id"] = []string{x.id}
	// Whoever pushes decides on content, and on the media type of a manifest: a browser must take neither for a page of
	// this host. A blob has no other type than that of any bytes.
	header["X-Content-Type-Options"] = h.nosniff
	if x.target.route == routeManifest {
		header["Content-Security-Policy"] = h.sandbox
	}

	var failure *oci.Error
	if err := h.guarded(x); err != nil {
		failure = x.failure(err)
		h.writeError(x, failure)
	}
	h.report(x, failure, start)
	if failure != nil && x.cut {
		panic(http.ErrAbortHandler)
	}
}

// serve finds out what is asked for and by whom, and does it.
func (h *Handler) serve(x *exchange) (err error) {
	if len(x.r.URL.RawQuery) > maxQuery {
		return oci.Errorf(oci.QueryTooLong, "the query has %d bytes, more than %d", len(x.r.URL.RawQuery), maxQuery)
	}
	if x.target.route == routeUnknown {
		return oci.Errorf(oci.NameUnknown, "there is no such endpoint")
	}
	action, handle := x.target.route.method(x.r.Method)
	if handle == nil {
		x.Header().Set("Allow", x.target.route.allow(x.r.Method))
		return oci.Errorf(oci.Unsupported, "%s is not among the methods of this endpoint", clip(x.r.Method))
	}
	if x.target.route.named() {
		if x.repo, err = oci.ParseRepository(x.target.name); err != nil {
			return err
		}
	}
	if h.refuse != nil {
		if err := h.refuse(x.r); err != nil {
			return err
		}
	}
	if err := h.authorize(x, action); err != nil {
		return err
	}
	return handle(h, x)
}

// authorize finds out who the caller is and refuses what they may not do.
func (h *Handler) authorize(x *exchange, action auth.Action) (err error) {
	switch {
	case h.access == nil:
	case action == 0:
		x.caller, err = h.access.Authorize(x.r)
	default:
		x.caller, err = h.access.Authorize(x.r, auth.Need{Action: action, Repository: x.repo})
	}
	return err
}

// mayPull tells whether the caller may read another repository than the request's.
func (h *Handler) mayPull(x *exchange, repo oci.Repository) bool {
	return h.access == nil || x.caller.May(auth.Need{Action: auth.Pull, Repository: repo})
}

// base answers /v2/: this is a registry.
func (h *Handler) base(x *exchange) error {
	return x.writeJSON(http.StatusOK, "application/json", struct{}{})
}
