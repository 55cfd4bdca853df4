// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A request is signed as "AWS Signature Version 4 for API requests" says (IAM User Guide, 2026-11), in its Authorization
// header or, presigned, in its query.

// signing is what a request says of its signature.
type signing struct {
	accessKey string
	scope     string // date/Region/service/aws4_request
	headers   []string
	signature string
	token     string
	at        time.Time
	life      time.Duration // presigned; 0: in the header
}

const (
	algorithm  = "AWS4-HMAC-SHA256"
	timeFormat = "20060102T150405Z"
	unsigned   = "UNSIGNED-PAYLOAD"
	maxSkew    = 15 * time.Minute   // S3 and others, "RequestTimeTooSkewed"
	maxLife    = 7 * 24 * time.Hour // of a presigned request
)

// fault is why a signature is not taken: a code of S3 and a sentence.
type fault struct {
	code string
	text string
}

func (f *fault) Error() string { return f.code + ": " + f.text }

// signingOf reads the signature of a request.
func signingOf(r *http.Request) (signing, error) {
	q := r.URL.Query()
	var s signing
	var credential, date, headers string
	switch {
	case q.Get("X-Amz-Algorithm") == algorithm && r.Header.Get("Authorization") == "":
		credential, date, headers = q.Get("X-Amz-Credential"), q.Get("X-Amz-Date"), q.Get("X-Amz-SignedHeaders")
		s.signature, s.token = q.Get("X-Amz-Signature"), q.Get("X-Amz-Security-Token")
		seconds, err := strconv.Atoi(q.Get("X-Amz-Expires"))
		if err != nil || seconds < 1 || time.Duration(seconds)*time.Second > maxLife {
			return s, &fault{"AuthorizationQueryParametersError", "X-Amz-Expires must be between 1 and 604800 seconds"}
		}
		s.life = time.Duration(seconds) * time.Second
	case strings.HasPrefix(r.Header.Get("Authorization"), algorithm+" "):
		for part := range strings.SplitSeq(strings.TrimPrefix(r.Header.Get("Authorization"), algorithm+" "), ",") {
			name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
			switch name {
			case "Credential":
				credential = value
			case "SignedHeaders":
				headers = value
			case "Signature":
				s.signature = value
			}
		}
		date, s.token = r.Header.Get("X-Amz-Date"), r.Header.Get("X-Amz-Security-Token")
	default:
		return s, &fault{"AccessDenied", "the request has no signature of version 4"}
	}
	var err error
	if s.at, err = time.Parse(timeFormat, date); err != nil {
		return s, &fault{"AccessDenied", "AWS authentication requires a valid Date or x-amz-date header"}
	}
	s.accessKey, s.scope, _ = strings.Cut(credential, "/")
	s.headers = strings.Split(headers, ";")
	if parts := strings.Split(s.scope, "/"); len(parts) != 4 || parts[0] != date[:8] || parts[3] != "aws4_request" || !slices.Contains(s.headers, "host") {
		return s, &fault{"AuthorizationHeaderMalformed", "the credential's scope or the signed headers are wrong"}
	}
	return s, nil
}

// authenticate finds out whose request it is. payload is the SHA-256 that the signature covers, as it is written.
func (j *Judge) authenticate(r *http.Request, service, payload string) (*actor, signing, error) {
	s, err := signingOf(r)
	if err != nil {
		return nil, s, err
	}
	a := j.signers[s.accessKey]
	if a == nil {
		return nil, s, &fault{"InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."}
	}
	if want := "/" + j.config.Setting.Region + "/" + service + "/aws4_request"; !strings.HasSuffix(s.scope, want) {
		return a, s, &fault{"AuthorizationHeaderMalformed", "the signature is for " + s.scope + ", and this is " + want}
	}
	if !hmac.Equal([]byte(s.signature), []byte(signature(r, a.secretKey, s, payload))) {
		return a, s, &fault{"SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided. Check your key and signing method."}
	}
	if !hmac.Equal([]byte(s.token), []byte(a.sessionID)) {
		return a, s, &fault{"InvalidToken", "The provided token is malformed or otherwise invalid."}
	}
	// S3 refuses what it would obey and nobody signed.
	for name := range r.Header {
		if name = strings.ToLower(name); service == "s3" && strings.HasPrefix(name, "x-amz-") && !slices.Contains(s.headers, name) {
			return a, s, &fault{"AccessDenied", "There were headers present in the request which were not signed: " + name}
		}
	}
	now := j.config.Now()
	if s.life > 0 && now.After(s.at.Add(s.life)) {
		return a, s, &fault{"AccessDenied", "Request has expired"}
	}
	if age := now.Sub(s.at); age < -maxSkew || s.life == 0 && age > maxSkew {
		return a, s, &fault{"RequestTimeTooSkewed", "The difference between the request time and the current time is too large."}
	}
	return a, s, nil
}

// signature computes what the signature of a request must be.
func signature(r *http.Request, secret string, s signing, payload string) string {
	parts := strings.Split(s.scope, "/")
	path := escape(r.URL.Path, true)
	if parts[2] != "s3" { // all but S3 encode the path twice
		path = escape(r.URL.EscapedPath(), true)
	}
	if path == "" {
		path = "/"
	}
	var canonical strings.Builder
	fmt.Fprintf(&canonical, "%s\n%s\n%s\n", r.Method, path, query(r.URL.Query()))
	for _, h := range s.headers {
		fmt.Fprintf(&canonical, "%s:%s\n", h, header(r, h))
	}
	fmt.Fprintf(&canonical, "\n%s\n%s", strings.Join(s.headers, ";"), payload)
	sum := sha256.Sum256([]byte(canonical.String()))
	text := strings.Join([]string{algorithm, s.at.UTC().Format(timeFormat), s.scope, hex.EncodeToString(sum[:])}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range parts {
		key = mac(key, part)
	}
	return hex.EncodeToString(mac(key, text))
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// header gives a header in canonical form. Go keeps some of them outside of Header.
func header(r *http.Request, name string) string {
	switch name {
	case "host":
		return r.Host
	case "content-length":
		return strconv.FormatInt(r.ContentLength, 10)
	case "transfer-encoding":
		return strings.Join(r.TransferEncoding, ",")
	}
	var values []string
	for _, v := range r.Header.Values(name) {
		values = append(values, strings.Join(strings.Fields(v), " "))
	}
	return strings.Join(values, ",")
}

// query gives a query in canonical form, without the signature itself.
func query(q url.Values) string {
	var pairs []string
	for _, name := range slices.SortedFunc(maps.Keys(q), func(a, b string) int { return strings.Compare(escape(a, false), escape(b, false)) }) {
		if name == "X-Amz-Signature" {
			continue
		}
		for _, v := range slices.Sorted(slices.Values(q[name])) {
			pairs = append(pairs, escape(name, false)+"="+escape(v, false))
		}
	}
	return strings.Join(pairs, "&")
}

// escape encodes all but the unreserved characters of RFC 3986.
func escape(s string, slash bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0 || slash && c == '/' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

// sign signs a request for the engine behind, in its header, in place of what signed it before.
func (j *Judge) sign(r *http.Request, service, payload string) {
	q := r.URL.Query()
	for _, name := range []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature", "X-Amz-Security-Token", "X-Amz-Content-Sha256"} {
		q.Del(name)
	}
	r.URL.RawQuery = query(q)
	r.Header.Del("X-Amz-Security-Token")
	now := j.config.Now().UTC()
	r.Header.Set("X-Amz-Date", now.Format(timeFormat))
	r.Header.Set("X-Amz-Content-Sha256", payload)
	s := signing{accessKey: j.config.AccessKey, at: now, headers: []string{"host"}}
	s.scope = strings.Join([]string{now.Format("20060102"), j.config.Setting.Region, service, "aws4_request"}, "/")
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") {
			s.headers = append(s.headers, lower)
		}
	}
	slices.Sort(s.headers)
	r.Header.Set("Authorization", fmt.Sprintf("%s Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		algorithm, j.config.AccessKey, s.scope, strings.Join(s.headers, ";"), signature(r, j.config.SecretKey, s, payload)))
}
