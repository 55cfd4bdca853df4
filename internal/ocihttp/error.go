// SPDX-License-Identifier: Apache-2.0

package ocihttp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"time"

	"tare/internal/oci"
)

// clientGone stands for a client that went away. It is never sent.
const clientGone oci.Code = "CLIENT_GONE"

// told is the table of how errors are told: the status, and the code that is sent. A code that is not in it is taken for
// Internal.
//
// A client gets no code but those of the specification's table ("Error Codes": "The code field MUST be one of the
// following"), except with a fault of the registry. Where the table has no word, it gets the nearest one that makes no
// client try again in another way; the status and the message say the rest, and the log has the code itself. So what is
// too large is not MANIFEST_INVALID, to which some convert the manifest, and a range that cannot be is not
// BLOB_UPLOAD_INVALID, to which some start anew: the upload goes on.
func told(code oci.Code) (status int, sent oci.Code) {
	switch code {
	case oci.BlobUploadInvalid, oci.DigestInvalid, oci.ManifestInvalid, oci.NameInvalid, oci.SizeInvalid:
		return http.StatusBadRequest, code
	case oci.TagInvalid:
		return http.StatusBadRequest, oci.ManifestInvalid
	case oci.PaginationInvalid:
		return http.StatusBadRequest, oci.Unsupported
	case oci.Unauthorized:
		return http.StatusUnauthorized, code
	case oci.Denied:
		return http.StatusForbidden, code
	case oci.BlobUnknown, oci.BlobUploadUnknown, oci.ManifestBlobUnknown, oci.ManifestUnknown, oci.NameUnknown:
		return http.StatusNotFound, code
	case oci.Unsupported:
		return http.StatusMethodNotAllowed, code
	case oci.InUse:
		return http.StatusMethodNotAllowed, oci.Denied
	case oci.PreconditionFailed:
		return http.StatusPreconditionFailed, oci.Denied
	case oci.TooLarge:
		return http.StatusRequestEntityTooLarge, oci.SizeInvalid
	case oci.QueryTooLong:
		return http.StatusRequestURITooLong, oci.SizeInvalid
	case oci.RangeInvalid:
		return http.StatusRequestedRangeNotSatisfiable, oci.SizeInvalid
	case oci.TooManyRequests:
		return http.StatusTooManyRequests, code
	case clientGone:
		return 499, code
	case oci.Unavailable:
		return http.StatusServiceUnavailable, code
	case oci.NoSpace:
		return http.StatusInsufficientStorage, code
	}
	return http.StatusInternalServerError, oci.Internal
}

// panicked is the error of a handler that panicked.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("panic: %v\n%s", p.value, p.stack) }

// guarded serves the request and turns a panic into an error.
func (h *Handler) guarded(x *exchange) (err error) {
	defer func() {
		if v := recover(); v == http.ErrAbortHandler {
			panic(v)
		} else if v != nil {
			err = &panicked{v, debug.Stack()}
		}
	}()
	return h.serve(x)
}

// failure tells what an error means for the client; its Cause is for the log.
func (x *exchange) failure(err error) *oci.Error {
	if e := x.body.failure(); e != nil {
		return e
	}
	ended := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
	// A canceled request is one whose client is gone; a deadline is the server's own.
	gone := errors.Is(x.r.Context().Err(), context.Canceled)
	if gone && (ended || x.status != 0) || x.status != 0 && connectionLost(err) {
		return &oci.Error{Code: clientGone, Message: "the client went away", Cause: err}
	}
	var e *oci.Error
	if errors.As(err, &e) {
		if status, _ := told(e.Code); status != http.StatusInternalServerError {
			return e
		}
	}
	if ended {
		return &oci.Error{Code: oci.Unavailable, Message: "this took too long; try again", Cause: err}
	}
	return &oci.Error{Code: oci.Internal, Message: "internal error; the registry's log has more under the request id " + x.id, Cause: err}
}

// connectionLost tells whether writing an answer failed because its reader is gone or takes nothing more.
func connectionLost(err error) bool {
	var e *net.OpError
	return errors.As(err, &e) && (errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, net.ErrClosed))
}

// retryAfter is when clients are asked to come back where an error does not say it.
const retryAfter = time.Second

// writeError answers with an error, in the format of the specification ("Error Codes"), unless an answer is under way.
func (h *Handler) writeError(x *exchange, e *oci.Error) {
	if x.status != 0 {
		x.cut = true
		return
	}
	status, code := told(e.Code)
	if e.Code == clientGone {
		x.cut = true
		x.status = status
		return
	}
	x.body.drain(x.r)
	for _, name := range []string{"Etag", "Docker-Content-Digest", "Content-Type", "Content-Length"} {
		delete(x.Header(), name) // they were about what was asked for
	}
	switch e.Code {
	case oci.Unauthorized:
		if h.access != nil {
			x.Header().Set("WWW-Authenticate", h.access.Challenge(x.r))
		}
	case oci.Unavailable, oci.TooManyRequests:
		after := e.RetryAfter
		if after <= 0 {
			after = retryAfter
		}
		x.Header().Set("Retry-After", strconv.FormatInt(int64((after+time.Second-1)/time.Second), 10))
	case oci.InUse:
		x.Header().Set("Allow", x.target.route.allow(x.r.Method))
	}
	type entry struct {
		Code    oci.Code `json:"code"`
		Message string   `json:"message"`
		Detail  any      `json:"detail,omitempty"`
	}
	var answer struct {
		Errors [1]entry `json:"errors"`
	}
	answer.Errors[0] = entry{code, e.Message, e.Detail}
	if err := x.writeJSON(status, "application/json", answer); err != nil {
		// Only a client that is gone fails to take it, and it was told nothing that is now wrong.
		x.cut = true
	}
}

// report logs and observes a request at its end.
func (h *Handler) report(x *exchange, failure *oci.Error, start time.Time) {
	d := h.clock.Now().Sub(start)
	method := x.r.Method
	switch method {
	case "GET", "HEAD", "PUT", "POST", "PATCH", "DELETE":
	default:
		method = "other"
	}
	h.logRequest(x, method, failure, d)
	if h.observe != nil {
		h.observe(Observation{method, x.target.route.String(), x.status, x.body.n, x.out, d})
	}
}

// logRequest is the only place where an error is logged.
func (h *Handler) logRequest(x *exchange, method string, failure *oci.Error, d time.Duration) {
	level := h.level
	if failure != nil {
		switch failure.Code {
		case oci.Internal:
			level = slog.LevelError
		case oci.Unavailable, oci.NoSpace:
			level = slog.LevelWarn
		}
	}
	ctx := x.r.Context()
	if !h.log.Enabled(ctx, level) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 14), slog.String("request", x.id), slog.String("method", method),
		slog.String("route", x.target.route.String()), slog.Int("status", x.status),
		slog.Int64("in", x.body.n), slog.Int64("out", x.out), slog.Duration("duration", d), slog.String("remote", x.r.RemoteAddr))
	if x.caller.Name != "" {
		attrs = append(attrs, slog.String("caller", x.caller.Name))
	}
	if x.target.name != "" {
		attrs = append(attrs, slog.String("repository", clip(x.target.name)))
	}
	if x.target.ref != "" && !x.target.route.secret() {
		attrs = append(attrs, slog.String("reference", clip(x.target.ref)))
	}
	if x.target.route == routeUnknown {
		path, _, cut := strings.Cut(x.r.URL.Path, "/uploads/") // what follows can be an upload's id
		if cut {
			path += "/uploads/…"
		}
		attrs = append(attrs, slog.String("path", clip(path)))
	}
	if failure != nil {
		attrs = append(attrs, slog.String("code", string(failure.Code)), slog.String("error", failure.Error()))
	}
	h.log.LogAttrs(ctx, level, "request", attrs...)
}

// clip shortens what a client sent, for a message.
func clip(s string) string {
	if len(s) > 200 {
		return s[:200] + "…"
	}
	return s
}
