// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// challenge looks at what a client without credentials is told (distribution-spec; RFC 9110 §11.6.1).
func (p *patient) challenge(ctx context.Context) (Finding, error) {
	a, err := p.do(ctx, request{method: http.MethodGet, path: "/v2/", anonymous: true})
	if err != nil {
		return Finding{}, err
	}
	switch {
	case a.status == http.StatusOK:
		return passed("no credentials are asked for"), nil
	case a.status >= 300 && a.status < 400:
		return failed(fmt.Sprintf("/v2/ redirects to %s", a.header.Get("Location")), "clients do not carry credentials along, or refuse",
			"Use the address that it redirects to."), nil
	case a.status != http.StatusUnauthorized:
		return failed(a.String(), "nobody can log in: clients expect 200 or 401 here", "See whether this is the registry's address, and its log."), nil
	}
	p.closed = true
	if challenge := a.header.Get("WWW-Authenticate"); challenge != "" {
		return p.judgeChallenge(ctx, challenge)
	}
	saw := "401 without WWW-Authenticate"
	for name, v := range a.header {
		if strings.Contains(strings.ToLower(name), "www-authenticate") {
			saw += fmt.Sprintf("; something on the way renamed it to %s: %s", name, v[0])
		}
	}
	return failed(saw, "docker login and most clients cannot log in: they learn from this header how to",
		"Something between client and registry drops or renames the header: a function URL and a REST API do; an HTTP API must not."), nil
}

// parameter is one of a challenge.
var parameter = regexp.MustCompile(`(realm|service)="([^"]*)"`)

// judgeChallenge gets a token where the challenge says that there are tokens, as clients do.
func (p *patient) judgeChallenge(ctx context.Context, challenge string) (Finding, error) {
	scheme, _, _ := strings.Cut(challenge, " ")
	if strings.EqualFold(scheme, "Basic") {
		return passed("401 with %s", challenge), nil
	}
	values := url.Values{}
	var realm string
	for _, m := range parameter.FindAllStringSubmatch(challenge, -1) {
		if m[1] == "realm" {
			realm = m[2]
		} else {
			values.Set("service", m[2])
		}
	}
	at, err := url.Parse(realm)
	if !strings.EqualFold(scheme, "Bearer") || err != nil || at.Host == "" {
		return failed("401 with "+challenge, "clients know Basic, and Bearer with the URL of a realm", "See how the registry's address is told to it."), nil
	}
	const means, change = "docker, crane and skopeo ask there for a token, and get none",
		"The realm must be reachable from outside, on the registry's own host: see its settings, and what the proxy tells it of host and scheme."
	if at.Host != p.base.Host || at.Scheme != p.base.Scheme {
		return failed(fmt.Sprintf("the realm is %s, and this is %s", realm, p.base), means, change), nil
	}
	at.RawQuery = values.Encode()
	a, err := p.do(ctx, request{method: http.MethodGet, path: at.String()})
	if err != nil {
		return Finding{}, err
	}
	var token struct{ Token string }
	if a.status != http.StatusOK || json.Unmarshal(a.body, &token) != nil || token.Token == "" {
		if p.o.User == "" {
			return passed("401 with %s", challenge), nil
		}
		return failed(fmt.Sprintf("the realm answers with status %d", a.status), means, change), nil
	}
	a, err = p.do(ctx, request{method: http.MethodGet, path: "/v2/", anonymous: true, header: map[string]string{"Authorization": "Bearer " + token.Token}})
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusOK && p.o.User != "" {
		return failed(fmt.Sprintf("/v2/ with a new token: %v", a), "docker, crane and skopeo cannot log in", "See whether something drops the Authorization header."), nil
	}
	return passed("401 with %s; its token is good", challenge), nil
}

// login tries the credentials.
func (p *patient) login(ctx context.Context) (Finding, error) {
	if p.o.User == "" && p.closed {
		return skipped("no credentials were given (--user)"), nil
	}
	a, err := p.do(ctx, request{method: http.MethodGet, path: "/v2/"})
	if err != nil {
		return Finding{}, err
	}
	if a.status != http.StatusOK {
		return failed(a.String(), "these credentials are not good, or do not arrive",
			"Mint a credential (operations.md), or see whether something drops the Authorization header."), nil
	}
	p.ready = true
	return passed("status 200"), nil
}

// closedToStrangers tries what nobody without credentials may do.
func (p *patient) closedToStrangers(ctx context.Context) (Finding, error) {
	if !p.closed {
		return skipped("the registry asks nobody for credentials: whoever can connect is trusted"), nil
	}
	for _, q := range []request{
		{method: http.MethodPost, path: p.in("blobs/uploads/"), anonymous: true},
		{method: http.MethodPut, path: p.in("manifests/v1"), body: []byte("{}"), anonymous: true},
		{method: http.MethodPost, path: p.in("_tare/v1/uploads"), body: []byte("{}"), anonymous: true},
		{method: http.MethodPost, path: p.in("blobs/uploads/"), anonymous: true, header: map[string]string{"Authorization": "Basic bm9ib2R5Om5vYm9keQ=="}},
	} {
		a, err := p.do(ctx, q)
		if err != nil {
			return Finding{}, err
		}
		if !a.has(http.StatusUnauthorized, http.StatusForbidden) {
			return failed(fmt.Sprintf("%s %s without credentials: status %d", q.method, q.path, a.status), "strangers can write", "Take the registry off the network, and see its settings."), nil
		}
	}
	return passed("strangers cannot write"), nil
}

// maxSkew is what signed URLs and tokens bear: S3 takes 15 minutes, a token of 15 minutes is good for the rest.
const maxSkew = 2 * time.Minute

// clock compares the registry's clock with the one here.
func (p *patient) clock(ctx context.Context) (Finding, error) {
	before := p.o.Clock.Now()
	a, err := p.do(ctx, request{method: http.MethodGet, path: "/v2/"})
	if err != nil {
		return Finding{}, err
	}
	after := p.o.Clock.Now()
	at, err := http.ParseTime(a.header.Get("Date"))
	if err != nil {
		return skipped("the answer has no Date"), nil
	}
	ahead := at.Sub(before.Add(after.Sub(before) / 2)).Round(time.Second)
	if ahead.Abs() > maxSkew {
		return failed(fmt.Sprintf("the registry is %v ahead of this machine", ahead), "signed URLs and tokens end too early, or are refused as not good yet",
			"Set the clock that is wrong: of this machine, or of the registry's."), nil
	}
	return passed("%v apart; an answer took %v", ahead, after.Sub(before).Round(time.Millisecond)), nil
}

// readClocks learns what time it is where requests are signed, and at the store, from a request of this moment.
func (p *patient) readClocks(s signed, a answer, begin time.Time) {
	signed, told := s.begin()
	stored, err := http.ParseTime(a.header.Get("Date"))
	if err != nil || !told {
		return
	}
	p.signed, p.stored, p.seen = signed.Sub(begin).Round(time.Second), stored.Sub(p.o.Clock.Now()).Round(time.Second), true
}

// storeClocks compares the clocks of the function, which signs, and of the store, which checks.
func (p *patient) storeClocks(context.Context) (Finding, error) {
	if !p.direct {
		return notDirect()
	}
	if !p.seen {
		return skipped("the store's answers or the signed requests have no time in them"), nil
	}
	saw := fmt.Sprintf("what signs requests is %v ahead of this machine, and the store %v", p.signed, p.stored)
	if (p.signed - p.stored).Abs() > maxSkew {
		return failed(saw, "signed requests end too early or too late, or are refused as not good yet; S3 takes 15 minutes",
			"Set the clock that is wrong: of the registry, or of the store."), nil
	}
	return passed("%s", saw), nil
}
