// SPDX-License-Identifier: Apache-2.0

package probe

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// What a client writes into a query, a header or a path is its own business or its own mistake, and never a fault of the
// registry.
func TestOddWords(t *testing.T) {
	w := newWorld(t, false)
	k := w.fill(mine, mine, "v1")
	odd := []string{
		"", " ", "\x00", "\xff\xfe", "\u202e", "'", `"`, "<script>", "%", "%zz", "#", "&", ";", "/", "..", "../../x", "\r\nX: y", "\n",
		"-1", "+1", "0x10", "1e9", "NaN", "99999999999999999999", "sha256:", "sha512:" + strings.Repeat("0", 64), strings.ToUpper(k.image),
		k.image + "#", k.image + "#" + k.referrer, "md5:d41d8cd98f00b204e9800998ecf8427e", strings.Repeat("a", 256), strings.Repeat("\xff", 256),
		strings.Repeat("a", 8000), strings.Repeat("a", 100_000),
	}
	answered := func(a ask) {
		t.Helper()
		rec := w.do(writer, a)
		body := rec.Body.Bytes()
		if rec.Code >= 500 || rec.Code >= 400 && a.method != "HEAD" && (!json.Valid(body) || len(body) > 2000) {
			t.Errorf("%s %.200s %.200q: %d %.200s", a.method, a.path, a.header, rec.Code, body)
		}
	}
	for _, word := range odd {
		q := url.QueryEscape(word)
		for _, a := range []ask{
			{"GET", "/v2/_catalog?n=" + q, "", nil},
			{"GET", "/v2/_catalog?last=" + q, "", nil},
			{"GET", "/v2/" + mine + "/tags/list?n=" + q, "", nil},
			{"GET", "/v2/" + mine + "/tags/list?last=" + q, "", nil},
			{"GET", "/v2/" + mine + "/referrers/" + k.image + "?last=" + q, "", nil},
			{"GET", "/v2/" + mine + "/referrers/" + k.image + "?artifactType=" + q, "", nil},
			{"GET", "/v2/" + mine + "/referrers/" + k.image + "?artifactType=text/x-signature&last=" + q, "", nil},
			{"POST", uploads + "?digest=" + q, "x", nil},
			{"POST", uploads + "?mount=" + q + "&from=" + other, "", nil},
			{"POST", uploads + "?mount=" + k.layer + "&from=" + q, "", nil},
			{"POST", uploads + "?digest-algorithm=" + q, "", nil},
			{"PUT", "/v2/" + mine + "/manifests/" + digestOf(index()) + "?tag=" + q, index(), nil},
			{"PUT", uploads + w.open(mine) + "?digest=" + q, "x", nil},
		} {
			answered(a)
		}
		p := url.PathEscape(word)
		for _, method := range []string{"GET", "HEAD", "PUT", "DELETE"} {
			answered(ask{method, "/v2/" + mine + "/manifests/" + p, "{", nil})
			answered(ask{method, "/v2/" + mine + "/blobs/" + p, "x", nil})
			answered(ask{method, uploads + p, "x", nil})
			answered(ask{method, "/v2/" + p + "/manifests/v1", "{", nil})
			answered(ask{method, "/v2/" + p + "/tags/list", "", nil})
			answered(ask{method, "/v2/" + mine + "/referrers/" + p, "", nil})
		}
		for _, name := range []string{"If-None-Match", "If-Match", "If-Range", "Range", "Accept", "X-Request-Id", "X-Forwarded-Proto", "Content-Type", "Content-Range"} {
			header := []string{name + ": " + word}
			answered(ask{"GET", "/v2/" + mine + "/manifests/v1", "", header})
			answered(ask{"GET", "/v2/" + mine + "/blobs/" + k.layer, "", append(header, "Range: bytes=0-1")})
			answered(ask{"PUT", "/v2/" + mine + "/manifests/v1", index(), header})
			answered(ask{"PATCH", uploads + w.open(mine), "x", header})
			answered(ask{"PUT", uploads + w.open(mine) + "?digest=" + digestOf("x"), "x", header})
		}
	}
	w.audit()
}

// The catalog shows what its reader may read.
func TestCatalogOfTheBlind(t *testing.T) {
	w := newWorld(t, false)
	w.fill(mine, mine, "v1")
	catalog := ask{"GET", "/v2/_catalog", "", nil}
	if rec := w.do(reader, catalog); !strings.Contains(rec.Body.String(), mine) {
		t.Errorf("a reader is shown %s", rec.Body)
	}
	if rec := w.do(blind, catalog); rec.Code != http.StatusOK || rec.Body.String() != `{"repositories":[]}` {
		t.Errorf("one who may read none is shown %d %s", rec.Code, rec.Body)
	}
}
