// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"net/http"
	"testing"
	"time"

	"tare/internal/refcount"
)

// A rule about untagged manifests that is turned on finds those that were there before it.
func TestRunAppliesTheRule(t *testing.T) {
	data := shortFolder(t)
	s := start(t, data)
	s.pushImage("app", "v1", largeLayer("layer "))
	s.want(s.ask(http.MethodDelete, "/v2/app/manifests/v1", "", nil), http.StatusAccepted)
	s.stop()

	c, margins := testClock(), refcount.DefaultMargins()
	margins.Untagged = time.Hour
	f, err := openFolder(data, margins, c, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	newSweeper(f.ledger, c, discardLog(), func(refcount.Report, time.Duration, error) { cancel() }).run(ctx, time.Minute)
	waits := 0
	err = f.ledger.Waiting(t.Context(), func(w refcount.Waiting) bool {
		if w.Kind == "manifest" && w.Why == "untagged" {
			waits++
		}
		return true
	})
	if err != nil || waits != 1 {
		t.Errorf("%d untagged manifests wait, %v", waits, err)
	}
}
