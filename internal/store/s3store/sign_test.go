// SPDX-License-Identifier: Apache-2.0

package s3store_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"tare/internal/store"
	"tare/internal/store/s3store"
)

// signs makes each kind of signed request.
var signs = map[string]func(context.Context, *s3store.Store, time.Duration) (store.SignedRequest, error){
	"GET": func(ctx context.Context, s *s3store.Store, life time.Duration) (store.SignedRequest, error) {
		return s.SignGet(ctx, "dir/k.1", life)
	},
	"HEAD": func(ctx context.Context, s *s3store.Store, life time.Duration) (store.SignedRequest, error) {
		return s.SignHead(ctx, "dir/k.1", life)
	},
	"PUT": func(ctx context.Context, s *s3store.Store, life time.Duration) (store.SignedRequest, error) {
		return s.SignPut(ctx, "dir/k.1", 5_000_000_000, sha256.Sum256([]byte("x")), life)
	},
	"part": func(ctx context.Context, s *s3store.Store, life time.Duration) (store.SignedRequest, error) {
		return s.SignPart(ctx, "dir/k.1", "an/id+1", 10_000, 5<<20, sha256.Sum256([]byte("x")), life)
	},
}

// What is signed, to the byte. The SDK decides which headers a signature covers, and has changed its mind before: a checksum
// that moves into the query is enforced by nobody, and a header too many breaks whoever follows a redirect.
func TestWhatIsSigned(t *testing.T) {
	const secret = "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261121%2Feu-central-1%2Fs3%2Faws4_request" +
		"&X-Amz-Date=20261121T120000Z&X-Amz-Expires=900&X-Amz-SignedHeaders="
	for name, want := range map[string]struct {
		method, query string
		header        map[string]string
	}{
		"GET":  {"GET", secret + "host&x-id=GetObject", nil},
		"HEAD": {"HEAD", secret + "host", nil},
		"PUT": {"PUT", secret + "content-length%3Bhost%3Bx-amz-checksum-sha256&x-id=PutObject",
			map[string]string{"X-Amz-Checksum-Sha256": "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE="}},
		"part": {"PUT", secret + "content-length%3Bhost%3Bx-amz-checksum-sha256&partNumber=10000&uploadId=an%2Fid%2B1&x-id=UploadPart",
			map[string]string{"X-Amz-Checksum-Sha256": "LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE="}},
	} {
		got, err := signs[name](t.Context(), openAt("https://s3.example.com", secrets), 15*time.Minute)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		u, err := url.Parse(got.URL)
		if err != nil {
			t.Fatal(err)
		}
		query := u.Query()
		if len(query.Get("X-Amz-Signature")) != 64 {
			t.Errorf("%s: the signature is %q", name, query.Get("X-Amz-Signature"))
		}
		query.Del("X-Amz-Signature")
		wanted, err := url.ParseQuery(want.query[1:])
		if err != nil {
			t.Fatal(err)
		}
		if got.Method != want.method || u.Scheme+"://"+u.Host+u.Path != "https://s3.example.com/bucket/dir/k.1" || query.Encode() != wanted.Encode() {
			t.Errorf("%s is signed as\n%s %s, want the query\n%s", name, got.Method, got.URL, want.query)
		}
		if len(got.Header) != len(want.header) {
			t.Errorf("%s: header %v", name, got.Header)
		}
		for k, v := range want.header {
			if got.Header[k] != v {
				t.Errorf("%s: header %v", name, got.Header)
			}
		}
		if want := time.Date(2026, 11, 21, 12, 15, 0, 0, time.UTC); !got.Ends.Equal(want) {
			t.Errorf("%s ends at %v, want %v", name, got.Ends, want)
		}
	}
}

// ending are credentials that end.
func ending(at time.Time) aws.CredentialsProvider {
	return aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKIAIOSFODNN7EXAMPLE", SecretAccessKey: "secret", SessionToken: "token", CanExpire: true, Expires: at}, nil
	})
}

func TestNothingIsSignedBeyondTheCredentials(t *testing.T) {
	for name, sign := range signs {
		for left, want := range map[time.Duration]time.Duration{
			time.Hour: 15 * time.Minute, 15 * time.Minute: 15 * time.Minute, 10*time.Minute + 700*time.Millisecond: 10 * time.Minute, 2 * time.Second: 2 * time.Second,
		} {
			got, err := sign(t.Context(), openAt("https://s3.example.com", ending(now.Add(left))), 15*time.Minute)
			if err != nil {
				t.Fatalf("%s with %v left: %v", name, left, err)
			}
			if life := got.Ends.Sub(now.Truncate(time.Second)); life != want || !strings.Contains(got.URL, "X-Amz-Security-Token=token") {
				t.Errorf("%s with %v left lives for %v: %s", name, left, life, got.URL)
			}
		}
		for _, left := range []time.Duration{900 * time.Millisecond, 0, -time.Hour} {
			if _, err := sign(t.Context(), openAt("https://s3.example.com", ending(now.Add(left))), 15*time.Minute); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s with %v left: got error %v", name, left, err)
			}
		}
		none := aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) { return aws.Credentials{}, errors.New("none today") })
		for what, provider := range map[string]aws.CredentialsProvider{"that fail": none, "of nobody": aws.AnonymousCredentials{}} {
			if got, err := sign(t.Context(), openAt("https://s3.example.com", provider), 15*time.Minute); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("%s with credentials %s: got %v, error %v", name, what, got, err)
			}
		}
	}
}

func TestSumBelievesWholeObjectsOnly(t *testing.T) {
	for what, c := range map[string]struct {
		sum, kind string
		known     bool
	}{
		"whole":               {"LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=", "FULL_OBJECT", true},
		"of parts":            {"LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=-2", "COMPOSITE", false},
		"of one part":         {"LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=", "COMPOSITE", false},
		"of a kind not named": {"LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=", "", false},
		"none":                {"", "FULL_OBJECT", false},
		"too short":           {"LXEW", "FULL_OBJECT", false},
		"parts called whole":  {"LXEWQrcmsEQBYnyp+6wy9chTD7GQPMTbAiWHF5IaSIE=-2", "FULL_OBJECT", false},
	} {
		s, _ := open(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("X-Amz-Checksum-Mode") != "ENABLED" {
				t.Error("the checksum was not asked for")
			}
			w.Header().Set("Content-Length", "42")
			w.Header().Set("X-Amz-Checksum-Sha256", c.sum)
			w.Header().Set("X-Amz-Checksum-Type", c.kind)
		})
		size, sum, known, err := s.Sum(t.Context(), "k")
		if err != nil || size != 42 || known != c.known || known && sum != sha256.Sum256([]byte("x")) {
			t.Errorf("%s: %d bytes, %x, known: %v, error %v", what, size, sum, known, err)
		}
	}
}
