// SPDX-License-Identifier: Apache-2.0

package events

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Bucket stands in front of an S3 and tells the bus of what was done to its objects. It changes no request and no answer.
type Bucket struct {
	proxy    *httputil.ReverseProxy
	bus      *Bus
	region   string
	account  string
	sequence atomic.Uint64

	mu    sync.Mutex
	parts map[string]map[int]int64 // upload id to part number to size
}

// NewBucket returns a handler for requests in path style, which go to target.
func NewBucket(target string, bus *Bus, region, account string) (*Bucket, error) {
	to, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	b := &Bucket{bus: bus, region: region, account: account, parts: map[string]map[int]int64{}}
	b.proxy = &httputil.ReverseProxy{
		// The host stays: it is signed.
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(to)
			r.Out.Host = r.In.Host
			r.Out.URL.RawQuery = r.In.URL.RawQuery
		},
		Transport:      &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		ModifyResponse: b.watch,
		FlushInterval:  -1,
		// S3 has not answered: neither does this, as a network would not.
		ErrorHandler: func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
	}
	return b, nil
}

// maxCompletion is the most bytes that a list of 10,000 parts takes, with room.
const maxCompletion = 4 << 20

func (b *Bucket) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodPost && r.URL.Query().Has("uploadId") {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxCompletion))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		r.Body, r.GetBody = io.NopCloser(bytes.NewReader(body)), func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	b.proxy.ServeHTTP(w, r)
}

// watch tells the bus of what has succeeded.
func (b *Bucket) watch(response *http.Response) error {
	r := response.Request
	bucket, key, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if !ok || key == "" || response.StatusCode/100 != 2 {
		return nil
	}
	query := r.URL.Query()
	object := object{Key: key, ETag: strings.Trim(response.Header.Get("Etag"), `"`), VersionID: response.Header.Get("X-Amz-Version-Id")}
	switch id := query.Get("uploadId"); {
	case r.Method == http.MethodPut && id != "":
		b.part(id, query.Get("partNumber"), length(r))
	case r.Method == http.MethodPut && !subresource(query):
		object.Size = length(r)
		reason := "PutObject"
		if r.Header.Get("X-Amz-Copy-Source") != "" {
			reason = "CopyObject"
		}
		b.tell("Object Created", bucket, object, reason)
	case r.Method == http.MethodPost && id != "":
		return b.completed(response, id, bucket, object)
	case r.Method == http.MethodDelete && id != "":
		b.drop(id)
	case r.Method == http.MethodDelete && !subresource(query):
		b.tell("Object Deleted", bucket, object, "DeleteObject")
	}
	return nil
}

// subresource says whether a request is about something of an object rather than the object.
func subresource(query url.Values) bool {
	for _, name := range []string{"acl", "tagging", "retention", "legal-hold", "attributes", "torrent", "restore", "select"} {
		if query.Has(name) {
			return true
		}
	}
	return false
}

// length is the size of what a request stores.
func length(r *http.Request) int64 {
	if n, err := strconv.ParseInt(r.Header.Get("X-Amz-Decoded-Content-Length"), 10, 64); err == nil {
		return n
	}
	return max(r.ContentLength, 0)
}

func (b *Bucket) part(id, number string, size int64) {
	n, err := strconv.Atoi(number)
	if err != nil {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.parts[id] == nil {
		b.parts[id] = map[int]int64{}
	}
	b.parts[id][n] = size
}

func (b *Bucket) drop(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.parts, id)
}

// completed reads the answer to CompleteMultipartUpload, which can be an error with status 200 (S3 API Reference). A reply
// that is lost between here and the client makes the client complete again; the second event is one duplicate more.
func (b *Bucket) completed(response *http.Response, id, bucket string, object object) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxCompletion))
	if err != nil {
		return err
	}
	response.Body.Close()
	response.Body = io.NopCloser(bytes.NewReader(body))
	var result struct {
		XMLName xml.Name
		ETag    string
	}
	if xml.Unmarshal(body, &result) != nil || result.XMLName.Local != "CompleteMultipartUploadResult" {
		return nil
	}
	object.ETag = strings.Trim(result.ETag, `"`)
	object.Size = b.sum(response.Request, id)
	b.tell("Object Created", bucket, object, "CompleteMultipartUpload")
	return nil
}

// sum is the size of the parts that a completion lists.
func (b *Bucket) sum(r *http.Request, id string) int64 {
	if r.GetBody == nil {
		return 0
	}
	body, err := r.GetBody()
	if err != nil {
		return 0
	}
	var list struct {
		Part []struct{ PartNumber int }
	}
	if err := xml.NewDecoder(body).Decode(&list); err != nil {
		return 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	var total int64
	for _, p := range list.Part {
		total += b.parts[id][p.PartNumber]
	}
	delete(b.parts, id)
	return total
}

type object struct {
	Key       string `json:"key"`
	Size      int64  `json:"size,omitempty"`
	ETag      string `json:"etag,omitempty"`
	VersionID string `json:"version-id,omitempty"`
	Sequencer string `json:"sequencer"`
}

// tell makes the event. S3 User Guide, "EventBridge event message structure".
func (b *Bucket) tell(kind, bucket string, o object, reason string) {
	o.Sequencer = fmt.Sprintf("%018X", b.sequence.Add(1))
	var id [16]byte
	rand.Read(id[:])
	event, err := json.Marshal(map[string]any{
		"version": "0", "id": fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]),
		"detail-type": kind, "source": "aws.s3", "account": b.account, "time": time.Now().UTC().Format(time.RFC3339), "region": b.region,
		"resources": []string{"arn:aws:s3:::" + bucket},
		"detail": map[string]any{
			"version": "0", "bucket": map[string]string{"name": bucket}, "object": o,
			"request-id": fmt.Sprintf("%016X", id[:8]), "requester": b.account, "source-ip-address": "127.0.0.1", "reason": reason,
		},
	})
	if err != nil {
		panic(err) // strings and numbers
	}
	b.bus.Tell(event)
}
