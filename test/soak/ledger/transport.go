// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strings"
)

// Transport sends requests and tells the ledger of them. It is safe for concurrent use if next is.
type Transport struct {
	ledger *Ledger
	next   http.RoundTripper
}

// Transport returns a transport that tells the ledger of what is sent over next.
func (l *Ledger) Transport(next http.RoundTripper) *Transport { return &Transport{l, next} }

// request is what a request asks for.
type request struct {
	method    string
	repo      string
	kind      string // manifests, blobs or uploads
	reference string // a tag, or a digest
	digest    string // of what an upload or a mount brings
	body      []byte // of a manifest
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	q := read(r)
	if q.kind == "manifests" && q.method == http.MethodPut {
		body, err := io.ReadAll(r.Body)
		r.Body.Close()
		if err != nil {
			return nil, err
		}
		q.body = body
		q.digest = sum(body)
		r = r.Clone(r.Context())
		r.Body = io.NopCloser(bytes.NewReader(body))
		r.ContentLength = int64(len(body))
	}
	end, err := t.begin(q)
	if err != nil {
		return nil, err
	}
	answer, err := t.next.RoundTrip(r)
	if err != nil {
		end(nil)
		return nil, err
	}
	if answer.StatusCode >= 500 {
		t.ledger.status(fmt.Sprintf("%s %s %d", q.method, q.kind, answer.StatusCode))
	}
	end(answer)
	return answer, nil
}

// read understands a request. What is of no interest to the ledger has no kind.
func read(r *http.Request) request {
	path, found := strings.CutPrefix(r.URL.Path, "/v2/")
	if !found {
		return request{}
	}
	for _, kind := range []string{"/blobs/uploads/", "/manifests/", "/blobs/"} {
		if at := strings.LastIndex(path, kind); at >= 0 {
			q := request{method: r.Method, repo: path[:at], reference: path[at+len(kind):], kind: strings.Trim(kind, "/")}
			if kind == "/blobs/uploads/" {
				q.kind = "uploads"
				query := r.URL.Query()
				q.digest = query.Get("digest") + query.Get("mount") // one of the two
			}
			return q
		}
	}
	return request{}
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return "sha256:" + hex.EncodeToString(s[:])
}

// begin tells the ledger of a request. The result is to be called with the answer, or nil where there is none.
func (t *Transport) begin(q request) (func(*http.Response), error) {
	l := t.ledger
	reads := q.method == http.MethodGet || q.method == http.MethodHead
	switch {
	case q.kind == "manifests" && q.method == http.MethodPut:
		content, err := parse(q.body)
		if err != nil {
			return nil, err
		}
		o := l.push(q.repo, q.reference, q.digest, content)
		return func(a *http.Response) { t.endPush(o, q, a) }, nil
	case q.kind == "manifests" && q.method == http.MethodDelete && isDigest(q.reference):
		o := l.remove(q.repo, q.reference)
		return func(a *http.Response) { t.endDelete(o, q, a) }, nil
	case q.kind == "manifests" && q.method == http.MethodDelete:
		o := l.untag(q.repo, q.reference)
		return func(a *http.Response) { t.endDelete(o, q, a) }, nil
	case q.kind == "manifests" && reads:
		o := l.look()
		return func(a *http.Response) { t.endLook(o, q, a) }, nil
	case q.kind == "blobs" && q.method == http.MethodDelete:
		o := l.discard(q.repo, q.reference)
		return func(a *http.Response) {
			l.discarded(o, q.repo, q.reference, outcomeOf(a))
			if a != nil && a.StatusCode == http.StatusNotFound {
				l.missedBlob(o, q.repo, q.reference)
			}
		}, nil
	case q.kind == "blobs" && reads:
		o := l.look()
		return func(a *http.Response) { t.endLookAtBlob(o, q, a) }, nil
	case q.kind == "uploads" && q.digest != "" && (q.method == http.MethodPost || q.method == http.MethodPut):
		o := l.bring(q.repo, q.digest)
		return func(a *http.Response) {
			was := outcomeOf(a)
			if was == acknowledged && a.StatusCode != http.StatusCreated {
				was = refused // a mount that became an upload
			}
			l.done(o, was)
		}, nil
	}
	return func(*http.Response) {}, nil
}

// outcomeOf tells what an answer says of a request that writes.
func outcomeOf(a *http.Response) outcome {
	switch {
	case a == nil:
		return lost
	case a.StatusCode < 300:
		return acknowledged
	case a.StatusCode < 500, a.StatusCode == http.StatusInsufficientStorage:
		return refused
	}
	return lost
}

func (t *Transport) endPush(o *op, q request, a *http.Response) {
	if a != nil && a.StatusCode == http.StatusNotFound {
		if missing := missing(a); missing != "" {
			t.ledger.refusedFor(o, q.repo, q.digest, missing)
			return
		}
	}
	was := outcomeOf(a)
	if got := header(a); was == acknowledged && got != q.digest {
		t.ledger.Lose("the manifest %s@%s was acknowledged as %s", q.repo, q.digest, got)
	}
	t.ledger.pushed(o, q.repo, q.digest, was)
}

func header(a *http.Response) string {
	if a == nil {
		return ""
	}
	return a.Header.Get("Docker-Content-Digest")
}

// missing is the digest that an answer says is not in the repository. The body can still be read.
func missing(a *http.Response) string {
	raw, err := io.ReadAll(io.LimitReader(a.Body, 1<<20))
	a.Body.Close()
	a.Body = io.NopCloser(bytes.NewReader(raw))
	var answer struct {
		Errors []struct {
			Detail struct {
				Digest string `json:"digest"`
			} `json:"detail"`
		} `json:"errors"`
	}
	if err != nil || json.Unmarshal(raw, &answer) != nil || len(answer.Errors) == 0 {
		return ""
	}
	return answer.Errors[0].Detail.Digest
}

func (t *Transport) endDelete(o *op, q request, a *http.Response) {
	t.ledger.done(o, outcomeOf(a))
	if a != nil && a.StatusCode == http.StatusNotFound {
		t.ledger.found(o, q.repo, q.reference, "")
	}
}

func (t *Transport) endLook(o *op, q request, a *http.Response) {
	switch {
	case a != nil && a.StatusCode == http.StatusNotFound:
		t.ledger.found(o, q.repo, q.reference, "")
	case a != nil && a.StatusCode == http.StatusOK:
		digest := header(a)
		t.ledger.found(o, q.repo, q.reference, digest)
		t.hashed(a, q, digest)
	}
	t.ledger.done(o, outcomeOf(a))
}

func (t *Transport) endLookAtBlob(o *op, q request, a *http.Response) {
	switch {
	case a != nil && a.StatusCode == http.StatusNotFound:
		t.ledger.missedBlob(o, q.repo, q.reference)
	case a != nil && (a.StatusCode == http.StatusOK || a.StatusCode == http.StatusPartialContent):
		t.ledger.foundBlob(o, q.repo, q.reference)
		if a.StatusCode == http.StatusOK {
			t.hashed(a, q, q.reference)
		}
	}
	t.ledger.done(o, outcomeOf(a))
}

// hashed has the body of an answer compared with its digest when it is read to its end.
func (t *Transport) hashed(a *http.Response, q request, digest string) {
	if q.method == http.MethodGet {
		a.Body = &hashedBody{ReadCloser: a.Body, hash: sha256.New(), end: func(bytes int64, got string) {
			if got != digest {
				t.ledger.Lose("%s %s@%s has the bytes of %s", q.kind, q.repo, digest, got)
			}
			t.ledger.whole(q.kind == "manifests", bytes)
		}}
	}
}

// hashedBody calls end once, with what was read, when there is no more.
type hashedBody struct {
	io.ReadCloser
	hash  hash.Hash
	bytes int64
	end   func(bytes int64, digest string)
}

func (b *hashedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.hash.Write(p[:n])
	b.bytes += int64(n)
	if err == io.EOF && b.end != nil {
		b.end(b.bytes, "sha256:"+hex.EncodeToString(b.hash.Sum(nil)))
		b.end = nil
	}
	return n, err
}
