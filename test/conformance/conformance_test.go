// SPDX-License-Identifier: Apache-2.0

package conformance_test

import (
	"os"
	"testing"

	"tare/test/conformance"
)

// TestURL runs the suite against the registry at CONFORMANCE_URL, with CONFORMANCE_USER and CONFORMANCE_PASSWORD; it is
// behind a gateway where CONFORMANCE_GATEWAY is set. Without the first there is nothing to run: TestServed always runs the
// suite.
func TestURL(t *testing.T) {
	url := os.Getenv("CONFORMANCE_URL")
	if url == "" {
		return
	}
	conformance.Run(t, conformance.Target{
		BaseURL:  url,
		Username: os.Getenv("CONFORMANCE_USER"),
		Password: os.Getenv("CONFORMANCE_PASSWORD"),
		Gateway:  os.Getenv("CONFORMANCE_GATEWAY") != "",
	})
}
