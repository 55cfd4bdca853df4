// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"

	"tare/internal/oci"
	"tare/internal/refcount"
)

// Administration is HTTP over the socket in the data folder. A request is a POST of a JSON object; its answer is a
// stream of JSON lines, each with one of three names: {"line":…} for a part of the result, and at the end
// {"done":true} or {"error":"…"}. A stream without an end is a server that died. A backup is a stream of its own: the
// archive, whose last entry says that it is complete.
//
//	POST /gc        gcRequest        → gcLine…
//	POST /undelete  undeleteRequest  → refcount.Restored
//	POST /size      sizeRequest      → repositorySize…
//	POST /explain   explainRequest   → explainLine…
//	POST /fsck      fsckRequest      → fsckLine…
//	POST /backup                     → an archive
//	GET  /debug/pprof/…              as net/http/pprof has it
//
// The socket is the permission: who can connect may do everything.

// administration is what the commands ask for, from a running server or from a folder that they opened.
type administration interface {
	gc(ctx context.Context, r gcRequest, line func(gcLine) error) error
	undelete(ctx context.Context, r undeleteRequest) (refcount.Restored, error)
	size(ctx context.Context, r sizeRequest, line func(repositorySize) error) error
	explain(ctx context.Context, r explainRequest, line func(explainLine) error) error
	fsck(ctx context.Context, r fsckRequest, line func(fsckLine) error) error
	backup(ctx context.Context, w io.Writer) error
	Close() error
}

// adminLine is a line of an answer.
type adminLine struct {
	Line  json.RawMessage `json:"line,omitempty"`
	Done  bool            `json:"done,omitempty"`
	Error string          `json:"error,omitempty"`
}

// adminHandler answers on the socket.
func adminHandler(a administration, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /gc", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, log, func(q gcRequest, line func(gcLine) error) error { return a.gc(r.Context(), q, line) })
	})
	mux.HandleFunc("POST /undelete", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, log, func(q undeleteRequest, line func(refcount.Restored) error) error {
			result, err := a.undelete(r.Context(), q)
			if err != nil {
				return err
			}
			return line(result)
		})
	})
	mux.HandleFunc("POST /size", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, log, func(q sizeRequest, line func(repositorySize) error) error { return a.size(r.Context(), q, line) })
	})
	mux.HandleFunc("POST /explain", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, log, func(q explainRequest, line func(explainLine) error) error { return a.explain(r.Context(), q, line) })
	})
	mux.HandleFunc("POST /fsck", func(w http.ResponseWriter, r *http.Request) {
		answer(w, r, log, func(q fsckRequest, line func(fsckLine) error) error { return a.fsck(r.Context(), q, line) })
	})
	mux.HandleFunc("POST /backup", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/x-tar")
		if err := a.backup(r.Context(), w); err != nil {
			log.Error("A backup failed.", "error", err)
			panic(http.ErrAbortHandler) // so that the client sees that it is not all
		}
	})
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

// answer decodes a request, does it and streams its lines.
func answer[Request, Line any](w http.ResponseWriter, r *http.Request, log *slog.Logger, do func(Request, func(Line) error) error) {
	var q Request
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&q); err != nil {
		http.Error(w, "not the request: "+err.Error(), http.StatusBadRequest)
		return
	}
	log.Info("Administration.", "request", r.URL.Path, "arguments", q)
	w.Header().Set("Content-Type", "application/jsonl")
	lines, flush := json.NewEncoder(w), http.NewResponseController(w)
	err := do(q, func(line Line) error {
		b, err := json.Marshal(line)
		if err != nil {
			return err
		}
		return errors.Join(lines.Encode(adminLine{Line: b}), flush.Flush())
	})
	last := adminLine{Done: err == nil}
	if err != nil {
		last.Error = explain(err)
	}
	_ = lines.Encode(last) // a client that went away does not read it
}

// explain writes an error for the person at the command line. The code of an [oci.Error] is for clients.
func explain(err error) string {
	var e *oci.Error
	if errors.As(err, &e) && e.Cause == nil {
		return strings.Replace(err.Error(), string(e.Code)+": ", "", 1)
	}
	return err.Error()
}

// adminClient is administration by way of a running server.
type adminClient struct{ http *http.Client }

// dialAdmin connects to the server of a data folder, or fails with errNoServer.
func dialAdmin(ctx context.Context, folder string) (*adminClient, error) {
	first, err := dialSocket(ctx, folder)
	if err != nil {
		return nil, err
	}
	conns := make(chan net.Conn, 1)
	conns <- first
	return &adminClient{&http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			select {
			case conn := <-conns:
				return conn, nil
			default:
				return dialSocket(ctx, folder)
			}
		},
	}}}, nil
}

func (c *adminClient) Close() error {
	c.http.CloseIdleConnections()
	return nil
}

// post sends a request and returns the body of its answer.
func (c *adminClient) post(ctx context.Context, path string, request any) (io.ReadCloser, error) {
	b, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://admin"+path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		defer answer.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1<<10)) // what there is of it is worth showing
		return nil, fmt.Errorf("the server answered %s: %s", answer.Status, bytes.TrimSpace(text))
	}
	return answer.Body, nil
}

// call sends a request and hands over the lines of its answer.
func call[Line any](ctx context.Context, c *adminClient, path string, request any, line func(Line) error) error {
	body, err := c.post(ctx, path, request)
	if err != nil {
		return err
	}
	defer body.Close()
	d := json.NewDecoder(body)
	for {
		var l adminLine
		if err := d.Decode(&l); err != nil {
			return fmt.Errorf("the server went away: %w", err)
		}
		switch {
		case l.Error != "":
			return errors.New(l.Error)
		case l.Done:
			return nil
		}
		var v Line
		if err := json.Unmarshal(l.Line, &v); err != nil {
			return err
		}
		if err := line(v); err != nil {
			return err
		}
	}
}

func (c *adminClient) gc(ctx context.Context, r gcRequest, line func(gcLine) error) error {
	return call(ctx, c, "/gc", r, line)
}

func (c *adminClient) undelete(ctx context.Context, r undeleteRequest) (result refcount.Restored, err error) {
	err = call(ctx, c, "/undelete", r, func(line refcount.Restored) error { result = line; return nil })
	return result, err
}

func (c *adminClient) size(ctx context.Context, r sizeRequest, line func(repositorySize) error) error {
	return call(ctx, c, "/size", r, line)
}

func (c *adminClient) explain(ctx context.Context, r explainRequest, line func(explainLine) error) error {
	return call(ctx, c, "/explain", r, line)
}

func (c *adminClient) fsck(ctx context.Context, r fsckRequest, line func(fsckLine) error) error {
	return call(ctx, c, "/fsck", r, line)
}

func (c *adminClient) backup(ctx context.Context, w io.Writer) error {
	body, err := c.post(ctx, "/backup", struct{}{})
	if err != nil {
		return err
	}
	defer body.Close()
	_, err = io.Copy(w, body)
	return err
}
