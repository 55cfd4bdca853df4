// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"net/http"
	"testing"

	"tare/internal/refcount"
)

func TestExplain(t *testing.T) {
	layer, lone := largeLayer("layer "), largeLayer("lone ")
	var kept, deleted string
	fill := func(s *running) {
		kept = s.pushImage("team/app", "v1", layer)
		s.pushImage("team/app", "v2", layer)
		deleted = s.pushImage("team/other", "v1", layer)
		s.want(s.ask(http.MethodDelete, "/v2/team/other/manifests/"+deleted, "", nil), http.StatusAccepted)
		s.pushNoted("team/app", "v3", layer, "a note")
		s.want(s.ask(http.MethodDelete, "/v2/team/app/manifests/v2", "", nil), http.StatusAccepted)
		s.pushBlob("team/new", lone)
	}
	both(t, fill, func(t *testing.T, data string) {
		explain := func(target string) string { return succeeds(t, "explain", target, "--data", data) }
		says(t, explain("team/app:v1"), "The tag team/app:v1 points to "+kept+" since ",
			"The manifest team/app@"+kept+" stays: the tag v1 points to it.")
		says(t, explain("team/app:v2"), "The tag team/app:v2 was taken away", "tare undelete team/app:v2")
		says(t, explain("team/other@"+deleted), "The manifest team/other@"+deleted+" goes in 11h59m", "can be undeleted until then",
			"deleted at ", "tare undelete team/other@"+deleted+" brings it back until ", "tags: v1")
		says(t, explain(digestOf(layer)), "The blob "+digestOf(layer)+" in team/app stays: 2 manifests list it.", "listed by: sha256:",
			" in team/other goes in 23h59m", "Its bytes (64.0 KiB, in the object o", "they stay: 2 repositories have it")
		says(t, explain(digestOf(lone)), " in team/new goes in 23h59m", "they are freed in 30h59m", "no manifest of any repository lists it")

		var got refcount.Explanation
		if err := json.Unmarshal([]byte(succeeds(t, "explain", digestOf(layer), "--data", data, "--json")), &got); err != nil || len(got.Links) != 2 || got.Blob.Links != 2 {
			t.Errorf("%+v, %v", got, err)
		}
		fails(t, "is nowhere", "explain", digestOf("never"), "--data", data)
		fails(t, "is nowhere", "explain", "team/app@"+digestOf(lone), "--data", data)
		fails(t, "is nowhere", "explain", "team/app:never", "--data", data)
		fails(t, "is no repository name", "explain", "Team/app:v1", "--data", data)
		fails(t, "nor a digest", "explain", "team", "--data", data)
	})
}
