// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// script answers requests as it is told to.
type script map[string]string // "METHOD path" → "status digest body"

func (s script) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(time.Millisecond)
	line, found := s[r.Method+" "+r.URL.RequestURI()]
	if !found {
		return nil, errors.New("connection refused")
	}
	words := append(strings.SplitN(line, " ", 3), "", "")
	digest, body := words[1], words[2]
	status, err := strconv.Atoi(words[0])
	if err != nil {
		return nil, err
	}
	return &http.Response{
		StatusCode: status,
		Header:     http.Header{"Docker-Content-Digest": {digest}},
		Body:       io.NopCloser(strings.NewReader(body)),
	}, nil
}

const (
	manifestA = `{"config":{"digest":"sha256:c"},"layers":[{"digest":"sha256:l"}]}`
	manifestB = `{"config":{"digest":"sha256:d"},"subject":{"digest":"sha256:s"}}`
)

// exchange is a request and its answer; "" for none.
type exchange struct{ request, body, answer string }

func TestLedger(t *testing.T) {
	a, b := sum([]byte(manifestA)), sum([]byte(manifestB))
	pushA := exchange{"PUT /v2/r/manifests/v1", manifestA, "201 " + a}
	lostPushA := exchange{"PUT /v2/r/manifests/v1", manifestA, ""}
	pushB := exchange{"PUT /v2/r/manifests/v1", manifestB, "201 " + b}
	deleteA := exchange{"DELETE /v2/r/manifests/" + a, "", "202"}
	lostDeleteA := exchange{"DELETE /v2/r/manifests/" + a, "", ""}
	readA := exchange{"HEAD /v2/r/manifests/" + a, "", "200 " + a}
	missA := exchange{"GET /v2/r/manifests/" + a, "", "404"}
	tagA := exchange{"GET /v2/r/manifests/v1", "", "200 " + a + " " + manifestA}
	tagGone := exchange{"GET /v2/r/manifests/v1", "", "404"}
	missBlob := exchange{"GET /v2/r/blobs/sha256:c", "", "404"}
	upload := exchange{"POST /v2/r/blobs/uploads/?digest=sha256:c", "", "201 sha256:c"}
	wait := exchange{"wait", "", ""}
	dead := exchange{"dead", "", ""}
	for name, c := range map[string]struct {
		exchanges []exchange
		losses    int
	}{
		"pushed and read":                      {[]exchange{pushA, readA, tagA}, 0},
		"pushed and lost":                      {[]exchange{pushA, missA}, 1},
		"pushed and its tag lost":              {[]exchange{pushA, tagGone}, 1},
		"perhaps pushed":                       {[]exchange{lostPushA, dead, missA, tagGone}, 0},
		"perhaps pushed, seen and lost":        {[]exchange{lostPushA, dead, readA, missA}, 1},
		"perhaps pushed, and seen too late":    {[]exchange{lostPushA, dead, missA, readA}, 1},
		"perhaps pushed, may land late":        {[]exchange{lostPushA, missA, readA}, 0},
		"pushed and deleted":                   {[]exchange{pushA, deleteA, missA, tagGone}, 0},
		"deleted and still there":              {[]exchange{pushA, deleteA, readA}, 1},
		"deleted, and its tag still there":     {[]exchange{pushA, deleteA, tagA}, 2},
		"perhaps deleted and there":            {[]exchange{pushA, lostDeleteA, dead, readA, tagA}, 0},
		"perhaps deleted, there, gone":         {[]exchange{pushA, lostDeleteA, dead, readA, missA}, 1},
		"refused and there":                    {[]exchange{{pushA.request, manifestA, "507"}, readA}, 1},
		"its tag moved and moved back":         {[]exchange{pushA, pushB, tagA}, 1},
		"a listed blob is missing":             {[]exchange{pushA, missBlob}, 1},
		"a listed blob was deleted":            {[]exchange{pushA, {"DELETE /v2/r/blobs/sha256:c", "", "202"}}, 1},
		"an unlisted blob is missing":          {[]exchange{pushA, deleteA, missBlob}, 0},
		"a blob is missing within its lease":   {[]exchange{upload, missBlob}, 1},
		"a blob is missing after its lease":    {[]exchange{upload, wait, missBlob}, 0},
		"a blob was deleted within its lease":  {[]exchange{upload, {"DELETE /v2/r/blobs/sha256:c", "", "202"}, missBlob}, 0},
		"a deleted blob is there":              {[]exchange{upload, {"DELETE /v2/r/blobs/sha256:c", "", "202"}, {"HEAD /v2/r/blobs/sha256:c", "", "200"}}, 1},
		"a push misses a blob that is there":   {[]exchange{upload, {pushA.request, manifestA, `404 - {"errors":[{"detail":{"digest":"sha256:c"}}]}`}}, 1},
		"a push misses a blob that is not":     {[]exchange{{pushA.request, manifestA, `404 - {"errors":[{"detail":{"digest":"sha256:c"}}]}`}}, 0},
		"wrong bytes":                          {[]exchange{pushA, {tagA.request, "", "200 " + a + " xyz"}}, 1},
		"acknowledged under another digest":    {[]exchange{{pushA.request, manifestA, "201 " + b}}, 1},
		"deleted with its subject":             {[]exchange{pushB, {"DELETE /v2/r/manifests/sha256:s", "", "202"}, {"HEAD /v2/r/manifests/" + b, "", "404"}}, 0},
		"pushed while its subject is deleted":  {[]exchange{{"DELETE /v2/r/manifests/sha256:s", "", ""}, pushB, {"HEAD /v2/r/manifests/" + b, "", "404"}}, 0},
		"pushed after its subject was deleted": {[]exchange{{"DELETE /v2/r/manifests/sha256:s", "", "202"}, pushB, {"HEAD /v2/r/manifests/" + b, "", "404"}}, 1},
		"an answer after the power went":       {[]exchange{{"freeze", "", ""}, pushA, dead, missA, tagGone}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := New(time.Second)
				for _, x := range c.exchanges {
					l.exchange(t, x)
				}
				if got := l.Counts().Losses; got != c.losses {
					t.Errorf("%d losses, want %d: %v", got, c.losses, l.Losses())
				}
			})
		})
	}
}

func (l *Ledger) exchange(t *testing.T, x exchange) {
	time.Sleep(time.Millisecond)
	switch x.request {
	case "wait":
		time.Sleep(time.Second)
	case "dead":
		l.Dead()
	case "freeze":
		l.Freeze()
	default:
		answers := script{}
		if x.answer != "" {
			answers[x.request] = x.answer
		}
		method, target, _ := strings.Cut(x.request, " ")
		r, err := http.NewRequest(method, "http://registry"+target, strings.NewReader(x.body))
		if err != nil {
			t.Fatal(err)
		}
		answer, err := l.Transport(answers).RoundTrip(r)
		if err != nil {
			return
		}
		defer answer.Body.Close()
		if _, err := io.Copy(io.Discard, answer.Body); err != nil {
			t.Fatal(err)
		}
	}
}
