// SPDX-License-Identifier: Apache-2.0

package upload_test

import (
	"encoding/base64"
	"testing"

	"github.com/opencontainers/go-digest"

	"tare/internal/oci"
)

// The id of a sha256 in one repository is not that of a sha512 in another, whose name is the end of the first one's.
func TestDirectIDOfAnotherAlgorithm(t *testing.T) {
	w := newDirect(t, true)
	const first = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa/" // as long as what a sha512 has more
	up, err := w.OpenDirect(t.Context(), first+repo, oci.DirectOpen{Digest: digest.FromString("x"), Size: 1})
	w.must(err)
	raw, err := base64.RawURLEncoding.DecodeString(up.ID)
	w.must(err)
	signed, mac := raw[:len(raw)-16], raw[len(raw)-16:]
	forged := base64.RawURLEncoding.EncodeToString([]byte(string(signed) + first + string(mac)))
	calls := w.proc.Calls()
	_, err = w.DirectStatus(t.Context(), repo, forged, 0)
	w.mustBe(err, oci.BlobUploadUnknown)
	if n := w.proc.Calls() - calls; n != 0 {
		t.Errorf("the id was taken: %d calls", n)
	}
}
