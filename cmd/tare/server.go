// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"tare/internal/clock"
	"tare/internal/store"
)

// What bounds a client that does not ask for anything. Bodies are watched by ocihttp.
const (
	readHeaderTimeout = 30 * time.Second
	idleTimeout       = 3 * time.Minute
	maxHeaderBytes    = 64 << 10
)

// server is a data folder that is served: to registry clients, to whoever collects metrics, to the administrator.
type server struct {
	folder  *folder
	clock   clock.Clock
	log     *slog.Logger
	sweeper *sweeper
	drain   *drain
	failed  <-chan struct{} // closed when the data folder cannot be trusted any more
	failure func() error    // why

	public  *front
	metrics *front // nil: none of its own
	admin   *front
}

// front is an HTTP server and what it listens on.
type front struct {
	http     *http.Server
	listener net.Listener
}

func (s *server) front(l net.Listener, h http.Handler) *front {
	return &front{listener: l, http: &http.Server{
		Handler:           h,
		ReadHeaderTimeout: readHeaderTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}}
}

// fronts are all that the server has.
func (s *server) fronts() []*front {
	fronts := []*front{s.public, s.admin}
	if s.metrics != nil {
		fronts = append(fronts, s.metrics)
	}
	return fronts
}

// listen opens the administration socket.
func (s *server) listen() error {
	l, err := listenSocket(s.folder.path)
	if err != nil {
		return err
	}
	s.admin = s.front(l, adminHandler(&operator{folder: s.folder, sweeper: s.sweeper, clock: s.clock, log: s.log}, s.log))
	return nil
}

// run serves until the context ends or something breaks, and then lets requests come to their end for a while. The
// sweep runs at every interval.
func (s *server) run(ctx context.Context, interval, patience time.Duration) error {
	var background sync.WaitGroup
	sweeping, stopSweeping := context.WithCancel(ctx)
	background.Go(func() { s.sweeper.run(sweeping, interval) })
	defer background.Wait()
	defer stopSweeping()

	broken := make(chan error, len(s.fronts()))
	for _, f := range s.fronts() {
		background.Go(func() {
			if err := f.http.Serve(f.listener); !errors.Is(err, http.ErrServerClosed) {
				broken <- err
			}
		})
	}
	select {
	case <-ctx.Done():
		s.stop(patience)
		return nil
	case <-s.failed:
		s.close()
		return fmt.Errorf("the data folder cannot be trusted any more, the server ends: %w", s.failure())
	case err := <-broken:
		s.close()
		return err
	}
}

// stop ends the server as gently as its patience allows.
func (s *server) stop(patience time.Duration) {
	s.log.Info("Stopping: uploads come to their end, new ones are refused. A second signal ends them.", "patience", patience)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	err := s.drain.wait(ctx)
	for _, f := range s.fronts() {
		if err == nil {
			err = f.http.Shutdown(ctx)
		}
	}
	if err != nil {
		s.log.Warn("Some requests did not come to their end in time and were cut off.")
	}
	s.close()
}

// close ends the server at once. Its errors say no more than that a connection was closed already.
func (s *server) close() {
	for _, f := range s.fronts() {
		_ = f.http.Close()
	}
}

// healthy answers /healthz: the process answers.
func (s *server) healthy(w http.ResponseWriter, _ *http.Request) {
	s.say(w, http.StatusOK, "ok")
}

// ready answers /readyz: requests are served.
func (s *server) ready(w http.ResponseWriter, r *http.Request) {
	if s.drain.draining() {
		s.say(w, http.StatusServiceUnavailable, "stopping")
		return
	}
	if _, err := s.folder.store.Get(r.Context(), store.Key{PK: "readyz", SK: "readyz"}); err != nil {
		s.say(w, http.StatusServiceUnavailable, "the data folder cannot be read")
		return
	}
	s.say(w, http.StatusOK, "ready")
}

func (s *server) say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n")) // to a client that may be gone
}
