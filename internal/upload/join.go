// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"errors"
	"time"

	"tare/internal/oci"
	"tare/internal/store"
)

// A store that is putting an object together for another request may know neither its parts nor the object for a moment, or for
// minutes where it is large (S3 API Reference, CompleteMultipartUpload, 2026-11), even when that request was given up long ago.
// So nobody is told that the bytes are gone: they are after a restore, too, but that is a day on which clients begin again.
const (
	joinTries = 5
	joinPause = 300 * time.Millisecond
	joinLater = 5 * time.Second
)

// whileJoined asks for an object that is made of parts, as long as the store knows nothing of it, the upload stands as it did, and
// that is not for too long. Errors: those of ask and stands; Unavailable. An upload that does not stand any more is none.
func (u *Uploads) whileJoined(ctx context.Context, ask func() error, stands func() (bool, error)) error {
	for try := range joinTries {
		if err := ask(); !isGone(err) {
			return err
		}
		if still, err := stands(); err != nil || !still {
			return err
		}
		if try+1 < joinTries {
			if err := u.clock.Pause(ctx, joinPause); err != nil {
				return err
			}
		}
	}
	return &oci.Error{Code: oci.Unavailable, RetryAfter: joinLater,
		Message: "the store knows neither the parts nor the object, as while it puts them together: send the last request again; where that goes on for ten minutes, they are lost"}
}

// isGone tells that the store knows no such object, or no such parts.
func isGone(err error) bool { return errors.Is(err, store.ErrNotFound) }

// unknown is the error of an upload whose bytes are gone, as after a restore from a backup, which has none.
func unknown(cause error) error {
	return &oci.Error{Code: oci.BlobUploadUnknown, Message: "the bytes of the upload are not there any more: begin again", Cause: cause}
}

// lost turns the store's word that an object or its parts are not there into the client's.
func lost(err error) error {
	if isGone(err) {
		return unknown(err)
	}
	return err
}
