// SPDX-License-Identifier: Apache-2.0

package cloud

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"tare/internal/clock"
)

// Decode reads an event of ours, which has the fields of v and no others.
func Decode(payload []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(payload))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return fmt.Errorf("this is no event of this function: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("this is no event of this function: something follows it")
	}
	return nil
}

// Until is when a call has to begin nothing more, so that what it has begun ends, and is told of, before Lambda stops it.
func Until(ctx context.Context, c clock.Clock, reserve time.Duration) time.Time {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = c.Now().Add(lambdaTimeout)
	}
	return deadline.Add(-reserve)
}

// lambdaTimeout is the longest that a function runs (Lambda quotas, 2026-11).
const lambdaTimeout = 15 * time.Minute
