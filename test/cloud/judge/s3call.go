// SPDX-License-Identifier: Apache-2.0

package judge

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// keys are the condition keys that requests are given here, in lower case, each wherever the Service Authorization
// Reference has it (2026-11). A policy that asks for another is refused.
var keys = [...]string{
	"aws:securetransport", "aws:principalarn", "aws:principalaccount",
	"s3:prefix", "s3:delimiter", "s3:max-keys", "s3:if-match", "s3:if-none-match",
	"s3:authtype", "s3:signatureversion", "s3:signatureage", "s3:x-amz-content-sha256",
}

// s3Call is a call of S3 and what it needs.
type s3Call struct {
	name  string
	needs []need
	read  bool // GetObject and HeadObject: an absent object is told only to who may list the bucket
}

// s3Operation says which call a request is: its method, whether it names a key, the parameter that marks it, and what else
// its query may have.
type s3Operation struct {
	method string
	key    bool
	marks  []string
	others []string
	name   string
	action string
}

// s3Operations is all that our code may ask of S3 (API Reference, 2026-11, with "Required permissions for Amazon S3 API
// operations"). Operations with more marks come first.
var s3Operations = [...]s3Operation{
	{"GET", true, []string{"uploadId"}, []string{"max-parts", "part-number-marker"}, "ListParts", "s3:ListMultipartUploadParts"},
	{"GET", true, nil, []string{"response-content-type", "response-content-disposition", "response-cache-control", "partNumber"}, "GetObject", "s3:GetObject"},
	{"HEAD", true, nil, []string{"partNumber", "response-content-type", "response-content-disposition", "response-cache-control"}, "HeadObject", "s3:GetObject"},
	{"PUT", true, []string{"partNumber", "uploadId"}, nil, "UploadPart", "s3:PutObject"},
	{"PUT", true, nil, nil, "PutObject", "s3:PutObject"},
	{"POST", true, []string{"uploads"}, nil, "CreateMultipartUpload", "s3:PutObject"},
	{"POST", true, []string{"uploadId"}, nil, "CompleteMultipartUpload", "s3:PutObject"},
	{"DELETE", true, []string{"uploadId"}, nil, "AbortMultipartUpload", "s3:AbortMultipartUpload"},
	{"DELETE", true, nil, nil, "DeleteObject", "s3:DeleteObject"},
	{"GET", false, []string{"list-type"}, []string{"prefix", "delimiter", "max-keys", "continuation-token", "start-after", "encoding-type", "fetch-owner"}, "ListObjectsV2", "s3:ListBucket"},
	{"GET", false, []string{"uploads"}, []string{"prefix", "delimiter", "max-uploads", "key-marker", "upload-id-marker", "encoding-type"}, "ListMultipartUploads", "s3:ListBucketMultipartUploads"},
	{"HEAD", false, nil, nil, "HeadBucket", "s3:ListBucket"},
}

// s3Refused are headers that make another call of one, or need permissions that are not known here.
var s3Refused = [...]string{
	"X-Amz-Copy-Source", "X-Amz-Acl", "X-Amz-Tagging", "X-Amz-Object-Lock-Mode", "X-Amz-Bypass-Governance-Retention", "X-Amz-Grant-Read",
	"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id",
}

// s3CallOf finds out what a request asks of S3. An error is a call that is not known here.
func (j *Judge) s3CallOf(r *http.Request, s signing) (s3Call, error) {
	bucket, key, hasKey := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	hasKey = hasKey && key != ""
	if _, ours := j.buckets[bucket]; !ours {
		return s3Call{}, fmt.Errorf("%q is no bucket of the stack", bucket)
	}
	for _, name := range s3Refused {
		if r.Header.Get(name) != "" {
			return s3Call{}, fmt.Errorf("the header %s is not known here", name)
		}
	}
	q := plainQuery(r.URL.Query())
	for _, o := range s3Operations {
		if o.method != r.Method || o.key != hasKey || !o.has(q) {
			continue
		}
		call := s3Call{name: o.name, read: o.action == "s3:GetObject"}
		arn := "arn:" + j.config.Setting.Partition + ":s3:::" + bucket
		if hasKey {
			arn += "/" + key
		}
		call.needs = []need{{o.action, arn, bucket, j.s3Context(r, s, o, q)}}
		// "Conditional deletes with a specific ETag value require both s3:DeleteObject and s3:GetObject" (User Guide,
		// "Enforce conditional deletes").
		if match := r.Header.Get("If-Match"); o.name == "DeleteObject" && match != "" && match != "*" {
			call.needs = append(call.needs, need{"s3:GetObject", arn, bucket, call.needs[0].context})
		}
		return call, nil
	}
	return s3Call{}, fmt.Errorf("%s with the query %v is not known here", r.Method, q)
}

// plainQuery is a query without what signs it, and without the name of the call, which the SDK adds.
func plainQuery(q url.Values) url.Values {
	for name := range q {
		if strings.HasPrefix(name, "X-Amz-") || name == "x-id" {
			delete(q, name)
		}
	}
	return q
}

// has tells whether a query is one of the operation.
func (o s3Operation) has(q url.Values) bool {
	for _, mark := range o.marks {
		if !q.Has(mark) {
			return false
		}
	}
	for name := range q {
		if !slices.Contains(o.marks, name) && !slices.Contains(o.others, name) {
			return false
		}
	}
	return true
}

// s3Context gives the condition keys of a request.
func (j *Judge) s3Context(r *http.Request, s signing, o s3Operation, q url.Values) map[string][]string {
	context := map[string][]string{"s3:signatureversion": {algorithm}, "s3:authtype": {"REST-HEADER"}}
	if s.life > 0 {
		context["s3:authtype"] = []string{"REST-QUERY-STRING"}
		context["s3:signatureage"] = []string{strconv.FormatInt(j.config.Now().Sub(s.at).Milliseconds(), 10)}
	}
	set := func(key, value string) {
		if value != "" {
			context[key] = []string{value}
		}
	}
	set("s3:x-amz-content-sha256", r.Header.Get("X-Amz-Content-Sha256"))
	set("s3:if-match", r.Header.Get("If-Match"))
	set("s3:if-none-match", r.Header.Get("If-None-Match"))
	if o.name == "ListObjectsV2" {
		for _, name := range []string{"prefix", "delimiter", "max-keys"} {
			set("s3:"+name, q.Get(name))
		}
	}
	return context
}
