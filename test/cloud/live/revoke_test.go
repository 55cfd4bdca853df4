// SPDX-License-Identifier: Apache-2.0

package live

import (
	"net/http"
	"testing"
	"time"

	"tare/internal/clock"
	"tare/test/cloud/deploy"
)

// TestRevoked sees that a credential that was revoked, and a token whose secret was forgotten, end as docs/operations.md
// says, in processes that know both from before: within half a minute, and within a minute.
func TestRevoked(t *testing.T) {
	t.Parallel()
	c := start(t, setting{parameters: map[string]string{"Options": "anonymous-pull=on"}})
	ci, err := c.Mint(t.Context(), "ci", "push")
	must(t, err)
	var granted struct{ Token string }
	c.ask(t, c.admin, "GET", "/token?service=tare&scope=repository:a:pull", nil).into(t, &granted)
	bearer := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+granted.Token) }
	credential := func() int { return c.ask(t, ci, "GET", "/v2/", nil).status }
	token := func() int { return c.ask(t, deploy.Credential{}, "GET", "/v2/", nil, bearer).status }
	if credential() != 200 || token() != 200 {
		t.Fatalf("before: %d, %d", credential(), token())
	}
	var said struct{ Error string }
	c.order(t, map[string]any{"tare": "credential", "do": "revoke", "name": "ci"}, &said)
	if said.Error != "" {
		t.Fatal(said.Error)
	}
	c.order(t, map[string]any{"tare": "rotate", "secret": "token", "forget": true}, &said)
	if said.Error != "" {
		t.Fatal(said.Error)
	}
	now := clock.System{}.Now
	begin := now()
	const slack = 15 * time.Second // of a machine with more to do
	for _, what := range []struct {
		name   string
		status func() int
		within time.Duration
	}{{"the credential", credential, 30 * time.Second}, {"the token", token, time.Minute}} {
		for what.status() != 401 {
			if passed := now().Sub(begin); passed > what.within+slack {
				t.Errorf("%s is good after %v", what.name, passed)
				break
			}
			must(t, clock.System{}.Pause(t.Context(), 500*time.Millisecond))
		}
		t.Logf("%s ended after %v", what.name, now().Sub(begin).Round(time.Second))
	}
	if a := c.ask(t, c.admin, "GET", "/v2/", nil); a.status != 200 {
		t.Errorf("another credential: status %d", a.status)
	}
	c.quiet(t, ci.Token, granted.Token)
}
