// SPDX-License-Identifier: Apache-2.0

package main

import (
	"testing"

	"tare/internal/clock"
	"tare/test/conformance"
)

// The whole specification through the gateway and the function, with a credential that an operator minted.
func TestConformance(t *testing.T) {
	w := newWorld(t, clock.System{}, false)
	minted := w.order(`{"tare":"credential","do":"mint","name":"suite","rights":"admin"}`)
	if minted.Error != "" {
		t.Fatal(minted.Error)
	}
	conformance.Run(t, conformance.Target{BaseURL: front(t, w.door).URL, Username: "suite", Password: minted.Token, Gateway: true})
	findings, err := w.ledger.Audit(t.Context(), w.store)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range findings {
		t.Errorf("audit: %s", f)
	}
	if t.Failed() {
		t.Log(w.log.String())
	}
}
