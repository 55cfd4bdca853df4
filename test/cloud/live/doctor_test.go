// SPDX-License-Identifier: Apache-2.0

package live

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/internal/doctor"
	"tare/test/cloud/events"
)

// hasty is a clock that is ahead, and by more after each pause, of which it waits a tenth.
type hasty struct{ ahead atomic.Int64 }

func (h *hasty) Now() time.Time {
	return clock.System{}.Now().Add(time.Duration(h.ahead.Load()))
}

func (h *hasty) Pause(ctx context.Context, d time.Duration) error {
	h.ahead.Add(int64(d - d/10))
	return clock.System{}.Pause(ctx, d/10)
}

// examine has the doctor look at a registry, and gives its findings by their checks.
func (c *cloud) examine(t *testing.T, url string, load int, clk clock.Clock) map[string]doctor.Finding {
	t.Helper()
	found := map[string]doctor.Finding{}
	must(t, doctor.Examine(t.Context(), doctor.Options{URL: url, User: c.admin.Name, Password: c.admin.Token, Load: load, Clock: clk}, func(f doctor.Finding) {
		if f.Result == doctor.Failed || load > 0 {
			t.Logf("%-7s %6d ms  %s: %s", f.Result, f.Millis, f.Check, f.Saw)
		}
		found[f.Check] = f
	}))
	return found
}

// alone sees that a check found its fault and says what it means, and that no other but these failed.
func alone(t *testing.T, found map[string]doctor.Finding, check, saw string, others ...string) {
	t.Helper()
	if f := found[check]; f.Result != doctor.Failed || !strings.Contains(f.Saw, saw) || f.Means == "" || f.Change == "" {
		t.Errorf("%s: %+v", check, f)
	}
	for name, f := range found {
		if f.Result == doctor.Failed && name != check && !strings.Contains(strings.Join(others, ";"), name) {
			t.Errorf("%+v", f)
		}
	}
}

// TestDoctor examines the cloud as it is, and with faults before it.
func TestDoctor(t *testing.T) {
	t.Parallel()
	believes := new(atomic.Bool)
	c := start(t, setting{weather: events.Weather{Seed: 1, Delay: 300 * time.Millisecond, Duplicate: 0.5}, store: func(next http.Handler) http.Handler {
		naive := believing(next)
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if believes.Load() {
				naive.ServeHTTP(w, r)
				return
			}
			next.ServeHTTP(w, r)
		})
	}})
	t.Run("healthy", func(t *testing.T) {
		for name, f := range c.examine(t, c.URL, 4, clock.System{}) {
			if f.Result == doctor.Failed || f.Result == doctor.Skipped && name != "URL that has ended" {
				t.Errorf("%+v", f)
			}
		}
		c.quiet(t)
	})
	t.Run("HEAD lengths are lost", func(t *testing.T) {
		target, err := url.Parse(c.URL)
		must(t, err)
		front := httptest.NewServer(&httputil.ReverseProxy{
			Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target); p.Out.Host = p.In.Host },
			ModifyResponse: func(r *http.Response) error {
				if r.Request.Method == http.MethodHead {
					r.Header.Set("Content-Length", "0")
				}
				return nil
			},
		})
		defer front.Close()
		alone(t, c.examine(t, front.URL, 0, clock.System{}), "HEAD of a manifest", "Content-Length 0", "HEAD of a blob")
	})
	t.Run("the clock is 20 minutes ahead", func(t *testing.T) {
		ahead := new(hasty)
		ahead.ahead.Store(int64(20 * time.Minute))
		alone(t, c.examine(t, c.URL, 0, ahead), "clock", "-20m")
	})
	t.Run("checksums are not enforced", func(t *testing.T) {
		believes.Store(true)
		defer believes.Store(false)
		alone(t, c.examine(t, c.URL, 0, clock.System{}), "direct PUT, wrong body", "another body", "direct parts")
	})
}

// TestDoctorWithoutEvents examines a cloud whose bucket's events get lost.
func TestDoctorWithoutEvents(t *testing.T) {
	t.Parallel()
	c := start(t, setting{weather: events.Weather{Seed: 1, Lose: 1}})
	alone(t, c.examine(t, c.URL, 0, new(hasty)), "event of the store", "no event after")
}
