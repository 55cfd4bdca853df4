// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"errors"
	"time"
)

// errNoDirect says that a direct upload cannot be settled by this program.
var errNoDirect = errors.New("upload: direct uploads cannot be settled yet")

// Settle verifies the object of a direct upload and makes it a blob, as far as it comes until the deadline. id names the
// upload's row, which is named as its object: what Options.Settle was given, or the key that an event of the bucket names.
// left tells that bytes remain to be read, by another call. An id of no direct upload under way is no error.
func (u *Uploads) Settle(ctx context.Context, id string, deadline time.Time) (left bool, err error) {
	return false, errNoDirect
}
