// SPDX-License-Identifier: Apache-2.0

package upload

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"tare/internal/clock"
	"tare/internal/store"
)

// stuck are objects whose first readings give some bytes and then none, without an end.
type stuck struct {
	store.Objects
	readings int
	content  string
}

func (s *stuck) Open(ctx context.Context, _ string, offset, length int64) (io.ReadCloser, error) {
	content := strings.NewReader(s.content[offset : offset+length])
	if s.readings--; s.readings < 0 {
		return io.NopCloser(content), nil
	}
	return io.NopCloser(io.MultiReader(io.LimitReader(content, 2), silent{ctx})), nil
}

type silent struct{ ctx context.Context }

func (s silent) Read([]byte) (int, error) {
	<-s.ctx.Done()
	return 0, s.ctx.Err()
}

// A connection that gives no more bytes is given up long before the call that reads is, and another is tried.
func TestReadBlockStuck(t *testing.T) {
	for _, c := range []struct {
		readings int
		most     time.Duration
		ends     error
	}{{1, 40 * time.Second, nil}, {2, 70 * time.Second, nil}, {3, 100 * time.Second, context.DeadlineExceeded}} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
			defer cancel()
			begun := time.Now()
			u := &Uploads{objects: &stuck{readings: c.readings, content: "some content"}, clock: clock.System{}}
			p := make([]byte, 7)
			err := u.readBlock(ctx, "o", 5, p)
			if !errors.Is(err, c.ends) || ctx.Err() != nil {
				t.Errorf("%d that are stuck: %v", c.readings, err)
			}
			if took := time.Since(begun); took > c.most {
				t.Errorf("%d that are stuck: it took %v", c.readings, took)
			}
			if err == nil && string(p) != "content" {
				t.Errorf("%d that are stuck: it read %q", c.readings, p)
			}
		})
	}
}
