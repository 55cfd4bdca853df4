// SPDX-License-Identifier: Apache-2.0

package ocihttp_test

import (
	"mime"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"tare/internal/oci"
	"tare/internal/ocihttp"
)

// Of a list of entity tags, net/http says the same. Of anything else, nobody has the content who has not named the digest.
func FuzzNoneMatch(f *testing.F) {
	quoted := `"` + someDigest + `"`
	// The grammar of RFC 9110, "ETag", without the comma, at which a list is cut.
	tags := regexp.MustCompile(`^[ \t]*(W/)?"[!#-+\--~]*"([ \t]*,[ \t]*(W/)?"[!#-+\--~]*")*[ \t]*$`)
	for _, value := range []string{"", "*", quoted, "W/" + quoted, someDigest, `"x", ` + quoted, quoted + `,"x"`, `"`, `""`, `W/`, ", ," + quoted, `"a,b", ` + quoted, "w/" + quoted, quoted + `"`, " * "} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		header := http.Header{"If-None-Match": {value}}
		got := ocihttp.NoneMatch(header, someDigest)
		if got && !strings.Contains(value, quoted) && !strings.Contains(value, "*") {
			t.Fatalf("%q has the content", value)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header = header
		w := httptest.NewRecorder()
		w.Header().Set("Etag", quoted)
		http.ServeContent(w, r, "", time.Time{}, strings.NewReader("content"))
		if has := w.Code == http.StatusNotModified; tags.MatchString(value) && has != got {
			t.Fatalf("%q has the content: %v, by net/http %v", value, got, has)
		}
		if want := unquoted(value) == someDigest || value == ""; ocihttp.IfRange(http.Header{"If-Range": {value}}, someDigest) != want {
			t.Fatalf("If-Range %q is %v", value, !want)
		}
	})
}

// unquoted is what stands between quotes, or nothing.
func unquoted(s string) string {
	if inner, ok := strings.CutPrefix(s, `"`); ok {
		if inner, ok = strings.CutSuffix(inner, `"`); ok {
			return inner
		}
	}
	return ""
}

// A push has no condition, one that can be kept, or is refused as one whose condition failed.
func FuzzPutConditions(f *testing.F) {
	quoted := `"` + someDigest + `"`
	for _, match := range []string{"", quoted, " " + quoted + "\t", someDigest, "W/" + quoted, quoted + ", " + quoted, "*", `"`, `""`} {
		f.Add(match, "", true)
		f.Add("", match, true)
		f.Add(match, "*", false)
	}
	f.Fuzz(func(t *testing.T, ifMatch, ifNoneMatch string, tagged bool) {
		header := http.Header{}
		if ifMatch != "" {
			header.Set("If-Match", ifMatch)
		}
		if ifNoneMatch != "" {
			header.Set("If-None-Match", ifNoneMatch)
		}
		ref := oci.Reference{Digest: someDigest}
		if tagged {
			ref = oci.Reference{Tag: "v1"}
		}
		match, absent, err := ocihttp.PutConditions(header, ref)
		switch {
		case err != nil:
			if oci.CodeOf(err) != oci.PreconditionFailed || len(header) == 0 || match != "" || absent {
				t.Fatalf("%q on %v: %q, %v, %v", header, ref, match, absent, err)
			}
		case len(header) == 0:
			if match != "" || absent {
				t.Fatalf("no condition on %v: %q, %v", ref, match, absent)
			}
		case !tagged || len(header) == 2:
			t.Fatalf("%q on %v: accepted", header, ref)
		case absent:
			if match != "" || strings.TrimSpace(ifNoneMatch) != "*" {
				t.Fatalf("%q: must be absent", header)
			}
		default:
			if _, err := oci.ParseDigest(string(match)); err != nil || unquoted(strings.TrimSpace(ifMatch)) != string(match) {
				t.Fatalf("%q: must be %q", header, match)
			}
		}
	})
}

// The media type of a push is that of Content-Type without its parameters, as the client wrote it.
func FuzzContentType(f *testing.F) {
	for _, value := range []string{"", oci.MediaTypeManifest, oci.MediaTypeIndex + "; charset=utf-8", " text/plain ;x", ";", "Application/JSON", "a/b;c=\"d;e\"", "a b/c"} {
		f.Add(value)
	}
	f.Fuzz(func(t *testing.T, value string) {
		got := ocihttp.ContentType(http.Header{"Content-Type": {value}})
		if strings.Contains(got, ";") || strings.TrimSpace(got) != got || !strings.Contains(value, got) {
			t.Fatalf("%q: %q", value, got)
		}
		if want, _, err := mime.ParseMediaType(value); err == nil && strings.ToLower(got) != want {
			t.Fatalf("%q: %q, by mime %q", value, got, want)
		}
	})
}
