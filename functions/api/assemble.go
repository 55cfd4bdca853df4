// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"net/http"

	"tare/functions/internal/cloud"
	"tare/internal/auth"
	"tare/internal/clock"
	"tare/internal/ocihttp"
	"tare/internal/refcount"
	"tare/internal/registry"
	"tare/internal/upload"
)

// settings are what the environment says of this function alone.
type settings struct {
	anonymousPull bool
	settle        func(ctx context.Context, upload string) error // asks functions/finalize
}

// assemble puts the rooms together. It calls nothing: what is needed of the table is read when it is first needed.
func assemble(s cloud.Stores, ledger *refcount.Ledger, c clock.Clock, log *slog.Logger, o settings) (*door, error) {
	uploads, err := upload.New(ledger, s.Objects, s.Parts, c, upload.Options{Direct: s.Direct, Settle: o.settle})
	if err != nil {
		return nil, err
	}
	guard, err := auth.New(auth.Options{
		Credentials: ledger, AnonymousPull: o.anonymousPull, TokenKeys: ledger.Keyring("token"), Clock: c, Log: log,
	})
	if err != nil {
		return nil, err
	}
	handler := ocihttp.New(registry.New(ledger, uploads, s.Objects, registry.Options{Direct: s.Direct}), ocihttp.Options{Access: guard, Clock: c, Log: log})
	return &door{
		gateway:  newGateway(paths(guard, handler), log),
		operator: &operator{ledger: ledger, clock: c, log: log},
		log:      log,
	}, nil
}

// paths serves tokens, and the registry everywhere else: what is below /v2/ is its to answer, however odd.
func paths(guard *auth.Guard, registry http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == auth.TokenPath {
			guard.ServeToken(w, r)
			return
		}
		registry.ServeHTTP(w, r)
	})
}
