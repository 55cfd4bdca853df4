// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// S3 judges requests and hands those that pass on, signed anew. An address with a bucket in its host is not known.
func (j *Judge) S3(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		payload := r.Header.Get("X-Amz-Content-Sha256")
		if payload == "" && r.Header.Get("Authorization") == "" {
			payload = unsigned
		}
		a, s, err := j.authenticate(r, "s3", payload)
		if err == nil {
			err = j.covered(r, s, payload)
		}
		if err != nil {
			j.refuseSigned(a, r, err)
			writeS3Error(w, r, err)
			return
		}
		call, err := j.s3CallOf(r, s)
		if err != nil {
			j.refuse(Refusal{Kind: Unknown, Actor: a.id, Resource: r.Method + " " + r.URL.Path, Why: err.Error()})
			writeS3Error(w, r, &fault{"NotImplemented", "the judge knows no such call: " + err.Error()})
			return
		}
		if refusal := j.pass(a, call.name, call.needs...); refusal != nil {
			writeS3Error(w, r, denied(a, refusal))
			return
		}
		if call.read {
			w = &absence{ResponseWriter: w, judge: j, actor: a, call: call, request: r}
		}
		inner := r.Clone(r.Context())
		j.sign(inner, "s3", payload)
		next.ServeHTTP(w, inner)
	})
}

// covered checks what S3 wants of a signature beside being right: every header of its own is covered by it, and the body's
// hash is said. A body that is signed chunk by chunk could not be signed anew, and nothing of ours sends one.
func (j *Judge) covered(r *http.Request, s signing, payload string) error {
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") && !slices.Contains(s.headers, lower) {
			return &fault{"AccessDenied", "There were headers present in the request which were not signed: " + lower}
		}
	}
	if payload == "" {
		return &fault{"InvalidRequest", "Missing required header for this request: x-amz-content-sha256"}
	}
	if strings.HasPrefix(payload, "STREAMING-AWS4-") {
		return &fault{"NotImplemented", "the judge knows no body that is signed chunk by chunk"}
	}
	return nil
}

// absence makes 403 of 404 for who may not list the bucket, as S3 does.
type absence struct {
	http.ResponseWriter
	judge   *Judge
	actor   *actor
	call    s3Call
	request *http.Request
	hidden  bool // the answer was given; what comes is not
}

func (w *absence) WriteHeader(status int) {
	if status == http.StatusNotFound {
		bucket := w.call.needs[0].bucket
		list := need{action: "s3:ListBucket", resource: "arn:" + w.judge.config.Setting.Partition + ":s3:::" + bucket, bucket: bucket}
		if refusal := w.judge.pass(w.actor, w.call.name+" of nothing", list); refusal != nil {
			w.hidden = true
			clear(w.Header())
			writeS3Error(w.ResponseWriter, w.request, denied(w.actor, refusal))
			return
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *absence) Write(b []byte) (int, error) {
	if w.hidden {
		return len(b), nil
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap lets an answer be flushed.
func (w *absence) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// refuseSigned keeps what was wrong with a signature.
func (j *Judge) refuseSigned(a *actor, r *http.Request, err error) {
	refusal := Refusal{Kind: Signature, Resource: r.Method + " " + r.URL.Path, Why: err.Error()}
	if a != nil {
		refusal.Actor = a.id
	}
	j.refuse(refusal)
}

// denied says a refusal as AWS does ("Troubleshoot access denied error messages", IAM User Guide).
func denied(a *actor, r *Refusal) error {
	why := "because no identity-based policy allows the " + r.Action + " action"
	if strings.HasPrefix(r.Why, "an explicit deny") {
		why = "with an explicit deny in a resource-based policy"
	}
	return &fault{"AccessDenied", fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %q %s", a.session, r.Action, r.Resource, why)}
}

// s3Error is the body of an error of S3.
func s3Error(r *http.Request, err error) []byte {
	var f *fault
	errors.As(err, &f) // all of ours are
	text, _ := xml.Marshal(struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		Resource  string
		RequestID string `xml:"RequestId"`
		HostID    string `xml:"HostId"`
	}{Code: f.code, Message: f.text, Resource: r.URL.Path, RequestID: strings.ToUpper(random(8)), HostID: random(16)})
	return append([]byte(xml.Header), text...)
}

// s3Status gives the status of a code (API Reference, "Error responses").
func s3Status(code string) int {
	switch code {
	case "AuthorizationHeaderMalformed", "AuthorizationQueryParametersError", "InvalidToken", "InvalidRequest":
		return http.StatusBadRequest
	case "NotImplemented":
		return http.StatusNotImplemented
	default:
		return http.StatusForbidden
	}
}

func writeS3Error(w http.ResponseWriter, r *http.Request, err error) {
	var f *fault
	errors.As(err, &f)
	w.Header().Set("Content-Type", "application/xml")
	w.Header().Set("Connection", "close") // its body was not read
	w.WriteHeader(s3Status(f.code))
	if r.Method != http.MethodHead {
		_, _ = w.Write(s3Error(r, err)) // a client that went away does not read it
	}
}
