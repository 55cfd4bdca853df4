// SPDX-License-Identifier: Apache-2.0

package main

import (
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
)

// What was deleted by mistake comes back by an order, and is told of meanwhile.
func TestUndelete(t *testing.T) {
	c := start()
	w := newWorld(t, c, false)
	admin := as("me", w.order(`{"tare":"credential","do":"mint","name":"me","rights":"admin"}`).Token)
	const kind = "application/vnd.oci.image.index.v1+json"
	put := func(e *events.APIGatewayV2HTTPRequest) {
		e.Headers["content-type"] = kind
		e.Body = `{"schemaVersion":2,"mediaType":"` + kind + `","manifests":[]}`
	}
	a, _ := w.invoke(httpEvent("PUT", "/v2/team/app/manifests/v1", admin, put))
	digest := a.Headers["Docker-Content-Digest"]
	if a.StatusCode != 201 || digest == "" {
		t.Fatalf("pushed: %d, %v", a.StatusCode, a.Headers)
	}
	if r := w.order(`{"tare":"explain","target":"team/app:v1"}`); r.Explained == nil || !r.Explained.Tag.There || len(r.Explained.Manifests) != 1 || !r.Explained.Manifests[0].Stays {
		t.Errorf("explained: %+v", r)
	}
	if a, _ := w.invoke(httpEvent("DELETE", "/v2/team/app/manifests/"+digest, admin)); a.StatusCode != 202 {
		t.Fatalf("deleted: %d", a.StatusCode)
	}
	r := w.order(`{"tare":"explain","target":"team/app@` + digest + `"}`)
	if r.Explained == nil || len(r.Explained.Manifests) != 1 || !r.Explained.Manifests[0].Undelete.After(c.Now()) {
		t.Errorf("explained when deleted: %+v", r)
	}
	r = w.order(`{"tare":"undelete","target":"team/app@` + digest + `"}`)
	if r.Error != "" || r.Undeleted == nil || len(r.Undeleted.Manifests) != 1 || len(r.Undeleted.Tags) != 1 || len(r.Undeleted.Lost) > 0 {
		t.Errorf("undeleted: %+v", r)
	}
	if a, _ := w.invoke(httpEvent("HEAD", "/v2/team/app/manifests/v1", admin)); a.StatusCode != 200 || a.Headers["Docker-Content-Digest"] != digest {
		t.Errorf("afterwards: %d", a.StatusCode)
	}

	if a, _ := w.invoke(httpEvent("DELETE", "/v2/team/app/manifests/v1", admin)); a.StatusCode != 202 {
		t.Fatalf("untagged: %d", a.StatusCode)
	}
	if r := w.order(`{"tare":"undelete","target":"team/app:v1"}`); r.Error != "" || r.Undeleted == nil || len(r.Undeleted.Tags) != 1 {
		t.Errorf("the tag: %+v", r)
	}
}

// An order about what cannot be named changes nothing and says why.
func TestBadTargets(t *testing.T) {
	w := newWorld(t, start(), false)
	for target, says := range map[string]string{
		"": "neither", "app": "neither", "UPPER:v1": "", "app:": "", "app@v1:": "", "app@sha256:12": "", "nothing:v1": "", ":v1": "",
	} {
		if r := w.order(`{"tare":"undelete","target":"` + target + `"}`); r.Error == "" || !strings.Contains(r.Error, says) || r.Undeleted != nil {
			t.Errorf("undelete %q: %+v", target, r)
		}
	}
	if r := w.order(`{"tare":"explain","target":"nothing:v1"}`); r.Error != "" || !strings.Contains(r.Note, "nowhere") {
		t.Errorf("explain: %+v", r)
	}
}
